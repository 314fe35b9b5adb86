/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a tool prints on another host, as lines of JSON with the host's name. */
#ifndef VLENS_BIN_ROWS_H
#define VLENS_BIN_ROWS_H

#include "scan.h"

struct rows {
	const char *host;
	struct outlet *to;
	bool is_json; /* it prints JSON; else, and behind a fault in it, lines */
	struct scan scan;
	struct outlet line; /* the beginning of a line */
	size_t nr;	    /* rows printed */
	bool has_fault;	    /* its JSON has one, or is cut short */
};

/* Take @len bytes that the tool has printed. */
void rows_take(struct rows *r, const char *text, size_t len);
/*
 * It has ended: print what is left, and free all. Returns why rows are missing, or NULL.
 */
const char *rows_end(struct rows *r);

/* Print the row about the run itself. @why: what went wrong, or NULL. */
void rows_print_end(const struct rows *r, int status, const char *why, double seconds);

#endif
