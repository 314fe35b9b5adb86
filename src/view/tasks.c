/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes, from the list that starts at init_task: pidlist, pslist, credlist. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "collect.h"

/* Bits of task_struct.__state, .exit_state and .flags, include/linux/sched.h. */
#define TASK_REPORT 0x7fU
#define TASK_UNINTERRUPTIBLE 0x2U
#define TASK_NOLOAD 0x400U
#define TASK_RTLOCK_WAIT 0x1000U
#define TASK_FROZEN 0x8000U
#define PF_KTHREAD 0x00200000U
#define DEFAULT_PRIO 120 /* include/linux/sched/prio.h */

/* A task as one walk reads it, with the fields of all three views. */
struct task {
	uint64_t task;
	int32_t pid;
	char comm[16];
	/* pslist */
	int32_t ppid, threads, static_prio;
	uint32_t state, exit_state, flags, uid, euid;
	uint64_t state_long; /* before "sched: Change task_struct::state" (5.14) */
	uint64_t start, mm;
	/* credlist */
	uint64_t cred, real_cred;
	uint32_t ids[8];
	uint64_t caps[5];
	uint32_t securebits;
};

#define OUT(member) offsetof(struct task, member), sizeof(((struct task *)0)->member)

static struct vl_error *walk_tasks(struct vl_raw_guest *g, const struct vl_fields *fs,
				   struct task **ret, size_t *nr_ret)
{
	const enum vl_field need[] = { VL_F_TASK_TASKS, VL_F_TASK_TGID };
	const struct vl_layout *l = fs->layout;
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(l, VL_F_TASK_TASKS),
		.fields = fs->f,
		.nr_fields = fs->nr,
		.stride = sizeof(struct task),
	};
	struct vl_error *err;
	uint64_t init;

	*ret = NULL;
	*nr_ret = 0;
	err = vl_need_fields(g, need, ARRAY_SIZE(need), "the task list");
	if (!err)
		err = vl_need_symbol(g, "init_task", "the task list", &init);
	if (err)
		return err;
	w.head = init + w.node;
	err = vl_collect(g, &w, "the task list", nr_ret);
	*ret = w.records;
	free(w.status);
	return err;
}

static void add_basics(struct vl_raw_guest *g, struct vl_fields *fs)
{
	*fs = (struct vl_fields){ .layout = vl_kernel_layout(g->attach->kernel) };
	vl_fields_add_plain(fs, VL_FIELD_ADDRESS, offsetof(struct task, task));
	vl_fields_add(fs, VL_F_TASK_TGID, OUT(pid));
}

/* ---- pidlist ---- */

enum { PID_PID, PID_TASK };

static const struct vl_column pid_columns[] = {
	[PID_PID] = { "PID", VL_CELL_INT, true, "process id" },
	[PID_TASK] = { "TASK", VL_CELL_HEX, false, "address of its task_struct" },
	{ 0 },
};

static struct vl_error *run_pidlist(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_fields fs;
	struct vl_error *err;
	struct task *tasks;
	size_t nr;

	add_basics(g, &fs);
	err = walk_tasks(g, &fs, &tasks, &nr);
	for (size_t i = 0; i < nr; i++) {
		vl_table_row(t);
		vl_table_int(t, PID_PID, tasks[i].pid);
		vl_table_uint(t, PID_TASK, tasks[i].task);
	}
	free(tasks);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_pidlist = { "pidlist", "processes", pid_columns, true, run_pidlist };

/* ---- pslist ---- */

enum {
	PS_PID,
	PS_PPID,
	PS_S,
	PS_START,
	PS_THREADS,
	PS_COMM,
	PS_UID,
	PS_EUID,
	PS_NICE,
	PS_FLAGS,
	PS_KTHREAD,
	PS_MM,
	PS_TASK,
};

static const struct vl_column ps_columns[] = {
	[PS_PID] = { "PID", VL_CELL_INT, true, "process id" },
	[PS_PPID] = { "PPID", VL_CELL_INT, true, "process id of its parent" },
	[PS_S] = { "S", VL_CELL_TEXT, true, "state, a letter as in ps(1)" },
	[PS_START] = { "START", VL_CELL_SECONDS, true, "when it started, in seconds of uptime" },
	[PS_THREADS] = { "THREADS", VL_CELL_INT, true, "number of threads" },
	[PS_COMM] = { "COMM", VL_CELL_TEXT, true, "name of its program, 15 bytes at most" },
	[PS_UID] = { "UID", VL_CELL_UINT, false, "user id (real)" },
	[PS_EUID] = { "EUID", VL_CELL_UINT, false, "user id (effective)" },
	[PS_NICE] = { "NICE", VL_CELL_INT, false, "nice value" },
	[PS_FLAGS] = { "FLAGS", VL_CELL_HEX, false, "flags of the task (PF_*)" },
	[PS_KTHREAD] = { "KTHREAD", VL_CELL_BOOL, false, "is it a thread of the kernel" },
	[PS_MM] = { "MM", VL_CELL_HEX, false, "address of its mm_struct" },
	[PS_TASK] = { "TASK", VL_CELL_HEX, false, "address of its task_struct" },
	{ 0 },
};

/* As in task_state_index(), include/linux/sched.h. */
char vl_task_letter(uint32_t state, uint32_t exit_state)
{
	uint32_t shown = (state | exit_state) & TASK_REPORT;

	if ((state & (TASK_UNINTERRUPTIBLE | TASK_NOLOAD)) == (TASK_UNINTERRUPTIBLE | TASK_NOLOAD))
		return 'I';
	if (state & (TASK_RTLOCK_WAIT | TASK_FROZEN))
		return 'D';
	return "RSDTtXZP"[shown ? 32 - __builtin_clz(shown) : 0];
}

static void ps_row(struct vl_table *t, const struct task *p)
{
	char state = vl_task_letter(p->state | (uint32_t)p->state_long, p->exit_state);

	vl_table_row(t);
	vl_table_int(t, PS_PID, p->pid);
	vl_table_int(t, PS_PPID, p->ppid);
	vl_table_text(t, PS_S, &state, 1);
	vl_table_uint(t, PS_START, p->start);
	/* Once its last thread is reaped a process has no signal_struct. */
	if (p->threads)
		vl_table_int(t, PS_THREADS, p->threads);
	vl_table_text(t, PS_COMM, p->comm, strnlen(p->comm, sizeof(p->comm)));
	vl_table_uint(t, PS_UID, p->uid);
	vl_table_uint(t, PS_EUID, p->euid);
	vl_table_int(t, PS_NICE, p->static_prio - DEFAULT_PRIO);
	vl_table_uint(t, PS_FLAGS, p->flags);
	vl_table_uint(t, PS_KTHREAD, !!(p->flags & PF_KTHREAD));
	vl_table_uint(t, PS_MM, p->mm);
	vl_table_uint(t, PS_TASK, p->task);
}

static struct vl_error *run_pslist(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_fields fs;
	struct vl_error *err;
	struct task *tasks;
	size_t nr;

	add_basics(g, &fs);
	vl_fields_add(&fs, VL_F_TASK_COMM, OUT(comm));
	vl_fields_add_through(&fs, VL_F_TASK_REAL_PARENT, VL_F_TASK_TGID, OUT(ppid));
	if (vl_fields_add(&fs, VL_F_TASK_STATE, OUT(state)) < 0)
		vl_fields_add(&fs, VL_F_TASK_STATE_LONG, OUT(state_long));
	vl_fields_add(&fs, VL_F_TASK_EXIT_STATE, OUT(exit_state));
	if (vl_fields_add(&fs, VL_F_TASK_START, OUT(start)) < 0)
		vl_fields_add(&fs, VL_F_TASK_REAL_START, OUT(start));
	vl_fields_add_through(&fs, VL_F_TASK_SIGNAL, VL_F_SIGNAL_THREADS, OUT(threads));
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_UID, OUT(uid));
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_EUID, OUT(euid));
	vl_fields_add(&fs, VL_F_TASK_STATIC_PRIO, OUT(static_prio));
	vl_fields_add(&fs, VL_F_TASK_FLAGS, OUT(flags));
	vl_fields_add(&fs, VL_F_TASK_MM, OUT(mm));
	err = walk_tasks(g, &fs, &tasks, &nr);
	for (size_t i = 0; i < nr; i++)
		ps_row(t, &tasks[i]);
	free(tasks);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_pslist = { "pslist", "processes", ps_columns, true, run_pslist };

/* ---- credlist ---- */

enum {
	CRED_PID,
	CRED_UID,
	CRED_GID = CRED_UID + 4,
	CRED_CAPEFF = CRED_GID + 4,
	CRED_COMM,
	CRED_CAPPRM,
	CRED_CAPINH,
	CRED_CAPBND,
	CRED_CAPAMB,
	CRED_SECUREBITS,
	CRED_OVERRIDDEN,
	CRED_CRED,
	CRED_REAL_CRED,
	CRED_TASK,
};

static const struct vl_column cred_columns[] = {
	[CRED_PID] = { "PID", VL_CELL_INT, true, "process id" },
	[CRED_UID] = { "UID", VL_CELL_UINT, true, "user id: real" },
	[CRED_UID + 1] = { "EUID", VL_CELL_UINT, true, "effective" },
	[CRED_UID + 2] = { "SUID", VL_CELL_UINT, false, "saved" },
	[CRED_UID + 3] = { "FSUID", VL_CELL_UINT, false, "for files" },
	[CRED_GID] = { "GID", VL_CELL_UINT, true, "group id: real" },
	[CRED_GID + 1] = { "EGID", VL_CELL_UINT, true, "effective" },
	[CRED_GID + 2] = { "SGID", VL_CELL_UINT, false, "saved" },
	[CRED_GID + 3] = { "FSGID", VL_CELL_UINT, false, "for files" },
	[CRED_CAPEFF] = { "CAPEFF", VL_CELL_HEX, true, "capabilities: effective" },
	[CRED_COMM] = { "COMM", VL_CELL_TEXT, true, "name of its program, 15 bytes at most" },
	[CRED_CAPPRM] = { "CAPPRM", VL_CELL_HEX, false, "capabilities: permitted" },
	[CRED_CAPINH] = { "CAPINH", VL_CELL_HEX, false, "inheritable" },
	[CRED_CAPBND] = { "CAPBND", VL_CELL_HEX, false, "bounding set" },
	[CRED_CAPAMB] = { "CAPAMB", VL_CELL_HEX, false, "ambient" },
	[CRED_SECUREBITS] = { "SECUREBITS", VL_CELL_HEX, false, "secure bits" },
	[CRED_OVERRIDDEN] = { "OVERRIDDEN", VL_CELL_BOOL, false,
			      "does it act under other credentials than its own" },
	[CRED_CRED] = { "CRED", VL_CELL_HEX, false, "address of what it acts under (cred)" },
	[CRED_REAL_CRED] = { "REAL_CRED", VL_CELL_HEX, false,
			     "address of its own (real_cred), which are shown" },
	[CRED_TASK] = { "TASK", VL_CELL_HEX, false, "address of its task_struct" },
	{ 0 },
};

static const struct {
	enum vl_field field;
	unsigned column;
} cred_ids[8] = {
	{ VL_F_CRED_UID, CRED_UID },	  { VL_F_CRED_EUID, CRED_UID + 1 },
	{ VL_F_CRED_SUID, CRED_UID + 2 }, { VL_F_CRED_FSUID, CRED_UID + 3 },
	{ VL_F_CRED_GID, CRED_GID },	  { VL_F_CRED_EGID, CRED_GID + 1 },
	{ VL_F_CRED_SGID, CRED_GID + 2 }, { VL_F_CRED_FSGID, CRED_GID + 3 },
};

/* Two words of 32 bits until "capability: just use a 'u64' instead of a 'u32[2]' array" (6.3). */
static const struct {
	enum vl_field field;
	unsigned column;
} cred_caps[5] = {
	{ VL_F_CRED_CAPEFF, CRED_CAPEFF }, { VL_F_CRED_CAPPRM, CRED_CAPPRM },
	{ VL_F_CRED_CAPINH, CRED_CAPINH }, { VL_F_CRED_CAPBND, CRED_CAPBND },
	{ VL_F_CRED_CAPAMB, CRED_CAPAMB },
};

static struct vl_error *run_credlist(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_fields fs;
	struct vl_error *err;
	struct task *tasks;
	size_t nr;

	add_basics(g, &fs);
	vl_fields_add(&fs, VL_F_TASK_COMM, OUT(comm));
	vl_fields_add(&fs, VL_F_TASK_CRED, OUT(cred));
	vl_fields_add(&fs, VL_F_TASK_REAL_CRED, OUT(real_cred));
	for (size_t i = 0; i < 8; i++)
		vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, cred_ids[i].field, OUT(ids[i]));
	for (size_t i = 0; i < 5; i++)
		vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, cred_caps[i].field, OUT(caps[i]));
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_SECUREBITS, OUT(securebits));
	err = walk_tasks(g, &fs, &tasks, &nr);
	for (size_t k = 0; k < nr; k++) {
		const struct task *p = &tasks[k];

		vl_table_row(t);
		vl_table_int(t, CRED_PID, p->pid);
		for (size_t i = 0; i < 8; i++)
			vl_table_uint(t, cred_ids[i].column, p->ids[i]);
		for (size_t i = 0; i < 5; i++)
			vl_table_uint(t, cred_caps[i].column, p->caps[i]);
		vl_table_text(t, CRED_COMM, p->comm, strnlen(p->comm, sizeof(p->comm)));
		vl_table_uint(t, CRED_SECUREBITS, p->securebits);
		vl_table_uint(t, CRED_OVERRIDDEN, p->cred != p->real_cred);
		vl_table_uint(t, CRED_CRED, p->cred);
		vl_table_uint(t, CRED_REAL_CRED, p->real_cred);
		vl_table_uint(t, CRED_TASK, p->task);
	}
	free(tasks);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_credlist = { "credlist", "credentials", cred_columns, true,
					  run_credlist };
