/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grouped.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"

#define NONE SIZE_MAX

struct rows {
	const struct vl_grouping *by;
	struct vl_grouped *all;
	size_t nr, cap;
	size_t *of; /* by control group: its index in `all`, or NONE */
	size_t nr_groups, cap_groups;
	bool full;
	bool live;	/* the guest runs */
	bool cut;	/* the list of processes is not whole */
	size_t unknown; /* processes of a file of which it is not known in which row they are */
};

/* The row of @g, which is new if it has not been seen; NONE: it has none, or there is no memory. */
static size_t row_of(struct rows *r, const struct vl_group *g)
{
	size_t i = 0;

	if (!r->by->has(&g->container))
		return NONE;
	while (i < r->nr && !r->by->same(&r->all[i].is, &g->container))
		i++;
	if (i < r->nr)
		return i;
	if (!vl_grow(r->all, r->cap, r->nr, 16)) {
		r->full = true;
		return NONE;
	}
	r->all[r->nr++] = (struct vl_grouped){ .is = g->container };
	return i;
}

/* Did @a start before @b? One of which it is not known did not. */
static bool is_before(const struct vl_top_task *a, const struct vl_top_task *b)
{
	const bool lacks = a->lacks >> VL_TOP_LACKS_START & 1;

	if (lacks != (b->lacks >> VL_TOP_LACKS_START & 1))
		return !lacks;
	return a->start < b->start || (a->start == b->start && a->pid < b->pid);
}

static void see_task(struct rows *r, struct vl_groups *groups, const struct vl_top_task *p)
{
	const struct vl_group *g = vl_groups_find(groups, p->groups);
	struct vl_grouped *row;

	/* A process of a running guest may have ended meanwhile. */
	r->unknown += !r->live && p->lacks >> VL_TOP_LACKS_GROUPS & 1;
	if (!g)
		return;
	/* New groups are the last ones; some of those before could not be read. */
	while (r->nr_groups < groups->nr) {
		if (!vl_grow(r->of, r->cap_groups, r->nr_groups, 64)) {
			r->full = true;
			return;
		}
		r->of[r->nr_groups] = row_of(r, &groups->all[r->nr_groups]);
		r->nr_groups++;
	}
	if (r->of[g - groups->all] == NONE)
		return;
	row = &r->all[r->of[g - groups->all]];
	row->processes++;
	row->threads += p->threads > 0 ? (uint64_t)p->threads : 0;
	row->rss += p->res;
	row->cpu += p->cpu_ns;
	row->lacks |= r->live ? 0 : p->lacks;
	if (row->first && !is_before(p, row->first))
		return;
	row->first = p;
	memcpy(row->path, g->path, sizeof(row->path));
}

static void drop(struct vl_table *t, size_t column)
{
	if (column != VL_GROUPED_NONE)
		vl_table_none(t, column);
}

static void show(struct vl_raw_guest *g, struct vl_table *t, const struct vl_top_sample *sample,
		 const struct rows *r, struct vl_grouped *row)
{
	const struct vl_grouping *by = r->by;
	const struct vl_top_task *p = row->first;
	/* A part of a sum is no sum. */
	const bool part = r->cut || r->unknown;
	const uint32_t lacks = part ? ~0U : row->lacks;

	row->start = p->start;
	row->pid = p->pid;
	memcpy(row->comm, p->comm, sizeof(row->comm));
	vl_table_record(t, NULL, row);
	by->show(g, t, sample, row);
	if (part)
		drop(t, by->processes);
	if (lacks >> VL_TOP_LACKS_THREADS & 1)
		drop(t, by->threads);
	if (lacks >> VL_TOP_LACKS_RES & 1)
		drop(t, by->rss);
	if (lacks >> VL_TOP_LACKS_CPU & 1)
		drop(t, by->cpu);
	if (p->lacks >> VL_TOP_LACKS_COMM & 1)
		drop(t, by->comm);
	/* One of which it is not known when it started may be the first. */
	for (size_t i = 0; lacks >> VL_TOP_LACKS_START & 1 && i < by->nr_first; i++)
		drop(t, by->first[i]);
}

static int by_start(const void *a, const void *b)
{
	const struct vl_grouped *x = a, *y = b;
	uint64_t m = x->first ? x->first->start : 0, n = y->first ? y->first->start : 0;

	return m != n ? (m > n) - (m < n) : strcmp(x->path, y->path);
}

struct vl_error *vl_grouped_run(struct vl_raw_guest *g, struct vl_table *t,
				const struct vl_grouping *by)
{
	/* Without one of these there is no path of a group. */
	const enum vl_field need[] = { VL_F_TASK_CGROUPS, VL_F_CSS_SET_DFL, VL_F_CGROUP_KN,
				       VL_F_KN_NAME };
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), by->what);
	struct vl_top_sample sample = { .at_ns = 0 };
	struct rows rows = { .by = by, .live = vl_target_is_live(g->target) };
	struct vl_top *top;

	if (!err)
		err = vl_top_open(g, &top);
	if (err)
		return err;
	err = vl_top_sample(top, NULL, &sample);
	rows.cut = err;
	for (size_t i = 0; i < sample.nr_tasks; i++)
		see_task(&rows, &top->groups, &sample.tasks[i]);
	if (rows.nr)
		qsort(rows.all, rows.nr, sizeof(*rows.all), by_start);
	for (size_t i = 0; i < rows.nr; i++)
		if (rows.all[i].first)
			show(g, t, &sample, &rows, &rows.all[i]);
	if (!err && rows.full)
		err = vl_error_nomem();
	err = vl_left_out(rows.unknown, "processes", err);
	free(rows.all);
	free(rows.of);
	vl_top_sample_deinit(&sample);
	vl_top_close(top);
	return err ? err : vl_table_end(t);
}
