/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../base/clock.h"

#define NSEC_PER_CENTISEC (VL_NSEC_PER_SEC / 100)

static const struct vl_cell none;

void vl_table_init(struct vl_table *t, const struct vl_column *columns)
{
	*t = (struct vl_table){ .columns = columns };
	while (columns[t->nr_columns].name)
		t->nr_columns++;
}

void vl_table_deinit(struct vl_table *t)
{
	free(t->cells);
	free(t->text);
	*t = (struct vl_table){ .columns = t->columns, .nr_columns = t->nr_columns };
}

void vl_table_clear(struct vl_table *t)
{
	t->nr_rows = t->text_len = t->nr_marked = t->nr_unsure = 0;
	t->nr_untrusted = 0;
	t->full = t->partial = false;
}

void vl_table_row(struct vl_table *t)
{
	if (t->full)
		return;
	if (t->nr_rows == t->cap_rows) {
		size_t cap = t->cap_rows ? 2 * t->cap_rows : 64;
		struct vl_cell *cells = reallocarray(t->cells, cap, t->nr_columns * sizeof(*cells));

		if (!cells) {
			t->full = true;
			return;
		}
		t->cells = cells;
		t->cap_rows = cap;
	}
	memset(t->cells + t->nr_rows * t->nr_columns, 0, t->nr_columns * sizeof(*t->cells));
	t->nr_rows++;
}

/* The cell to fill; NULL when there is no room for its row. */
static struct vl_cell *last(struct vl_table *t, size_t column)
{
	return t->full || !t->nr_rows || column >= t->nr_columns ?
		       NULL :
		       &t->cells[(t->nr_rows - 1) * t->nr_columns + column];
}

void vl_table_int(struct vl_table *t, size_t column, int64_t v)
{
	struct vl_cell *c = last(t, column);

	if (!c)
		return;
	c->kind = t->columns[column].kind;
	c->i = v;
}

void vl_table_uint(struct vl_table *t, size_t column, uint64_t v)
{
	vl_table_int(t, column, (int64_t)v);
}

void vl_table_text(struct vl_table *t, size_t column, const char *text, size_t len)
{
	struct vl_cell *c = last(t, column);

	if (!c)
		return;
	if (len > t->text_cap - t->text_len) {
		size_t cap = 2 * (t->text_cap + len) + 1024;
		char *more = cap <= UINT32_MAX ? realloc(t->text, cap) : NULL;

		if (!more) {
			t->full = true;
			return;
		}
		t->text = more;
		t->text_cap = cap;
	}
	if (len)
		memcpy(t->text + t->text_len, text, len);
	c->kind = VL_CELL_TEXT;
	c->text.at = (uint32_t)t->text_len;
	c->text.len = (uint32_t)len;
	t->text_len += len;
}

void vl_table_str(struct vl_table *t, size_t column, const char *text)
{
	if (text)
		vl_table_text(t, column, text, strlen(text));
}

void vl_table_vprintf(struct vl_table *t, size_t column, const char *fmt, va_list ap)
{
	char *text;
	int n = vasprintf(&text, fmt, ap);

	if (n < 0) {
		t->full = true;
		return;
	}
	vl_table_text(t, column, text, (size_t)n);
	free(text);
}

void vl_table_printf(struct vl_table *t, size_t column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vl_table_vprintf(t, column, fmt, ap);
	va_end(ap);
}

void vl_table_utc(struct vl_table *t, size_t column, time_t when)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&when, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		vl_table_str(t, column, text);
}

void vl_table_order(struct vl_table *t, const unsigned char *ranks, unsigned nr_ranks)
{
	struct vl_cell *cells = reallocarray(NULL, t->nr_rows + 1, t->nr_columns * sizeof(*cells));
	size_t at = 0;

	for (unsigned rank = 0; cells && rank < nr_ranks; rank++)
		for (size_t i = 0; i < t->nr_rows; i++)
			if (ranks[i] == rank)
				memcpy(cells + at++ * t->nr_columns, t->cells + i * t->nr_columns,
				       t->nr_columns * sizeof(*cells));
	if (!cells)
		return;
	free(t->cells);
	t->cells = cells;
	t->cap_rows = t->nr_rows + 1;
}

struct vl_error *vl_table_end(const struct vl_table *t)
{
	return t->full ? vl_error_nomem() : NULL;
}

const struct vl_cell *vl_table_cell(const struct vl_table *t, size_t row, size_t column)
{
	return row < t->nr_rows && column < t->nr_columns ?
		       &t->cells[row * t->nr_columns + column] :
		       &none;
}

const char *vl_table_bytes(const struct vl_table *t, const struct vl_cell *c)
{
	return t->text ? t->text + c->text.at : "";
}

int vl_column_find(const struct vl_column *columns, const char *name, size_t len)
{
	for (int i = 0; columns[i].name; i++)
		if (strlen(columns[i].name) == len && !strncasecmp(columns[i].name, name, len))
			return i;
	return -1;
}

int vl_cell_compare(const struct vl_table *ta, const struct vl_cell *a, const struct vl_table *tb,
		    const struct vl_cell *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case VL_CELL_NONE:
		return 0;
	case VL_CELL_TEXT: {
		uint32_t len = a->text.len < b->text.len ? a->text.len : b->text.len;
		int r = len ? memcmp(vl_table_bytes(ta, a), vl_table_bytes(tb, b), len) : 0;

		return r ? r : (a->text.len > b->text.len) - (a->text.len < b->text.len);
	}
	case VL_CELL_INT:
	case VL_CELL_TENTHS:
	case VL_CELL_SECONDS:
		return (a->i > b->i) - (a->i < b->i);
	default:
		return (a->u > b->u) - (a->u < b->u);
	}
}

void vl_cell_format(const struct vl_cell *c, char buf[VL_CELL_TEXT_MAX])
{
	uint64_t ns;

	switch (c->kind) {
	case VL_CELL_INT:
		snprintf(buf, VL_CELL_TEXT_MAX, "%" PRId64, c->i);
		break;
	case VL_CELL_UINT:
		snprintf(buf, VL_CELL_TEXT_MAX, "%" PRIu64, c->u);
		break;
	case VL_CELL_HEX:
		snprintf(buf, VL_CELL_TEXT_MAX, "0x%" PRIx64, c->u);
		break;
	case VL_CELL_BOOL:
		snprintf(buf, VL_CELL_TEXT_MAX, "%d", c->u != 0);
		break;
	case VL_CELL_TENTHS:
		ns = c->i < 0 ? -(uint64_t)c->i : (uint64_t)c->i;
		snprintf(buf, VL_CELL_TEXT_MAX, "%s%" PRIu64 ".%" PRIu64, c->i < 0 ? "-" : "",
			 ns / 10, ns % 10);
		break;
	case VL_CELL_MICROSECONDS:
		snprintf(buf, VL_CELL_TEXT_MAX, "%" PRIu64 ".%06" PRIu64, c->u / VL_NSEC_PER_SEC,
			 c->u % VL_NSEC_PER_SEC / VL_NSEC_PER_USEC);
		break;
	case VL_CELL_HUNDREDTHS:
		snprintf(buf, VL_CELL_TEXT_MAX, "%" PRIu64 ".%02" PRIu64, c->u / 100, c->u % 100);
		break;
	case VL_CELL_SECONDS:
		ns = c->i < 0 ? -(uint64_t)c->i : (uint64_t)c->i;
		snprintf(buf, VL_CELL_TEXT_MAX, "%s%" PRIu64 ".%02" PRIu64, c->i < 0 ? "-" : "",
			 ns / VL_NSEC_PER_SEC, ns % VL_NSEC_PER_SEC / NSEC_PER_CENTISEC);
		break;
	default:
		snprintf(buf, VL_CELL_TEXT_MAX, "-");
	}
}
