/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples of a guest's load, read raw again and again: its processes with their CPU time and
 * memory, its CPUs, its memory. Its kernel is not asked and the guest is not paused. A rate
 * needs two samples.
 */
#ifndef VLENS_TOP_H
#define VLENS_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scan.h"

struct vl_users;

#define VL_TOP_UNKNOWN (-1) /* of rates in tenths: there is no earlier sample */

/* A process. */
struct vl_top_task {
	uint64_t task;	       /* address of its task_struct; with `start` its identity */
	uint64_t start;	       /* when it started, ns of the guest's boot-time clock */
	uint64_t mm;	       /* address of its mm_struct; 0: it has none */
	uint64_t cred, parent; /* addresses of its credentials and its parent */
	uint64_t groups;       /* address of its css_set: its control groups */
	uint64_t leader_ns;    /* CPU time of its first thread */
	int32_t pid, ppid, threads;
	int32_t priority, nice; /* as in top(1): 20 and 0 for most */
	uint32_t uid, euid;
	char state;  /* a letter of ps(1) */
	bool kernel; /* a thread of the kernel */
	bool cut;    /* its command line is longer than what `text` has of it */
	char comm[16];
	uint64_t virt, res, shr; /* bytes */
	uint64_t cpu_ns;	 /* CPU time of all its threads */
	int32_t cpu;		 /* tenths of a percent of one CPU; VL_TOP_UNKNOWN */
	int32_t mem;		 /* tenths of a percent of the guest's memory */
	uint32_t text, text_len; /* its command line in vl_top_sample.text; length 0: none */
	/* Likewise its container, as "docker/3f2a01234567", and its unit of systemd. */
	uint32_t box, box_len, unit, unit_len;
	uint32_t lacks; /* bits (1 << VL_TOP_LACKS_...) of what could not be read: it is 0 above */
};

enum vl_top_lacks {
	VL_TOP_LACKS_PPID,
	VL_TOP_LACKS_THREADS,
	VL_TOP_LACKS_UID, /* also its effective one */
	VL_TOP_LACKS_STATE,
	VL_TOP_LACKS_START,
	VL_TOP_LACKS_PRIORITY,
	VL_TOP_LACKS_NICE,
	VL_TOP_LACKS_KERNEL,
	VL_TOP_LACKS_COMM,
	VL_TOP_LACKS_CPU,
	VL_TOP_LACKS_VIRT,
	VL_TOP_LACKS_RES, /* also what is shared */
	VL_TOP_LACKS_MM,
	VL_TOP_LACKS_GROUPS, /* its container and unit */
	VL_TOP_NR_LACKS,
};

/* Uses of a CPU since the last sample, in tenths of a percent; VL_TOP_UNKNOWN. */
enum vl_top_use { VL_USE_USER, VL_USE_NICE, VL_USE_SYSTEM, VL_USE_IRQ, VL_USE_STEAL, VL_NR_USES };

struct vl_top_cpu {
	unsigned number;
	uint64_t ns[VL_NR_USES]; /* since its boot */
	uint64_t slept,
		waited; /* idle time since its boot, in ns: that of sleeps, and that of ticks */
	bool idles;	/* it is idle now, or it is not known if it is */
	int32_t use[VL_NR_USES], busy;
	/*
	 * Time in which the guest's clock did not tick, as the host did not run the CPU, or too
	 * slowly. The uses are shares of the rest. Of a CPU that was idle in between
	 * it is unknown.
	 */
	int32_t lost;
};

struct vl_top_sample {
	uint64_t at_ns;		    /* when it was taken, the host's CLOCK_MONOTONIC */
	uint64_t cost_ns;	    /* duration of taking it */
	uint64_t uptime;	    /* ns; 0: not known */
	char release[65], node[65]; /* kernel release and host name; the guest's bytes */
	struct vl_top_cpu *cpus;    /* those that are online */
	size_t nr_cpus;
	int32_t busy, lost; /* all CPUs, tenths of a percent; VL_TOP_UNKNOWN */
	/* Bytes; `total` 0: not known. */
	struct {
		uint64_t total, free, available, cache, shared;
	} mem;
	struct {
		uint64_t total, free;
	} swap;
	uint32_t load[3]; /* hundredths */
	struct vl_top_task *tasks;
	size_t nr_tasks, nr_threads, nr_kernel, nr_running;
	char *text;
	size_t text_len, text_cap;
	uint64_t requests; /* of the reader, so far */
	/* What could not be read, and is 0 above. */
	bool no_load, no_swap, no_available;
	bool no_counts; /* of the processes: the list, or what is counted of one */
	/* Names of the users, set by the reader of the sample; NULL: show numbers. Not owned. */
	const struct vl_users *users;
};

struct vl_top;

/*
 * Prepare to take samples of @s, which must outlive it and have a reader. VL_ERR_KERNEL: the
 * types of its kernel lack a necessary field.
 */
struct vl_error *vl_top_open(struct vl_raw_guest *g, struct vl_top **ret);
void vl_top_close(struct vl_top *t);

/*
 * Take a sample into @ret (zeroed, or an earlier one, whose memory is used again). Rates are
 * since @last; NULL: they are unknown. On an error @ret has what could be read.
 */
struct vl_error *vl_top_sample(struct vl_top *t, const struct vl_top_sample *last,
			       struct vl_top_sample *ret);
void vl_top_sample_deinit(struct vl_top_sample *sample);

/* The columns of a process; and process @i of @sample as a row of @t, which has these columns. */
enum {
	VL_TOP_PID,
	VL_TOP_USER,
	VL_TOP_PRI,
	VL_TOP_NI,
	VL_TOP_VIRT,
	VL_TOP_RES,
	VL_TOP_SHR,
	VL_TOP_S,
	VL_TOP_CPU,
	VL_TOP_MEM,
	VL_TOP_TIME,
	VL_TOP_COMMAND,
	VL_TOP_PPID,
	VL_TOP_UID,
	VL_TOP_EUID,
	VL_TOP_THREADS,
	VL_TOP_START,
	VL_TOP_COMM,
	VL_TOP_KTHREAD,
	VL_TOP_TASK,
	VL_TOP_CONTAINER,
	VL_TOP_UNIT,
};
extern const struct vl_column vl_top_columns[];
void vl_top_row(const struct vl_top_sample *sample, size_t i, struct vl_table *t);
/* Could the value of @p in @column not be read? */
bool vl_top_lacks(const struct vl_top_task *p, int column);

/* The name of user @uid of @sample, or NULL. */
const char *vl_top_user(const struct vl_top_sample *sample, uint32_t uid);
/* Set *@uid_ret to the id of the user of @sample who is called @name. False: there is none. */
bool vl_top_uid(const struct vl_top_sample *sample, const char *name, uint32_t *uid_ret);

/* Order of two processes by their containers; those in none are the last. */
int vl_top_compare_containers(const struct vl_top_sample *sample, const struct vl_top_task *a,
			      const struct vl_top_task *b);
/* Order of two processes by column @column: less than, equal to, greater than 0. */
int vl_top_compare(const struct vl_top_sample *sample, const struct vl_top_task *a,
		   const struct vl_top_task *b, int column);

#endif
