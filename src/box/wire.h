/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire between a broker and its worker: messages of a fixed size in shared memory, windows
 * for longer data, and a futex for each side to sleep on.
 *
 * The two take turns. The broker asks, and waits; the worker may ask back, any number of times,
 * before it replies. The worker's second thread (which fills pages) has its own channel, which
 * is served while the broker waits.
 *
 * The worker may have been taken over by a hostile guest. The broker copies each message out of
 * the shared memory before it reads it, and checks every length, count and address in it.
 */
#ifndef VLENS_BOX_WIRE_H
#define VLENS_BOX_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/clock.h"
#include "../error.h"
#include "../host/proxy.h"
#include "../syscall/sys.h"

enum vl_channel_id { VL_CHANNEL_MAIN, VL_CHANNEL_PAGES, VL_NR_CHANNELS };

#define VL_WIRE_TEXT 512
#define VL_WIRE_ARGS 6
#define VL_WIRE_VALUES 18

/* Bytes of the window for arguments of a call and its results, ... */
#define VL_WINDOW_MAIN ((2UL << 20) + 65536)
/* ... and of the window for the worker's own questions, on each channel. */
#define VL_WINDOW_BACK (1UL << 20)
/* ... and of each window for questions that are asked ahead, and their answers. */
#define VL_WINDOW_AHEAD (1280UL << 10)
#define VL_NR_AHEAD 2

struct vl_wire_arg {
	uint32_t kind; /* of struct vl_arg */
	uint32_t has_buf;
	uint64_t value, at, len; /* bytes [at, at + len) of the window */
};

struct vl_message {
	uint32_t op;	/* the request; in a reply VL_OP_REPLY */
	uint32_t error; /* 1: the next three fields and the texts are an error */
	int32_t code, os_errno;
	uint64_t address;
	uint64_t value[VL_WIRE_VALUES];
	struct vl_wire_arg args[VL_WIRE_ARGS];
	uint32_t nr_args;
	struct vl_pause_account pauses; /* the broker's */
	struct vl_sys sys;		/* without the operations */
	char text[VL_WIRE_TEXT];	/* name of the call, or the error's message */
	char hint[VL_WIRE_TEXT];	/* "": none */
};

/* Any other op in a worker's message is a question to the broker. */
#define VL_OP_REPLY 0

struct vl_channel {
	_Atomic uint32_t turn;	 /* 1: the worker's */
	_Atomic uint32_t sleeps; /* 1: the worker sleeps until it is */
	struct vl_message message;
} __attribute__((aligned(64)));

struct vl_wire {
	_Atomic uint32_t bell;	    /* counts up when the worker has said something */
	_Atomic uint32_t sleeps;    /* 1: the broker sleeps until it does */
	_Atomic uint32_t answers;   /* that the worker has given so far, before its reply */
	_Atomic uint32_t reply_now; /* 1: the broker waits for the reply, with these answers */
	_Atomic uint32_t apart;	    /* 1: the worker has a CPU of its own */
	struct vl_waits waits;	    /* of the worker for a file */
	struct vl_channel channel[VL_NR_CHANNELS];
	unsigned char window[VL_WINDOW_MAIN] __attribute__((aligned(4096)));
	unsigned char ahead[VL_NR_AHEAD][VL_WINDOW_AHEAD] __attribute__((aligned(4096)));
	unsigned char back[VL_NR_CHANNELS][VL_WINDOW_BACK] __attribute__((aligned(4096)));
};

/* Make a wire, shared with processes that are forked from now on. NULL: errno says why. */
struct vl_wire *vl_wire_create(void);
/* Make one that another process can map, too, by *@fd_ret, whose size is sealed. */
struct vl_wire *vl_wire_create_file(int *fd_ret);
struct vl_wire *vl_wire_map(int fd);
void vl_wire_destroy(struct vl_wire *w);

/*
 * Wait until *@word differs from @seen, at most @timeout_ns. May return early. The other side wakes
 * us if *@sleeps is set.
 */
void vl_wire_sleep(_Atomic uint32_t *word, _Atomic uint32_t *sleeps, uint32_t seen,
		   uint64_t timeout_ns);
/* Wake the process that sleeps on @word, if *@sleeps, which it then clears. */
void vl_wire_wake(_Atomic uint32_t *word, _Atomic uint32_t *sleeps);
/*
 * Wait some microseconds for *@word to differ from @seen, which is quicker than to sleep if the
 * other process runs on another CPU.
 */
void vl_wire_spin(const struct vl_wire *w, const _Atomic uint32_t *word, uint32_t seen);

/* --- the worker's side --- */

/* Send @m on a channel whose turn is ours. */
void vl_wire_say(struct vl_wire *w, enum vl_channel_id id, const struct vl_message *m);
/* Count @nr answers to the message that is being answered. True: stop here, and reply. */
bool vl_wire_answered(struct vl_wire *w, uint32_t nr);
/* The same question, without a count: answers can be taken only when the reply is there. */
bool vl_wire_wants_reply(const struct vl_wire *w);
/*
 * Wait for the broker's next message on a channel. False: the broker has closed its end of the
 * socket @link: it is gone.
 */
bool vl_wire_hear(struct vl_wire *w, enum vl_channel_id id, int link, struct vl_message *ret);

/* --- errors --- */

/* Put @err, which may be NULL, into @m, and destroy it. */
void vl_message_put_error(struct vl_message *m, struct vl_error *err);
/*
 * The error in @m, or NULL. Texts that are too long are cut; an unknown code becomes
 * VL_ERR_CRASHED.
 */
struct vl_error *vl_message_error(const struct vl_message *m);

/* --- arguments of a call --- */

/*
 * Put @args into @m and @window, which has VL_WINDOW_MAIN bytes. False: they do not fit.
 */
bool vl_message_put_args(struct vl_message *m, unsigned char *window, const struct vl_arg *args,
			 size_t nr);
/* Turn the arguments in @m into ones that point into @window. False: one lies outside of it. */
bool vl_message_args(const struct vl_message *m, unsigned char *window,
		     struct vl_arg args_ret[VL_WIRE_ARGS]);
/*
 * Copy the output of call @name, which returned @ret, back to the buffers of @args: the same
 * @args that vl_message_put_args() got, as the ones in the message are untrusted.
 */
void vl_message_pull_args(const unsigned char *window, const char *name, const struct vl_arg *args,
			  size_t nr, int64_t ret);

#endif
