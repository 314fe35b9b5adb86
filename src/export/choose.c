/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "choose.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"

/* A row about a process. */
struct process {
	size_t row;
	int64_t pid;
	uint64_t start, cpu, recent, rss, threads, files;
	uint64_t more; /* threads above the first one */
	bool chosen;
};

/* The measures. */
static const size_t measures[] = {
	offsetof(struct process, cpu),	 offsetof(struct process, recent),
	offsetof(struct process, rss),	 offsetof(struct process, more),
	offsetof(struct process, files),
};

void vl_chooser_deinit(struct vl_chooser *c)
{
	free(c->last);
	*c = (struct vl_chooser){ .last = NULL };
}

static uint64_t number(const struct vl_table *t, size_t row, size_t column)
{
	const struct vl_cell *c = vl_table_cell(t, row, column);

	return c->kind == VL_CELL_NONE || c->kind == VL_CELL_TEXT ? 0 : c->u;
}

static bool has(const struct vl_table *t, size_t row, size_t column)
{
	return vl_table_cell(t, row, column)->kind != VL_CELL_NONE;
}

static int compare_last(const void *a, const void *b)
{
	const struct vl_chosen_cpu *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* CPU time since the last pass; of a new process all of it, at the first pass none. */
static uint64_t recent(const struct vl_chooser *c, const struct process *p)
{
	struct vl_chosen_cpu key = { .pid = p->pid };
	const struct vl_chosen_cpu *was;

	if (!c->nr)
		return 0;
	was = bsearch(&key, c->last, c->nr, sizeof(key), compare_last);
	if (!was || was->start != p->start)
		return p->cpu;
	return p->cpu > was->cpu ? p->cpu - was->cpu : 0;
}

static struct process *list(const struct vl_chooser *c, const struct vl_table *t, size_t *nr_ret)
{
	struct process *all = calloc(t->nr_rows + 1, sizeof(*all));

	*nr_ret = 0;
	for (size_t i = 0; all && i < t->nr_rows; i++) {
		struct process *p = &all[*nr_ret];

		if (number(t, i, VL_ROW_METRIC) != VL_METRIC_PROCESS || !has(t, i, VL_ROW_PID))
			continue;
		p->row = i;
		p->pid = (int64_t)number(t, i, VL_ROW_PID);
		p->start = number(t, i, VL_ROW_START);
		p->cpu = number(t, i, VL_ROW_VALUE);
		p->recent = recent(c, p);
		p->rss = number(t, i, VL_ROW_RSS);
		p->threads = number(t, i, VL_ROW_THREADS);
		p->more = p->threads ? p->threads - 1 : 0;
		p->files = number(t, i, VL_ROW_FILES);
		++*nr_ret;
	}
	return all;
}

static uint64_t measure_of(const struct process *p, size_t at)
{
	uint64_t v;

	memcpy(&v, (const char *)p + at, sizeof(v));
	return v;
}

/* Choose the @top processes with the most of the measure at @at, of those that have some. */
static void choose_by(struct process *all, size_t nr, size_t at, struct process **first, size_t top)
{
	size_t n = 0;

	for (size_t i = 0; i < nr; i++) {
		uint64_t v = measure_of(&all[i], at);
		size_t k;

		if (!v || (n == top && v <= measure_of(first[n - 1], at)))
			continue;
		for (k = n < top ? n++ : n - 1; k && measure_of(first[k - 1], at) < v; k--)
			first[k] = first[k - 1];
		first[k] = &all[i];
	}
	for (size_t i = 0; i < n; i++)
		first[i]->chosen = true;
}

static bool remember(struct vl_chooser *c, const struct process *all, size_t nr)
{
	struct vl_chosen_cpu *more = reallocarray(c->last, nr + 1, sizeof(*more));

	c->nr = 0;
	if (!more)
		return false;
	c->last = more;
	for (size_t i = 0; i < nr; i++)
		more[i] = (struct vl_chosen_cpu){ all[i].pid, all[i].start, all[i].cpu };
	c->nr = nr;
	qsort(more, nr, sizeof(*more), compare_last);
	return true;
}

/* ---- samples ---- */

/* A text of a row, malloc'ed: adding rows moves the table's own. NULL: none, or no memory. */
static char *text_of(const struct vl_table *t, size_t row, size_t column)
{
	const struct vl_cell *c = vl_table_cell(t, row, column);

	return c->kind == VL_CELL_TEXT ? strndup(vl_table_bytes(t, c), c->text.len) : NULL;
}

static bool is_named(const struct vl_table *t, size_t row, const char *name)
{
	const struct vl_cell *c = vl_table_cell(t, row, VL_ROW_LABEL);

	return c->kind == VL_CELL_TEXT && c->text.len == strlen(name) &&
	       !memcmp(vl_table_bytes(t, c), name, c->text.len);
}

static void add_name(struct vl_table *t, const struct process *all, size_t nr, size_t i,
		     const char *name)
{
	size_t count = 0;

	/* Another process of this name has the sample. */
	for (size_t k = 0; k < i; k++)
		if (all[k].chosen && is_named(t, all[k].row, name))
			return;
	for (size_t k = 0; k < nr; k++)
		count += is_named(t, all[k].row, name);
	VL_SAMPLE(t, GROUP_PROCS, count, name);
}

/* @boot: when the guest booted, in ns since 1970; 0: not known. */
static void add_samples(struct vl_table *t, const struct process *all, size_t nr, size_t i,
			uint64_t boot)
{
	const struct process *p = &all[i];
	_cleanup_free_ char *comm = text_of(t, p->row, VL_ROW_LABEL);
	_cleanup_free_ char *group = text_of(t, p->row, VL_ROW_LABEL + 1);
	_cleanup_free_ char *in = text_of(t, p->row, VL_ROW_LABEL + 2);
	const char *name = comm ? comm : "";
	char pid[24];

	snprintf(pid, sizeof(pid), "%" PRId64, p->pid);
	add_name(t, all, nr, i, name);
	VL_SAMPLE(t, GROUP_CPU, p->cpu, name, pid, group, in);
	VL_SAMPLE(t, GROUP_THREADS, p->threads, name, pid, group, in);
	if (has(t, p->row, VL_ROW_RSS)) {
		VL_SAMPLE(t, GROUP_RSS, p->rss, name, pid, group, in, "resident");
		VL_SAMPLE(t, GROUP_RSS, number(t, p->row, VL_ROW_VSZ), name, pid, group, in,
			  "virtual");
	}
	if (has(t, p->row, VL_ROW_FILES))
		VL_SAMPLE(t, GROUP_FILES, p->files, name, pid, group, in);
	if (boot)
		VL_SAMPLE(t, GROUP_START, boot + p->start, name, pid, group, in);
}

static uint64_t boot_of(const struct vl_table *t)
{
	for (size_t i = 0; i < t->nr_rows; i++)
		if (number(t, i, VL_ROW_METRIC) == VL_METRIC_BOOT_TIME)
			return number(t, i, VL_ROW_VALUE);
	return 0;
}

bool vl_choose(struct vl_chooser *c, struct vl_table *t, size_t top)
{
	_cleanup_free_ struct process **first = calloc(top + 1, sizeof(*first));
	_cleanup_free_ struct process *all = NULL;
	uint64_t boot = boot_of(t);
	size_t nr;

	all = list(c, t, &nr);
	if (!all || !first)
		return false;
	for (size_t i = 0; top && i < ARRAY_SIZE(measures); i++)
		choose_by(all, nr, measures[i], first, top);
	if (!remember(c, all, nr))
		return false;
	for (size_t i = 0; i < nr; i++)
		if (all[i].chosen)
			add_samples(t, all, nr, i, boot);
	return !t->full;
}
