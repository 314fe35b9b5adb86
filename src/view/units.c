/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Units of systemd that have processes, by the control groups of these. What else systemd knows of
 * a unit (that it has failed, that it is active without a process) is in its own memory only.
 */
#include <string.h>

#include "../base/array.h"
#include "grouped.h"

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

#define IN(member) VL_IN(struct vl_grouped, member)

static const struct vl_column columns[] = {
	[UNIT_NAME] = { "UNIT", VL_CELL_TEXT, true, "name of the unit", IN(is.unit) },
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

static bool has(const struct vl_container *c)
{
	return c->unit[0];
}

static bool same(const struct vl_container *c, const struct vl_container *other)
{
	return !strcmp(c->unit, other->unit);
}

static void show(struct vl_raw_guest *g, struct vl_table *t, const struct vl_top_sample *sample,
		 const struct vl_grouped *unit)
{
	const struct vl_top_task *p = unit->first;

	(void)g;
	if (p->text_len)
		vl_table_text(t, UNIT_ARGS, sample->text + p->text, p->text_len);
	else if (!(p->lacks >> VL_TOP_LACKS_COMM & 1))
		vl_table_text(t, UNIT_ARGS, p->comm, strnlen(p->comm, sizeof(p->comm)));
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	static const size_t first[] = { UNIT_START, UNIT_PID, UNIT_ARGS, UNIT_COMM, UNIT_CGROUP };
	static const struct vl_grouping by = {
		.what = "units",
		.has = has,
		.same = same,
		.processes = UNIT_PROCESSES,
		.threads = UNIT_THREADS,
		.rss = UNIT_RSS,
		.cpu = UNIT_CPU,
		.comm = UNIT_COMM,
		.first = first,
		.nr_first = ARRAY_SIZE(first),
		.show = show,
	};

	return vl_grouped_run(g, t, &by);
}

const struct vl_scan vl_scan_units = { "units", "units", columns, true, run, NULL, NULL };
