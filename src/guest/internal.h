/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An opened guest, as the files that implement it see it. Two processes have a copy of the same
 * structure: the broker uses the target, the guard and the monitor; a worker in a box
 * (box/box.h) uses the attach, the snapshot, the clone and the executor. The worker is forked
 * from the broker when the target is open, and ends when its attach proves wrong.
 *
 *	guest.c		opening, closing, runs
 *	session.c	the worker's implementation of struct vl_sys
 *	epoch.c		its epochs
 *	epoch-clone.c	what an epoch is made of
 *	broker.c	the broker: struct vl_sys by messages
 *	ask.c	its questions about files, which may be asked ahead
 *	worker.c	the worker's side of them
 *	standby.c	a worker of a keeper's, for a tool
 */
#ifndef VLENS_GUEST_INTERNAL_H
#define VLENS_GUEST_INTERNAL_H

#include "../box/box.h"
#include "ahead.h"
#include "prefetch.h"
#include "standby.h"
#include "proxy-wire.h"
#include "../view/parcel.h"
#include "../vlens.h"
#include "../vmst/clone.h"
#include "../attach/attach.h"
#include "../vmst/workset.h"

/* Why a worker must be replaced by a new one: it attaches only once. */
enum vl_want {
	VL_WANT_NOTHING,
	VL_WANT_ATTACH,	     /* the kernel of its attach no longer runs */
	VL_WANT_ATTACH_ANEW, /* its attach is wrong: a new one is needed */
	VL_WANT_EMULATOR,    /* no executor works but Unicorn, which is not loaded */
};

/* A live guest's epoch ends after this time: a program that asks again wants a current answer. */
#define VL_EPOCH_MAX_AGE_NS 1000000000UL

/* The state from which the guest's kernel answers. */
struct vl_session {
	struct vl_snapshot *snapshot; /* made at the first epoch, refreshed in each */
	struct vl_clone *clone;	      /* likewise */
	struct vl_clone_memo memo;    /* facts that clones of this kernel have found */
	unsigned cpu;		      /* CPU of the guest that the clone stands in for */
	uint64_t budget_ns;	      /* of the next clone's calls */
	uint64_t born_epoch;	      /* sys.epoch when the clone was made */
	bool suspect;		      /* make the clone anew */
	/* Last comparison of still memory and code, in the host's CLOCK_MONOTONIC. */
	int64_t compared_ns, compared_code_ns;
	uint64_t copy_rate; /* measured, in pages a millisecond; 0: not yet */
	unsigned misses;    /* copies of this run that lacked a page */
	/* Copies to make in a pause before the next try without one; after the next failure. */
	unsigned collect_wait, collect_avoid;
	bool trim; /* the snapshot has pages of another working set */
	/* Epochs of questions, for the rest of the run. */
	struct vl_asking {
		bool on;
		bool all;	       /* on since the run's beginning */
		bool taken;	       /* the question's pages were read in a pause */
		bool unvalidated;      /* calls were made since the last answer */
		unsigned more;	       /* questions that are validated together, less one */
		unsigned answers;      /* of the open epoch */
		bool cut;	       /* a call failed midway, unknown to the broker */
		int64_t begun_ns;      /* when it was opened, in the host's CLOCK_MONOTONIC */
		size_t begun_nr;       /* pages that it was opened with */
		unsigned tries, takes; /* of this question; @takes: in pauses */
		char blocked[128];     /* why the last try had no answer */
	} ask;
	uint64_t pages_before; /* copied when the last call ended; of a dump */
	uint64_t epochs;
	uint64_t kernel_calls, copies; /* of clones and snapshots that are gone */
	struct vl_vcpu_count vcpu;     /* likewise */
	struct vl_answers answers;     /* since the process began */
};

struct vl_trusted_modules;

struct vl_guest {
	struct vl_sys sys;	 /* first: a vl_sys of ours is a vl_guest */
	struct vl_raw_guest raw; /* attach and reader NULL: not needed in this process so far */

	/* --- options --- */

	unsigned uses; /* enum vl_guest_use */
	pid_t as, netns;
	bool pauses;  /* the guest may be paused */
	bool may_run; /* a copy may be made while it runs */
	enum vl_executor executor;
	const char *engine;  /* for raw reads; NULL: any */
	const char *trusted; /* VL_TRUSTED_AUTO, or a path; NULL: the guest's own code runs */
	bool unverified;     /* code that is not verified may run, too */
	bool explain;	     /* say why the other engines were not chosen */
	char *label;	     /* name of the working set; NULL: none is kept */
	struct vl_workset workset;
	struct vl_shortfall shortfall; /* as the worker says */
	bool anew;		       /* the attach proved wrong in this run and was made anew */

	/* --- in the worker --- */

	struct vl_trusted_modules *modules; /* of a trusted run; NULL: not needed so far */
	struct vl_guest *sibling;	    /* whose clone cannot be there beside ours; or NULL */
	struct vl_session *session;	    /* NULL: its kernel was not asked so far */
	struct vl_viewer *viewer;	    /* NULL: no view was asked for so far */
	struct vl_worker *worker;
	const void *code; /* translations of an earlier worker; NULL: there are none */
	size_t code_size;
	bool makes_code;	      /* ours are of the questions of @label only */
	bool code_failed;	      /* those of the file are to be removed */
	bool emulator;		      /* Unicorn is loaded */
	enum vl_want want;	      /* why this worker must be replaced */
	char no_kvm[VL_EXECUTOR_WHY]; /* why KVM is unfit; in the broker, too */

	/* --- in the broker --- */

	struct vl_box *box;	/* the worker's; NULL: there is none now */
	struct vl_ahead *ahead; /* NULL: nothing is asked ahead */
	struct vl_prefetches prefetches;
	struct vl_prefetch *prefetch; /* with the worker, which has not replied */
	bool apart;		      /* the worker has a CPU of its own */
	struct vl_words *words;	      /* the worker's description of its reader */
	vl_lend_fn *lend;	      /* lends a worker; or NULL */
	void *lend_ctx;
	bool lost;	   /* a borrowed worker has ended */
	bool distrusts;	   /* the next attach is a first one */
	uint64_t epoch_ns; /* when the open epoch was there, or its preparation began */
	uint64_t ended_ns; /* when the last epoch ended */
	bool unvalidated;  /* calls were made since the last answer */
	bool prepares;	   /* the worker opens an epoch in the background */
	bool attached;	   /* the worker has an attach */
	bool viewed;	   /* it has a viewer */
	bool first;	   /* its kernel was not in the cache */
	bool known;	   /* it is from the file of the run */
	char build_id[VL_BUILD_ID_MAX + 1]; /* as the guest claims it */
	unsigned deaths;		    /* of workers, since the last vl_guest_next() */
	uint64_t begun_ns;		    /* when the run began, by the host's CLOCK_MONOTONIC */
	uint64_t lost_ns; /* of a trusted run: time that gave no answer (guest/broker.c) */
	/* Dumps only: time of calls that did not end, and of such calls that were asked ahead. */
	uint64_t endless_ns, cut_ns;
	char endless_why[160];	     /* the error of the last of them: untrusted */
	bool late;		     /* the last worker did not answer in time */
	struct vl_box_report box_is; /* of the last worker's box */
	struct vl_stats gone;	     /* figures of workers that are gone */
	struct vl_stats base;	     /* figures when counting began */
	struct vl_stats now;	     /* the worker's figures */
	bool now_known;		     /* they are current: no question since */
	bool next_begun;	     /* no question since vl_guest_next() */
	bool leaves;		     /* this process ends: do not wait for the worker's end */
};

static inline struct vl_guest *vl_guest_of(struct vl_sys *sys)
{
	return (struct vl_guest *)sys;
}

/* --- guest.c --- */

/* vl_sys.ready and vl_sys.alone: see there. */
bool vl_guest_ready(const struct vl_guest *g);
bool vl_guest_alone(const struct vl_guest *g);
/* Has some RAM no file? Then the worker asks the broker for it. */
bool vl_guest_lacks_files(const struct vl_guest *g);

/* --- session.c --- */

/* The operations in the worker. */
extern const struct vl_sys_ops vl_guest_ops;

/*
 * In the worker: make the attach; @anew: by a first attach. If there is one, check that its
 * kernel still runs; else there is an error and g->want is set.
 */
struct vl_error *vl_session_attach(struct vl_guest *g, bool anew);

/* Destroy clone and snapshot; the next epoch makes new ones. */
void vl_session_forget(struct vl_guest *g);

/*
 * After a call that ended with @err: over a dump, an endless one is VL_ERR_ENDLESS, and the next
 * ones get less time. Returns @err.
 */
struct vl_error *vl_session_endless(struct vl_guest *g, struct vl_error *err);
/*
 * A question asked ahead got no answer, and is asked alone in the next epoch: over a dump with the
 * smaller budget if its call exceeded the budget. The pages that it read are there by then.
 */
void vl_session_cut(struct vl_guest *g);

/* Figures of this process since it began, without the pauses. */
void vl_guest_figures(struct vl_guest *g, struct vl_stats *ret);

/* --- epoch-clone.c --- */

/* Make the session's snapshot if it has none. It is empty. */
struct vl_error *vl_epoch_snapshot(struct vl_guest *g);
/* Pause the guest while it is quiesced: vl_quiesce_pause(). */
struct vl_error *vl_epoch_pause(struct vl_guest *g, unsigned tries);
/* Make the clone in the snapshot as it is now. VL_ERR_KERNEL: the kernel lacks what it needs. */
struct vl_error *vl_epoch_clone(struct vl_guest *g);

/* --- epoch.c --- */

/* Open an epoch: of a copy or of questions. */
struct vl_error *vl_epoch_open(struct vl_guest *g);
/* The error that makes the caller ask again in a new epoch. */
struct vl_error *vl_epoch_again(struct vl_guest *g);
/* To be called after a call in the open epoch. Takes over its @err, returns the error to report. */
struct vl_error *vl_epoch_called(struct vl_guest *g, struct vl_error *err);
/* See struct vl_sys_ops: validate. */
struct vl_error *vl_epoch_validate(struct vl_guest *g);
void vl_epoch_close(struct vl_guest *g);
/* Would the next epoch of this run be a copy? Would a copy be made while the guest runs? */
bool vl_epoch_copies(const struct vl_guest *g);
bool vl_epoch_runs(const struct vl_guest *g);
/* Add the pages that questions touched to the working set. */
void vl_epoch_learn(struct vl_guest *g);
/* A new run begins. */
void vl_epoch_reset(struct vl_guest *g);

/* --- broker.c --- */

/*
 * Timeout of a call, in ns. A call has a budget of 0.5 s (vmst/clone.h), and more for the fixups
 * in it; of a dump three times that. A worker that takes longer hangs.
 */
#define VL_CALL_NS 5000000000UL

/* calls.c: struct vl_sys of an open guest. */
extern const struct vl_sys_ops vl_broker_ops;

/* Epochs, for that struct: vl_sys_ops. */
void vl_broker_end(struct vl_sys *sys);
struct vl_error *vl_broker_begin(struct vl_sys *sys);
bool vl_broker_prepare(struct vl_sys *sys);
/* Has the guest moved on too far for the epoch that is open, or prepared? */
bool vl_broker_is_old(const struct vl_guest *g);

/*
 * Have a worker with an attach to the kernel that runs now. Without @need_attach, a worker
 * without an attach will do.
 */
struct vl_error *vl_broker_ready(struct vl_guest *g, bool need_attach);
/* Ask @m. The error is the worker's answer, or that it has died: then g->box is NULL. */
struct vl_error *vl_broker_ask(struct vl_guest *g, struct vl_message *m, uint64_t timeout_ns);
/*
 * Pin the calling thread and the worker to one CPU, if the worker must ask for the guest's memory.
 * True: it is done, and vl_guest_leave_cpu() undoes it, by *@old_ret. (onecpu.c)
 */
bool vl_guest_join_cpu(struct vl_guest *g, cpu_set_t *old_ret);
void vl_guest_leave_cpu(struct vl_guest *g, const cpu_set_t *old);
/* A clock: that of vl_now_ns() without the worker's waits for the file of a dump. */
uint64_t vl_broker_work_ns(const struct vl_guest *g);
/* Some of the questions that were asked ahead since @start, of that clock, got no answer. */
void vl_broker_cut(struct vl_guest *g, uint64_t start);
/* Send prefetch @f to the worker. */
void vl_broker_prefetch(struct vl_guest *g, struct vl_prefetch *f);
/* Wait until the worker has replied to g->prefetch. @now: with the answers that it has so far. */
struct vl_error *vl_broker_end_prefetch(struct vl_guest *g, bool now);
/* Wait until answer @i to g->prefetch is there, or it has ended without. */
struct vl_error *vl_broker_answer(struct vl_guest *g, size_t i);
/*
 * Ask the worker @m, and copy its result to @p, even with an error. p->bytes NULL: there is no
 * result.
 */
struct vl_error *vl_views_ask(struct vl_guest *g, struct vl_message *m, uint64_t timeout_ns,
			      struct vl_parcel *p);

/* The attach proved wrong: end the worker; the next one makes a new attach. */
void vl_broker_renew(struct vl_guest *g);
/*
 * The worker could not begin, and needs to be replaced by another one: @want is enum vl_want, @err
 * the reason or NULL. True: retry. Granted once in a run, so that a worker that always asks for it
 * gets its error reported.
 */
bool vl_broker_grant(struct vl_guest *g, uint64_t want, const struct vl_error *err);
/* The worker gave an answer that no honest worker gives: end it. */
struct vl_error *vl_broker_lied(struct vl_guest *g);

/* Start a worker, if there is none; do not wait for it. */
struct vl_error *vl_broker_start(struct vl_guest *g);
/* End the worker: the next epoch makes a new one. */
void vl_broker_stop(struct vl_guest *g);

/* --- runs.c --- */

/* Take the worker's figures from the window: its reply has brought them. */
void vl_broker_take_figures(struct vl_guest *g);
/* Fetch the worker's working set, and let it store its attach. */
void vl_broker_learn(struct vl_guest *g);
/* Begin the next run; @relabelled: with the working set that the broker has now. */
void vl_broker_next(struct vl_guest *g, bool relabelled);
/* Figures of all workers of @g, the current one and earlier ones. */
void vl_broker_figures(struct vl_guest *g, struct vl_stats *ret);

/* --- ask.c --- */

/* After call @name: note what it shows about the questions to come. */
void vl_ask_seen(struct vl_guest *g, const char *name, const struct vl_arg *args, size_t nr,
		 int64_t ret);

/*
 * If call @name is one that can be asked ahead: make it; *@err_ret and *@ret are its result.
 * Else return false and do nothing.
 */
bool vl_ask_call(struct vl_guest *g, const char *name, const struct vl_arg *args, size_t nr,
		 int64_t *ret, struct vl_error **err_ret);
/* The worker is asked otherwise: outside of a steady epoch its earlier answers expire. */
void vl_ask_otherwise(struct vl_guest *g);
/* See struct vl_sys_ops: open_read. */
struct vl_error *vl_ask_file(struct vl_guest *g, const char *path, int flags, enum vl_reads reads,
			     void *buf, size_t len, int64_t *fd_ret, int64_t *n_ret);

/* --- trusted.c --- */

/*
 * Find the trusted kernel of g->trusted, and let the worker, which has an attach, trust it.
 * @release is what the guest says of its kernel.
 */
struct vl_error *vl_broker_trust(struct vl_guest *g, const char *release);
/*
 * In the worker: begin and end to let the guest's own code answer beside the trusted one, by
 * g->raw.own.
 */
struct vl_error *vl_session_own(struct vl_guest *g);
void vl_session_own_end(struct vl_guest *g);
/* In the worker: verifies code of modules; its ctx is the guest. */
extern const struct vl_clone_verifier vl_session_verifier;
/* Forget the modules: the guest's may have changed. */
void vl_session_forget_modules(struct vl_guest *g);
/* In the worker: what was found so far; zeros if the guest's own code runs. */
void vl_session_trust_figures(struct vl_guest *g, struct vl_trusted_stats *ret);
/* attached.c: the part about what is attached, and had no effect. */
void vl_session_attached(struct vl_guest *g, struct vl_trusted_stats *ret);
/* In the worker: trust the kernel in the file @fd, as @m, which gets the reply, asks it to; takes
 * over @fd. */
struct vl_error *vl_session_trust(struct vl_guest *g, int fd, struct vl_wire *wire,
				  struct vl_message *m);

/* --- standby.c --- */

/* Borrow a worker by g->lend. False: there is none. */
bool vl_standby_take(struct vl_guest *g);
/* Was the worker that has ended a borrowed one? Then the next one is our own. */
bool vl_standby_lost(struct vl_guest *g);

/* --- worker.c --- */

/* Requests of the broker, in vl_message.op; those of the worker: enum vl_proxy_op. */
enum vl_broker_op {
	/* value[0]: anew; reply: enum vl_want, or: [0]: first, [1]: known, text: build id */
	VL_OP_ATTACH = 1,
	VL_OP_TRUST, /* enum vl_trust_value, the window: marks; reply: new marks */
	VL_OP_BEGIN, /* reply: value[0] is enum vl_want */
	VL_OP_END,
	VL_OP_CALL, /* text: the name; args; reply: value[0] is what the kernel returned */
	/* enum vl_ask, the window: struct vl_asked; reply: value[0]: number of answers, which
	 * follow in the window, value[VL_ASK_VALIDATE]: they are of one point in time */
	VL_OP_ASK,
	VL_OP_PUSH,  /* value[0]: length; value[1]: the window has the bytes; reply: value[0] */
	VL_OP_PULL,  /* value[0]: address, value[1]: length; reply: the window */
	VL_OP_RESET, /* of the pushed buffers */
	VL_OP_LEARN, /* stores the attach; reply: enum vl_learned, the window: the working set */
	VL_OP_CODE,  /* reply: value[0]: size of translations to keep, in the window; 0: none */
	VL_OP_NEXT,  /* value[0]: relabelled, value[1]: pages in the window, value[2]: may_run */
	VL_OP_STATS, /* reply: struct vl_stats in the window */
	VL_OP_VALIDATE,
	/* for views; in a reply value[1] is the length of the result, the window its beginning */
	VL_OP_VIEWER, /* open the reader; with the reason if there is no attach, as an error */
	VL_OP_SCAN,   /* value[0]: struct vl_scan, by vl_scan_number() */
	VL_OP_DIFF,   /* value[0]: struct vl_diff, its address; reply: value[0] is enum vl_want */
	VL_OP_PIECE,  /* value[0]: offset in the result; reply: the window, as much as fits */
	VL_OP_FIND,   /* the window: struct vl_peek_ask */
	VL_OP_BYTES,  /* value[0]: address, [2]: length, [3]: all or none */
	VL_OP_VALUES, /* value[0]: number of elements */
	VL_OP_TOP,    /* value[0]: take a sample, too */
	VL_OP_WATCH,  /* the window: struct vl_watch_options */
	VL_OP_READER, /* reply: struct vl_words in the window */
};

/* Values of VL_OP_TRUST. */
enum vl_trust_value {
	VL_TRUST_SIZE,	/* of the image, whose file has been passed */
	VL_TRUST_PRINT, /* vl_trusted_kept.image */
	VL_TRUST_MARKS, /* length of the marks in the window; 0: none */
};

/*
 * A view as its distance from another object of this program, as a borrowed worker can have the
 * program at another address. And back.
 */
static inline uint64_t vl_scan_number(const struct vl_scan *scan)
{
	return (uintptr_t)scan - (uintptr_t)&vl_guest_ops;
}

static inline const struct vl_scan *vl_scan_of(uint64_t number)
{
	return (const struct vl_scan *)((uintptr_t)&vl_guest_ops + number);
}

/* What the worker says of its reader. */
struct vl_words {
	char engine[16], reason[192], others[448];
	uint64_t open_ns, requests;
};

/* Values of VL_OP_ASK. */
enum vl_ask {
	VL_ASK_NR,	 /* number of questions */
	VL_ASK_WINDOW,	 /* 0: the window; else that for a prefetch, plus 1 */
	VL_ASK_BASES,	 /* processes of a prefetch */
	VL_ASK_VALIDATE, /* validate the answers, too */
};

/* Values of the reply to VL_OP_LEARN. */
enum vl_learned {
	VL_LEARNED_CHANGED, /* the working set has changed */
	VL_LEARNED_PAGES,   /* number of its pages */
	VL_LEARNED_CODE,    /* there are translations for the program of this worker's start */
	VL_LEARNED_FAILED,  /* those of its file are to be removed */
};

/* The options of a worker of @g. @g must outlive its start. */
void vl_worker_options(struct vl_guest *g, struct vl_box_options *ret);
struct vl_error *vl_worker_prepare(void *guest, struct vl_box_fds *keep);
void vl_worker_main(void *guest, struct vl_wire *wire, int link);

/* --- code.c --- */

/* Map the translations that are kept for a worker of @g, before it is in its box. */
void vl_code_find(struct vl_guest *g);
/* Does the clone use what was kept? Then a failure may be due to that. */
bool vl_code_may_fail(const struct vl_guest *g);
/*
 * A call failed, or no epoch can be opened. If what was kept may be the reason, the next epoch
 * makes a clone without it. True: try again; only once in a worker.
 */
bool vl_code_blame(struct vl_guest *g);
/* In the worker: write translations to keep. Returns their size, 0: none. */
size_t vl_code_write(struct vl_guest *g, void *buf, size_t size);
/* In the broker: take them from the worker, and store them. */
void vl_broker_keep_code(struct vl_guest *g);
/* In the broker: remove those that are kept. */
void vl_broker_drop_code(struct vl_guest *g);

/* --- viewer.c --- */

/* Answer a request of the broker's for views. */
struct vl_error *vl_viewer_serve(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m);

#endif
