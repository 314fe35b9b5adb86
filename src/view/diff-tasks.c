/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compares the processes in the list of tasks, the tree of ids, the cgroups and /proc with those
 * that the scheduler and the allocator have; and so the threads of processes.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/number.h"
#include "diff.h"
#include "livetasks.h"

/* A task of the list. */
struct seen_task {
	uint64_t task, mm;
	int32_t pid, exit_state;
	char comm[16];
	uint32_t lacks; /* the fields that could not be read */
};

#define OUT(type, member) offsetof(type, member), sizeof(((type *)0)->member)
/* include/linux/sched.h */
#define EXIT_DEAD 0x10

/* Is @t in @state, one of the states of its end? Before that it leaves its memory: exit_mm(). */
static bool is_ended(const struct seen_task *t, int32_t state)
{
	return t->exit_state & state && !t->mm;
}

/* Add the processes of the kernel's list, or only those that have ended. */
static struct vl_error *walk_tasks(struct vl_comparison *k, struct vl_diff_items *items,
				   unsigned bit, bool only_ended)
{
	struct vl_fields fs = { .layout = vl_kernel_layout(k->g->attach->kernel) };
	struct vl_walk w = { .stride = sizeof(struct seen_task) };
	const struct seen_task *t;
	struct vl_error *err;
	size_t nr;

	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct seen_task, task));
	vl_fields_add(&fs, VL_F_TASK_TGID, OUT(struct seen_task, pid));
	vl_fields_add(&fs, VL_F_TASK_COMM, OUT(struct seen_task, comm));
	vl_fields_add(&fs, VL_F_TASK_EXIT_STATE, OUT(struct seen_task, exit_state));
	vl_fields_add(&fs, VL_F_TASK_MM, OUT(struct seen_task, mm));
	vl_fields_note_lacks(&fs, offsetof(struct seen_task, lacks));
	err = vl_collect_tasks(k->g, &w, &fs, &nr);
	err = vl_records_keep(&w, &fs, offsetof(struct seen_task, pid), "processes", err, &nr);
	t = w.records;
	for (size_t i = 0; i < nr; i++)
		if (!only_ended || is_ended(&t[i], ~0))
			vl_diff_see(items, (uint64_t)(uint32_t)t[i].pid, t[i].comm,
				    strnlen(t[i].comm, 16), t[i].task, bit,
				    is_ended(&t[i], EXIT_DEAD));
	free(w.records);
	return err;
}

static struct vl_error *by_task_list(struct vl_comparison *k, struct vl_diff_items *items,
				     unsigned bit)
{
	return walk_tasks(k, items, bit, false);
}

/* A struct pid, and the name of the process whose id it is. */
struct seen_pid {
	uint32_t nr;
	uint64_t link; /* pid->tasks[PIDTYPE_TGID].first; 0: no process has this id */
	char comm[16];
	uint32_t lacks; /* the fields that could not be read */
};

/* enum pid_type, include/linux/pid_types.h; and the sizes of hlist heads and nodes in bytes. */
#define PIDTYPE_TGID 1
#define HLIST_HEAD 8
#define HLIST_NODE 16

static struct vl_error *by_pids(struct vl_comparison *k, struct vl_diff_items *items, unsigned bit)
{
	const enum vl_field need[] = { VL_F_PIDNS_HEAD, VL_F_PID_TASKS,	    VL_F_PID_NUMBERS,
				       VL_F_UPID_NR,	VL_F_XA_SHIFT,	    VL_F_XA_SLOTS,
				       VL_F_XA_MARKS,	VL_F_TASK_PID_LINKS };
	const struct vl_layout *l = vl_kernel_layout(k->g->attach->kernel);
	int32_t link = (int32_t)vl_offset(l, VL_F_PID_TASKS) + PIDTYPE_TGID * HLIST_HEAD;
	int32_t node = (int32_t)vl_offset(l, VL_F_TASK_PID_LINKS) + PIDTYPE_TGID * HLIST_NODE;
	struct vl_fields fs = { .layout = l,
				.nr = 3,
				.f = {
					{ .kind = VL_FIELD_BYTES,
					  .size = 4,
					  .out = offsetof(struct seen_pid, nr),
					  .offset = { (int32_t)(vl_offset(l, VL_F_PID_NUMBERS) +
								vl_offset(l, VL_F_UPID_NR)) } },
					{ .kind = VL_FIELD_BYTES,
					  .size = 8,
					  .out = offsetof(struct seen_pid, link),
					  .offset = { link } },
					{ .kind = VL_FIELD_BYTES,
					  .derefs = 1,
					  .size = 16,
					  .out = offsetof(struct seen_pid, comm),
					  .offset = { link, (int32_t)vl_offset(l, VL_F_TASK_COMM) -
								    node } },
				} };
	struct vl_walk w = {
		.kind = VL_WALK_XARRAY,
		.xa_shift = vl_offset(l, VL_F_XA_SHIFT),
		.xa_slots = vl_offset(l, VL_F_XA_SLOTS),
		.xa_nr_slots = (vl_offset(l, VL_F_XA_MARKS) - vl_offset(l, VL_F_XA_SLOTS)) / 8,
		.stride = sizeof(struct seen_pid),
	};
	const struct seen_pid *p;
	struct vl_error *err;
	size_t nr;

	err = vl_need_fields(k->g, need, ARRAY_SIZE(need), "the tree of ids");
	if (!err)
		err = vl_need_symbol(k->g, "init_pid_ns", "the tree of ids", &w.head);
	if (err)
		return err;
	w.head += vl_offset(l, VL_F_PIDNS_HEAD);
	vl_fields_note_lacks(&fs, offsetof(struct seen_pid, lacks));
	err = vl_collect(k->g, &w, &fs, "the tree of ids", &nr);
	err = vl_records_keep(&w, &fs, offsetof(struct seen_pid, nr), "ids", err, &nr);
	p = w.records;
	for (size_t i = 0; i < nr; i++)
		if (p[i].link)
			vl_diff_see(items, p[i].nr, p[i].comm, strnlen(p[i].comm, 16),
				    p[i].link - (uint64_t)node, bit, false);
	free(w.records);
	return err;
}

/* CSS_SET_HASH_BITS, kernel/cgroup/cgroup.c. */
#define CSS_SETS_MAX 1024

/* Add the tasks of the list at @head, which is linked through task_struct.cg_list. */
static struct vl_error *see_group(struct vl_comparison *k, struct vl_diff_items *items,
				  uint64_t head, unsigned bit)
{
	const struct vl_layout *l = vl_kernel_layout(k->g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = head,
		.node = vl_offset(l, VL_F_TASK_CG_LIST),
		.stride = sizeof(struct seen_task),
	};
	const struct seen_task *t;
	struct vl_error *err;
	size_t nr;

	vl_fields_add(&fs, VL_F_TASK_LEADER, offsetof(struct seen_task, task), 8);
	vl_fields_add(&fs, VL_F_TASK_TGID, OUT(struct seen_task, pid));
	vl_fields_add_through(&fs, VL_F_TASK_LEADER, VL_F_TASK_COMM, OUT(struct seen_task, comm));
	vl_fields_add(&fs, VL_F_TASK_EXIT_STATE, OUT(struct seen_task, exit_state));
	vl_fields_note_lacks(&fs, offsetof(struct seen_task, lacks));
	err = vl_collect(k->g, &w, &fs, "a cgroup's list of tasks", &nr);
	err = vl_records_keep(&w, &fs, offsetof(struct seen_task, pid), "processes", err, &nr);
	t = w.records;
	for (size_t i = 0; i < nr; i++)
		if (t[i].pid)
			vl_diff_see(items, (uint64_t)(uint32_t)t[i].pid, t[i].comm,
				    strnlen(t[i].comm, 16), t[i].task, bit, false);
	free(w.records);
	return err;
}

/* Every task is in a css_set, except some that have ended: those are added from the list. */
static struct vl_error *by_cgroups(struct vl_comparison *k, struct vl_diff_items *items,
				   unsigned bit)
{
	static const enum vl_field lists[] = { VL_F_CSS_SET_TASKS, VL_F_CSS_SET_MG_TASKS,
					       VL_F_CSS_SET_DYING };
	const enum vl_field need[] = { VL_F_CSS_SET_HLIST, VL_F_CSS_SET_TASKS, VL_F_TASK_CG_LIST };
	const struct vl_layout *l = vl_kernel_layout(k->g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_CHAIN,
		.node = vl_offset(l, VL_F_CSS_SET_HLIST),
		.head_stride = 8,
		.stride = sizeof(uint64_t),
	};
	_cleanup_free_ uint64_t *sets = NULL;
	struct vl_error *err;
	size_t nr = 0;

	/* CONFIG_CGROUPS=n */
	if (!l->derived && !vl_has(l, VL_F_CSS_SET_HLIST) &&
	    !vl_symbol(k->g->attach->kernel, "css_set_table")) {
		k->absent |= bit;
		return NULL;
	}
	err = vl_need_fields(k->g, need, ARRAY_SIZE(need), "the cgroups");
	if (!err)
		err = vl_need_symbol(k->g, "css_set_table", "the cgroups", &w.head);
	if (err)
		return err;
	w.nr_heads = (uint32_t)((vl_symbol_after(k->g->attach->kernel, w.head) - w.head) / 8);
	if (w.nr_heads > CSS_SETS_MAX)
		w.nr_heads = CSS_SETS_MAX;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect(k->g, &w, &fs, "the cgroups", &nr);
	sets = w.records;
	for (size_t i = 0; !err && i < nr; i++)
		for (size_t j = 0; !err && j < ARRAY_SIZE(lists); j++)
			if (vl_has(l, lists[j]))
				err = see_group(k, items, sets[i] + vl_offset(l, lists[j]), bit);
	return err ? err : walk_tasks(k, items, bit, true);
}

/* struct linux_dirent64: inode, offset, length of the entry, type, name. */
#define DIRENT_LEN 16
#define DIRENT_NAME 19

static struct vl_error *by_proc(struct vl_comparison *k, struct vl_diff_items *items, unsigned bit)
{
	_cleanup_free_ char *buf = NULL;
	struct vl_error *err;
	size_t len;

	err = vl_diff_ask(k->sys, "/proc", "getdents64", &buf, &len);
	if (err)
		return err;
	for (size_t at = 0; at + DIRENT_NAME < len;) {
		const char *name = buf + at + DIRENT_NAME;
		uint16_t size;
		uint64_t pid;

		memcpy(&size, buf + at + DIRENT_LEN, 2);
		if (size <= DIRENT_NAME || size > len - at || !memchr(name, 0, size - DIRENT_NAME))
			break;
		if (vl_u64(name, 10, UINT64_MAX, &pid))
			vl_diff_see(items, pid, "", 0, 0, bit, false);
		at += size;
	}
	return NULL;
}

typedef struct vl_error *(*find_fn)(struct vl_raw_guest *g, struct vl_live_tasks *ret);

/* Add the processes that @find finds: the first threads of them. */
static struct vl_error *see_leaders(struct vl_comparison *k, struct vl_diff_items *items,
				    unsigned bit, find_fn find)
{
	struct vl_live_tasks l = { .nr = 0 };
	struct vl_error *err = find(k->g, &l);

	for (size_t i = 0; i < l.nr; i++) {
		const struct vl_live_task *t = &l.v[i];

		if (t->first)
			vl_diff_see(items, (uint64_t)t->tgid, t->comm, strnlen(t->comm, 16), t->at,
				    bit, false);
	}
	vl_live_tasks_deinit(&l);
	return err;
}

static struct vl_error *by_slab(struct vl_comparison *k, struct vl_diff_items *items, unsigned bit)
{
	return see_leaders(k, items, bit, vl_live_tasks_in_slab);
}

static struct vl_error *by_queues(struct vl_comparison *k, struct vl_diff_items *items,
				  unsigned bit)
{
	return see_leaders(k, items, bit, vl_live_tasks_on_cpus);
}

static struct vl_error *by_parents(struct vl_comparison *k, struct vl_diff_items *items,
				   unsigned bit)
{
	return see_leaders(k, items, bit, vl_live_tasks_of_parents);
}

enum {
	P_PID,
	P_LIST,
	P_TREE,
	P_CGROUP,
	P_PROC,
	P_OWN,
	P_SLAB,
	P_QUEUE,
	P_CHILD,
	P_MARK,
	P_COMM,
	P_TASK
};

static const struct vl_column process_columns[] = {
	[P_PID] = { "PID", VL_CELL_UINT, true, .doc = "process id" },
	[P_LIST] = { "LIST", VL_CELL_BOOL, true, .doc = "is it in the list of tasks" },
	[P_TREE] = { "TREE", VL_CELL_BOOL, true, .doc = "is it in the tree of process ids" },
	[P_CGROUP] = { "CGROUP", VL_CELL_BOOL, true, .doc = "is it in the lists of the cgroups" },
	[P_PROC] = { "PROC", VL_CELL_BOOL, true, .doc = "does the kernel show it in /proc" },
	[P_OWN] = { "OWN", VL_CELL_BOOL, false,
		    .doc = "with --trusted: does the guest's own code show it in /proc",
		    .trusted = true },
	[P_SLAB] = { "SLAB", VL_CELL_BOOL, false,
		     .doc = "is it in the memory of which the kernel makes tasks" },
	[P_QUEUE] = { "QUEUE", VL_CELL_BOOL, false, .doc = "does it run, or wait for a CPU" },
	[P_CHILD] = { "CHILD", VL_CELL_BOOL, false, .doc = "is it in the lists of children" },
	[P_MARK] = { "MARK", VL_CELL_TEXT, true, .doc = "what it is hidden from" },
	[P_COMM] = { "COMM", VL_CELL_TEXT, true, .doc = "name of its program, 15 bytes at most" },
	[P_TASK] = { "TASK", VL_CELL_HEX, false, .doc = "address of its task_struct" },
	{ 0 },
};

/* The fields that the ways read, up to VL_NR_FIELDS. */
static const enum vl_field list_fields[] = { VL_F_TASK_TASKS,	   VL_F_TASK_TGID, VL_F_TASK_COMM,
					     VL_F_TASK_EXIT_STATE, VL_F_TASK_MM,   VL_NR_FIELDS };
static const enum vl_field tree_fields[] = {
	VL_F_PIDNS_HEAD, VL_F_PID_TASKS, VL_F_PID_NUMBERS,    VL_F_UPID_NR,   VL_F_XA_SHIFT,
	VL_F_XA_SLOTS,	 VL_F_XA_MARKS,	 VL_F_TASK_PID_LINKS, VL_F_TASK_COMM, VL_NR_FIELDS,
};
static const enum vl_field group_fields[] = {
	VL_F_CSS_SET_HLIST,   VL_F_CSS_SET_TASKS, VL_F_CSS_SET_MG_TASKS, VL_F_CSS_SET_DYING,
	VL_F_TASK_CG_LIST,    VL_F_TASK_LEADER,	  VL_F_TASK_TGID,	 VL_F_TASK_COMM,
	VL_F_TASK_EXIT_STATE, VL_NR_FIELDS,
};
static const enum vl_field slab_fields[] = {
	VL_F_SIZE_PAGE,	 VL_F_CACHE_SIZE, VL_F_CACHE_ORDER, VL_F_CACHE_LEFT_PAD, VL_F_SLAB_CACHE,
	VL_F_TASK_STACK, VL_F_TASK_SP,	  VL_F_TASK_TGID,   VL_F_TASK_COMM,	 VL_NR_FIELDS,
};
static const enum vl_field queue_fields[] = {
	VL_F_RQ_IDLE, VL_F_TASK_STACK, VL_F_TASK_SP,  VL_F_RQ_CFS,  VL_F_CFS_TREE, VL_F_SE_NODE,
	VL_F_TASK_SE, VL_F_CFS_CURR,   VL_F_SE_GROUP, VL_F_RQ_RT,   VL_F_RT_QUEUE, VL_F_RT_NODE,
	VL_F_TASK_RT, VL_F_RT_GROUP,   VL_F_RQ_DL,    VL_F_DL_NODE, VL_F_TASK_DL,  VL_F_RQ_CURR,
	VL_F_SIZE_RQ, VL_F_TASK_COMM,  VL_NR_FIELDS,
};
static const enum vl_field child_fields[] = {
	VL_F_TASK_CHILDREN,    VL_F_TASK_SIBLING, VL_F_TASK_SIGNAL, VL_F_SIGNAL_THREAD_HEAD,
	VL_F_TASK_THREAD_NODE, VL_F_TASK_TGID,	  VL_F_TASK_COMM,   VL_NR_FIELDS,
};

static const struct vl_diff_way process_ways[] = {
	{ "the task list", false, false, false, by_task_list, list_fields },
	{ "the tree of ids", false, false, false, by_pids, tree_fields },
	{ "the cgroups", false, false, false, by_cgroups, group_fields },
	{ "/proc", true, false, false, by_proc, NULL },
	{ "the guest's own /proc", true, true, false, by_proc, NULL },
	{ "the slab of tasks", false, false, true, by_slab, slab_fields },
	{ "the run queues", false, false, true, by_queues, queue_fields },
	{ "the children", false, false, true, by_parents, child_fields },
};

static struct vl_error *diff_processes(struct vl_raw_guest *g, struct vl_sys *sys,
				       struct vl_table *t)
{
	static const struct vl_diff_kind kind = {
		process_ways, ARRAY_SIZE(process_ways), P_LIST, P_COMM, P_TASK, P_PID,
	};

	return vl_diff_run(g, sys, &kind, t);
}

const struct vl_diff vl_diff_processes = { "processes", "processes", process_columns,
					   diff_processes, NULL };
