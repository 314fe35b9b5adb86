/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvlens: look inside a running virtual machine, or a dump of one, from the host. This header
 * is the library's whole public interface; an applet uses nothing else.
 *
 * Errors. A function that returns a struct vl_error * returns NULL on success; the error is the
 * caller's (error.h). Each of them can return VL_ERR_NOMEM, VL_ERR_OS (a call of the host
 * failed) and, with a guest or a target, VL_ERR_TARGET (it cannot be reached, or has gone). Its
 * comment names the others. Any other function cannot fail, unless its comment says how.
 *
 * Threads. The library has no state outside of its objects. Threads may use different objects at
 * the same time. An object, with all that it owns, is for one thread at a time: a guest with its
 * system calls and its reader, a target, a table, an error. Tables that are const, vl_version() and
 * vl_features() are for all. A callback runs in the thread that made the call, unless its comment
 * says otherwise. No function may be called in a signal handler, nor on an open guest or target
 * in the child of a fork().
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
#include "view/items.h"
#include "view/peek.h"
#include "view/scan.h"
#include "view/top.h"
#include "view/watch.h"
#include "syscall/sys.h"

struct vl_guest;

/* The uses that a guest is opened for. */
enum vl_guest_use {
	VL_GUEST_ASK = 1,  /* its kernel answers: vl_guest_sys() */
	VL_GUEST_READ = 2, /* its memory is read: vl_guest_attach() */
};

#define VL_TRUSTED_AUTO "auto"

struct vl_guest_options {
	struct vl_target_options target;
	unsigned uses;	    /* enum vl_guest_use, or both; 0: VL_GUEST_ASK */
	const char *engine; /* for raw reads; NULL: the fastest that is correct */
	/*
	 * Run the text of this trusted kernel in place of the guest's: VL_TRUSTED_AUTO (the stored
	 * one of the guest's build), or a vmlinuz, a vmlinux, a package or a directory of such.
	 * NULL: the guest's own text runs. Must outlive the guest.
	 */
	const char *trusted;
	bool unverified; /* with @trusted: code outside of the kernel's text may run, too */
	bool explain;	 /* for raw reads: also find out why no other engine was taken */
	/*
	 * Do not use what is kept of this run. After a reboot the former kernel can still be in
	 * the guest's memory.
	 */
	bool anew;
	pid_t as;    /* make calls as this task of the guest; 0: PID 1 */
	pid_t netns; /* but in the network namespace of this one; 0: in its own */
	/*
	 * The name of the working set, in one word (the program's name). The pages that a live
	 * guest's answers touch are remembered under it. The next run copies them ahead, and
	 * holds the guest for the copy only. NULL: hold the guest until each epoch ends.
	 */
	const char *label;
	enum vl_executor executor;
};

/* The size in bytes of the text that describes a box. */
#define VL_BOX_WORDS 160

/*
 * The number of answers of the guest's kernel, by the memory they were read from:
 * paused: a copy made in a pause;
 * validated: read while the guest ran, and unchanged when it was read again: of one point in time,
 * too; running: read while the guest ran and changed, as the guest's own tasks read it.
 */
struct vl_answers {
	uint64_t paused, validated, running;
};

/* What a trusted run found. */
#define VL_TRUSTED_SHOWN 10
#define VL_TRUSTED_TEXT 256

struct vl_trusted_stats {
	bool on;	   /* trusted code ran */
	uint64_t pages;	   /* of 4 KiB, compared with the trusted image */
	uint64_t sites;	   /* places in its text that a running kernel may change */
	uint64_t attached; /* sites at which something is attached that did not run */
	uint64_t findings; /* places at which the guest's text is changed */
	/* The first of the findings, one line each; hostile. */
	char found[VL_TRUSTED_SHOWN][VL_TRUSTED_TEXT];
	/* What is attached, each thing once, and the number of things; hostile. */
	char idle[VL_TRUSTED_SHOWN][VL_TRUSTED_TEXT];
	uint64_t things;
};

/* The costs of the work on a guest so far. */
struct vl_stats {
	char engine[32];	      /* "vmst/kvm", "vmst/unicorn"; "vmst" if not yet made */
	char no_kvm[VL_EXECUTOR_WHY]; /* why not vmst/kvm; "" if it is, or another was chosen */
	char box[VL_BOX_WORDS];	      /* what confines the guest's code; "" if there is no box */
	char no_box[VL_BOX_WORDS];    /* why a part of the box is missing; "" if none is */
	char kernel[72];	      /* build id of the guest's kernel, "" if not yet known */
	bool first_attach;	      /* nothing was known of this run of the guest */
	uint64_t paused_ns;	      /* in all */
	uint64_t paused_longest_ns;   /* of one pause */
	uint64_t pauses;
	struct vl_answers answers;
	uint64_t epochs;	/* that have begun */
	uint64_t kernel_calls;	/* calls into the guest's kernel */
	uint64_t kvm_entries;	/* of vmst/kvm's vCPU; each returns to us once */
	uint64_t kvm_exits;	/* its VM exits, with those that KVM serves itself */
	uint64_t pages_touched; /* of 4 KiB, each counted once */
	uint64_t pages_copied;	/* their copies, over all epochs */
	struct vl_trusted_stats trusted;
	uint64_t bare; /* not 0: the kernel has no table of its symbols (no CONFIG_KALLSYMS) */
	enum vl_kernel_fate {
		VL_KERNEL_RUNS,	    /* or is not known */
		VL_KERNEL_CRASHED,  /* it has panicked */
		VL_KERNEL_CAPTURES, /* it is the capture kernel of one that has panicked */
	} fate;
};

/*
 * Open the guest @spec (see vl_target_open()). It is not paused before the first call of
 * vl_guest_sys()->ops. On success the caller owns *@ret. VL_ERR_ARG: the options make no sense
 * together.
 */
struct vl_error *vl_guest_open(const char *spec, const struct vl_guest_options *opts,
			       struct vl_guest **ret);

/* Close @g; a guest that is still held runs again. NULL is allowed. */
void vl_guest_close(struct vl_guest *g);
/*
 * vl_guest_close() for a process that ends now. It does not wait for the end of a live guest's
 * worker if another process reaps that.
 */
void vl_guest_leave(struct vl_guest *g);

/*
 * Begin a new run on an open guest, as if it had been closed and opened with @label, @budget
 * (NULL: the default) and VL_PAUSE_FREEZE (@freeze) or VL_PAUSE_AUTO. What is known of the
 * kernel, and its translated code, stays. The figures of vl_guest_stats() start from 0. A second
 * call in a row costs nothing, so a caller can make the first one in idle time after a run.
 */
struct vl_error *vl_guest_next(struct vl_guest *g, const char *label,
			       const struct vl_pause_budget *budget, bool freeze);

/*
 * End the epoch, when no question follows for now. The guest runs, and the working set is stored
 * for other processes.
 */
void vl_guest_rest(struct vl_guest *g);

/*
 * Close the connection to the monitor, so that other programs can use it. It is opened again when
 * it is needed. vl_guest_rest() includes this.
 */
void vl_guest_hang_up(struct vl_guest *g);

/* The hypervisor's process; 0: a dump. */
pid_t vl_guest_pid(const struct vl_guest *g);

/* A dump is not live: it never changes and is never paused. */
bool vl_guest_is_live(const struct vl_guest *g);

/*
 * The number of pages that changed while a dump was made, as vlens dump notes it in the file. The
 * content of such a file may contradict itself. UINT64_MAX: their number is not known. 0: none, or
 * the file has no such note.
 */
uint64_t vl_guest_moved(const struct vl_guest *g);

/* What a file that is cut short has, once its kernel is known. */
struct vl_shortfall {
	uint64_t has,
		of; /* pages of memory that it has, and that it should have; equal: it has all */
	bool types; /* the kernel's types lie in the rest: its code shows the fields */
};

/* *@ret is of the file behind @g. False: it has all of its memory, as far as is known. */
bool vl_guest_shortfall(const struct vl_guest *g, struct vl_shortfall *ret);

/* The interface through which the guest's kernel answers; owned by @g. */
struct vl_sys *vl_guest_sys(struct vl_guest *g);

/*
 * The guest's reader in this process, for raw reads (imee.h), by the engine of its options. It is
 * owned by @g, and made by the first call. That call makes a first attach, and asks the
 * monitor, unless the kernel is known from before. When vl_reader_current() finds another
 * kernel, close the guest and open it again. VL_ERR_KERNEL, VL_ERR_FIRMWARE, VL_ERR_BOOTING,
 * VL_ERR_DOWN: there is no kernel that is understood; VL_ERR_ARG: no such engine.
 */
struct vl_error *vl_guest_reader(struct vl_guest *g, struct vl_reader **ret);

/*
 * Get ready for views. A worker without rights (box/box.h) reads the guest's data and answers
 * the functions below. A kernel that cannot be understood is an error only with @need_kernel:
 * VL_ERR_KERNEL, VL_ERR_FIRMWARE, VL_ERR_BOOTING, VL_ERR_DOWN. VL_ERR_CRASHED: the worker has
 * ended; the same holds for all functions that ask it.
 */
struct vl_error *vl_guest_attach(struct vl_guest *g, bool need_kernel);

/*
 * Run @scan and fill @t, which is empty and has the columns of @scan. After an error @t has the
 * rows that could be read. The worker's answer is checked here: a worker that was taken over
 * can give false values, as a hostile guest can, and nothing else. VL_ERR_ARG: before
 * vl_guest_attach(); VL_ERR_KERNEL: the kernel lacks what @scan needs; VL_ERR_FAULT: a part of
 * it cannot be read.
 */
struct vl_error *vl_guest_scan(struct vl_guest *g, const struct vl_scan *scan, struct vl_table *t);

/*
 * Read all items of @kind (view/items.h), of one pass, after vl_guest_attach(). *@ret is the
 * caller's, for vl_items_close(). After an error it has what could be read, or is NULL. Errors are
 * those of vl_guest_scan(); VL_ERR_ARG: there is no such kind.
 */
struct vl_error *vl_guest_items(struct vl_guest *g, enum vl_item_kind kind, struct vl_items **ret);

/*
 * Compare one list as read in several ways; the guest must be open for both uses. Errors are
 * those of vl_guest_scan(), and those of the guest's kernel (struct vl_sys_ops).
 */
struct vl_error *vl_guest_diff(struct vl_guest *g, const struct vl_diff *diff, struct vl_table *t);

/*
 * Tell the worker of a guest that was opened to be read to end, and do not wait for it.
 * vl_guest_close() waits.
 */
void vl_guest_dismiss(struct vl_guest *g);

/*
 * The figures of the guest's reader; false: it has none. The texts are owned by @g, and valid
 * until its next call.
 */
bool vl_guest_reader_stats(struct vl_guest *g, struct vl_reader_stats *ret);

/*
 * Find the place that @what names (vl_types_find()), in the address space of process @as (0: the
 * kernel's). Of an array @elements elements are shown (0: all); pointers are followed @depth
 * deep. VL_ERR_ARG: there is no such place or process; VL_ERR_KERNEL: the kernel has no types.
 */
struct vl_error *vl_guest_peek(struct vl_guest *g, const char *what, pid_t as, uint64_t elements,
			       unsigned depth, struct vl_peek_found *ret);
/*
 * Read @len bytes, VL_PEEK_MAX at most, at @va in the address space of the last place into @buf.
 * Stops with an error at the first byte that cannot be read; *@done_ret is how many were read.
 * With @whole it reads all or none. VL_ERR_FAULT, with the address; VL_ERR_ARG: too many bytes,
 * or no place was found before.
 */
struct vl_error *vl_guest_peek_bytes(struct vl_guest *g, uint64_t va, void *buf, size_t len,
				     bool whole, size_t *done_ret);
/* Show @nr values at the last place, and with the errors of vl_peek_show(); 0: one. */
struct vl_error *vl_guest_peek_values(struct vl_guest *g, uint64_t nr,
				      const struct vl_peek_ops *ops, void *ctx);

/*
 * Take a sample (view/top.h) into @ret, which is zeroed or an earlier sample, whose memory is used
 * again. Rates are those since this worker's last sample. After an error @ret has what could be
 * read; at_ns 0: nothing. A worker that has died is replaced. VL_ERR_KERNEL: the kernel lacks a
 * field that is necessary; VL_ERR_FAULT: its memory cannot be read.
 */
struct vl_error *vl_guest_top(struct vl_guest *g, struct vl_top_sample *ret);

/* Get ready for vl_guest_top(); its errors if it cannot work. */
struct vl_error *vl_guest_top_open(struct vl_guest *g);

/*
 * Watch the guest, after vl_guest_attach(), for a slice of time: events (view/watch.h) into @ret,
 * which is zeroed or an earlier one, whose memory is used again; the caller frees its `events`. The
 * first call begins the watch. An error ends it: the events before it are in @ret, and
 * vl_guest_attach() comes before the next call. VL_ERR_ARG: vl_guest_attach() did not come before
 * this one; VL_ERR_KERNEL: the kernel lacks what a group needs.
 */
struct vl_error *vl_guest_watch(struct vl_guest *g, const struct vl_watch_options *o,
				struct vl_watch_round *ret);

/* VL_ERR_TARGET if the hypervisor's process has ended. */
struct vl_error *vl_guest_alive(struct vl_guest *g);

/*
 * Does the kernel that was found at attach still run? Takes microseconds, and asks the
 * hypervisor only in doubt: an error when it does not answer. VL_ERR_CRASHED: the worker that
 * attached has ended since, and nothing is known of the kernel.
 */
struct vl_error *vl_guest_runs(struct vl_guest *g, bool *ret);

/* The state of the guest: asks the hypervisor, and reads memory. What is not known is "". */
void vl_guest_state(struct vl_guest *g, struct vl_state *ret);

/*
 * Add one row about guest @spec to @t. If its kernel is not understood, cells that need the
 * kernel are empty and the row says why. For a guest that cannot be opened the row has the error
 * that is returned. *@ret (@ret may be NULL) is the guest, for vl_guest_close(); NULL after an
 * error. @explain: see struct vl_guest_options.
 */
struct vl_error *vl_list_guest(const char *spec, const struct vl_scan_options *opts, bool explain,
			       struct vl_table *t, struct vl_guest **ret);

/*
 * Examine guest @spec without a pause. An error when it cannot be reached or understood; the
 * rows have that error, too.
 */
struct vl_error *vl_doctor_guest(struct vl_doctor *d, const char *spec,
				 const struct vl_target_options *opts);

/* The figures since vl_guest_open() or the last vl_guest_next(). */
void vl_guest_stats(struct vl_guest *g, struct vl_stats *ret);

/*
 * The release of the library and how it was built: "0.1.0", "+libvirt ...". Static; any thread
 * may call them.
 */
const char *vl_version(void);
const char *vl_features(void);

#endif
