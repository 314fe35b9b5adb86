/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a tool prints on another host, as lines of JSON with the host's name. */
#ifndef VLENS_BIN_ROWS_H
#define VLENS_BIN_ROWS_H

#include <stdbool.h>
#include <stddef.h>

struct json_tokener;

struct rows {
	const char *host;
	bool is_json;		      /* it prints JSON; else, and behind a fault in it, lines */
	struct json_tokener *tokener; /* in the middle of a value; NULL: between two */
	size_t taken;		      /* bytes of that value */
	char *line;		      /* the beginning of a line */
	size_t len, cap;
	size_t nr; /* rows printed */
	bool full; /* memory ran out: rows are missing */
};

/* Take @len bytes that the tool has printed. */
void rows_take(struct rows *r, const char *text, size_t len);
/* It has ended: print what is left, and free all. */
void rows_end(struct rows *r);

/* Print the row about the run itself. @why: what went wrong, or NULL. */
void rows_print_end(const struct rows *r, int status, const char *why, double seconds);

#endif
