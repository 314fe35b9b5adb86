/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that grows, and a descriptor to which it is written without waiting for the reader: while
 * it is full, signals and time limits are served.
 */
#ifndef VLENS_BIN_OUTLET_H
#define VLENS_BIN_OUTLET_H

#include <stdbool.h>
#include <stddef.h>

struct outlet {
	int fd; /* -1: none, it only holds text */
	char *text;
	size_t from, len, cap; /* what is to be written lies between from and len */
	bool in_line;	       /* the last byte that was written ends no line */
	bool is_full;	       /* no memory: text is missing */
	int error;	       /* of a write: nothing more is written */
};

/* Add @len bytes of @text. */
void outlet_put(struct outlet *o, const char *text, size_t len);
/* Add the decimal form of @number. */
void outlet_put_number(struct outlet *o, unsigned long long number);
/* Add the character @c as it stands in a text of JSON, without what drives a terminal. */
void outlet_put_character(struct outlet *o, unsigned c);
/* Add a byte that is no UTF-8, as \xNN. */
void outlet_put_byte(struct outlet *o, unsigned char byte);
/* Add @len bytes of @text as a text of JSON, with its quotes. */
void outlet_put_text(struct outlet *o, const char *text, size_t len);

/* Write what the descriptor takes now. */
void outlet_flush(struct outlet *o);
/* Forget all text, and free large memory. */
void outlet_clear(struct outlet *o);
void outlet_deinit(struct outlet *o);

static inline size_t outlet_pending(const struct outlet *o)
{
	return o->len - o->from;
}

#endif
