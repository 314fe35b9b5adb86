/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How vpeek shows bytes and values. */
#ifndef VLENS_BIN_PEEK_H
#define VLENS_BIN_PEEK_H

#include <json-c/json.h>
#include <stdio.h>

#include "vlens.h"

/* Print @length bytes at @va to @f as hexdump -C does, up to the first unreadable one. */
struct vl_error *peek_dump(struct vl_guest *g, uint64_t va, uint64_t length, FILE *f);

/* Add these bytes to @o as "bytes": all or none. */
struct vl_error *peek_dump_json(struct vl_guest *g, uint64_t va, uint64_t length, json_object *o);

/* Callbacks for vl_guest_peek_values(): print text, or build a JSON object. */
struct peek_text {
	FILE *f;
	char *head; /* the first line, malloc'ed; NULL once it is printed */
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
