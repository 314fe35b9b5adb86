/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process in a box: what runs a guest's code, or reads what a guest wrote, and could
 * be taken over by it. It has no rights, no files, no network and nobody to talk to but
 * its broker, over a wire (wire.h). It ends with its broker.
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

/* What a box has, as bits. */
enum {
	VL_BOX_UID = 1 << 0,	/* a user id that nobody else has, no capability */
	VL_BOX_NET = 1 << 1,	/* an empty network namespace */
	VL_BOX_MOUNT = 1 << 2,	/* an empty root directory, read-only */
	VL_BOX_IPC = 1 << 3,	/* IPC and host name of its own */
	VL_BOX_PID = 1 << 4,	/* sees no process but itself */
	VL_BOX_FILTER = 1 << 5, /* an allow-list of system calls */
	VL_BOX_LIMITS = 1 << 6, /* of memory, files, threads, time */
};
#define VL_BOX_ALL 0x7f

/* Room for what a box is, in words. */
#define VL_BOX_TEXT 160

struct vl_box_report {
	uint32_t has;
	uint32_t uid;
	char missing[VL_BOX_TEXT]; /* why the first missing part is missing; "": none is */
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
	bool lendable;	  /* it is made for vl_box_lend() */
	/*
	 * It takes this one's namespaces, in which there is nothing: to make a network
	 * takes longer than all else. NULL, or where that cannot be: its own.
	 */
	const struct vl_box *beside;
	/*
	 * In the worker, while it still has the broker's rights: open what cannot be
	 * opened later, and add to @keep what the worker needs. May be NULL.
	 */
	struct vl_error *(*prepare)(void *ctx, struct vl_box_fds *keep);
	/* In the worker, in the box; it ends when this returns. */
	void (*main)(void *ctx, struct vl_wire *wire, int link);
	void *ctx;
};

/*
 * Fork a worker, which enters its box meanwhile. The calling thread must live as long as
 * the worker, which ends with it. On success *@ret is owned by the caller.
 */
struct vl_error *vl_box_launch(const struct vl_box_options *o, struct vl_box **ret);
/* Wait until it is in its box. Its report is there then. It is to be called before any question. */
struct vl_error *vl_box_wait(struct vl_box *b);
/* Both. */
struct vl_error *vl_box_start(const struct vl_box_options *o, struct vl_box **ret);
/* End the worker; NULL is allowed. */
void vl_box_stop(struct vl_box *b);

/* It is not needed any more: have it end while we do something else. vl_box_stop() waits. */
void vl_box_dismiss(const struct vl_box *b);

pid_t vl_box_pid(const struct vl_box *b);
struct vl_wire *vl_box_wire(const struct vl_box *b);
const struct vl_box_report *vl_box_report(const struct vl_box *b);

/* Write what @r has into @buf, one line. */
void vl_box_describe(const struct vl_box_report *r, char buf[VL_BOX_TEXT]);

/* Answer what the worker asks on channel @id: *@m is its message and becomes the answer. */
typedef void (*vl_box_serve_fn)(void *ctx, enum vl_channel_id id, struct vl_message *m);

/*
 * Ask the worker @m, serve what it asks back, and wait for its reply, which goes to *@m.
 * An error: it has died, or took longer than @timeout_ns; it is gone then. What the
 * reply says is the worker's word.
 */
struct vl_error *vl_box_ask(struct vl_box *b, struct vl_message *m, uint64_t timeout_ns,
			    vl_box_serve_fn serve, void *ctx);

/*
 * The same in two steps, between which we do other things: what the worker asks back waits for
 * the second. Nothing else is asked meanwhile.
 */
void vl_box_tell(struct vl_box *b, const struct vl_message *m);
struct vl_error *vl_box_reply(struct vl_box *b, struct vl_message *ret, uint64_t timeout_ns,
			      vl_box_serve_fn serve, void *ctx);

/* Did the worker die of what no honest worker does (a denied system call)? */
bool vl_box_attacked(const struct vl_box *b);

/* Did it not answer in time? */
bool vl_box_late(const struct vl_box *b);

/* Would another one fare no better: did it attack, or not answer in time? */
bool vl_box_hopeless(const struct vl_box *b);

/* Let the worker use @ns of processor time from now on. */
void vl_box_allow_time(struct vl_box *b, uint64_t ns);

/* Run where the calling thread may run: a switch, and not a wake-up of another CPU. */
void vl_box_follow(struct vl_box *b);

/*
 * Hand an open file over to the worker, which vl_box_take_file() takes: a duplicate of @fd,
 * which is to be open for reading only. Never waits for the worker.
 */
struct vl_error *vl_box_pass_file(struct vl_box *b, int fd);
/* Our end of the socket to the worker; -1: it is gone. */
int vl_box_link(const struct vl_box *b);

/* --- a worker that is ready before it is asked, for another process --- */

/*
 * Hand a worker that was made lendable over to who is at the other end of @sock: from now
 * on it answers there and ends with that, and here it can only be stopped. False: it is not, as it
 * has died, or is not ready within some milliseconds.
 */
bool vl_box_lend(struct vl_box *b, int sock);

/*
 * Take what comes over @sock within @wait_ms; @does as in the options. On success @sock
 * belongs to the box. NULL: nothing came. It is of another process, which may end it: how it
 * ended is not known here.
 */
struct vl_box *vl_box_borrow(int sock, int wait_ms, const char *does);
bool vl_box_is_borrowed(const struct vl_box *b);

/* --- files.c, enter.c, filter.c: in the worker --- */

/* The file that the broker has passed over @link; -1: there is none, errno says why. */
int vl_box_take_file(int link);

/* Have the calling thread under the filter. 0 or -errno. */
int vl_box_filter_load(void);

/*
 * Enter the box. The process must have one thread. @own_pids: it is in a PID namespace
 * of its own already. @beside: a descriptor of a process whose other namespaces are empty, to be
 * taken and closed; -1: none. What cannot be had without rights is left out and noted; an error
 * where a part cannot be had that anybody can have.
 */
struct vl_error *vl_box_enter(uint64_t memory, int max_fd, bool own_pids, int beside,
			      struct vl_box_report *ret);

/* Keep @fd, which may be -1. False: there are too many. */
bool vl_box_keep(struct vl_box_fds *keep, int fd);
/* Close all descriptors but @keep. */
void vl_box_close_others(struct vl_box_fds *keep);
/* Unmap memory that is shared and can be written to, but @w. */
void vl_box_unmap_shared(const struct vl_wire *w);

#endif
