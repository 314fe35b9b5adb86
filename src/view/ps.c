/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes with the usual columns of ps(1), by vtop's sampler, which reads them all. */
#include "collect.h"
#include "sample.h"

enum {
	PS_PID,
	PS_PPID,
	PS_UID,
	PS_S,
	PS_START,
	PS_TIME,
	PS_THREADS,
	PS_VSZ,
	PS_RSS,
	PS_COMM,
	PS_ARGS,
	PS_EUID,
	PS_NICE,
	PS_PRI,
	PS_KTHREAD,
	PS_MM,
	PS_TASK,
	PS_CONTAINER,
	PS_UNIT,
	PS_STARTED,
	PS_CUT,
};

#define IN(member) VL_IN(struct vl_top_task, member)

static const struct vl_column ps_columns[] = {
	[PS_PID] = { "PID", VL_CELL_INT, true, "process id", IN(pid) },
	[PS_PPID] = { "PPID", VL_CELL_INT, true, "process id of its parent", IN(ppid) },
	[PS_UID] = { "UID", VL_CELL_UINT, true, "user id (real)", IN(uid) },
	[PS_S] = { "S", VL_CELL_TEXT, true, "state, a letter as in ps(1)", IN(state) },
	[PS_START] = { "START", VL_CELL_SECONDS, true, "when it started, in seconds of uptime",
		       IN(start) },
	[PS_TIME] = { "TIME", VL_CELL_SECONDS, true, "CPU time it had, in seconds", IN(cpu_ns) },
	[PS_THREADS] = { "THREADS", VL_CELL_INT, true, "number of threads", IN(threads),
			 .or_none = true },
	[PS_VSZ] = { "VSZ_BYTES", VL_CELL_UINT, true, "virtual memory, in bytes", IN(virt) },
	[PS_RSS] = { "RSS_BYTES", VL_CELL_UINT, true, "memory that is in RAM, in bytes", IN(res) },
	[PS_COMM] = { "COMM", VL_CELL_TEXT, true, "name of its program, 15 bytes at most",
		      IN(comm) },
	[PS_ARGS] = { "ARGS", VL_CELL_TEXT, true, .doc = "command line, 1024 bytes at most" },
	[PS_EUID] = { "EUID", VL_CELL_UINT, false, "user id (effective)", IN(euid) },
	[PS_NICE] = { "NICE", VL_CELL_INT, false, "nice value", IN(nice) },
	[PS_PRI] = { "PRI", VL_CELL_INT, false, "priority, as in top(1)", IN(priority) },
	[PS_KTHREAD] = { "KTHREAD", VL_CELL_BOOL, false, "is it a thread of the kernel",
			 IN(kernel) },
	[PS_MM] = { "MM", VL_CELL_HEX, false, "address of its mm_struct", IN(mm) },
	[PS_TASK] = { "TASK", VL_CELL_HEX, false, "address of its task_struct", IN(task) },
	[PS_CONTAINER] = { "CONTAINER", VL_CELL_TEXT, false,
			   .doc = "its container, as runtime/id (JSON: always)", .json = true },
	[PS_UNIT] = { "UNIT", VL_CELL_TEXT, false,
		      .doc = "its unit of systemd, as in ps(1) (JSON: always)", .json = true },
	[PS_STARTED] = { "STARTED", VL_CELL_SECONDS, false,
			 .doc = "when it started, seconds of the epoch (JSON: always)",
			 .json = true },
	[PS_CUT] = { "ARGS_TRUNCATED", VL_CELL_BOOL, false,
		     .doc = "is its command line longer than ARGS (JSON: always)", .json = true },
	{ 0 },
};

/* @booted: when the guest booted; 0: not known. */
static void show_task(struct vl_table *t, const struct vl_fields *fs,
		      const struct vl_top_sample *sample, const struct vl_top_task *p,
		      uint64_t booted)
{
	vl_table_record(t, fs, p);
	if (booted && !(p->lacks >> VL_TOP_LACKS_START & 1))
		vl_table_uint(t, PS_STARTED, booted + p->start);
	if (p->text_len) {
		vl_table_text(t, PS_ARGS, sample->text + p->text, p->text_len);
		vl_table_uint(t, PS_CUT, p->cut);
	}
	if (p->box_len)
		vl_table_text(t, PS_CONTAINER, sample->text + p->box, p->box_len);
	if (p->unit_len)
		vl_table_text(t, PS_UNIT, sample->text + p->unit, p->unit_len);
}

static struct vl_error *run_ps(struct vl_raw_guest *g, struct vl_table *t)
{
	const struct vl_fields fs = vl_top_task_fields();
	struct vl_top_sample sample = { .at_ns = 0 };
	struct vl_top *top;
	uint64_t booted;
	struct vl_error *err = vl_top_open(g, &top);

	if (err)
		return err;
	err = vl_top_sample(top, NULL, &sample);
	if (!vl_raw_guest_booted(g, &booted))
		booted = 0;
	for (size_t i = 0; i < sample.nr_tasks; i++)
		show_task(t, &fs, &sample, &sample.tasks[i], booted);
	vl_top_sample_deinit(&sample);
	vl_top_close(top);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_ps = { "ps",   "processes",   ps_columns,	     true,
				    run_ps, vl_top_fields, vl_totals_symbols };
