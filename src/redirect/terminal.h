/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The signals that a process takes for itself while it runs a program: the terminal's, which
 * the program gets as well, SIGTERM, and SIGCHLD for the program's end.
 */
#ifndef VLENS_REDIRECT_TERMINAL_H
#define VLENS_REDIRECT_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../error.h"

struct vl_terminal {
	int fd; /* a signalfd: readable when there are some; -1: not taken */
	sigset_t old_set;
	struct sigaction old_chld;
	bool all;  /* all signals are taken, not only SIGCHLD */
	bool stop; /* a stop signal has come, and no SIGCONT since */
};

/* Take the signals; without @all only SIGCHLD, if another process handles the terminal. */
struct vl_error *vl_terminal_take(struct vl_terminal *t, bool all);
/* Give them back, if they are taken. */
void vl_terminal_give_back(struct vl_terminal *t);
/*
 * With @let, signals by which a user ends a program end this process until the next call, unless it
 * began with them blocked. A pending one ends it at once.
 */
void vl_terminal_let(const struct vl_terminal *t, bool let);
/*
 * Give the controlling terminal from process group @from to @to, which must be of this
 * session: 0 or -errno; -EPERM: another one has it. SIGTTOU must be taken.
 */
int vl_terminal_give(pid_t from, pid_t to);
/* Read the pending signals. Those that kill(1) sent to us are passed on to @program. */
void vl_terminal_read(struct vl_terminal *t, pid_t program);

#endif
