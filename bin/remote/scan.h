/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the rows of a stream of JSON, byte by byte. What it keeps is the text of the row that it
 * is in, written anew: no blanks, valid UTF-8, only escapes that are needed. No tree is made, as
 * one takes hundreds of times the memory of its text.
 */
#ifndef VLENS_BIN_SCAN_H
#define VLENS_BIN_SCAN_H

#include <stdint.h>

#include "outlet.h"

/* Limits of the text of one row, and of arrays and objects in each other. */
#define SCAN_ROW_MAX (4UL << 20)
#define SCAN_DEPTH 64
/* A row with more members is left out, as one that is too long. */
#define SCAN_MEMBERS_MAX 4096

enum scan_at {
	SCAN_VALUE,	  /* before a value */
	SCAN_FIRST_VALUE, /* the same, or "]" */
	SCAN_KEY,	  /* before a key */
	SCAN_FIRST_KEY,	  /* the same, or "}" */
	SCAN_COLON,
	SCAN_BEHIND, /* behind a value */
	SCAN_STRING,
	SCAN_ESCAPE, /* behind its "\" */
	SCAN_HEX,    /* behind its "\u" */
	SCAN_WORD,   /* a number, true, false, null */
};

struct scan;
/*
 * A row of @list, quoted text, or of none (NULL). @members: the text is ',"key":value' again and
 * again; else it is a value.
 */
typedef void scan_row_fn(struct scan *s, const char *list, bool members);

struct scan {
	scan_row_fn *row;
	void *ctx;
	enum scan_at at;
	bool is_key; /* the string is one */
	char nest[SCAN_DEPTH];
	unsigned depth;
	/* Of the string or word that it is in. */
	unsigned high, unit, digits; /* a surrogate that waits for its other half; \uXXXX */
	char part[4];		     /* bytes of a character */
	unsigned parts;
	char word[64];
	unsigned letters;
	/* The row. */
	struct outlet text;
	unsigned base; /* the depth at which its value is */
	bool in_row, is_members;
	size_t member;	/* where its last member begins */
	bool skips;	/* that member is left out */
	uint64_t *keys; /* hashes of the keys of its members */
	size_t nr_keys, cap_keys;
	bool is_long;  /* it is longer than the limit, and left out */
	bool has_long; /* one was */
	/* The value that has no value around it. */
	enum { SCAN_UNDECIDED, SCAN_LISTS, SCAN_ONE_ROW } form;
	char list[80]; /* the list that it is in */
	size_t nr_members;
};

/* Take @len bytes. Returns how many were JSON: fewer than @len if there is a fault in it. */
size_t scan_take(struct scan *s, const char *text, size_t len);
/* The text has ended. False: in the middle of a value. */
bool scan_end(struct scan *s);
void scan_deinit(struct scan *s);

#endif
