/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's first process: it is forked, confines itself, and is taken over. */
#ifndef VLENS_REDIRECT_CHILD_H
#define VLENS_REDIRECT_CHILD_H

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"
#include "redirect.h"

struct vl_redirect;

/* Namespaces that the supervisor may have for the child. */
enum vl_child_space { VL_CHILD_NETWORK, VL_CHILD_IPC, VL_CHILD_SPACES };

/*
 * The program's first process, from the fork to its exec. The supervisor is the process
 * that forked it, or a keeper. The two talk over a socket that exec closes:
 *
 *	forker: int    the pid of the keeper, if there is to be one (vl_child_tell())
 *	child: int     0: it can be traced from now on
 *	supervisor: struct vl_child_filter, struct sock_filter[]
 *		       The child is traced by then. Descriptors may come with it: namespaces
 *		       to enter
 *	child: struct vl_child_begins
 *		       then it calls execve, which traps
 *	child: int     -errno of execve; nothing if it succeeds (the socket closes)
 *
 * The child exits when the supervisor closes its end early.
 */

struct vl_child_filter {
	uint32_t nr;		   /* of instructions that follow */
	bool has[VL_CHILD_SPACES]; /* the descriptors that come with it, in this order */
};

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
 * Fork the process that becomes the program @exe with the arguments of @o and the signal mask
 * @mask. It begins to confine itself. @kept: a keeper will supervise it, and vl_child_tell() says
 * which; else the caller does. The caller owns the socket and waits for the process.
 */
struct vl_error *vl_child_fork(const struct vl_redirect_options *o, const char *exe,
			       const sigset_t *mask, bool kept, struct vl_child *ret);
/* The keeper of @child is @keeper. Call it once, before the keeper gets the socket. */
void vl_child_tell(const struct vl_child *child, pid_t keeper);

/* environ.c: make the program's environment from that of @o. NULL: out of memory. */
char **vl_environ_make(const struct vl_redirect_options *o);
void vl_environ_destroy(char **env);

/*
 * The program's process confines itself before it executes the program, by these functions in
 * this order. All are safe after a fork of a threaded process.
 */

/* Replace standard descriptors that are datagram sockets by /dev/null. */
void vl_confine_given(void);
/*
 * The steps that need no answer of the supervisor. The process keeps the first three
 * descriptors, pipes and @keep open. False: a step failed that every host permits. *@done_ret:
 * the steps that the host permitted, VL_CONFINED_* (redirect.h).
 */
bool vl_confine_begin(int keep, unsigned int *done_ret);
/*
 * The other steps. @spaces: descriptors of empty namespaces, which are entered and closed; -1: a
 * new one is made. The steps of *@done are added to. False: as above.
 */
bool vl_confine_end(const int spaces[VL_CHILD_SPACES], unsigned int *done);

/* Takes over the program's first process. */

/*
 * Start the program, in three steps. @r->main is its first process, which waits at @sock
 * (child.h), and @r->filter is its filter. First: trace the process, let it use the CPUs @cpus only
 * (NULL: those that it has), and send it the filter.
 */
struct vl_error *vl_launch_begin(struct vl_redirect *r, int sock, const cpu_set_t *cpus);
/* Second: fetch @r->listener, and let the process execute the program. */
struct vl_error *vl_launch(struct vl_redirect *r, int sock);
/*
 * Third: wait for its execve. After success the program has not run an instruction yet; on an
 * error *@status_ret is 127 (not found) or 126.
 */
struct vl_error *vl_launch_end(struct vl_redirect *r, int sock, int *status_ret);

#endif
