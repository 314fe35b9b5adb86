/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tasks that are found without the lists from which a rootkit unlinks them: where the scheduler
 * and the allocator have them. They run only as long as these places know them.
 */
#ifndef VLENS_LIVETASKS_H
#define VLENS_LIVETASKS_H

#include "collect.h"

/* A task that the scheduler can run: its stack holds its saved registers, and it has not ended. */
struct vl_live_task {
	uint64_t at; /* its task_struct */
	int32_t pid, tgid;
	bool first; /* it is its process's first thread, or it claims one of another process */
	char comm[16];
};

struct vl_live_tasks {
	struct vl_live_task *v; /* in ascending order of `at`, each once */
	size_t nr, cap;
	bool full; /* memory ran out */
};

void vl_live_tasks_deinit(struct vl_live_tasks *t);

/*
 * Add the tasks of the pages from which the kernel allocates task_structs (SLUB). VL_ERR_KERNEL:
 * the kernel's types lack a field of these, or they make no sense.
 */
struct vl_error *vl_live_tasks_in_slab(struct vl_raw_guest *g, struct vl_live_tasks *ret);
/* Add the tasks that run, and those that wait for a CPU: those of each CPU's run queue. */
struct vl_error *vl_live_tasks_on_cpus(struct vl_raw_guest *g, struct vl_live_tasks *ret);
/* Add the children of the processes in the list of tasks, and theirs. */
struct vl_error *vl_live_tasks_of_parents(struct vl_raw_guest *g, struct vl_live_tasks *ret);

#endif
