/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only one process at a time adds to a store. It first removes the files that a killed process has
 * left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "store.h"

/* To add a package takes some seconds, and more on a busy machine. */
#define WAIT_NS (120 * VL_NSEC_PER_SEC)

/* The end of a name of a file that is written: see vl_file_prepare(). */
#define RANDOM ".XXXXXX"

static bool is_unfinished(const char *name)
{
	static const char *const kinds[] = { VL_TRUST_KERNEL, VL_TRUST_ORIGIN, VL_TRUST_MODULES };
	size_t len = strlen(name), end = strlen(RANDOM);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i]);

		if (len > n + end && name[len - end] == '.' &&
		    !memcmp(name + len - end - n, kinds[i], n))
			return true;
	}
	return false;
}

static bool wait_for(int fd)
{
	const struct timespec nap = { 0, 50000000 };
	uint64_t end = vl_now_ns() + WAIT_NS;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || vl_now_ns() > end)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

struct vl_error *vl_trust_turn(const char *dir, int *fd_ret)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;

	if (fd < 0)
		return vl_error_os(errno, "cannot read %s", dir);
	if (!wait_for(fd))
		return errno == EWOULDBLOCK || errno == EINTR ?
			       vl_error_new(VL_ERR_OS, "another process adds to %s", dir) :
			       vl_error_os(errno, "cannot lock %s", dir);
	d = opendir(dir);
	while (d && (e = readdir(d)))
		if (is_unfinished(e->d_name))
			unlinkat(fd, e->d_name, 0);
	*fd_ret = vl_taken_fd(&fd);
	return NULL;
}
