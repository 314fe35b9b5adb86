/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's first process, from the fork to its exec. The supervisor is the process
 * that forked it, or a keeper. The two talk over a socket that exec closes:
 *
 *	child: int     0: it can be traced from now on, and begins to confine itself
 *	supervisor: uint32_t, struct sock_filter[]
 *		       the number of instructions, and the filter. The child is traced by
 *		       then. A descriptor may come with the number: a network to enter
 *	child: struct vl_child_begins
 *		       then it calls execve, which traps
 *	child: int     -errno of execve; nothing if it succeeds (the socket closes)
 *
 * The child exits when the supervisor closes its end early.
 */
#ifndef VLENS_REDIRECT_CHILD_H
#define VLENS_REDIRECT_CHILD_H

#include <signal.h>
#include <sys/types.h>

#include "redirect.h"

/* The child's message when the filter is installed, or could not be. */
struct vl_child_begins {
	int listener;	       /* the listener's number in the child, or -errno */
	int old_flags;	       /* 1: without WAIT_KILLABLE_RECV (before 5.19) */
	unsigned int confined; /* VL_CONFINED_* */
};

struct vl_child {
	pid_t pid;
	int sock; /* the supervisor's end */
};

/*
 * Find the program of @o: *@path_ret is malloc'ed. On an error *@status_ret is
 * 127 (not found) or 126 (not executable).
 */
struct vl_error *vl_child_find(const struct vl_redirect_options *o, char **path_ret,
			       int *status_ret);

/*
 * Fork the process that becomes the program @exe with the arguments of @o and
 * the signal mask @mask. @tracer: the process that will supervise it; 0:
 * the caller. The caller owns the socket and waits for the process.
 */
struct vl_error *vl_child_fork(const struct vl_redirect_options *o, const char *exe,
			       const sigset_t *mask, pid_t tracer, struct vl_child *ret);

/* environ.c: make the program's environment from that of @o. NULL: out of memory. */
char **vl_environ_make(const struct vl_redirect_options *o);
void vl_environ_destroy(char **env);

#endif
