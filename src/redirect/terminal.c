/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../base/array.h"

struct vl_error *vl_terminal_take(struct vl_terminal *t, bool all)
{
	static const int taken[] = { SIGCHLD, SIGINT,  SIGQUIT, SIGTERM, SIGHUP,
				     SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT };
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct vl_error *err;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < (all ? ARRAY_SIZE(taken) : 1); i++)
		sigaddset(&set, taken[i]);
	t->stop = false;
	t->all = all;
	t->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (t->fd < 0) {
		err = vl_error_os(errno, "cannot make a signalfd");
		t->fd = -1;
		return err;
	}
	sigaction(SIGCHLD, &dfl, &t->old_chld); /* if it is ignored, the kernel reaps children */
	pthread_sigmask(SIG_BLOCK, &set, &t->old_set);
	return NULL;
}

void vl_terminal_give_back(struct vl_terminal *t)
{
	if (t->fd < 0)
		return;
	close(t->fd);
	t->fd = -1;
	pthread_sigmask(SIG_SETMASK, &t->old_set, NULL);
	sigaction(SIGCHLD, &t->old_chld, NULL);
}

void vl_terminal_let(const struct vl_terminal *t, bool let)
{
	static const int ends[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (t->fd >= 0 && t->all && !sigismember(&t->old_set, ends[i]))
			sigaddset(&set, ends[i]);
	pthread_sigmask(let ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

int vl_terminal_give(pid_t from, pid_t to)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), err = 0;

	if (fd < 0)
		return -errno;
	if (tcgetpgrp(fd) != from)
		err = -EPERM;
	else if (tcsetpgrp(fd, to))
		err = -errno;
	close(fd);
	return err;
}

void vl_terminal_read(struct vl_terminal *t, pid_t program)
{
	struct signalfd_siginfo si[8];
	ssize_t n = read(t->fd, si, sizeof(si));

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(si[0]); i++) {
		switch (si[i].ssi_signo) {
		case SIGCHLD:
			break;
		case SIGCONT:
			t->stop = false;
			break;
		case SIGTSTP:
		case SIGTTIN:
		case SIGTTOU:
			t->stop = true;
			/* fall through */
		default:
			/* The terminal signals the whole group; kill(1) signals only us. */
			if (si[i].ssi_code <= 0)
				kill(program, (int)si[i].ssi_signo);
		}
	}
}
