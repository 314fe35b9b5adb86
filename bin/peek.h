/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How vpeek shows bytes and values. */
#ifndef VLENS_BIN_PEEK_H
#define VLENS_BIN_PEEK_H

#include <json-c/json.h>
#include <stdio.h>

#include "vlens.h"

/* @length bytes at @va to @f, as hexdump -C has them; up to the first that cannot be read. */
struct vl_error *peek_dump(struct vl_guest *g, uint64_t va, uint64_t length, FILE *f);

/* The same as "bytes" of @o, all or nothing. */
struct vl_error *peek_dump_json(struct vl_guest *g, uint64_t va, uint64_t length, json_object *o);

/* vl_guest_peek_values() with these shows values as text or builds an object. */
struct peek_text {
	FILE *f;
	char *head; /* malloc'ed: the line before all others; NULL once it is printed */
	unsigned level;
};
extern const struct vl_peek_ops peek_text_ops;

struct peek_tree {
	json_object *top;	/* the result */
	unsigned level, beyond; /* beyond: levels that did not fit */
	json_object *stack[256];
};
extern const struct vl_peek_ops peek_tree_ops;

#endif
