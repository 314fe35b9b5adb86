/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process has outside of its task_struct, for vl_top_sample(). */
#ifndef VLENS_TOPFAR_H
#define VLENS_TOPFAR_H

#include "collect.h"
#include "top.h"
#include "totals.h"

/* The kinds of pages that are counted, include/linux/mm_types_task.h. */
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };

/* Of struct percpu_counter, 40 bytes; more with lock debugging. */
#define COUNTER_MAX 128

/* What the walk brings of a task: out of its task_struct only. */
struct record {
	uint64_t task, start, mm, signal, cred, parent, sum_exec;
	uint64_t state_long; /* before "sched: Change task_struct::state" (5.14) */
	int32_t pid, prio, static_prio;
	uint32_t state, exit_state, flags;
	char comm[16];
};

/*
 * What that points to, which is elsewhere in memory: read only of a process that may have
 * changed. Where the guest's memory cannot be mapped each page costs.
 */
struct far {
	uint64_t sum_sched, pgd, total_vm, arg_start, arg_end;
	int32_t ppid, threads;
	uint32_t uid, euid;
	/* Pages: as they are, or in each a struct percpu_counter. */
	int64_t rss[NR_MM_COUNTERS];
	unsigned char counters[NR_MM_COUNTERS * COUNTER_MAX];
};

struct vl_top {
	struct vl_subject *s;
	const struct vl_layout *layout;
	struct vl_totals totals;
	uint64_t init;	       /* init_task */
	uint32_t counter_size; /* of struct percpu_counter; 0: pages are plain counts */
	struct vl_fields fields;
	/* Which task of the last sample is at an address: an index + 1. */
	uint32_t *slots;
	size_t nr_slots;
	unsigned round;
	/* For the gathering of what each CPU counted by itself. */
	struct vl_get *gets;
	int32_t (*parts)[NR_MM_COUNTERS];
};

/* Items of vl_top_get_far(), which adds to @*nr of @gets what is read of @r's process. */
#define FAR_GETS 10
void vl_top_get_far(const struct vl_top *t, const struct record *r, struct far *f,
		    struct vl_get *gets, size_t *nr);

/* Set what memory @p has; @f was read. */
void vl_top_memory(struct vl_top *t, struct vl_top_task *p, const struct far *f);

/*
 * Read the arguments as /proc/PID/cmdline has them, with blanks for the NULs between; or
 * take those of @was, which was in @last. Into @ret->text.
 */
void vl_top_command(struct vl_top *t, const struct far *f, struct vl_top_task *p,
		    struct vl_top_sample *ret);
void vl_top_copy_command(const struct vl_top_sample *last, const struct vl_top_task *was,
			 struct vl_top_task *p, struct vl_top_sample *ret);

#endif
