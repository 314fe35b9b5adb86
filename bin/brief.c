/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "brief.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/append.h"
#include "base/cleanup.h"

/* More rows than a report of checks has are of a worker that was taken over. */
#define ROWS_MAX 16384
/* Different texts of one column that a group's row names. */
#define NAMED 3
#define NAMES_MAX 256

static const char *const names[] = { "CLASS", "CHECK", "OWNER", "WHAT", "FOUND" };
enum { CLASS, CHECK, OWNER, WHAT, FOUND, NR_NAMES };

struct brief {
	const struct vl_table *t;
	size_t columns[NR_NAMES];
	size_t *group; /* of each row: the first row of its group */
	size_t *nr;    /* of each first row: how many the group has */
};

static bool same(const struct brief *b, size_t x, size_t y, size_t column)
{
	return !vl_cell_compare(b->t, vl_table_cell(b->t, x, b->columns[column]), b->t,
				vl_table_cell(b->t, y, b->columns[column]));
}

static bool is_attached(const struct brief *b, size_t row)
{
	const struct vl_cell *c = vl_table_cell(b->t, row, b->columns[CLASS]);

	return c->kind == VL_CELL_TEXT && c->text.len == strlen("attached") &&
	       !memcmp(vl_table_bytes(b->t, c), "attached", c->text.len);
}

/* Rows of one group are near each other, and groups are few: the last NR_RECENT are compared. */
#define NR_RECENT 32

static void find_groups(struct brief *b)
{
	size_t recent[NR_RECENT], nr = 0;

	for (size_t i = 0; i < b->t->nr_rows; i++) {
		size_t k = 0, most = nr < NR_RECENT ? nr : NR_RECENT;

		b->group[i] = i;
		if (!is_attached(b, i))
			continue;
		while (k < most && !(same(b, recent[k], i, CHECK) && same(b, recent[k], i, OWNER)))
			k++;
		if (k < most)
			b->group[i] = recent[k];
		else
			recent[nr++ % NR_RECENT] = i;
		b->nr[b->group[i]]++;
	}
}

/* Append the text of the row's cell to the list @names, unless that has it. */
static void add_name(const struct brief *b, size_t row, size_t column, char names_ret[NAMES_MAX],
		     size_t *nr)
{
	const struct vl_cell *c = vl_table_cell(b->t, row, b->columns[column]);
	char text[NAMES_MAX];

	if (c->kind != VL_CELL_TEXT || *nr > NAMED)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)c->text.len, vl_table_bytes(b->t, c));
	if (strstr(names_ret, text))
		return;
	if ((*nr)++ == NAMED)
		vl_append(names_ret, NAMES_MAX, ", and others");
	else
		vl_append(names_ret, NAMES_MAX, "%s%s", *names_ret ? ", " : "", text);
}

static void put_group(const struct brief *b, struct vl_table *out, size_t first)
{
	char found[NAMES_MAX] = "", what[NAMES_MAX] = "";
	size_t nr_found = 0, nr_what = 0;

	add_name(b, first, WHAT, what, &nr_what);
	for (size_t i = first; i < b->t->nr_rows; i++)
		if (b->group[i] == first)
			add_name(b, i, FOUND, found, &nr_found);
	vl_table_printf(out, b->columns[WHAT], "%zu, the first is %s", b->nr[first],
			*what ? what : "without a name");
	if (*found)
		vl_table_str(out, b->columns[FOUND], found);
}

static void put_cell(const struct brief *b, struct vl_table *out, size_t row, size_t column)
{
	const struct vl_cell *c = vl_table_cell(b->t, row, column);

	if (c->kind == VL_CELL_TEXT)
		vl_table_text(out, column, vl_table_bytes(b->t, c), c->text.len);
	else if (c->kind == VL_CELL_INT || c->kind == VL_CELL_TENTHS)
		vl_table_int(out, column, c->i);
	else if (c->kind != VL_CELL_NONE)
		vl_table_uint(out, column, c->u);
}

static void put_row(const struct brief *b, struct vl_table *out, size_t row)
{
	vl_table_row(out);
	if (b->nr[row] <= BRIEF_MOST) {
		for (size_t i = 0; i < b->t->nr_columns; i++)
			put_cell(b, out, row, i);
		return;
	}
	for (size_t i = CLASS; i <= OWNER; i++)
		put_cell(b, out, row, b->columns[i]);
	put_group(b, out, row);
}

void brief_attachments(struct vl_table *t)
{
	_cleanup_free_ size_t *group = calloc(t->nr_rows + 1, sizeof(*group));
	_cleanup_free_ size_t *nr = calloc(t->nr_rows + 1, sizeof(*nr));
	struct brief b = { .t = t, .group = group, .nr = nr };
	struct vl_table out;

	for (size_t i = 0; i < NR_NAMES; i++) {
		int at = vl_column_find(t->columns, names[i], strlen(names[i]));

		if (at < 0)
			return;
		b.columns[i] = (size_t)at;
	}
	if (!group || !nr || t->nr_rows > ROWS_MAX)
		return;
	find_groups(&b);
	vl_table_init(&out, t->columns);
	for (size_t i = 0; i < t->nr_rows; i++)
		if (group[i] == i || nr[group[i]] <= BRIEF_MOST)
			put_row(&b, &out, i);
	out.nr_marked = t->nr_marked;
	out.nr_unsure = t->nr_unsure;
	out.nr_untrusted = t->nr_untrusted;
	if (out.full) {
		vl_table_deinit(&out);
		return;
	}
	vl_table_deinit(t);
	*t = out;
}
