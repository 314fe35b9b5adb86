/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result of a view: rows of typed cells under a const table of columns. Everything about
 * columns comes from that table: text, -o, --sort, --json, --help and the check of the manual.
 * One thread at a time may fill a table; any number may read one that is not filled.
 */
#ifndef VLENS_TABLE_H
#define VLENS_TABLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "../error.h"

enum vl_cell_kind {
	VL_CELL_NONE,	      /* unknown or absent: "-", null */
	VL_CELL_TEXT,	      /* any bytes, perhaps a guest's */
	VL_CELL_INT,	      /* a signed number */
	VL_CELL_UINT,	      /* an unsigned number */
	VL_CELL_HEX,	      /* an address or a mask: "0x...", a string in JSON */
	VL_CELL_BOOL,	      /* 1 or 0; true or false */
	VL_CELL_TENTHS,	      /* a signed number of tenths: "12.3" */
	VL_CELL_SECONDS,      /* a time in nanoseconds, shown in seconds */
	VL_CELL_HUNDREDTHS,   /* an unsigned number of hundredths: "0.05" */
	VL_CELL_MICROSECONDS, /* as VL_CELL_SECONDS, with six digits behind the point */
};

struct vl_column {
	const char *name; /* in capitals; the key in JSON is in small letters */
	enum vl_cell_kind kind;
	bool shown; /* shown by default */
	const char *doc;
	/* Where a record of the library has its value: VL_IN(). Size 0: in none. */
	uint16_t at, size;
	bool or_none; /* 0 or an empty text there is VL_CELL_NONE */
	bool trusted; /* shown by default in a trusted run */
	bool json;    /* shown by default in JSON */
	/*
	 * Its texts are lists: a NUL ends each item. Text shows commas between them, JSON has an
	 * array. An empty text is an empty list.
	 */
	bool list;
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
	/* The number of rows with a fault: if there are some the exit status is 1. */
	size_t nr_marked;
	/*
	 * The number of rows about parts that could not be compared: with --strict the exit status
	 * is 1.
	 */
	size_t nr_unsure;
	/* Kernels whose text was not compared, as there is no trusted kernel of their build. */
	size_t nr_untrusted;
	/* The most bytes that vl_guest_scan() takes from a worker; 0: VL_PARCEL_MAX. */
	size_t parcel_max;
	/* The error that came with it is only that vl_plausible_table() has emptied cells. */
	bool partial;
};

/* Make @t empty, with @columns, which must outlive it. */
void vl_table_init(struct vl_table *t, const struct vl_column *columns);
void vl_table_deinit(struct vl_table *t);

/* Remove all rows, and keep the memory for the next ones. */
void vl_table_clear(struct vl_table *t);

/*
 * Begin a row of VL_CELL_NONE; the functions below fill the cells of the last row. Without
 * memory they do nothing and set `full`, which vl_table_end() makes an error.
 */
void vl_table_row(struct vl_table *t);
void vl_table_int(struct vl_table *t, size_t column, int64_t v);
void vl_table_uint(struct vl_table *t, size_t column, uint64_t v); /* also HEX, BOOL, SECONDS */
void vl_table_text(struct vl_table *t, size_t column, const char *text, size_t len);
void vl_table_str(struct vl_table *t, size_t column, const char *text); /* NULL: none */
void vl_table_printf(struct vl_table *t, size_t column, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void vl_table_vprintf(struct vl_table *t, size_t column, const char *fmt, va_list ap);
/* A time in UTC as ISO 8601 has it, the order of which is that of time. */
void vl_table_utc(struct vl_table *t, size_t column, time_t when);
/*
 * Order the rows by @ranks, one for each row, from 0 to below @nr_ranks. Rows of one rank keep
 * their order. Without memory nothing is done.
 */
void vl_table_order(struct vl_table *t, const unsigned char *ranks, unsigned nr_ranks);
/* VL_ERR_NOMEM if rows or cells are missing. */
struct vl_error *vl_table_end(const struct vl_table *t);

/* A cell, VL_CELL_NONE if it does not exist; the bytes of a text cell. */
const struct vl_cell *vl_table_cell(const struct vl_table *t, size_t row, size_t column);
const char *vl_table_bytes(const struct vl_table *t, const struct vl_cell *c);

/* Index of the column @name (@len bytes; case does not matter); -1: none. */
int vl_column_find(const struct vl_column *columns, const char *name, size_t len);

/*
 * Order of two cells of one column: less than, equal to, greater than 0; VL_CELL_NONE is first.
 */
int vl_cell_compare(const struct vl_table *ta, const struct vl_cell *a, const struct vl_table *tb,
		    const struct vl_cell *b);

/*
 * Format a cell that is not a text: at most 32 bytes with the NUL, with a decimal point in every
 * locale.
 */
#define VL_CELL_TEXT_MAX 32
void vl_cell_format(const struct vl_cell *c, char buf[VL_CELL_TEXT_MAX]);

#endif
