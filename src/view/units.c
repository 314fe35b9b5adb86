/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Units of systemd that have processes, by the control groups of these. What else systemd knows of
 * a unit (that it has failed, that it is active without a process) is in its own memory only.
 */
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "objects.h"
#include "sample.h"

struct unit {
	char name[VL_CONTAINER_UNIT_MAX];
	char path[VL_GROUP_PATH];	 /* the group of its first process */
	const struct vl_top_task *first; /* the process that started first */
	uint64_t processes, threads, rss, cpu, start;
	int32_t pid;
	char comm[16];
};

struct units {
	struct unit *all;
	size_t nr, cap;
	size_t *of; /* by group: the index of its unit in `all` plus 1; 0: it has none */
	size_t nr_groups, cap_groups;
	bool full;
};

enum {
	UNIT_NAME,
	UNIT_PROCESSES,
	UNIT_THREADS,
	UNIT_RSS,
	UNIT_CPU,
	UNIT_START,
	UNIT_PID,
	UNIT_ARGS,
	UNIT_COMM,
	UNIT_CGROUP,
};

#define IN(member) VL_IN(struct unit, member)

static const struct vl_column columns[] = {
	[UNIT_NAME] = { "UNIT", VL_CELL_TEXT, true, "name of the unit", IN(name) },
	[UNIT_PROCESSES] = { "PROCESSES", VL_CELL_UINT, true, "number of its processes",
			     IN(processes) },
	[UNIT_THREADS] = { "THREADS", VL_CELL_UINT, false, "number of their threads", IN(threads),
			   .json = true },
	[UNIT_RSS] = { "RSS_BYTES", VL_CELL_UINT, true,
		       "memory of its processes in RAM, in bytes; shared pages count for each",
		       IN(rss) },
	[UNIT_CPU] = { "CPU_TIME", VL_CELL_SECONDS, true,
		       "CPU time of the processes that it has now, in seconds", IN(cpu) },
	[UNIT_START] = { "START", VL_CELL_SECONDS, true,
			 "when its first process started, in seconds of uptime", IN(start) },
	[UNIT_PID] = { "PID", VL_CELL_INT, true, "process id of its first process", IN(pid) },
	[UNIT_ARGS] = { "ARGS", VL_CELL_TEXT, true,
			.doc = "command line of that process, else its name" },
	[UNIT_COMM] = { "COMM", VL_CELL_TEXT, false, "name of its program, 15 bytes at most",
			IN(comm), .json = true },
	[UNIT_CGROUP] = { "CGROUP", VL_CELL_TEXT, false, "control group of its first process",
			  IN(path), .json = true },
	{ 0 },
};

/* The index plus 1 of unit @name, which is new if it has not been seen; 0: there is no memory. */
static size_t unit_of(struct units *u, const char *name)
{
	size_t i = 0;

	while (i < u->nr && strcmp(u->all[i].name, name) != 0)
		i++;
	if (i < u->nr)
		return i + 1;
	if (!vl_grow(u->all, u->cap, u->nr, 64)) {
		u->full = true;
		return 0;
	}
	u->all[u->nr] = (struct unit){ .processes = 0 };
	memcpy(u->all[u->nr].name, name, sizeof(u->all[u->nr].name));
	return ++u->nr;
}

static void see_task(struct units *u, struct vl_groups *groups, const struct vl_top_task *p)
{
	const struct vl_group *g = vl_groups_find(groups, p->groups);
	struct unit *unit;

	if (!g)
		return;
	while (u->nr_groups < groups->nr) {
		const char *name = groups->all[u->nr_groups].container.unit;

		if (!vl_grow(u->of, u->cap_groups, u->nr_groups, 64)) {
			u->full = true;
			return;
		}
		u->of[u->nr_groups++] = *name ? unit_of(u, name) : 0;
	}
	if (!u->of[g - groups->all])
		return;
	unit = &u->all[u->of[g - groups->all] - 1];
	unit->processes++;
	unit->threads += p->threads > 0 ? (uint64_t)p->threads : 0;
	unit->rss += p->res;
	unit->cpu += p->cpu_ns;
	if (unit->first && (unit->first->start < p->start ||
			    (unit->first->start == p->start && unit->first->pid < p->pid)))
		return;
	unit->first = p;
	memcpy(unit->path, g->path, sizeof(unit->path));
}

static void show(struct vl_table *t, const struct vl_top_sample *sample, struct unit *unit)
{
	const struct vl_top_task *p = unit->first;

	unit->start = p->start;
	unit->pid = p->pid;
	memcpy(unit->comm, p->comm, sizeof(unit->comm));
	vl_table_record(t, NULL, unit);
	if (p->text_len)
		vl_table_text(t, UNIT_ARGS, sample->text + p->text, p->text_len);
	else
		vl_table_text(t, UNIT_ARGS, p->comm, strnlen(p->comm, sizeof(p->comm)));
}

static int by_start(const void *a, const void *b)
{
	const struct unit *x = a, *y = b;
	uint64_t m = x->first ? x->first->start : 0, n = y->first ? y->first->start : 0;

	return m != n ? (m > n) - (m < n) : strcmp(x->name, y->name);
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	/* Without one of these there is no path of a group. */
	const enum vl_field need[] = { VL_F_TASK_CGROUPS, VL_F_CSS_SET_DFL, VL_F_CGROUP_KN,
				       VL_F_KN_NAME };
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "units");
	struct vl_top_sample sample = { .at_ns = 0 };
	struct units units = { .all = NULL };
	struct vl_top *top;

	if (!err)
		err = vl_top_open(g, &top);
	if (err)
		return err;
	err = vl_top_sample(top, NULL, &sample);
	for (size_t i = 0; i < sample.nr_tasks; i++)
		see_task(&units, &top->groups, &sample.tasks[i]);
	if (units.nr)
		qsort(units.all, units.nr, sizeof(*units.all), by_start);
	for (size_t i = 0; i < units.nr; i++)
		if (units.all[i].first)
			show(t, &sample, &units.all[i]);
	if (!err && units.full)
		err = vl_error_nomem();
	free(units.all);
	free(units.of);
	vl_top_sample_deinit(&sample);
	vl_top_close(top);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_units = { "units", "units", columns, true, run, NULL, NULL };
