/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes, from the list that starts at init_task: pidlist, pslist, credlist. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "collect.h"
#include "groups.h"

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
	uint64_t start, mm, groups;
	uint32_t netns, mntns;
	/* credlist */
	uint64_t cred, real_cred;
	uint32_t ids[8];
	uint64_t caps[5];
	uint32_t securebits;
	/* not read, but computed */
	char letter;
	int32_t nice;
	uint64_t started; /* ns of the epoch; 0: not known */
	bool kernel, overridden;
	uint32_t lacks; /* the fields that could not be read */
};

#define OUT(member) offsetof(struct task, member), sizeof(((struct task *)0)->member)

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

static void add_basics(struct vl_raw_guest *g, struct vl_fields *fs)
{
	*fs = (struct vl_fields){ .layout = vl_kernel_layout(g->attach->kernel) };
	vl_fields_add_plain(fs, VL_FIELD_ADDRESS, offsetof(struct task, task));
	vl_fields_add(fs, VL_F_TASK_TGID, OUT(pid));
	vl_fields_note_lacks(fs, offsetof(struct task, lacks));
#define COMPUTE(member, from) vl_fields_compute(fs, OUT(member), offsetof(struct task, from))
	COMPUTE(letter, state);
	COMPUTE(letter, state_long);
	COMPUTE(letter, exit_state);
	COMPUTE(nice, static_prio);
	COMPUTE(kernel, flags);
	COMPUTE(started, start);
	COMPUTE(overridden, cred);
	COMPUTE(overridden, real_cred);
#undef COMPUTE
}

static void show_group(const struct vl_group *group, struct vl_table *t, size_t column)
{
	char label[VL_CONTAINER_LABEL_MAX];

	if (!group)
		return;
	vl_container_label(&group->container, '/', label);
	vl_table_str(t, column, *label ? label : NULL);
	vl_table_str(t, column + 1, group->container.unit[0] ? group->container.unit : NULL);
}

/* @container: the column of the container, behind which is that of the unit; 0: there is none. */
static struct vl_error *show_tasks(struct vl_raw_guest *g, const struct vl_fields *fs,
				   struct vl_table *t, size_t container)
{
	struct vl_walk w = { .stride = sizeof(struct task) };
	size_t nr;
	struct vl_error *err = vl_collect_tasks(g, &w, fs, &nr);
	struct task *tasks = w.records;
	struct vl_groups groups;
	uint64_t booted = 0;

	err = vl_records_keep(&w, fs, offsetof(struct task, pid), "processes", err, &nr);

	if (container && !vl_raw_guest_booted(g, &booted))
		booted = 0;
	vl_groups_init(&groups, g);
	for (size_t i = 0; i < nr; i++) {
		struct task *p = &tasks[i];

		p->letter = vl_task_letter(p->state | (uint32_t)p->state_long, p->exit_state);
		p->nice = p->static_prio - DEFAULT_PRIO;
		p->kernel = p->flags & PF_KTHREAD;
		p->started = booted ? booted + p->start : 0;
		p->overridden = p->cred != p->real_cred;
		vl_table_record(t, fs, p);
		if (container && !vl_record_lacks(fs, p, offsetof(struct task, groups)))
			show_group(vl_groups_find(&groups, p->groups), t, container);
	}
	vl_groups_deinit(&groups);
	free(tasks);
	return err ? err : vl_table_end(t);
}

/* ---- pidlist ---- */

#define IN(member) VL_IN(struct task, member)

static const struct vl_column pid_columns[] = {
	{ "PID", VL_CELL_INT, true, "process id", IN(pid) },
	{ "TASK", VL_CELL_HEX, false, "address of its task_struct", IN(task) },
	{ 0 },
};

static struct vl_error *run_pidlist(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_fields fs;

	add_basics(g, &fs);
	return show_tasks(g, &fs, t, 0);
}

static const enum vl_field pid_fields[] = { VL_F_TASK_TASKS, VL_F_TASK_TGID, VL_NR_FIELDS };

const struct vl_scan vl_scan_pidlist = { "pidlist",   "processes", pid_columns,	   true,
					 run_pidlist, pid_fields,  vl_task_symbols };

/* ---- pslist ---- */

#define PS_CONTAINER 13

static const struct vl_column ps_columns[] = {
	{ "PID", VL_CELL_INT, true, "process id", IN(pid) },
	{ "PPID", VL_CELL_INT, true, "process id of its parent", IN(ppid) },
	{ "S", VL_CELL_TEXT, true, "state, a letter as in ps(1)", IN(letter) },
	{ "START", VL_CELL_SECONDS, true, "when it started, in seconds of uptime", IN(start) },
	/* Once its last thread is reaped a process has no signal_struct. */
	{ "THREADS", VL_CELL_INT, true, "number of threads", IN(threads), .or_none = true },
	{ "COMM", VL_CELL_TEXT, true, "name of its program, 15 bytes at most", IN(comm) },
	{ "UID", VL_CELL_UINT, false, "user id (real)", IN(uid) },
	{ "EUID", VL_CELL_UINT, false, "user id (effective)", IN(euid) },
	{ "NICE", VL_CELL_INT, false, "nice value", IN(nice) },
	{ "FLAGS", VL_CELL_HEX, false, "flags of the task (PF_*)", IN(flags) },
	{ "KTHREAD", VL_CELL_BOOL, false, "is it a thread of the kernel", IN(kernel) },
	{ "MM", VL_CELL_HEX, false, "address of its mm_struct", IN(mm) },
	{ "TASK", VL_CELL_HEX, false, "address of its task_struct", IN(task) },
	[PS_CONTAINER] = { "CONTAINER", VL_CELL_TEXT, false,
			   .doc = "its container, as runtime/id (JSON: always)", .json = true },
	{ "UNIT", VL_CELL_TEXT, false, .doc = "its unit of systemd, as in ps(1) (JSON: always)",
	  .json = true },
	{ "NETNS", VL_CELL_UINT, false, "number of its network namespace", IN(netns),
	  .or_none = true },
	{ "MNTNS", VL_CELL_UINT, false, "number of its mount namespace", IN(mntns),
	  .or_none = true },
	{ "STARTED", VL_CELL_SECONDS, false, "when it started, seconds of the epoch (JSON: always)",
	  IN(started), .or_none = true, .json = true },
	{ 0 },
};

static struct vl_error *run_pslist(struct vl_raw_guest *g, struct vl_table *t)
{
	/* A process that has ended has no namespaces. */
	static const enum vl_field net[] = { VL_F_TASK_NSPROXY, VL_F_NSPROXY_NET, VL_F_NET_INUM };
	static const enum vl_field mnt[] = { VL_F_TASK_NSPROXY, VL_F_NSPROXY_MNT, VL_F_MNT_INUM };
	struct vl_fields fs;

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
	vl_fields_add(&fs, VL_F_TASK_CGROUPS, OUT(groups));
	vl_fields_add_far(&fs, net, ARRAY_SIZE(net), OUT(netns));
	vl_fields_add_far(&fs, mnt, ARRAY_SIZE(mnt), OUT(mntns));
	return show_tasks(g, &fs, t, PS_CONTAINER);
}

static const enum vl_field ps_fields[] = {
	VL_F_TASK_TASKS,     VL_F_TASK_TGID,	    VL_F_TASK_COMM,  VL_F_TASK_REAL_PARENT,
	VL_F_TASK_STATE,     VL_F_TASK_EXIT_STATE,  VL_F_TASK_START, VL_F_TASK_SIGNAL,
	VL_F_SIGNAL_THREADS, VL_F_TASK_REAL_CRED,   VL_F_CRED_UID,   VL_F_CRED_EUID,
	VL_F_TASK_FLAGS,     VL_F_TASK_STATIC_PRIO, VL_F_TASK_MM,    VL_NR_FIELDS,
};

const struct vl_scan vl_scan_pslist = { "pslist",   "processes", ps_columns,	 true,
					run_pslist, ps_fields,	 vl_task_symbols };

/* ---- credlist ---- */

static const struct vl_column cred_columns[] = {
	{ "PID", VL_CELL_INT, true, "process id", IN(pid) },
	{ "UID", VL_CELL_UINT, true, "user id: real", IN(ids[0]) },
	{ "EUID", VL_CELL_UINT, true, "effective", IN(ids[1]) },
	{ "SUID", VL_CELL_UINT, false, "saved", IN(ids[2]) },
	{ "FSUID", VL_CELL_UINT, false, "for files", IN(ids[3]) },
	{ "GID", VL_CELL_UINT, true, "group id: real", IN(ids[4]) },
	{ "EGID", VL_CELL_UINT, true, "effective", IN(ids[5]) },
	{ "SGID", VL_CELL_UINT, false, "saved", IN(ids[6]) },
	{ "FSGID", VL_CELL_UINT, false, "for files", IN(ids[7]) },
	{ "CAPEFF", VL_CELL_HEX, true, "capabilities: effective", IN(caps[0]) },
	{ "COMM", VL_CELL_TEXT, true, "name of its program, 15 bytes at most", IN(comm) },
	{ "CAPPRM", VL_CELL_HEX, false, "capabilities: permitted", IN(caps[1]) },
	{ "CAPINH", VL_CELL_HEX, false, "inheritable", IN(caps[2]) },
	{ "CAPBND", VL_CELL_HEX, false, "bounding set", IN(caps[3]) },
	{ "CAPAMB", VL_CELL_HEX, false, "ambient", IN(caps[4]) },
	{ "SECUREBITS", VL_CELL_HEX, false, "secure bits", IN(securebits) },
	{ "OVERRIDDEN", VL_CELL_BOOL, false, "does it act under other credentials than its own",
	  IN(overridden) },
	{ "CRED", VL_CELL_HEX, false, "address of what it acts under (cred)", IN(cred) },
	{ "REAL_CRED", VL_CELL_HEX, false, "address of its own (real_cred), which are shown",
	  IN(real_cred) },
	{ "TASK", VL_CELL_HEX, false, "address of its task_struct", IN(task) },
	{ 0 },
};

/* In the order of task.ids and task.caps. */
static const enum vl_field cred_ids[] = {
	VL_F_CRED_UID, VL_F_CRED_EUID, VL_F_CRED_SUID, VL_F_CRED_FSUID,
	VL_F_CRED_GID, VL_F_CRED_EGID, VL_F_CRED_SGID, VL_F_CRED_FSGID,
};
/* Two words of 32 bits until "capability: just use a 'u64' instead of a 'u32[2]' array" (6.3). */
static const enum vl_field cred_caps[] = {
	VL_F_CRED_CAPEFF, VL_F_CRED_CAPPRM, VL_F_CRED_CAPINH, VL_F_CRED_CAPBND, VL_F_CRED_CAPAMB,
};

static struct vl_error *run_credlist(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_fields fs;

	add_basics(g, &fs);
	vl_fields_add(&fs, VL_F_TASK_COMM, OUT(comm));
	vl_fields_add(&fs, VL_F_TASK_CRED, OUT(cred));
	vl_fields_add(&fs, VL_F_TASK_REAL_CRED, OUT(real_cred));
	for (size_t i = 0; i < ARRAY_SIZE(cred_ids); i++)
		vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, cred_ids[i], OUT(ids[i]));
	for (size_t i = 0; i < ARRAY_SIZE(cred_caps); i++)
		vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, cred_caps[i], OUT(caps[i]));
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_SECUREBITS, OUT(securebits));
	return show_tasks(g, &fs, t, 0);
}

static const enum vl_field cred_fields[] = {
	VL_F_TASK_TASKS,     VL_F_TASK_TGID,   VL_F_TASK_COMM,	     VL_F_TASK_CRED,
	VL_F_TASK_REAL_CRED, VL_F_CRED_UID,    VL_F_CRED_EUID,	     VL_F_CRED_SUID,
	VL_F_CRED_FSUID,     VL_F_CRED_GID,    VL_F_CRED_EGID,	     VL_F_CRED_SGID,
	VL_F_CRED_FSGID,     VL_F_CRED_CAPEFF, VL_F_CRED_CAPPRM,     VL_F_CRED_CAPINH,
	VL_F_CRED_CAPBND,    VL_F_CRED_CAPAMB, VL_F_CRED_SECUREBITS, VL_NR_FIELDS,
};

const struct vl_scan vl_scan_credlist = { "credlist",	"credentials", cred_columns,   true,
					  run_credlist, cred_fields,   vl_task_symbols };
