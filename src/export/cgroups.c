/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control groups of a guest: sums over their processes, of the first few groups by each sum. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/hash.h"
#include "choose.h"

/* The sums; one index has all four. */
enum { SUM_PROCESSES, SUM_MEMORY, SUM_THREADS, SUM_FILES, NR_SUMS };

static const enum vl_metric metrics[NR_SUMS] = { VL_METRIC_CGROUP_PROCS, VL_METRIC_CGROUP_RSS,
						 VL_METRIC_CGROUP_THREADS, VL_METRIC_CGROUP_FILES };

struct group {
	size_t row; /* one that names it */
	uint64_t sum[NR_SUMS];
	bool chosen;
};

static uint64_t number(const struct vl_table *t, size_t row, size_t column)
{
	const struct vl_cell *c = vl_table_cell(t, row, column);

	return c->kind == VL_CELL_NONE || c->kind == VL_CELL_TEXT ? 0 : c->u;
}

static const struct vl_cell *path_of(const struct vl_table *t, size_t row)
{
	return vl_table_cell(t, row, VL_ROW_LABEL + 1);
}

static bool is_same(const struct vl_table *t, size_t a, size_t b)
{
	const struct vl_cell *x = path_of(t, a), *y = path_of(t, b);

	return x->text.len == y->text.len &&
	       !memcmp(vl_table_bytes(t, x), vl_table_bytes(t, y), x->text.len);
}

/*
 * The group of @row among the @nr of @all, which gets one more if it is new. NULL: a guest has
 * given many of its paths the same hash, and this one is left out.
 */
#define PROBES 64
static struct group *group_of(const struct vl_table *t, size_t row, uint32_t *slots, size_t mask,
			      struct group *all, size_t *nr)
{
	const struct vl_cell *c = path_of(t, row);
	size_t slot = vl_hash(VL_HASH, vl_table_bytes(t, c), c->text.len) & mask, probes = 0;

	while (slots[slot] && !is_same(t, all[slots[slot] - 1].row, row)) {
		if (++probes == PROBES)
			return NULL;
		slot = (slot + 1) & mask;
	}
	if (!slots[slot]) {
		all[*nr] = (struct group){ .row = row };
		slots[slot] = (uint32_t)++ * nr;
	}
	return &all[slots[slot] - 1];
}

/* All groups of @t; NULL: out of memory. */
static struct group *sum_up(const struct vl_table *t, size_t *nr_ret)
{
	struct group *all = calloc(t->nr_rows + 1, sizeof(*all));
	_cleanup_free_ uint32_t *slots = NULL;
	size_t size = 64;

	while (size < 2 * t->nr_rows)
		size *= 2;
	slots = calloc(size, sizeof(*slots));
	*nr_ret = 0;
	if (!all || !slots) {
		free(all);
		return NULL;
	}
	for (size_t i = 0; i < t->nr_rows; i++) {
		struct group *g;

		if (number(t, i, VL_ROW_METRIC) != VL_METRIC_PROCESS ||
		    path_of(t, i)->kind != VL_CELL_TEXT)
			continue;
		g = group_of(t, i, slots, size - 1, all, nr_ret);
		if (!g)
			continue;
		g->sum[SUM_PROCESSES]++;
		g->sum[SUM_MEMORY] += number(t, i, VL_ROW_RSS);
		g->sum[SUM_THREADS] += number(t, i, VL_ROW_THREADS);
		g->sum[SUM_FILES] += number(t, i, VL_ROW_FILES);
	}
	return all;
}

static void choose_by(struct group *all, size_t nr, size_t sum, struct group **first, size_t top)
{
	size_t n = 0;

	for (size_t i = 0; i < nr; i++) {
		uint64_t v = all[i].sum[sum];
		size_t k;

		if (!v || (n == top && v <= first[n - 1]->sum[sum]))
			continue;
		for (k = n < top ? n++ : n - 1; k && first[k - 1]->sum[sum] < v; k--)
			first[k] = first[k - 1];
		first[k] = &all[i];
	}
	for (size_t i = 0; i < n; i++)
		first[i]->chosen = true;
}

/* Adding rows moves the table's own text. */
static char *label_of(const struct vl_table *t, size_t row, size_t label)
{
	const struct vl_cell *c = vl_table_cell(t, row, VL_ROW_LABEL + label);

	return c->kind == VL_CELL_TEXT ? strndup(vl_table_bytes(t, c), c->text.len) : NULL;
}

static void add(struct vl_table *t, const struct group *g)
{
	_cleanup_free_ char *path = label_of(t, g->row, 1), *in = label_of(t, g->row, 2);

	for (size_t i = 0; path && i < NR_SUMS; i++)
		vl_sample_of(t, metrics[i], g->sum[i], (const char *const[]){ path, in }, 2);
}

bool vl_choose_groups(struct vl_table *t, size_t top)
{
	_cleanup_free_ struct group **first = calloc(top + 1, sizeof(*first));
	_cleanup_free_ struct group *all = NULL;
	size_t nr;

	all = sum_up(t, &nr);
	if (!first || !all)
		return false;
	for (size_t i = 0; top && i < NR_SUMS; i++)
		choose_by(all, nr, i, first, top);
	for (size_t i = 0; i < nr; i++)
		if (all[i].chosen)
			add(t, &all[i]);
	return !t->full;
}
