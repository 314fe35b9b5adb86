/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clone: a copy of one vCPU of the guest over a private snapshot of its memory. It runs
 * functions of the guest's kernel. It is alone: no other CPU runs, no interrupt comes, and no other
 * holder ever releases a lock. If the kernel would wait, the clone grants the lock (patch.c) or
 * ends the call.
 */
#ifndef VLENS_CLONE_H
#define VLENS_CLONE_H

#include <sys/types.h>

#include "../kernel/kernel.h"
#include "../attach/attach.h"
#include "../syscall/sys.h"
#include "executors.h"

/* Bytes of the window for the user buffers of one call. A read is at most half of it. */
#define VL_USER_WINDOW (2UL << 20)

#define VL_MAX_DEAD 8

/*
 * How long one call may run. The longest seen, first reads of big files, take 30 ms; a call
 * that takes much longer waits for an event that does not come. A slow host can be the reason,
 * too, so a retry gets a larger budget, up to half of what the guard of a paused guest allows.
 */
#define VL_BUDGET_NS 120000000UL
#define VL_BUDGET_MAX_NS 480000000UL
/*
 * A dump has no deadline: nothing is paused. A call that was cut off is not tried again there. The
 * next calls get VL_BUDGET_MAX_NS: the memory makes no sense, or the host is very slow.
 */
#define VL_BUDGET_DUMP_NS 1500000000UL

struct vl_trust;

/* Verifies code outside of a trusted kernel's text: of modules. */
struct vl_clone_verifier {
	/* Fill @page with the verified code of the page at @va. False: it is not verified. */
	bool (*page)(void *ctx, uint64_t va, unsigned char *page);
	/* Is @va the start of a verified function there? */
	bool (*is_entry)(void *ctx, uint64_t va);
	/* The trusted module whose text has @va; NULL: none. */
	const struct vl_trust *(*module)(void *ctx, uint64_t va);
	/* The BPF program that has @va, by name: hostile. False: there is none. */
	bool (*program)(void *ctx, uint64_t va, char *buf, size_t size);
};

/* Pages of verified code outside of the kernel's text that a clone can have. */
#define VL_CLONE_VERIFIED 256

struct vl_clone {
	const struct vl_attach *attach;
	const struct vl_executor_ops *ops;
	struct vl_executor_state *executor;
	char why[VL_EXECUTOR_WHY]; /* why it does not run on KVM */
	bool unfit;		   /* the last call ended because the executor could not go on */
	bool endless;		   /* it ended because its budget was used up */
	struct vl_vcpu_state state;
	struct vl_snapshot *snapshot;
	struct vl_vcpu_region own;
	struct vl_pgtable pt; /* ours: the guest's kernel half, our user half */
	uint64_t root;	      /* the guest's top-level table */
	uint64_t percpu;      /* per-CPU base of the CPU it stands in for; 0: it is the only one */
	uint64_t task;	      /* the identity: a task_struct of the guest */
	uint64_t task_va;     /* address of our copy of it, which is `current` */
	size_t task_room;
	uint64_t hlt_va, stack_top, user_va;
	uint64_t clocks_va; /* page with the values of the clocks: time.c */
	size_t user_used;
	size_t user_dirty;   /* from here on the window is zeros */
	uint64_t slot_entry; /* maps our pages: entry @slot of the top-level table */
	unsigned slot;
	size_t trusted_at; /* offset in @own of the tables of trusted.c, one page each */
	unsigned nr_trusted, used_trusted;
	const struct vl_clone_verifier *verifier; /* NULL: nothing there is verified */
	void *verifier_ctx;
	size_t verified_at;		      /* offset in @own of the pages that are verified */
	uint64_t verified[VL_CLONE_VERIFIED]; /* their addresses */
	size_t nr_verified;
	bool unverified; /* code outside of the trusted text may run */

	uint64_t int3_schedule, int3_dead[VL_MAX_DEAD]; /* addresses of an int3 */
	size_t nr_dead;

	/* int3 in place of the instructions that read the TSC; @tsc is what they return. */
	struct vl_tsc_site {
		uint64_t va;
		unsigned len;
	} tsc_sites[VL_MAX_TSC_SITES];
	size_t nr_tsc_sites;
	uint64_t tsc;
	uint64_t clock_fn; /* the clocksource's read function, which is replaced */

	bool live;	 /* the guest runs: its clock is read past the snapshot */
	int64_t time_ns; /* when the clocks were set, in the host's CLOCK_MONOTONIC */

	uint64_t budget_ns; /* of one call */
	uint64_t nr_calls;

	/*
	 * A bit for each page of the top 2 GiB: set when code outside of the kernel's image ran
	 * there.
	 */
	uint64_t ran[(2UL << 30) / VL_PAGE_SIZE / 64];
};

/* How to make a clone. */
struct vl_clone_start {
	struct vl_attach *attach;
	struct vl_snapshot *snapshot;
	enum vl_executor executor;
	unsigned cpu;	    /* the CPU that it stands in for */
	pid_t as;	    /* make calls under this task; 0: PID 1 */
	pid_t netns;	    /* in the network namespace of this one; 0: in its own */
	uint64_t budget_ns; /* of one call */
	bool live;	    /* the guest runs: its clock is read past the snapshot */
	const void *kept;   /* translations of an earlier process; NULL: none */
	size_t kept_size;
	bool unverified; /* of a trusted kernel: code outside of its text may run, too */
	const struct vl_clone_verifier *verifier; /* of a trusted kernel; or NULL */
	void *verifier_ctx;
};

/* /proc and /sys: mounts.c. */
#define VL_NR_MOUNTS 2

/* Findings of earlier clones of the same kernel; all 0 at first. */
struct vl_clone_memo {
	bool know_self;
	struct vl_identity self;
	uint64_t task;				  /* the identity's task_struct, the last time */
	bool know_mounts, no_mount[VL_NR_MOUNTS]; /* those that the identity does not see */
	bool no_executor;			  /* no executor could be made, the last time */
};

/*
 * Make *@c answer calls over the snapshot as it is now. NULL becomes a new clone; an old one
 * keeps its executor, patches and translated code. After an error *@c answers no calls, and the
 * caller still owns it.
 */
struct vl_error *vl_clone_make(const struct vl_clone_start *start, struct vl_clone_memo *memo,
			       struct vl_clone **c);
void vl_clone_destroy(struct vl_clone *c);

/* What its executor did so far; zeros where that is not counted. */
void vl_clone_count(const struct vl_clone *c, struct vl_vcpu_count *ret);

/* Write its translations to @buf; see struct vl_executor_ops. */
size_t vl_clone_keep(struct vl_clone *c, void *buf, size_t size);

/* Guest-virtual memory as the clone sees it. False when not mapped. */
bool vl_clone_read(struct vl_clone *c, uint64_t va, void *buf, size_t len);
bool vl_clone_write(struct vl_clone *c, uint64_t va, const void *buf, size_t len);
/*
 * Run @code (VL_CODE_MAX bytes at most) in place of the guest kernel's code at @va. An executor
 * that translates keeps it beside the kernel's text; for others it is written into the clone's
 * copy of the text. False: no memory, or @va is not mapped.
 */
bool vl_clone_replace(struct vl_clone *c, uint64_t va, const void *code, size_t len);
bool vl_clone_read64(struct vl_clone *c, uint64_t va, uint64_t *ret);

/* --- trusted.c --- */

/*
 * Of an attach with a trusted kernel: let nothing of the guest's kernel half be executed but the
 * trusted text. To be called when the top-level table has been copied.
 */
struct vl_error *vl_clone_trust(struct vl_clone *c);
/* For executors that check where control goes; their ctx is the clone. */
extern const struct vl_control vl_clone_control;
/* Did the run end because control left the trusted text? */
bool vl_clone_has_left(const struct vl_clone *c, const struct vl_regs *regs,
		       const struct vl_exit *exit);
/* Verify the page of @va, and map it in its verified form. False: it is not verified. */
bool vl_clone_verify(struct vl_clone *c, uint64_t va);
/*
 * Control would go to @va, which is not verified. *@ret is where it goes instead: the value that
 * the image has in the pointers that hold @va. False: it stops, with the error of vl_clone_left().
 */
bool vl_clone_instead(struct vl_clone *c, uint64_t va, uint64_t *ret);
/* @step: the branch that led there; NULL: it is not known. */
struct vl_error *vl_clone_left(struct vl_clone *c, uint64_t va, const struct vl_step *step);

/*
 * Of a trusted run: where the code goes on if the instruction at @va faults, by the table of
 * exceptions of the image or of the module's file. 0: nowhere.
 */
uint64_t vl_clone_fixup(const struct vl_clone *c, uint64_t va);
/*
 * The clone's own copy of a module's table gets the entry of the module's file for that
 * instruction, but with the fixup *@mark_ret, which the guest cannot know: so it shows if the
 * kernel took another entry. The mark of the kernel's table, which is constant, is the fixup
 * itself. False: the table cannot be written.
 */
bool vl_clone_put_fixup(struct vl_clone *c, uint64_t va, uint64_t *mark_ret);

/* --- mounts.c --- */

/*
 * Mount /proc and /sys in the clone where the identity does not see them. @known: @missing says
 * which these are; else it is filled in. An error clears the entry, so the next call does not
 * try that mount again.
 */
struct vl_error *vl_clone_mount(struct vl_clone *c, bool known, bool missing[VL_NR_MOUNTS]);

/* --- call.c --- */

/* A system call by its handler (__x64_sys_NAME), see struct vl_sys_ops. */
struct vl_error *vl_clone_syscall(struct vl_clone *c, const char *name, const struct vl_arg *args,
				  size_t nr, int64_t *ret);

/*
 * Allocate @len bytes of the user window, until vl_clone_user_reset(), with the content @buf
 * (NULL: zeros). Returns the address, 0: it is full.
 */
uint64_t vl_clone_user_push(struct vl_clone *c, const void *buf, size_t len);
void vl_clone_user_pull(struct vl_clone *c, uint64_t va, void *buf, size_t len);
void vl_clone_user_reset(struct vl_clone *c);

/* --- lacking.c --- */

/*
 * The executor found nothing at @gpa. The error if that is memory of the guest that the dump does
 * not have; NULL: it is a device's.
 */
struct vl_error *vl_clone_lacks(struct vl_clone *c, uint64_t gpa);
/* The same of @va, which was not mapped: of a page table on the way there. */
struct vl_error *vl_clone_lacks_table(struct vl_clone *c, uint64_t va);

/* --- patch.c --- */

/*
 * Replace kernel functions that are not safe to run alone: locks are granted, other CPUs are
 * not called, and an int3 ends a call that would sleep. Call it after vl_clone_become().
 */
void vl_clone_patch(struct vl_clone *c);

/* Make the function at @va return the 8 bytes at address @from. */
bool vl_clone_return_from(struct vl_clone *c, uint64_t va, uint64_t from);

/* --- time.c --- */

/*
 * Stop the clone's clocks at the guest's present: the clocksource that is in use and the
 * scheduler's clock. Keeps the bounds of the guest's clock relative to the host's in @attach,
 * for when the guest's last tick is old.
 */
void vl_clone_set_time(struct vl_clone *c, struct vl_attach *attach);

/* Touch the pages of the snapshot that vl_clone_set_time() reads when the guest does not run. */
void vl_clone_touch_time(struct vl_clone *c);

/* --- identity.c --- */

/*
 * Make calls as the task with pid @as (0: PID 1), by a copy of its task_struct: what the kernel
 * changes in `current` does not show in the task. *@task is the task's address the last time
 * (0: not known), and is updated.
 */
struct vl_error *vl_clone_become(struct vl_clone *c, pid_t as, uint64_t *task);
/*
 * After that: be in the network namespace of the task with pid @netns. In the clone's memory the
 * real task is so, too, as /proc/net is answered for that one.
 */
struct vl_error *vl_clone_join_network(struct vl_clone *c, pid_t netns);

/* Ask the guest's kernel for the ids that calls are made with. */
struct vl_error *vl_clone_ask_self(struct vl_clone *c, struct vl_identity *ret);

/*
 * Give the identity its own table of open files: a file that is opened in the clone does not
 * show among the task's files (/proc/PID/fd).
 */
struct vl_error *vl_clone_own_files(struct vl_clone *c);

#endif
