/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parcel.h"

#include <stdlib.h>
#include <string.h>

void vl_parcel_deinit(struct vl_parcel *p)
{
	free(p->bytes);
	*p = (struct vl_parcel){ .bytes = NULL };
}

void vl_parcel_put(struct vl_parcel *p, const void *bytes, size_t len)
{
	if (p->bad || len > VL_PARCEL_MAX - p->len) {
		p->bad = true;
		return;
	}
	if (len > p->cap - p->len) {
		size_t cap = 2 * p->cap > p->len + len ? 2 * p->cap : p->len + len;
		unsigned char *more = realloc(p->bytes, cap);

		if (!more) {
			p->bad = true;
			return;
		}
		p->bytes = more;
		p->cap = cap;
	}
	if (len)
		memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}

const void *vl_parcel_take_bytes(struct vl_parcel *p, size_t len)
{
	const void *bytes = p->bytes + p->at;

	if (p->bad || len > vl_parcel_left(p)) {
		p->bad = true;
		return NULL;
	}
	p->at += len;
	return bytes;
}

void vl_parcel_take(struct vl_parcel *p, void *buf, size_t len)
{
	const void *bytes = vl_parcel_take_bytes(p, len);

	if (bytes && len)
		memcpy(buf, bytes, len);
	else
		memset(buf, 0, len);
}

uint64_t vl_parcel_take_u64(struct vl_parcel *p)
{
	uint64_t v;

	vl_parcel_take(p, &v, sizeof(v));
	return v;
}

/* Precedes the cells and the text of a table. */
struct head {
	uint64_t nr_columns, nr_rows, text_len, nr_marked, nr_unsure, nr_untrusted;
};

void vl_parcel_put_table(struct vl_parcel *p, const struct vl_table *t)
{
	const struct head h = { t->nr_columns, t->nr_rows,   t->text_len,
				t->nr_marked,  t->nr_unsure, t->nr_untrusted };

	vl_parcel_put(p, &h, sizeof(h));
	vl_parcel_put(p, t->cells, t->nr_rows * t->nr_columns * sizeof(*t->cells));
	vl_parcel_put(p, t->text, t->text_len);
}

static bool is_cell(const struct vl_cell *c, enum vl_cell_kind kind, size_t text_len)
{
	if (c->kind == VL_CELL_NONE)
		return true;
	return c->kind == kind && (kind != VL_CELL_TEXT || (c->text.at <= text_len &&
							    c->text.len <= text_len - c->text.at));
}

static bool fill(struct vl_table *t, const struct head *h, const void *cells, const void *text)
{
	size_t nr = h->nr_rows * t->nr_columns;

	t->cells = malloc(nr * sizeof(*t->cells) + 1);
	t->text = malloc(h->text_len + 1);
	if (!t->cells || !t->text)
		return false;
	memcpy(t->cells, cells, nr * sizeof(*t->cells));
	memcpy(t->text, text, h->text_len);
	for (size_t i = 0, column = 0; i < nr;
	     i++, column = column + 1 == t->nr_columns ? 0 : column + 1)
		if (!is_cell(&t->cells[i], t->columns[column].kind, h->text_len))
			return false;
	t->nr_rows = t->cap_rows = h->nr_rows;
	t->text_len = t->text_cap = h->text_len;
	t->nr_marked = h->nr_marked;
	t->nr_unsure = h->nr_unsure;
	t->nr_untrusted = h->nr_untrusted;
	return true;
}

bool vl_parcel_take_table(struct vl_parcel *p, struct vl_table *t)
{
	const void *cells = NULL, *text = NULL;
	struct head h;

	vl_parcel_take(p, &h, sizeof(h));
	if (h.nr_columns == t->nr_columns &&
	    h.nr_rows <= vl_parcel_left(p) / (sizeof(*t->cells) * t->nr_columns) &&
	    h.text_len <= UINT32_MAX) {
		cells = vl_parcel_take_bytes(p, h.nr_rows * t->nr_columns * sizeof(*t->cells));
		text = vl_parcel_take_bytes(p, h.text_len);
	}
	vl_table_deinit(t);
	if (!p->bad && cells && text && fill(t, &h, cells, text))
		return true;
	vl_table_deinit(t);
	p->bad = true;
	return false;
}
