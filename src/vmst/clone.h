/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clone: one vCPU of the guest, made again over a private snapshot of its
 * memory, that runs functions of the guest's kernel. It is alone there: no
 * other CPU runs, no interrupt comes, no lock's holder will ever return it.
 * What the kernel would wait for is granted (patch.c) or ends the call.
 */
#ifndef VLENS_CLONE_H
#define VLENS_CLONE_H

#include <sys/types.h>

#include "../kernel/kernel.h"
#include "../attach/attach.h"
#include "../syscall/sys.h"
#include "executors.h"

/* The window that holds user buffers of one call: a read is at most half of it. */
#define VL_USER_WINDOW (2UL << 20)

#define VL_MAX_DEAD 8

/*
 * How long one call may run. The longest seen, first reads of big files, take
 * 30 ms; what takes much more waits for something that will not happen. As a
 * slow host can be the reason, too, a call that was cut off may run longer when
 * it is tried again, up to half of what the guard of a paused guest allows.
 */
#define VL_BUDGET_NS 120000000UL
#define VL_BUDGET_MAX_NS 480000000UL
/* Of a dump nobody waits, and what fails is not tried again by all. */
#define VL_BUDGET_DUMP_NS 1500000000UL

struct vl_clone {
	const struct vl_attach *attach;
	const struct vl_executor_ops *ops;
	struct vl_executor_state *executor;
	char why[VL_EXECUTOR_WHY]; /* it does not run on KVM */
	bool unfit;		   /* it was the executor that could not go on, in the last call */
	struct vl_vcpu_state state;
	struct vl_snapshot *snapshot;
	struct vl_vcpu_region own;
	struct vl_pgtable pt; /* ours: the guest's kernel half, our user half */
	uint64_t root;	      /* the guest's top-level table */
	uint64_t percpu;      /* per-CPU base of the CPU it stands in for */
	uint64_t task;	      /* the identity: a task_struct of the guest */
	uint64_t task_va;     /* where our copy of it goes, which is `current` */
	size_t task_room;
	uint64_t hlt_va, stack_top, user_va;
	uint64_t clocks_va; /* values that the clocks answer: see time.c */
	size_t user_used;
	size_t user_dirty;   /* behind it the window is zeros */
	uint64_t slot_entry; /* what maps our pages: entry @slot of the top table */
	unsigned slot;

	uint64_t trap_schedule, traps_dead[VL_MAX_DEAD]; /* addresses of int3 */
	size_t nr_dead;

	/* int3 in place of reading the TSC, and what it reads. */
	struct vl_tsc_trap {
		uint64_t va;
		unsigned len;
	} tsc_traps[VL_MAX_TSC_SITES];
	size_t nr_tsc_traps;
	uint64_t tsc;
	uint64_t clock_fn; /* the clocksource's function that was changed */

	bool live;	 /* the guest runs: its clock is read from it */
	int64_t time_ns; /* when the clocks were set, in the host's CLOCK_MONOTONIC */

	uint64_t budget_ns; /* of one call */
	uint64_t nr_calls;

	/* A bit for each page of the top 2 GiB: code outside of the kernel's image has run there. */
	uint64_t ran[(2UL << 30) / VL_PAGE_SIZE / 64];
};

/* What a clone is to be. */
struct vl_clone_start {
	struct vl_attach *attach;
	struct vl_snapshot *snapshot;
	enum vl_executor executor;
	unsigned cpu;	    /* that it stands in for */
	pid_t as;	    /* make calls under this task; 0: PID 1 */
	uint64_t budget_ns; /* of one call */
	bool live;	    /* the guest runs: its clock is read from it */
};

/* File systems that programs know a machine by: mounts.c. */
#define VL_NR_MOUNTS 2

/* What clones of one kernel have found out, so that the next need not; all 0 at first. */
struct vl_clone_memo {
	bool know_self;
	struct vl_identity self;
	uint64_t task;				  /* where it was found */
	bool know_mounts, no_mount[VL_NR_MOUNTS]; /* what the identity does not see */
	bool no_executor;			  /* no executor could be made, the last time */
};

/*
 * Make *@c answer calls in the snapshot as it is now: a new clone if it is NULL, else the same
 * one, whose executor, patches and translated code stay. With an error it answers none; what
 * was made is the caller's all the same.
 */
struct vl_error *vl_clone_make(const struct vl_clone_start *start, struct vl_clone_memo *memo,
			       struct vl_clone **c);
void vl_clone_destroy(struct vl_clone *c);

/* What its executors did, all together. */
void vl_clone_count(const struct vl_clone *c, struct vl_vcpu_count *ret);

/* Guest-virtual memory as the clone sees it. False when not mapped. */
bool vl_clone_read(struct vl_clone *c, uint64_t va, void *buf, size_t len);
bool vl_clone_write(struct vl_clone *c, uint64_t va, const void *buf, size_t len);
/*
 * Have @code, VL_CODE_MAX bytes at most, run where the guest's kernel has other at @va. An executor
 * that translates has it beside the kernel's text, else it is written into the clone's copy.
 */
bool vl_clone_replace(struct vl_clone *c, uint64_t va, const void *code, size_t len);
bool vl_clone_read64(struct vl_clone *c, uint64_t va, uint64_t *ret);

/* --- mounts.c --- */

/*
 * Let the identity see /proc and /sys, where it does not. @known: @missing says which are
 * missing, from before; else it is found out. With an error the next call does without.
 */
struct vl_error *vl_clone_mount(struct vl_clone *c, bool known, bool missing[VL_NR_MOUNTS]);

/* --- call.c --- */

/* A system call by its handler (__x64_sys_NAME), see struct vl_sys_ops. */
struct vl_error *vl_clone_syscall(struct vl_clone *c, const char *name, const struct vl_arg *args,
				  size_t nr, int64_t *ret);

/* Room in the user window until vl_clone_user_reset(): its address, or 0. */
uint64_t vl_clone_user_push(struct vl_clone *c, const void *buf, size_t len);
void vl_clone_user_pull(struct vl_clone *c, uint64_t va, void *buf, size_t len);
void vl_clone_user_reset(struct vl_clone *c);

/* --- patch.c --- */

/*
 * Replace what is not safe to run alone: locks are granted, other CPUs not called, sleeping is
 * trapped. After vl_clone_become().
 */
void vl_clone_patch(struct vl_clone *c);

/* Make the function at @va return the 8 bytes at address @from. */
bool vl_clone_return_from(struct vl_clone *c, uint64_t va, uint64_t from);

/* --- time.c --- */

/*
 * Stop the clone's clocks at the guest's present: the clocksource that is in
 * use and the scheduler's clock. Keeps the guest's relation to the host's time
 * in @contact, for when no tick of the guest is near.
 */
void vl_clone_set_time(struct vl_clone *c, struct vl_attach *attach);

/* Touch in the snapshot what that reads where the guest does not run. */
void vl_clone_touch_time(struct vl_clone *c);

/* --- identity.c --- */

/*
 * Make calls under the task with pid @as (0: 1), or rather under a copy of it: what the kernel
 * does to `current`, or does not tell of it, then does not show in the task. *@task is where
 * that was the last time, 0: not known.
 */
struct vl_error *vl_clone_become(struct vl_clone *c, pid_t as, uint64_t *task);

/* Ask who calls are made as. */
struct vl_error *vl_clone_ask_self(struct vl_clone *c, struct vl_identity *ret);

/*
 * Give the identity a table of open files of its own: what is opened in the
 * clone then does not show among the task's files (/proc/PID/fd).
 */
struct vl_error *vl_clone_own_files(struct vl_clone *c);

#endif
