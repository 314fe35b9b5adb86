/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"

static int open_lock(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
}

/* Wait for the lock on @fd. Closes @fd when the lock cannot be had. */
static int wait_for(int fd, uint64_t deadline)
{
	struct timespec nap = { 0, 200000 };

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || vl_now_ns() >= deadline) {
			close(fd);
			return VL_LOCK_BUSY;
		}
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < 5000000)
			nap.tv_nsec *= 2;
	}
	return fd;
}

int vl_run_lock(unsigned int ms, const char *name)
{
	_cleanup_free_ char *path = vl_run_path("%s.lock", name);
	uint64_t deadline = vl_now_ns() + (uint64_t)ms * VL_NSEC_PER_MSEC;
	struct stat st;
	int fd;

	if (!path)
		return VL_LOCK_NONE;
	for (;;) {
		fd = open_lock(path);
		if (fd < 0)
			return VL_LOCK_NONE;
		fd = wait_for(fd, deadline);
		/* A file that was removed meanwhile (tidy.c) is not a lock any more: try again. */
		if (fd < 0 || fstat(fd, &st) || st.st_nlink)
			return fd;
		close(fd);
	}
}
