/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vwatch. Each guest has a thread (guest.c), which watches it and prints what it finds (print.c).
 * The main thread waits for the end: of the time, of all guests, or by a signal.
 */
#ifndef VLENS_BIN_VWATCH_H
#define VLENS_BIN_VWATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "../request.h"
#include "vlens.h"

struct watch_guest {
	struct vwatch *watch;
	const char *spec;
	struct vl_host_label label; /* its name, once it was open */
	pthread_t thread;
	bool started;
	atomic_bool done; /* the thread is about to end */
	bool failed;	  /* the guest was not reached, or is gone */
	struct vl_guest *guest;
	struct vl_watch_round round;
	struct vl_watch_figures sum; /* of all watches but the current one */
};

struct vwatch {
	struct request *o;
	unsigned groups;      /* VL_WATCH_PROCESSES … */
	double percent;	      /* of one CPU, for all guests */
	uint64_t duration_ns; /* 0: for ever */
	bool stamps;
	struct watch_guest *guests;
	size_t nr;
	int event_fd; /* written when a thread ends, or the output fails */
	atomic_bool quit;
	pthread_mutex_t lock; /* over stdout */
	bool headed;	      /* the line with the names of the columns was printed */
};

/* Start the thread of @g, whose `watch` and `spec` are set. */
bool watch_guest_start(struct watch_guest *g);
/* The costs of all watches of @g, and what they can have missed. The thread must have ended. */
struct vl_watch_figures watch_guest_figures(const struct watch_guest *g);

/* ---- print.c ---- */

/* The name of @g on this host. */
const char *watch_name(const struct watch_guest *g);
/* Print the @nr events @e of @g. */
void watch_print(struct watch_guest *g, const struct vl_watch_event *e, size_t nr);
/* Print what has happened to the guest itself: @word ("watched", "gone" …), and more. */
void watch_print_state(struct watch_guest *g, const char *word, const char *text);
/* The last line about @g. */
void watch_print_sum(struct watch_guest *g, const struct vl_watch_figures *f);

#endif
