/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest, opened, as the files that implement it see it. The same structure is in two
 * processes: the broker has the target, the guard and the monitor, a worker in a box
 * (box/box.h) has the contact with the kernel, the view, the clone and the engine. The worker
 * is a fork of the broker, made when the target is open, and ends when its contact proves wrong.
 *
 *	guest.c		what both have
 *	session.c	what the worker does
 *	epoch.c		the worker's epochs
 *	broker.c	the broker: struct vl_sys by messages
 *	ask.c	its questions about files, which may be asked ahead
 *	worker.c	the worker's side of them
 *	spare.c	a worker of a keeper's, for a tool
 */
#ifndef VLENS_GUEST_INTERNAL_H
#define VLENS_GUEST_INTERNAL_H

#include "../box/box.h"
#include "ahead.h"
#include "spare.h"
#include "port-wire.h"
#include "../view/parcel.h"
#include "../vlens.h"
#include "../vmst/clone.h"
#include "../attach/attach.h"
#include "../vmst/workset.h"

/* What a worker wants another one for: it has one contact, and no other. */
enum vl_want {
	VL_WANT_NOTHING,
	VL_WANT_CONTACT,      /* the kernel that it knows no longer runs */
	VL_WANT_CONTACT_ANEW, /* what is known of the kernel is wrong */
	VL_WANT_EMULATOR,     /* no engine but the one that was not loaded */
};

struct vl_guest {
	struct vl_sys sys; /* first: a vl_sys of ours is a vl_guest */
	struct vl_target *target;
	struct vl_attach *attach; /* NULL: not yet needed in this process */
	struct vl_reader *reader; /* likewise */

	/* --- what it was opened for --- */

	unsigned uses; /* enum vl_guest_use */
	pid_t as;
	bool pauses;  /* it may be paused */
	bool may_run; /* it need not be, for a copy */
	enum vl_executor executor;
	const char *engine; /* of raw reads; NULL: any */
	bool explain;	    /* likewise: why none of the others */
	char *label;	    /* whose working set it is; NULL: none is kept */
	struct vl_workset workset;
	bool anew; /* contact was made anew, as what was known proved wrong */

	/* --- the session, in the worker --- */

	struct vl_snapshot *view;  /* made at the first epoch, fresh in each */
	struct vl_clone *clone;	   /* likewise */
	struct vl_clone_memo memo; /* what clones of this kernel have found out */
	unsigned cpu;		   /* that the clone stands in for */
	uint64_t budget_ns;	   /* of the next clone's calls */
	uint64_t born_epoch;	   /* sys.epoch when the clone was made */
	bool suspect;		   /* it is to be made anew */
	bool emulator;		   /* Unicorn is loaded */
	/* When what is kept was compared, in the host's CLOCK_MONOTONIC. */
	int64_t looked_ns, looked_code_ns;
	uint64_t copy_rate; /* pages a millisecond, as it was measured; 0: not yet */
	unsigned misses;    /* copies of this run that lacked a page */
	unsigned collect_wait, collect_avoid; /* copies to be made in a pause, now and next time */
	bool trim;			      /* the view has pages of another working set */
	/* Epochs of one question each, for the rest of the run. */
	struct vl_asking {
		bool on;
		bool all;	  /* so it was from the run's beginning */
		bool taken;	  /* the open one's pages are from a pause */
		bool unsettled;	  /* calls were made since the last answer; in the broker, too */
		unsigned answers; /* of the open epoch */
		bool cut;	  /* in which a call ended in its middle, and nobody was told */
		int64_t begun_ns; /* when it was opened, in the host's CLOCK_MONOTONIC */
		unsigned tries, takes; /* of this question, how many in pauses */
		char blocked[128];     /* why the last of them had no answer */
	} ask;
	uint64_t epochs;
	uint64_t kernel_calls, copies; /* of clones and views that are gone */
	struct vl_vcpu_count vcpu;     /* likewise */
	struct vl_answers answers;     /* since the process began */
	char no_kvm[VL_EXECUTOR_WHY];  /* KVM was found unfit, and why; in the broker, too */
	struct vl_worker *worker;
	enum vl_want want; /* what it cannot do itself */
	struct vl_viewer *viewer;
	struct vl_error *why; /* there is no contact, and views do without */

	/* --- in the broker --- */

	struct vl_box *box;	/* the worker's; NULL: there is none now */
	struct vl_ahead *ahead; /* NULL: nothing is asked ahead */
	struct vl_words *words; /* what the worker said of its reader */
	vl_lend_fn *lend;	/* who may have a worker; or NULL */
	void *lend_ctx;
	bool lost;			    /* one that was lent has ended */
	bool distrusts;			    /* the first contact is to be made anew */
	bool prepares;			    /* the worker begins an epoch, and nobody waits */
	bool in_contact;		    /* the worker knows the kernel */
	bool first;			    /* which nobody had known */
	bool known;			    /* from the file of the run */
	char build_id[VL_BUILD_ID_MAX + 1]; /* as the guest claims it */
	unsigned deaths;		    /* of workers, since the last vl_guest_next() */
	bool late;			    /* the last one had not answered in time */
	struct vl_box_report box_is;	    /* what the last worker's box had */
	struct vl_stats gone;		    /* figures of workers that are gone */
	struct vl_stats base;		    /* figures when counting began */
	struct vl_stats now;		    /* the worker's, */
	bool now_known;			    /* unless it was asked something since */
	bool next_begun;		    /* nor was it since vl_guest_next() */
};

static inline struct vl_guest *vl_guest_of(struct vl_sys *sys)
{
	return (struct vl_guest *)sys;
}

/* --- guest.c --- */

/* Would an epoch begin at once, and hold nobody? Would it take nobody's help? */
bool vl_guest_ready(const struct vl_guest *g);
bool vl_guest_alone(const struct vl_guest *g);

/* --- session.c --- */

/* The operations themselves, for the worker. */
extern const struct vl_sys_ops vl_guest_ops;

/*
 * In the worker: get in contact; @anew: whatever is known of the guest is wrong. Or look
 * whether the kernel that it is in contact with still runs: g->want.
 */
struct vl_error *vl_guest_contact(struct vl_guest *g, bool anew);

/* Figures of this process since it began, without those of the pauses. */
void vl_guest_figures(const struct vl_guest *g, struct vl_stats *ret);

/* --- epoch.c --- */

/* Open an epoch: of a copy that is made in one pause, or of one question. */
struct vl_error *vl_epoch_open(struct vl_guest *g);
/* The error that makes the caller ask once more, in a new epoch. */
struct vl_error *vl_epoch_again(struct vl_guest *g);
/* After a call in the open epoch, that came to @err (owned by it): what it comes to. */
struct vl_error *vl_epoch_called(struct vl_guest *g, struct vl_error *err);
/* See struct vl_sys_ops: settle. */
struct vl_error *vl_epoch_settle(struct vl_guest *g);
void vl_epoch_close(struct vl_guest *g);
/* Would the next epoch of this run be a copy? Would the guest run meanwhile? */
bool vl_epoch_copies(const struct vl_guest *g);
bool vl_epoch_runs(const struct vl_guest *g);
/* Take over into the working set what questions touched. */
void vl_epoch_learn(struct vl_guest *g);
/* A new run begins. */
void vl_epoch_reset(struct vl_guest *g);

/* --- broker.c --- */

/*
 * A worker that has not replied after so many nanoseconds hangs: a call has a budget of half a second
 * (vmst/clone.h), with some for the fixups in it; of a dump three times that.
 */
#define VL_CALL_NS 5000000000UL

extern const struct vl_sys_ops vl_broker_ops;

/*
 * Have a worker, and in it what is known of the kernel that runs now. With @contact not
 * set: what is known, if anything is.
 */
struct vl_error *vl_broker_ready(struct vl_guest *g, bool contact);
/* Ask @m; the error is the worker's answer, or that it has died: then there is no box. */
struct vl_error *vl_broker_ask(struct vl_guest *g, struct vl_message *m, uint64_t timeout_ns);
/*
 * Ask the worker for @m, and take what it found out of its box, to @p, even if there is an
 * error, too. p->bytes NULL: there is nothing.
 */
struct vl_error *vl_views_ask(struct vl_guest *g, struct vl_message *m, uint64_t timeout_ns,
			      struct vl_parcel *p);

/* What is known of the kernel proved wrong: end the worker, the next contact is made anew. */
void vl_broker_renew(struct vl_guest *g);
/* The worker said what no honest one says: end it. */
struct vl_error *vl_broker_lied(struct vl_guest *g);

/* Take over what the worker has learned, for it to be stored. */
void vl_broker_learn(struct vl_guest *g);
/* Begin something new: @relabelled, with the working set that the broker has now. */
void vl_broker_next(struct vl_guest *g, bool relabelled);
/* Figures of all workers, this one and those before. */
void vl_broker_figures(struct vl_guest *g, struct vl_stats *ret);
/* What a worker of @g is, to be started while @g is there. */
void vl_broker_box_options(struct vl_guest *g, struct vl_box_options *ret);
/* Start a worker, if there is none; it is not waited for. */
struct vl_error *vl_broker_start(struct vl_guest *g);
/* End the worker: the next epoch makes a new one. */
void vl_broker_stop(struct vl_guest *g);

/* --- ask.c --- */

/*
 * Is call @name one that can be asked ahead? Then *@err_ret and *@ret are what came of it. Nothing
 * else is done for one that is not.
 */
bool vl_ask_call(struct vl_guest *g, const char *name, const struct vl_arg *args, size_t nr,
		 int64_t *ret, struct vl_error **err_ret);
/* See struct vl_sys_ops: open_read. */
struct vl_error *vl_ask_file(struct vl_guest *g, const char *path, int flags, void *buf, size_t len,
			     int64_t *fd_ret, int64_t *n_ret);

/* --- spare.c --- */

/* Have a worker that is ready, from whoever lends them. False: there is none. */
bool vl_spare_take(struct vl_guest *g);
/* Was the worker that is gone a lent one? The next one is our own, then. */
bool vl_spare_lost(struct vl_guest *g);

/* --- worker.c --- */

/* What the broker asks, in vl_message.op; what the worker does: enum vl_port_op. */
enum vl_broker_op {
	/* value[0]: anew; reply: enum vl_want, or: [0]: first, [1]: known, text: build id */
	VL_OP_CONTACT = 1,
	VL_OP_BEGIN, /* reply: value[0] is enum vl_want */
	VL_OP_END,
	VL_OP_CALL, /* text: the name; args; reply: value[0] is what the kernel returned */
	/* value[0]: how many questions, the window: struct vl_asked; reply: value[0]: how many are
	 * answered, the window behind that: the answers */
	VL_OP_ASK,
	VL_OP_PUSH,  /* value[0] bytes of the window; value[1]: there are such; reply: value[0] */
	VL_OP_PULL,  /* value[0]: address, value[1]: length; reply: the window */
	VL_OP_RESET, /* of the pushed buffers */
	VL_OP_LEARN, /* stores the contact; reply: enum vl_learned, the working set is in the window */
	VL_OP_NEXT,  /* value[0]: relabelled, value[1]: pages in the window, value[2]: may_run */
	VL_OP_STATS, /* reply: struct vl_stats in the window */
	VL_OP_SETTLE,
	/* of views; a reply has the length of what was found in value[1], its beginning in the window */
	VL_OP_ATTACH, /* with the error that there is no contact for, if there is none */
	VL_OP_SCAN,   /* value[0]: struct vl_scan, by vl_scan_number() */
	VL_OP_DIFF,   /* value[0]: struct vl_diff, likewise; reply: value[0] is enum vl_want */
	VL_OP_PIECE,  /* value[0]: where; reply: the window, as much as goes in */
	VL_OP_FIND,   /* the window: struct vl_peek_ask */
	VL_OP_BYTES,  /* value[0]: where, [2]: so many, [3]: all or none */
	VL_OP_VALUES, /* value[0]: so many */
	VL_OP_TOP,    /* value[0]: a sample, too */
	VL_OP_READER, /* reply: struct vl_words in the window */
};

/*
 * A view by its distance from something else of this program, which may lie at another address
 * in the worker. And back.
 */
static inline uint64_t vl_scan_number(const struct vl_scan *scan)
{
	return (uintptr_t)scan - (uintptr_t)&vl_guest_ops;
}

static inline const struct vl_scan *vl_scan_of(uint64_t number)
{
	return (const struct vl_scan *)((uintptr_t)&vl_guest_ops + number);
}

/* What the reader of the views says of itself. */
struct vl_words {
	char engine[16], reason[192], others[448];
	uint64_t open_ns, requests;
};

/* Values of the reply to VL_OP_LEARN. */
enum vl_learned {
	VL_LEARNED_CHANGED, /* the working set is another one */
	VL_LEARNED_PAGES,   /* so many */
};

struct vl_error *vl_worker_prepare(void *guest, struct vl_box_fds *keep);
void vl_worker_main(void *guest, struct vl_wire *wire, int link);

/* --- viewer.c --- */

/* Answer what is asked of views. */
struct vl_error *vl_viewer_serve(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m);

#endif
