/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes that a watch knows, and what is new in them. It reads nothing: it gets each
 * process as it was read, and asks back by `struct vl_known_ops`.
 *
 * A list that changes while it is walked can show a process that was freed meanwhile. So each
 * difference is confirmed by a second, careful look at that process alone.
 */
#ifndef VLENS_KNOWN_H
#define VLENS_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A process as it was read. Its identity is pid and start: an exec can replace its task_struct. */
struct vl_seen {
	uint64_t task, start, mm, cred, parent, next, prev;
	int32_t pid;
	uint32_t uid, euid, flags, exit_state, exit_code;
	char comm[16];
};

/* The news about a process, as bits. */
enum {
	VL_NEWS_START = 1 << 0,
	VL_NEWS_EXEC = 1 << 1,
	VL_NEWS_ROOT = 1 << 2,
	VL_NEWS_END = 1 << 3,
};

enum vl_again {
	VL_AGAIN_FALSE, /* there is no such process: what was read was garbage */
	VL_AGAIN_LATER, /* it is in the middle of an exec: look later */
	VL_AGAIN_TRUE,
	VL_AGAIN_GONE, /* another task, or none, is where it was */
};

struct vl_known_ops {
	/*
	 * Read the process at @s->task again, carefully. @was is what is known of it; NULL: it is
	 * new. VL_AGAIN_TRUE: @s has its present state. VL_AGAIN_GONE: @was has ended, and @s has
	 * the known facts about its end: exit_state is 0 if there are none.
	 */
	enum vl_again (*again)(void *ctx, struct vl_seen *s, const struct vl_seen *was);
	/* Report @news, one bit. @was: the state before; NULL: the process is new. */
	void (*tell)(void *ctx, unsigned news, const struct vl_seen *now,
		     const struct vl_seen *was);
};

struct vl_known_task {
	struct vl_seen is;
	unsigned round;	   /* the last walk that saw it */
	bool ended;	   /* its end was reported; it is still listed */
	bool missed;	   /* the last walk did not see it, and its memory has another task */
	uint64_t later_ns; /* since when its exec is put off; 0: it is not */
};

struct vl_known {
	const struct vl_known_ops *ops;
	void *ctx;
	struct vl_known_task *tasks;
	size_t nr, cap;
	uint32_t *slots; /* by pid: an index + 1 */
	size_t nr_slots;
	unsigned round;
	uint64_t now_ns; /* set by the caller before it passes what it has read */
	bool silent;	 /* report nothing: these processes were there before the watch */
	bool full;	 /* there was no memory: something is missing */
};

void vl_known_deinit(struct vl_known *k);

/* What is known of process @pid; NULL: nothing. */
const struct vl_seen *vl_known_find(const struct vl_known *k, int32_t pid);

/* Begin a walk over all processes. */
void vl_known_begin(struct vl_known *k);
/* A walk, of all or of some, has read @s. */
void vl_known_see(struct vl_known *k, const struct vl_seen *s);
/* The walk over all processes is complete: those that it did not see may have ended. */
void vl_known_end(struct vl_known *k);

#endif
