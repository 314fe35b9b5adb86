/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: a process in a box. It runs a guest's code or reads data that a guest wrote, so the
 * guest could take it over. It has no rights, no files and no network, and can talk only to its
 * broker, over a wire (wire.h). It ends with its broker.
 */
#ifndef VLENS_BOX_H
#define VLENS_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"
#include "wire.h"

struct vl_box;

/* The parts of a box, as bits. */
enum {
	VL_BOX_UID = 1 << 0,	/* a user id that no other process has, no capability */
	VL_BOX_NET = 1 << 1,	/* an empty network namespace */
	VL_BOX_MOUNT = 1 << 2,	/* an empty root directory, read-only */
	VL_BOX_IPC = 1 << 3,	/* IPC and host name of its own */
	VL_BOX_PID = 1 << 4,	/* a PID namespace with no other process */
	VL_BOX_FILTER = 1 << 5, /* an allow-list of system calls */
	VL_BOX_LIMITS = 1 << 6, /* of memory, files, threads, time */
};
#define VL_BOX_ALL 0x7f

/* Size of a text that describes a box. */
#define VL_BOX_TEXT 160

struct vl_box_report {
	uint32_t has;
	uint32_t uid;
	char missing[VL_BOX_TEXT]; /* why the first missing part is missing; "": none is missing */
};

/* Descriptors that a worker keeps, under their numbers; all others are closed. */
#define VL_BOX_FDS 64

struct vl_box_fds {
	int fd[VL_BOX_FDS];
	size_t nr;
};

struct vl_box_options {
	const char *name; /* of the process, 15 bytes at most */
	const char *does; /* "runs the guest's code": for messages; static */
	uint64_t memory;  /* bytes that it may map beyond what the broker has mapped */
	bool lendable;	  /* vl_box_lend() will be called */
	/*
	 * Enter the namespaces of this box, which are empty: to make a network namespace takes
	 * longer than all else. If that fails, or with NULL, the worker makes its own.
	 */
	const struct vl_box *beside;
	/*
	 * Called in the worker while it still has the broker's rights: opens what cannot be opened
	 * later, and adds the descriptors that the worker needs to @keep. May be NULL.
	 */
	struct vl_error *(*prepare)(void *ctx, struct vl_box_fds *keep);
	/* Called in the worker, in the box; the worker ends when this returns. */
	void (*work)(void *ctx, struct vl_wire *wire, int link);
	void *ctx;
};

/*
 * Fork a worker, and do not wait until it is in its box. The worker ends with the calling
 * thread. On success *@ret is owned by the caller.
 */
struct vl_error *vl_box_launch(const struct vl_box_options *o, struct vl_box **ret);
/* Wait until it is in its box; then its report is valid. Call this before any question. */
struct vl_error *vl_box_wait(struct vl_box *b);
/* vl_box_launch() and vl_box_wait(). */
struct vl_error *vl_box_start(const struct vl_box_options *o, struct vl_box **ret);
/* End the worker; NULL is allowed. */
void vl_box_stop(struct vl_box *b);

/*
 * vl_box_stop(), but without @waits it does not wait for the worker's exit, which takes
 * milliseconds for its memory and namespaces. Only a process that ends now may do that.
 */
void vl_box_end(struct vl_box *b, bool waits);

/* Kill the worker, but do not wait for its end, as vl_box_stop() does. */
void vl_box_dismiss(const struct vl_box *b);

pid_t vl_box_pid(const struct vl_box *b);
struct vl_wire *vl_box_wire(const struct vl_box *b);
const struct vl_box_report *vl_box_report(const struct vl_box *b);

/* Write the parts that @r has into @buf, one line. */
void vl_box_describe(const struct vl_box_report *r, char buf[VL_BOX_TEXT]);

/*
 * Serve a question of the worker on channel @id: *@m is the question and becomes the answer. False:
 * the question is left for the next one who waits; only a server of vl_box_tell_apart() may do so.
 */
typedef bool (*vl_box_serve_fn)(void *ctx, enum vl_channel_id id, struct vl_message *m);

/*
 * Ask the worker @m, serve what it asks back, and wait for its reply, which goes to *@m. An
 * error: it has died, or took longer than @timeout_ns and was ended. The reply is untrusted.
 */
struct vl_error *vl_box_ask(struct vl_box *b, struct vl_message *m, uint64_t timeout_ns,
			    vl_box_serve_fn serve, void *ctx);

/*
 * The same in two steps, with other work in between. The worker's own questions wait for the
 * second step. No other question may be asked in between.
 */
void vl_box_tell(struct vl_box *b, const struct vl_message *m);
struct vl_error *vl_box_reply(struct vl_box *b, struct vl_message *ret, uint64_t timeout_ns,
			      vl_box_serve_fn serve, void *ctx);

/*
 * Tell the worker @m as vl_box_tell() does, in a thread that also serves what the worker asks, as
 * far as @serve does, for at most @timeout_ns. Thread and worker share a CPU: if the caller is
 * pinned, another one than the caller's. vl_box_follow(), vl_box_reply() and vl_box_stop() wait
 * for the thread's end. False: there is no other CPU, or no thread, and nothing was told.
 */
bool vl_box_tell_apart(struct vl_box *b, const struct vl_message *m, uint64_t timeout_ns,
		       vl_box_serve_fn serve, void *ctx);

/*
 * Between the two steps, for a message that is answered by a list: wait until the list has @answers
 * answers. *@replied_ret: the worker has replied with less, and *@ret is the reply. Otherwise
 * vl_box_reply() still has to be called.
 */
struct vl_error *vl_box_answers(struct vl_box *b, uint32_t answers, struct vl_message *ret,
				bool *replied_ret, uint64_t timeout_ns, vl_box_serve_fn serve,
				void *ctx);
/* Ask the worker to reply with the answers that it has. */
void vl_box_want_reply(struct vl_box *b);
/* Has the worker replied, or asked something? Then vl_box_reply() does not wait long. */
bool vl_box_waits(const struct vl_box *b);

/* Was the worker killed for a system call that no honest worker makes? */
bool vl_box_attacked(const struct vl_box *b);

/* Was it ended because it did not answer in time? */
bool vl_box_late(const struct vl_box *b);

/* Is a new worker pointless: did this one attack, or not answer in time? */
bool vl_box_hopeless(const struct vl_box *b);

/*
 * The worker's waits for a file (vl_wire.waits) are added to all timeouts from now on, an hour to
 * each at most, as a worker that was taken over can claim any.
 */
void vl_box_be_patient(struct vl_box *b);
/* These waits so far, in ns. Untrusted. */
uint64_t vl_box_waited_ns(const struct vl_box *b);

/* Let the worker use @ns of processor time from now on. */
void vl_box_allow_time(struct vl_box *b, uint64_t ns);

/* Give the worker the CPU affinity of the calling thread: a switch is cheaper than a wake-up. */
void vl_box_follow(struct vl_box *b);

/*
 * Let the worker use the other CPUs that the broker had before it was pinned to one, if there are
 * any: it works while the broker does. @needs_us: it asks the broker for memory meanwhile, so it
 * may use the broker's CPU, too. Until vl_box_follow() is called, each spins before it sleeps.
 */
void vl_box_part(struct vl_box *b, bool needs_us);

/*
 * Pass a duplicate of @fd to the worker, which gets it by vl_box_take_file(). @fd must be open
 * for reading only. Never waits for the worker.
 */
struct vl_error *vl_box_pass_file(struct vl_box *b, int fd);
/* Our end of the socket to the worker; -1: the socket is closed. */
int vl_box_link(const struct vl_box *b);

/* --- a worker that is made ahead, for another process --- */

/*
 * Hand a lendable worker over to the process at the other end of @sock. From now on it answers
 * that process and ends with it; here it can only be stopped. False: it was not handed over, as
 * it has died, or is not ready within 50 ms.
 */
bool vl_box_lend(struct vl_box *b, int sock);

/*
 * Take over a worker that comes over @sock within @wait_ms; @does as in the options. On success
 * @sock belongs to the box. NULL: none came. The worker is a child of another process, which may
 * end it; its exit status is not known here.
 */
struct vl_box *vl_box_borrow(int sock, int wait_ms, const char *does);
bool vl_box_is_borrowed(const struct vl_box *b);

/* --- files.c, enter.c, filter.c: in the worker --- */

/* The file that the broker has passed over @link; -1: none, errno says why. */
int vl_box_take_file(int link);

/* Put the calling thread under the filter. 0 or -errno. */
int vl_box_filter_load(void);

/*
 * Enter the box. The process must have one thread. @own_pids: it is in its own PID namespace
 * already. @beside: a pidfd of a process whose namespaces are empty: they are entered, and it is
 * closed; -1: none. Parts that take rights are left out without them, and noted in *@ret; it is
 * an error if a part fails that needs no rights.
 */
struct vl_error *vl_box_enter(uint64_t memory, int max_fd, bool own_pids, int beside,
			      struct vl_box_report *ret);

/* Keep @fd, which may be -1. False: there are too many. */
bool vl_box_keep(struct vl_box_fds *keep, int fd);
/* Close all descriptors but @keep. */
void vl_box_close_others(struct vl_box_fds *keep);
/* Unmap all writable shared memory but @w. */
void vl_box_unmap_shared(const struct vl_wire *w);

#endif
