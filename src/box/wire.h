/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a broker and its worker say to each other: messages of a fixed size in one
 * shared page, with a window for what is longer, and a futex for each side to sleep on.
 *
 * The two take turns. The broker asks, and waits; the worker may ask back, any number
 * of times, before it replies. The worker's second thread (which fills pages) has a
 * channel of its own, which is served while the broker waits.
 *
 * The worker runs a hostile guest's code and may have been taken over by it. The broker
 * copies each message out of the shared page before it looks at it, and believes no
 * length, count or address in it.
 */
#ifndef VLENS_BOX_WIRE_H
#define VLENS_BOX_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../host/port.h"
#include "../syscall/sys.h"

enum vl_channel_id { VL_CHANNEL_MAIN, VL_CHANNEL_PAGES, VL_NR_CHANNELS };

#define VL_WIRE_TEXT 512
#define VL_WIRE_ARGS 6
#define VL_WIRE_VALUES 16

/* Room in the window: for arguments of a call and its results, ... */
#define VL_WINDOW_MAIN ((2UL << 20) + 65536)
/* ... and for what the worker asks back, on each channel. */
#define VL_WINDOW_BACK (1UL << 20)

struct vl_wire_arg {
	uint32_t kind; /* of struct vl_arg */
	uint32_t has_buf;
	uint64_t value, at, len; /* bytes [at, at + len) of the window */
};

struct vl_message {
	uint32_t op;	/* what is asked; in a reply VL_OP_REPLY */
	uint32_t error; /* there is one: the next fields and the texts */
	int32_t code, os_errno;
	uint64_t address;
	uint64_t value[VL_WIRE_VALUES];
	struct vl_wire_arg args[VL_WIRE_ARGS];
	uint32_t nr_args;
	struct vl_pause_account pauses; /* the broker's */
	struct vl_sys sys;		/* the fields; not the operations */
	char text[VL_WIRE_TEXT];	/* name of the call, or the error's message */
	char hint[VL_WIRE_TEXT];	/* "": none */
};

/* Any op of a worker that is not this one is a question of its own. */
#define VL_OP_REPLY 0

struct vl_channel {
	_Atomic uint32_t turn; /* 1: the worker's */
	struct vl_message message;
} __attribute__((aligned(64)));

struct vl_wire {
	_Atomic uint32_t bell; /* counts up when the worker has said something */
	struct vl_channel channel[VL_NR_CHANNELS];
	unsigned char window[VL_WINDOW_MAIN] __attribute__((aligned(4096)));
	unsigned char back[VL_NR_CHANNELS][VL_WINDOW_BACK] __attribute__((aligned(4096)));
};

/* Make one, shared with processes that are forked from now on. NULL: errno says why. */
struct vl_wire *vl_wire_create(void);
/* Likewise, for another process, too: it maps *@fd_ret, whose size is fixed. */
struct vl_wire *vl_wire_create_file(int *fd_ret);
struct vl_wire *vl_wire_map(int fd);
void vl_wire_destroy(struct vl_wire *w);

/*
 * Wait until *@word is no longer @seen, @timeout_ns at most. Returns early for a signal,
 * or for no reason.
 */
void vl_wire_sleep(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns);
/* Wake who sleeps on @word. */
void vl_wire_wake(_Atomic uint32_t *word);

/* --- the worker's side --- */

/* Say @m on a channel whose turn is ours. */
void vl_wire_say(struct vl_wire *w, enum vl_channel_id id, const struct vl_message *m);
/*
 * Wait for the broker's next word on a channel. False: the broker is gone, as @link
 * tells, its end of a socket.
 */
bool vl_wire_hear(struct vl_wire *w, enum vl_channel_id id, int link, struct vl_message *ret);

/* --- errors --- */

/* Put @err, which may be NULL, into @m; ends it. */
void vl_message_put_error(struct vl_message *m, struct vl_error *err);
/*
 * The error in @m, or NULL. Texts are cut at their room; a code that is none becomes
 * VL_ERR_CRASHED.
 */
struct vl_error *vl_message_error(const struct vl_message *m);

/* --- arguments of a call --- */

/*
 * Put @args into @m and @window, which has VL_WINDOW_MAIN bytes. False: they do not fit.
 */
bool vl_message_put_args(struct vl_message *m, unsigned char *window, const struct vl_arg *args,
			 size_t nr);
/* Make arguments that point into @window of those in @m. False: they do not lie in it. */
bool vl_message_args(const struct vl_message *m, unsigned char *window,
		     struct vl_arg args_ret[VL_WIRE_ARGS]);
/*
 * Copy back what call @name, which returned @ret, has put out, by our own @args: the same as
 * were put.
 */
void vl_message_pull_args(const unsigned char *window, const char *name, const struct vl_arg *args,
			  size_t nr, int64_t ret);

#endif
