/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line on standard error while something takes long, on a terminal only. It appears
 * after a second and is removed at the end.
 */
#ifndef VLENS_BIN_PROGRESS_H
#define VLENS_BIN_PROGRESS_H

#include <stdint.h>
#include <sys/types.h>

struct progress {
	pid_t pid;	/* of the process that prints it; 0: none */
	uint64_t begin; /* by vl_now_ns() */
};

/*
 * Begin to wait for guest @spec (NULL: for several), or for what is being done with file @spec, as
 * @doing says. Does nothing without a terminal.
 */
void progress_begin(struct progress *p, const char *applet, const char *spec, const char *doing);

/*
 * The wait is over: remove the line. Safe in a process that was forked from the one that
 * began; the latter still calls progress_end().
 */
void progress_clear(void *progress);

/* Remove the line and end the process that prints it. */
void progress_end(struct progress *p);

#endif
