/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tools of a user know together of a monitor's socket, in the file of its lock: whose
 * it is, when it last answered, and since when it has not. So twenty tools wait for a monitor
 * that has another client for as long as one does.
 */
#ifndef VLENS_HOST_TURN_H
#define VLENS_HOST_TURN_H

#include <stdbool.h>
#include <stdint.h>

struct vl_turn {
	int pid;	/* of the process that listens; 0: not known */
	char run[112];	/* and its vl_target_run_id() */
	uint64_t spoke; /* when it last greeted one of us, on vl_now_ns()'s clock */
	uint64_t silent_since, silent_until; /* it was tried, and did not */
};

/* Of the lock @key; without the lock. All is 0 where nothing is known. */
void vl_turn_load(const char *key, struct vl_turn *ret);

/* Nothing when @lock is none, see vl_run_lock(). */
void vl_turn_store(int lock, const struct vl_turn *turn);

/* It has greeted, process @pid of @run. */
void vl_turn_speaks(int lock, const char *key, int pid, const char *run);
/* It has not, for @ns nanoseconds until now. */
void vl_turn_is_silent(int lock, const char *key, int pid, const char *run, uint64_t ns);

#endif
