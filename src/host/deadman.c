/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void close_both(const int *fd)
{
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* Choose the signal. There is no owner yet, so the kernel sends none. */
static bool prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !fcntl(fd, F_SETSIG, SIGCONT) && !fcntl(fd, F_SETFL, flags | O_ASYNC);
}

void vl_deadman_init(struct vl_deadman *d, int above, int *mute_ret)
{
	char path[32];
	int fd[2];

	*d = (struct vl_deadman){ { -1, -1 } };
	*mute_ret = -1;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return;
	for (int i = 0; i < 2; i++)
		d->end[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, above + 1);
	close_both(fd);
	if (d->end[0] >= 0 && d->end[1] >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", d->end[0]);
		*mute_ret = open(path, O_PATH | O_CLOEXEC);
	}
	if (*mute_ret >= 0 && prepare(d->end[0]) && prepare(d->end[1]))
		return;
	vl_deadman_deinit(d);
	if (*mute_ret >= 0)
		close(*mute_ret);
	*mute_ret = -1;
}

void vl_deadman_deinit(struct vl_deadman *d)
{
	close_both(d->end);
	*d = (struct vl_deadman){ { -1, -1 } };
}

static void set_owner(const struct vl_deadman *d, pid_t pid)
{
	for (int i = 0; i < 2; i++)
		if (d->end[i] >= 0)
			fcntl(d->end[i], F_SETOWN, pid);
}

void vl_deadman_arm(const struct vl_deadman *d, pid_t pid)
{
	set_owner(d, pid);
}

void vl_deadman_disarm(const struct vl_deadman *d)
{
	set_owner(d, 0);
}

int vl_deadman_mute(int mute)
{
	char path[32];

	if (mute < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mute);
	/* With one more reader and writer, closing the other descriptors sends no signal. */
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}
