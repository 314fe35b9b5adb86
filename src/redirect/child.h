/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's first process, from the fork to its exec. Whoever supervises it
 * (the process that forked it, or a keeper) talks with it over a socket that
 * exec closes:
 *
 *	child: int     0: from now on it can be traced, and begins to confine itself
 *	we: uint32_t, struct sock_filter[]
 *		       how many, and the filter; the child is traced by then. With the
 *		       number, perhaps, a network to enter
 *	child: struct vl_child_begins
 *		       and calls execve, which waits for an answer at the listener
 *	child: int     -errno of execve, or nothing (the socket closed)
 *
 * When the other end is closed early the child exits.
 */
#ifndef VLENS_REDIRECT_CHILD_H
#define VLENS_REDIRECT_CHILD_H

#include <signal.h>
#include <sys/types.h>

#include "redirect.h"

/* What the child says when it is under the filter. */
struct vl_child_begins {
	int listener;	       /* its number in the child, or -errno */
	int old_flags;	       /* the kernel took the second set of flags */
	unsigned int confined; /* VL_CONFINED_* */
};

struct vl_child {
	pid_t pid;
	int sock; /* the supervisor's end */
};

/*
 * Find the program of @o: *@path_ret is malloc'ed. When there is none,
 * *@status_ret is 127 (not found) or 126 (not executable).
 */
struct vl_error *vl_child_find(const struct vl_redirect_options *o, char **path_ret,
			       int *status_ret);

/*
 * Fork the process that shall become the program @exe with the arguments of @o
 * and the signal mask @mask. @tracer: the process that will supervise it; 0:
 * the caller. The caller owns the socket and waits for the process.
 */
struct vl_error *vl_child_fork(const struct vl_redirect_options *o, const char *exe,
			       const sigset_t *mask, pid_t tracer, struct vl_child *ret);

/* environ.c: the environment of that process, from that of @o. NULL: without memory. */
char **vl_environ_make(const struct vl_redirect_options *o);
void vl_environ_destroy(char **env);

#endif
