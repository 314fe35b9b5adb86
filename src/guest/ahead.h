/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking ahead. Programs ask the same of one process after the other: ps its stat, status and
 * command line, lsof its folders and descriptors. So with the first question of a process the
 * worker is asked what followed it the last time, which saves a switch between processes for each.
 *
 * Only in an epoch whose answers are all of one moment (vl_sys.steady): there an answer is the same
 * now and later. What is not asked for until the epoch ends, or of another process, is dropped.
 */
#ifndef VLENS_GUEST_AHEAD_H
#define VLENS_GUEST_AHEAD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../syscall/sys.h"

/* Questions of one process that are asked together; longer leaves are asked alone. */
#define VL_AHEAD_MAX 32
#define VL_LEAF_MAX 44
/* As "/proc/4194304". */
#define VL_BASE_MAX 24

enum vl_asks {
	VL_ASKS_FILE, /* to open and to read; flags of openat() */
	VL_ASKS_STAT, /* flags of newfstatat() */
	VL_ASKS_LINK, /* readlinkat() */
};

struct vl_question {
	uint32_t what;		/* enum vl_asks */
	int32_t flags;		/* as above */
	uint32_t len;		/* room for the answer, but what is in a reply is not more */
	char leaf[VL_LEAF_MAX]; /* what follows the base in its path */
};

/* What a message of VL_OP_ASK has in the window; answers begin where all this ends. */
struct vl_asked {
	char base[PATH_MAX];
	struct vl_question questions[VL_AHEAD_MAX];
};

/* An answer in the window; behind it are the bytes of it, @len of the question at most. */
struct vl_answer {
	int64_t ret; /* what the call returned, or openat() */
	int64_t n;   /* what read() returned */
};

/* The place of what is behind an answer of @len bytes at @at. */
static inline size_t vl_answer_next(size_t at, uint32_t len)
{
	return at + sizeof(struct vl_answer) + (((size_t)len + 15) & ~(size_t)15);
}

/* The bytes that @a to @q says there are; it is a guest's word. */
size_t vl_answer_size(const struct vl_question *q, const struct vl_answer *a);

/* What is known of a run. */
struct vl_ahead;

struct vl_ahead *vl_ahead_create(void);
void vl_ahead_destroy(struct vl_ahead *a);

/*
 * Part the path of a process's file: "/proc/PID" to @base, what follows it to @q. False: it is no
 * such path, or too long.
 */
bool vl_ahead_split(const char *path, char base[VL_BASE_MAX], struct vl_question *q);

/* Is @q of @base answered, in this @epoch? Then to @ret, and its bytes to @buf; once. */
bool vl_ahead_take(struct vl_ahead *a, uint64_t epoch, const char *base,
		   const struct vl_question *q, struct vl_answer *ret, void *buf);
/*
 * @q, which vl_ahead_take() had no answer for, is to be asked, and what more with it: to @ret,
 * which begins with @q; returns how many. Their answers take @room bytes at most.
 */
size_t vl_ahead_plan(struct vl_ahead *a, const struct vl_question *q, size_t room,
		     struct vl_question ret[VL_AHEAD_MAX]);
/* The next of the plan behind its first question, @q, has @answer, with @bytes of it. */
void vl_ahead_put(struct vl_ahead *a, const struct vl_question *q, const struct vl_answer *answer,
		  const void *bytes);
/* What follows in the plan gets no answer: it is not to be asked ahead again. */
void vl_ahead_cut(struct vl_ahead *a);
/* What is answered and not asked for yet is not to be believed any more. */
void vl_ahead_drop(struct vl_ahead *a);

#endif
