/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How vl_top_sample() reads: totals, processes, and the limits of figures. */
#ifndef VLENS_VIEW_SAMPLE_H
#define VLENS_VIEW_SAMPLE_H

#include "collect.h"
#include "groups.h"
#include "scan.h"
#include "top.h"

/* CPUs and memory of a guest as a whole, for vl_top_sample(). */

/* Limit of CPUs: NR_CPUS of the largest configuration. */
#define VL_MAX_CPUS 8192

/* Addresses and sizes, found once, as they do not change. */
struct vl_totals {
	struct vl_raw_guest *g;
	uint64_t *offsets; /* __per_cpu_offset of each CPU */
	unsigned *online;  /* the numbers of those that are online */
	size_t nr_possible, nr_online;
	uint64_t wmark_low; /* pages, all zones */
	bool lacks_marks;   /* some of these could not be read */
	bool failed;	    /* something could not be read; set by each read, reset by its user */
};

struct vl_error *vl_totals_init(struct vl_totals *t, struct vl_raw_guest *g);
void vl_totals_deinit(struct vl_totals *t);

/*
 * Fill all of @ret but the processes. A figure that cannot be read stays unknown; one beyond
 * its limits (plausible.c) is made unknown, and is the error.
 */
struct vl_error *vl_totals_sample(struct vl_totals *t, const struct vl_top_sample *last,
				  struct vl_top_sample *ret);

/*
 * Fill @ret (zeroed) without processes: CPUs, memory, load, names. Pass it to
 * vl_top_sample_deinit() in any case.
 */
struct vl_error *vl_totals_once(struct vl_raw_guest *g, struct vl_top_sample *ret);

/* Fields of a process outside of its task_struct, for vl_top_sample(). */

/* The kinds of pages that are counted, include/linux/mm_types_task.h. */
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };

/* Bytes of a struct percpu_counter: 40, more with lock debugging. */
#define COUNTER_MAX 128

/* A task as the walk reads it: its task_struct only. */
struct task_record {
	uint64_t task, start, mm, signal, cred, parent, sum_exec, groups;
	uint64_t state_long; /* before "sched: Change task_struct::state" (5.14) */
	int32_t pid, prio, static_prio;
	uint32_t state, exit_state, flags;
	char comm[16];
	uint32_t lacks; /* fields that could not be read, see vl_fields_note_lacks() */
};

/*
 * Fields behind its pointers, read only of a process that may have changed: where the guest's
 * memory cannot be mapped each page costs time.
 */
struct linked {
	uint64_t sum_sched, pgd, total_vm, arg_start, arg_end;
	int32_t ppid, threads;
	uint32_t uid, euid;
	/* Pages: plain counts, or an array of struct percpu_counter. */
	int64_t rss[NR_MM_COUNTERS];
	unsigned char counters[NR_MM_COUNTERS * COUNTER_MAX];
	uint32_t lacks; /* as vl_top_task.lacks */
};

struct vl_top {
	struct vl_raw_guest *g;
	const struct vl_layout *layout;
	struct vl_totals totals;
	uint64_t init;	       /* init_task */
	uint32_t counter_size; /* of struct percpu_counter; 0: pages are plain counts */
	struct vl_fields fields;
	/* Hash by address of the last sample's tasks: an index + 1. */
	uint32_t *slots;
	size_t nr_slots;
	unsigned round;
	struct vl_groups groups; /* of the sample that is taken */
	/* Scratch for the counts of each CPU. */
	struct vl_get *gets;
	int32_t (*parts)[NR_MM_COUNTERS];
};

/*
 * Items that vl_top_get_linked() adds at most. It appends the reads for @r's process to @gets, and
 * updates *@nr.
 */
#define FAR_GETS 10
void vl_top_get_linked(const struct vl_top *t, const struct task_record *r, struct linked *f,
		       struct vl_get *gets, size_t *nr);

/* Note in each `lacks` what could not be read of the @nr @gets, which are for the @f of @of. */
void vl_top_note_lacks(struct linked *f, size_t of, const struct vl_get *gets, size_t nr);

/* What of a struct vl_top_task its `lacks` names, for vl_table_record(). */
struct vl_fields vl_top_task_fields(void);

/* CPU time of all threads of @r's process, in ns; walks the list of threads. */
uint64_t vl_top_cpu_time(const struct vl_top *t, const struct task_record *r,
			 const struct linked *f);

/* Set the memory of @p from @f, which was read. */
void vl_top_memory(struct vl_top *t, struct vl_top_task *p, const struct linked *f);

/*
 * Append the command line of @p to @ret->text: as in /proc/PID/cmdline, with blanks for the
 * NULs; or that of @was, which is in @last.
 */
void vl_top_command(struct vl_top *t, const struct linked *f, struct vl_top_task *p,
		    struct vl_top_sample *ret);
void vl_top_copy_command(const struct vl_top_sample *last, const struct vl_top_task *was,
			 struct vl_top_task *p, struct vl_top_sample *ret);

/* Set the container and the unit of all processes of @ret; without memory those of some. */
void vl_top_containers(struct vl_top *t, struct vl_top_sample *ret);
/* Make room for @len bytes behind @s->text_len. False: out of memory. */
bool vl_top_room(struct vl_top_sample *s, size_t len);

/*
 * Limits of figures. A figure that was read raw is shown only if a running kernel could have it:
 * stale memory, or memory that a guest has forged, gives uptimes of centuries and swap of
 * petabytes. The limits are a table by the names of columns, so that one limit holds in every view
 * that shows the figure: see vl_plausible_table() in scan.h.
 */

/*
 * For a sample of vtop: make a total beyond its limits unknown, and take out a process with
 * such a figure.
 */
struct vl_error *vl_plausible_totals(struct vl_target *target, struct vl_top_sample *sample);
struct vl_error *vl_plausible_tasks(struct vl_target *target, struct vl_top_sample *sample);

#endif
