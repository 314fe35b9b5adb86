/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The signals that the process which runs a program takes for itself meanwhile: the
 * terminal's, which the program gets as well, and those of its end.
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
	bool stop; /* the terminal asked for a stop, and nothing for going on since */
};

/* Take them; without @all only SIGCHLD, for whoever has no part in the terminal. */
struct vl_error *vl_terminal_take(struct vl_terminal *t, bool all);
/* Let go, if they are taken. */
void vl_terminal_give_back(struct vl_terminal *t);
/*
 * Give the controlling terminal from process group @from to @to, which must be of this
 * session: 0 or -errno; -EPERM: another one has it. SIGTTOU must be taken.
 */
int vl_terminal_give(pid_t from, pid_t to);
/* Read those that have come. What kill(1) sent to us goes on to @program. */
void vl_terminal_read(struct vl_terminal *t, pid_t program);

#endif
