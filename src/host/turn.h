/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notes that the tools of a user share about a monitor's socket, in the file of its lock: its
 * process, when it last greeted a tool, and since when it is silent. By these, twenty tools
 * that wait for a monitor with another client give up as soon as one alone would.
 */
#ifndef VLENS_HOST_TURN_H
#define VLENS_HOST_TURN_H

#include <stdbool.h>
#include <stdint.h>

struct vl_turn {
	int pid;	/* of the process that listens; 0: not known */
	char run[112];	/* its vl_target_run_id() */
	uint64_t spoke; /* when it last greeted a tool, on vl_now_ns()'s clock */
	uint64_t silent_since, silent_until; /* the tools waited in vain; 0: they did not */
};

/* Read the notes of the lock @key, which need not be held. All is 0 when nothing is known. */
void vl_turn_load(const char *key, struct vl_turn *ret);

/* Write the notes to @lock, a descriptor of vl_run_lock(); negative: do nothing. */
void vl_turn_store(int lock, const struct vl_turn *turn);

/* Note that the socket of process @pid, run @run, has greeted us. */
void vl_turn_speaks(int lock, const char *key, int pid, const char *run);
/* Note that it has not, for @ns nanoseconds until now. */
void vl_turn_is_silent(int lock, const char *key, int pid, const char *run, uint64_t ns);

#endif
