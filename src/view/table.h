/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a view found: rows of typed cells under a const table of columns. The
 * columns drive everything that is said of them: text, -o, --sort, --json,
 * --help and the check of the manual.
 */
#ifndef VLENS_TABLE_H
#define VLENS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

enum vl_cell_kind {
	VL_CELL_NONE,	 /* not known, or there is none: "-", null */
	VL_CELL_TEXT,	 /* bytes, of a guest perhaps: anything */
	VL_CELL_INT,	 /* a signed number */
	VL_CELL_UINT,	 /* an unsigned number */
	VL_CELL_HEX,	 /* an address or a mask: "0x...", a string in JSON */
	VL_CELL_BOOL,	 /* 1 or 0; true or false */
	VL_CELL_TENTHS,	 /* a signed number of tenths: "12.3" */
	VL_CELL_SECONDS, /* a time in nanoseconds, shown in seconds */
};

struct vl_column {
	const char *name; /* in capitals; in small letters the key in JSON */
	enum vl_cell_kind kind;
	bool shown; /* also when no columns are asked for */
	const char *doc;
};

struct vl_cell {
	enum vl_cell_kind kind; /* that of its column, or VL_CELL_NONE */
	union {
		uint64_t u;
		int64_t i;
		struct {
			uint32_t at, len; /* in the table's text */
		} text;
	};
};

struct vl_table {
	const struct vl_column *columns; /* ends with a row that has no name */
	size_t nr_columns;
	struct vl_cell *cells; /* nr_rows times nr_columns */
	size_t nr_rows, cap_rows;
	char *text;
	size_t text_len, text_cap;
	bool full; /* memory ran out: rows are missing */
	/* Something is not as it should be: the exit status says so (1). */
	size_t nr_marked;
};

/* Make @t empty, with @columns, which must outlive it. */
void vl_table_init(struct vl_table *t, const struct vl_column *columns);
void vl_table_deinit(struct vl_table *t);

/* Take all rows out, and keep the memory for the next ones. */
void vl_table_clear(struct vl_table *t);

/*
 * Begin a row, all of whose cells are VL_CELL_NONE; the functions below fill the
 * cells of the last row. Without memory they do nothing and `full` is set:
 * vl_table_end() then makes it an error.
 */
void vl_table_row(struct vl_table *t);
void vl_table_int(struct vl_table *t, size_t column, int64_t v);
void vl_table_uint(struct vl_table *t, size_t column, uint64_t v); /* also HEX, BOOL, SECONDS */
void vl_table_text(struct vl_table *t, size_t column, const char *text, size_t len);
void vl_table_str(struct vl_table *t, size_t column, const char *text); /* NULL: none */
void vl_table_printf(struct vl_table *t, size_t column, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
struct vl_error *vl_table_end(const struct vl_table *t);

/* The cell, VL_CELL_NONE when there is none; and the bytes of a text cell. */
const struct vl_cell *vl_table_cell(const struct vl_table *t, size_t row, size_t column);
const char *vl_table_bytes(const struct vl_table *t, const struct vl_cell *c);

/* Index of the column @name (@len bytes; case does not matter); -1: none. */
int vl_column_find(const struct vl_column *columns, const char *name, size_t len);

/* Order of two cells of one column: less than, equal to, greater than 0; none comes first. */
int vl_cell_compare(const struct vl_table *ta, const struct vl_cell *a, const struct vl_table *tb,
		    const struct vl_cell *b);

/*
 * A cell that is no text, as text of at most 32 bytes with the final NUL;
 * whatever the locale is, the decimal point is a point.
 */
#define VL_CELL_TEXT_MAX 32
void vl_cell_format(const struct vl_cell *c, char buf[VL_CELL_TEXT_MAX]);

#endif
