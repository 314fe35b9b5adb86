/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The identity: the task of the guest that the clone's calls are made as. */
#include "clone.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"

/* A guest has no more tasks than this (PID_MAX_LIMIT); a list that goes on is broken. */
#define MAX_TASKS (4u << 20)

/*
 * The thread group leader with @pid in the initial pid namespace, from the
 * task list that starts at @init_task; 0 when there is none.
 */
static uint64_t find_task(struct vl_clone *c, const struct vl_layout *l, uint64_t init_task,
			  pid_t pid)
{
	uint64_t head = init_task + (uint64_t)l->offset[VL_F_TASK_TASKS];
	uint64_t at = head;

	for (unsigned i = 0; i < MAX_TASKS; i++) {
		uint64_t task = at - (uint64_t)l->offset[VL_F_TASK_TASKS];
		int32_t tgid;

		if (!vl_clone_read(c, task + (uint64_t)l->offset[VL_F_TASK_TGID], &tgid, 4))
			return 0;
		if (tgid == pid)
			return task;
		if (!vl_clone_read64(c, at, &at) || at == head)
			return 0;
	}
	return 0;
}

/* Is @task in the list of tasks, with that pid? */
static bool is_task(struct vl_clone *c, const struct vl_layout *l, uint64_t task, pid_t pid)
{
	uint64_t at = task + (uint64_t)l->offset[VL_F_TASK_TASKS], next, back;
	int32_t tgid;

	/*
	 * An ended task keeps its forward link (list_del_rcu), but the next one does not link
	 * back.
	 */
	return vl_clone_read(c, task + (uint64_t)l->offset[VL_F_TASK_TGID], &tgid, 4) &&
	       tgid == pid && vl_clone_read64(c, at, &next) &&
	       vl_clone_read64(c, next + 8, &back) && back == at;
}

/* The address of a per-CPU variable: by its symbol, or as a field of struct pcpu_hot. */
static uint64_t percpu_field(const struct vl_clone *c, const char *symbol, enum vl_field hot)
{
	const struct vl_kernel *k = c->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t at = vl_symbol(k, symbol);

	if (at)
		return c->percpu + at;
	at = vl_symbol(k, "pcpu_hot");
	if (at && vl_has(l, hot))
		return c->percpu + at + (uint64_t)l->offset[hot];
	return 0;
}

/*
 * PREEMPT_ENABLED: no depth, and the inverted "need resched" bit set (x86,
 * arch/x86/include/asm/preempt.h).
 */
#define PREEMPT_ENABLED 0x80000000u

/* No kernel's task_struct has more bytes; most have up to 10,000. */
#define TASK_MAX 16384

/* struct nsproxy, include/linux/nsproxy.h, has up to ten pointers and a count. */
#define NSPROXY_ROOM 128

/* False when it is not known where the kernel keeps the current task. */
static bool copy_task(struct vl_clone *c, uint64_t task)
{
	const struct vl_layout *l = vl_kernel_layout(c->attach->kernel);
	uint64_t current = percpu_field(c, "current_task", VL_F_HOT_TASK);
	uint64_t preempt = percpu_field(c, "__preempt_count", VL_F_HOT_PREEMPT);
	const uint32_t enabled = PREEMPT_ENABLED;
	const uint64_t no_flags = 0;

	unsigned char *copy;
	size_t size;
	bool ok;

	/* If the task's size is not known, the bytes after it are copied as well. */
	size = vl_layout_unknown(l, VL_F_SIZE_TASK) ? TASK_MAX :
	       vl_has(l, VL_F_SIZE_TASK)	    ? (size_t)l->offset[VL_F_SIZE_TASK] :
						      0;
	if (!current || !preempt || !vl_has(l, VL_F_THREAD_INFO_FLAGS) || !size ||
	    size > c->task_room - NSPROXY_ROOM)
		return false;
	c->task = task;
	copy = malloc(size);
	ok = copy && vl_clone_read(c, task, copy, size) &&
	     vl_clone_write(c, c->task_va, copy, size);
	free(copy);
	/* Pending signals or need_resched would end calls early. */
	return ok && vl_clone_write(c, current, &c->task_va, sizeof(c->task_va)) &&
	       vl_clone_write(c, preempt, &enabled, sizeof(enabled)) &&
	       vl_clone_write(c, c->task_va + (uint64_t)l->offset[VL_F_THREAD_INFO_FLAGS],
			      &no_flags, sizeof(no_flags));
}

struct vl_error *vl_clone_become(struct vl_clone *c, pid_t as, uint64_t *task)
{
	const struct vl_layout *l = vl_kernel_layout(c->attach->kernel);
	uint64_t init = vl_symbol(c->attach->kernel, "init_task");
	pid_t pid = as ? as : 1;

	/* With many tasks the walk is long: try the address of the last time first. */
	if (init && (!*task || !is_task(c, l, *task, pid)))
		*task = find_task(c, l, init, pid);
	if ((!init || !*task) && as)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "the guest has no process %d", as),
				     "see 'vps GUEST -e' for those it has");
	if (!init || !*task || !copy_task(c, *task))
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL, "cannot find the guest's init process"), "%s",
			vl_target_wait_hint(c->attach->target));
	return NULL;
}

struct vl_error *vl_clone_join_network(struct vl_clone *c, pid_t netns)
{
	const struct vl_layout *l = vl_kernel_layout(c->attach->kernel);
	const uint64_t init = vl_symbol(c->attach->kernel, "init_task");
	/* Behind the task, in pages of our own. */
	const uint64_t ours = c->task_va + c->task_room - NSPROXY_ROOM;
	unsigned char proxy[NSPROXY_ROOM];
	uint64_t task, from, at, net;

	if (!init || !vl_has(l, VL_F_TASK_NSPROXY) || !vl_has(l, VL_F_NSPROXY_NET) ||
	    (size_t)l->offset[VL_F_NSPROXY_NET] + sizeof(net) > sizeof(proxy))
		return vl_error_new(VL_ERR_KERNEL, "the guest's kernel does not show where a "
						   "process has its network namespace");
	task = find_task(c, l, init, netns);
	if (!task)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "the guest has no process %d", netns),
				     "see 'vps GUEST -e' for those it has");
	/* A process that ends has none any more. */
	if (!vl_clone_read64(c, task + (uint64_t)l->offset[VL_F_TASK_NSPROXY], &from) || !from ||
	    !vl_clone_read64(c, from + (uint64_t)l->offset[VL_F_NSPROXY_NET], &net) || !net ||
	    !vl_clone_read64(c, c->task_va + (uint64_t)l->offset[VL_F_TASK_NSPROXY], &at) || !at ||
	    !vl_clone_read(c, at, proxy, sizeof(proxy)))
		return vl_error_new(VL_ERR_KERNEL,
				    "process %d of the guest has no network "
				    "namespace",
				    netns);
	memcpy(proxy + l->offset[VL_F_NSPROXY_NET], &net, sizeof(net));
	if (!vl_clone_write(c, ours, proxy, sizeof(proxy)) ||
	    !vl_clone_write(c, c->task_va + (uint64_t)l->offset[VL_F_TASK_NSPROXY], &ours,
			    sizeof(ours)) ||
	    !vl_clone_write(c, c->task + (uint64_t)l->offset[VL_F_TASK_NSPROXY], &ours,
			    sizeof(ours)))
		return vl_error_new(VL_ERR_KERNEL, "the guest's kernel has no memory for its task");
	return NULL;
}

/* PID_MAX_LIMIT, include/linux/threads.h */
#define PID_LIMIT (4L << 20)

struct vl_error *vl_clone_ask_self(struct vl_clone *c, struct vl_identity *ret)
{
	static const char *const names[] = { "getpid", "gettid",  "getppid", "getpgid", "getsid",
					     "getuid", "geteuid", "getgid",  "getegid" };
	const struct vl_arg nought = VL_ARG_INT(0);
	int64_t v[ARRAY_SIZE(names)] = { 0 };
	struct vl_error *err = NULL;

	for (size_t i = 0; !err && i < ARRAY_SIZE(names); i++)
		err = vl_clone_syscall(c, names[i], &nought, i == 3 || i == 4, &v[i]);
	/* Pids of the guest lie below those of the program's own processes (redirect/ids.c). */
	for (size_t i = 0; !err && i < ARRAY_SIZE(names); i++)
		if (v[i] < 0 || v[i] >= (i < 5 ? PID_LIMIT : 1L << 32))
			err = vl_error_new(VL_ERR_KERNEL, "the guest's kernel does not answer %s",
					   names[i]);
	*ret = (struct vl_identity){ (pid_t)v[0], (pid_t)v[1], (pid_t)v[2],
				     (pid_t)v[3], (pid_t)v[4], (uid_t)v[5],
				     (uid_t)v[6], (gid_t)v[7], (gid_t)v[8] };
	return err;
}

struct vl_error *vl_clone_own_files(struct vl_clone *c)
{
	const struct vl_layout *l = vl_kernel_layout(c->attach->kernel);
	uint64_t files, at;
	uint32_t count;
	int64_t ret;

	if (!vl_has(l, VL_F_TASK_FILES) || !vl_has(l, VL_F_FILES_COUNT) ||
	    !vl_clone_read64(c, c->task_va + (uint64_t)l->offset[VL_F_TASK_FILES], &files))
		return NULL;
	at = files + (uint64_t)l->offset[VL_F_FILES_COUNT];
	if (!vl_clone_read(c, at, &count, sizeof(count)))
		return NULL;
	/* Our copy of the task is one more user of the table, so unshare() copies it. */
	count++;
	if (!vl_clone_write(c, at, &count, sizeof(count)))
		return NULL;
	return vl_clone_syscall(c, "unshare", (struct vl_arg[]){ VL_ARG_INT(CLONE_FILES) }, 1,
				&ret);
}
