/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints tables as text or JSON, with the columns and order of the options. */
#ifndef VLENS_BIN_SHOW_H
#define VLENS_BIN_SHOW_H

#include <json-c/json.h>
#include <stdbool.h>

#include "vlens.h"

struct show_column {
	int index;    /* of a table's column; or SHOW_GUEST */
	char *header; /* NULL: the column's name */
	int width;    /* at least so many characters; 0: as needed */
};

#define SHOW_GUEST (-1)

struct show_key {
	int index;
	bool down;
};

struct printer {
	const struct vl_column *columns;
	struct show_column *shown;
	size_t nr_shown;
	struct show_key *keys;
	size_t nr_keys;
	bool json, no_headers;
	bool always_headed; /* also an empty table has a line of headers */
	bool trusted;	    /* by default show what a trusted run adds */
};

/* The table of one guest. */
struct show_part {
	const char *guest; /* "": it is about none */
	const struct vl_table *table;
	uint64_t at_ns; /* when it was read, of CLOCK_REALTIME; 0: of no time, or of a file's */
};

/*
 * The version of what rows of JSON mean. A key that is added does not change it; one that is
 * removed, or has another meaning, does.
 */
#define SHOW_SCHEMA 2

/* Make @s ready for tables of @columns. */
void show_init(struct printer *s, const struct vl_column *columns);
void show_deinit(struct printer *s);

/*
 * Take option @key with value @arg. -o: names separated by commas or blanks, each with an
 * optional =HEADER or :WIDTH. --sort: a list of [+-]name. --no-headers. False: a bad value,
 * which has been reported in the name of @applet.
 */
bool show_option(struct printer *s, const char *applet, int key, const char *arg);
/* Report that @word, of -o or of an option to sort (@key), is no column, and which there are. */
void show_report_unknown(const struct printer *s, const char *applet, int key, const char *word);

/*
 * If no columns were asked for, take those of the view, for a trusted run if that is set; with
 * @guests, the guest's name comes first. False: no memory.
 */
bool show_default_columns(struct printer *s, bool guests);

/* Is the guest one of the columns or keys? */
bool show_has_guest(const struct printer *s);

/*
 * Show the column @index of the table before the @at-th one that is shown. False: it is shown
 * already, or there is no memory.
 */
bool show_insert(struct printer *s, size_t at, int index);
/* Do not show the column @index any more. */
void show_remove(struct printer *s, int index);

/* Print all rows of all @parts to stdout; in JSON under @plural. */
void show_print(const struct printer *s, const char *plural, const struct show_part *parts,
		size_t nr);

/*
 * The columns that @text takes on a terminal; the number of its bytes that fit into @room columns.
 */
size_t text_width(const char *text);
size_t text_fitting(const char *text, size_t room);

/*
 * Add the keys with which each row of JSON begins: the guest, the time, the version of the schema.
 */
void show_json_head(json_object *o, const struct show_part *part);
/* Add the shown columns of a row to @o. */
void show_json_row(const struct printer *s, const struct show_part *part, size_t row,
		   json_object *o);

/* A guest's text in JSON: what is not UTF-8 becomes \xNN. */
json_object *show_json_text(const char *text, size_t len);

/* Print @o and a newline to stdout, and free @o. */
void show_json_print(json_object *o);
/* The same, all of it on one line. */
void show_json_line(json_object *o);

#endif
