/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvlens: look inside a running virtual machine, or a dump of one, from
 * outside it. This is the library's whole public face; an applet uses nothing
 * else.
 */
#ifndef VLENS_H
#define VLENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "doctor/doctor.h"
#include "error.h"
#include "imee/imee.h"
#include "redirect/redirect.h"
#include "host/target.h"
#include "syscall/files.h"
#include "view/peek.h"
#include "view/scan.h"
#include "view/top.h"
#include "syscall/sys.h"

struct vl_guest;

/* What a guest is opened for. */
enum vl_guest_use {
	VL_GUEST_ASK = 1,  /* its kernel answers: vl_guest_sys() */
	VL_GUEST_READ = 2, /* its memory is read: vl_guest_attach() */
};

struct vl_guest_options {
	struct vl_target_options target;
	unsigned uses;	    /* enum vl_guest_use, or both; 0: VL_GUEST_ASK */
	const char *engine; /* of raw reads; NULL: the fastest that is right */
	bool explain;	    /* of raw reads: find out why it is none of the others, too */
	/*
	 * Do not believe what is known of this run: a kernel that is no more can be in
	 * memory still, where a guest booted anew.
	 */
	bool anew;
	pid_t as; /* make calls under this task of the guest; 0: PID 1 */
	/*
	 * What is going to be asked, in one word (the program's name). Of a live
	 * guest the pages that are touched are then remembered under it, and the
	 * next time they are copied, so that the guest is held only for that.
	 * NULL: hold it until each epoch ends.
	 */
	const char *label;
	enum vl_executor executor;
};

/* Room for what a box is, in words. */
#define VL_BOX_WORDS 160

/*
 * Answers of the guest's kernel: to questions asked of memory that was copied in a
 * pause; of memory that was found the same after the answer as before it, so that it
 * is of one moment, too; while the guest ran and changed, as its own tasks get them.
 */
struct vl_answers {
	uint64_t paused, validated, running;
};

/* What the work on a guest cost so far. */
struct vl_stats {
	char engine[32];	      /* "vmst/kvm", "vmst/unicorn"; "vmst" if not yet made */
	char no_kvm[VL_EXECUTOR_WHY]; /* why it is not vmst/kvm, "" if that is so or wanted */
	char box[VL_BOX_WORDS];	    /* what keeps the guest's code in its box, "" if it has none */
	char no_box[VL_BOX_WORDS];  /* why a part of that is missing, "" if none is */
	char kernel[72];	    /* build id of the guest's kernel, "" if not yet known */
	bool first_contact;	    /* the kernel had to be asked for its symbols */
	uint64_t paused_ns;	    /* in all */
	uint64_t paused_longest_ns; /* of one pause */
	uint64_t pauses;
	struct vl_answers answers;
	uint64_t epochs;	/* clones made */
	uint64_t kernel_calls;	/* calls into the guest's kernel */
	uint64_t kvm_entries;	/* of vmst/kvm's vCPU, and as many returns to us */
	uint64_t kvm_exits;	/* its VM exits, with those that KVM serves itself */
	uint64_t pages_touched; /* of 4 KiB, different ones */
	uint64_t pages_copied;	/* copies made of them, over all epochs */
	enum vl_kernel_fate {
		VL_KERNEL_RUNS,	    /* or is not known */
		VL_KERNEL_CRASHED,  /* it has panicked */
		VL_KERNEL_CAPTURES, /* another one has, and it is that one's capture kernel */
	} fate;
};

/*
 * Open the guest @spec (see vl_target_open()). Pauses nothing yet: the first
 * call of vl_guest_sys()->ops does. On success *@ret is owned by the caller.
 */
struct vl_error *vl_guest_open(const char *spec, const struct vl_guest_options *opts,
			       struct vl_guest **ret);

/* End it; the guest runs again, whatever was going on. NULL is allowed. */
void vl_guest_close(struct vl_guest *g);

/*
 * Begin something new on an open guest, as if it had been closed and opened with
 * @label, @budget (NULL: the default) and VL_PAUSE_FREEZE (@freeze) or VL_PAUSE_AUTO in place
 * of each other: what is known of the kernel, and what is translated of it, stays. The
 * figures of vl_guest_stats() start from nought. A second call in a row costs nothing: a
 * caller that has time behind a run makes the first one there.
 */
struct vl_error *vl_guest_next(struct vl_guest *g, const char *label,
			       const struct vl_pause_budget *budget, bool freeze);

/*
 * Nothing more is asked for now: the guest runs, and what was learned of it is
 * stored for other processes.
 */
void vl_guest_rest(struct vl_guest *g);

/*
 * Leave the monitor to others, which vl_guest_rest() does as well; it is taken
 * again when it is needed.
 */
void vl_guest_hang_up(struct vl_guest *g);

/* The hypervisor's process; 0: a dump. */
pid_t vl_guest_pid(const struct vl_guest *g);

/* A dump is not live: nothing waits for it and it never changes. */
bool vl_guest_is_live(const struct vl_guest *g);

/* The port through which the guest's kernel answers; owned by the guest. */
struct vl_sys *vl_guest_sys(struct vl_guest *g);

/*
 * The reader of the guest in this process, for raw reads (imee.h), by the engine that it
 * was opened for; it is the guest's, and made when it is first asked for. When the kernel is
 * known from before, no monitor is asked; else that is found out then. Once vl_reader_current()
 * says that another kernel runs, open the guest anew.
 */
struct vl_error *vl_guest_reader(struct vl_guest *g, struct vl_reader **ret);

/*
 * Get ready for views, in a worker that has no rights (box/box.h) and alone reads what the
 * guest wrote: it is what the functions below ask. When the guest's kernel cannot be
 * understood, and @need_kernel is not set, that is no error.
 */
struct vl_error *vl_guest_attach(struct vl_guest *g, bool need_kernel);

/*
 * Look, and fill @t, which is empty and has the columns of @scan. What can be told in
 * spite of an error is in the rows. All that the worker says has been checked: it is no
 * more than a hostile guest could say.
 */
struct vl_error *vl_guest_scan(struct vl_guest *g, const struct vl_scan *scan, struct vl_table *t);

/* The same list by several ways; the guest must be open for both uses. */
struct vl_error *vl_guest_diff(struct vl_guest *g, const struct vl_diff *diff, struct vl_table *t);

/*
 * No more is asked of a guest that was opened to be read: what reads it ends while the
 * caller does something else. vl_guest_close() waits for that.
 */
void vl_guest_dismiss(struct vl_guest *g);

/*
 * Who reads; false: nobody does. The texts are the guest's, and stay until it is asked
 * the next time.
 */
bool vl_guest_reader_stats(struct vl_guest *g, struct vl_reader_stats *ret);

/*
 * Find the place that @what names (vl_types_find()), in the space of process @as, 0: the
 * kernel's; of arrays @elements are shown, 0: all, and pointers are followed @depth deep.
 */
struct vl_error *vl_guest_peek(struct vl_guest *g, const char *what, pid_t as, uint64_t elements,
			       unsigned depth, struct vl_peek_found *ret);
/*
 * @len bytes at @va, in the space of the last place, to @buf: up to VL_PEEK_MAX, and up to
 * the first that cannot be read, for which there is an error; *@done_ret are there. With
 * @whole it is all or none.
 */
struct vl_error *vl_guest_peek_bytes(struct vl_guest *g, uint64_t va, void *buf, size_t len,
				     bool whole, size_t *done_ret);
/* Show the last place's values (vl_peek_show()); @nr: so many, 0: one. */
struct vl_error *vl_guest_peek_values(struct vl_guest *g, uint64_t nr,
				      const struct vl_peek_ops *ops, void *ctx);

/*
 * Take a sample (view/top.h) into @ret (zeroed, or one from before: its memory is used
 * again); rates are those since the last one of this worker. What could be read in spite of
 * an error is there; at_ns 0: nothing. A worker that has died is replaced.
 */
struct vl_error *vl_guest_top(struct vl_guest *g, struct vl_top_sample *ret);

/* Get ready for that, so that it is known whether it works. */
struct vl_error *vl_guest_top_open(struct vl_guest *g);

/* Has its hypervisor's process ended? */
struct vl_error *vl_guest_alive(struct vl_guest *g);

/*
 * Is the kernel that was found when it was attached still the one that runs? Takes
 * microseconds, and asks the hypervisor only in doubt; an error when it does not answer then.
 */
struct vl_error *vl_guest_runs(struct vl_guest *g, bool *ret);

/* What it is at: asks the hypervisor, and looks. */
void vl_guest_state(struct vl_guest *g, struct vl_state *ret);

/*
 * One row about guest @spec. What needs its kernel is missing if that is not understood,
 * and why is in the row. So is, for a guest that cannot be opened, the error that is
 * returned. The guest goes to *@ret, for vl_guest_close(), NULL with an error; @ret may
 * be NULL. @explain: see struct vl_guest_options.
 */
struct vl_error *vl_list_guest(const char *spec, const struct vl_scan_options *opts, bool explain,
			       struct vl_table *t, struct vl_guest **ret);

/*
 * Examine guest @spec, which is not paused. An error when it cannot be reached or
 * understood; that is in the rows, too.
 */
struct vl_error *vl_doctor_guest(struct vl_doctor *d, const char *spec,
				 const struct vl_target_options *opts);

/* Figures up to now, from vl_guest_open() or the last vl_guest_next() on. */
void vl_guest_stats(struct vl_guest *g, struct vl_stats *ret);

/*
 * The release of the library and how it was built: "0.1.0", "+libvirt ...".
 */
const char *vl_version(void);
const char *vl_features(void);

#endif
