/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose calls the clone makes: a task of the guest that is not running. */
#include "clone.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* A guest has no more tasks than this (PID_MAX_LIMIT); a list that goes on is broken. */
#define MAX_TASKS (4u << 20)

uint64_t vl_clone_find_task(struct vl_clone *c, const struct vl_layout *l, uint64_t init_task,
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

bool vl_clone_is_task(struct vl_clone *c, const struct vl_layout *l, uint64_t task, pid_t pid)
{
	uint64_t at = task + (uint64_t)l->offset[VL_F_TASK_TASKS], next, back;
	int32_t tgid;

	/* One that has ended keeps its link forward (list_del_rcu), not the one to itself. */
	return vl_clone_read(c, task + (uint64_t)l->offset[VL_F_TASK_TGID], &tgid, 4) &&
	       tgid == pid && vl_clone_read64(c, at, &next) &&
	       vl_clone_read64(c, next + 8, &back) && back == at;
}

/* Per-CPU places: a symbol of its own, or a field of struct pcpu_hot. */
static uint64_t percpu_field(const struct vl_clone *c, const char *symbol, enum vl_field hot)
{
	const struct vl_kernel *k = c->contact->kernel;
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

bool vl_clone_become(struct vl_clone *c, uint64_t task)
{
	const struct vl_layout *l = vl_kernel_layout(c->contact->kernel);
	uint64_t current = percpu_field(c, "current_task", VL_F_HOT_TASK);
	uint64_t preempt = percpu_field(c, "__preempt_count", VL_F_HOT_PREEMPT);
	const uint32_t enabled = PREEMPT_ENABLED;
	const uint64_t no_flags = 0;

	unsigned char *copy;
	bool ok;

	if (!current || !preempt || !vl_has(l, VL_F_THREAD_INFO_FLAGS) ||
	    l->offset[VL_F_SIZE_TASK] <= 0 || (size_t)l->offset[VL_F_SIZE_TASK] > c->task_room)
		return false;
	c->task = task;
	copy = malloc((size_t)l->offset[VL_F_SIZE_TASK]);
	ok = copy && vl_clone_read(c, task, copy, (size_t)l->offset[VL_F_SIZE_TASK]) &&
	     vl_clone_write(c, c->task_va, copy, (size_t)l->offset[VL_F_SIZE_TASK]);
	free(copy);
	/* Pending signals or a wish to be scheduled would end calls early. */
	return ok && vl_clone_write(c, current, &c->task_va, sizeof(c->task_va)) &&
	       vl_clone_write(c, preempt, &enabled, sizeof(enabled)) &&
	       vl_clone_write(c, c->task_va + (uint64_t)l->offset[VL_F_THREAD_INFO_FLAGS],
			      &no_flags, sizeof(no_flags));
}

struct vl_error *vl_clone_own_files(struct vl_clone *c)
{
	const struct vl_layout *l = vl_kernel_layout(c->contact->kernel);
	uint64_t files, at;
	uint32_t count;
	int64_t ret;

	if (!vl_has(l, VL_F_TASK_FILES) || !vl_has(l, VL_F_FILES_COUNT) ||
	    !vl_clone_read64(c, c->task_va + (uint64_t)l->offset[VL_F_TASK_FILES], &files))
		return NULL;
	at = files + (uint64_t)l->offset[VL_F_FILES_COUNT];
	if (!vl_clone_read(c, at, &count, sizeof(count)))
		return NULL;
	/* Our copy of the task is one more user, which makes unshare() copy. */
	count++;
	if (!vl_clone_write(c, at, &count, sizeof(count)))
		return NULL;
	return vl_clone_syscall(c, "unshare", (struct vl_arg[]){ VL_ARG_INT(CLONE_FILES) }, 1,
				&ret);
}
