/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is said while something takes long, on a terminal only: one line on
 * standard error, from the second second on, that is gone when it has come to an end.
 */
#ifndef VLENS_BIN_PROGRESS_H
#define VLENS_BIN_PROGRESS_H

#include <stdint.h>
#include <sys/types.h>

struct progress {
	pid_t pid;	/* of the process that says it; 0: none does */
	uint64_t begin; /* by vl_now_ns() */
};

/* Begin to wait for guest @spec (NULL: for several). Nothing without a terminal. */
void progress_begin(struct progress *p, const char *applet, const char *spec);

/*
 * What was waited for is there: take the line away. Safe in a process that was forked
 * from the one that began; that one still calls progress_end().
 */
void progress_clear(void *progress);

/* Likewise, and for good. */
void progress_end(struct progress *p);

#endif
