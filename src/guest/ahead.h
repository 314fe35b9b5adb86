/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking ahead. Programs ask the same questions about one process after the other: ps for stat,
 * status and command line, lsof for folders and descriptors. So with the first question about a
 * process the worker is also asked those that followed it the last time. Each saves a switch
 * between our two processes.
 *
 * In an epoch whose answers are all of one point in time (vl_sys.steady) an answer is the same now
 * and later. In other epochs those that are asked together are validated together, and are of one
 * point in time. They are dropped at the next question to the worker, so that the program never
 * gets an older answer after a newer one. If they cannot be validated, the next questions are asked
 * alone. Answers that the program does not ask for are dropped when it asks about another process
 * or the epoch ends.
 */
#ifndef VLENS_GUEST_AHEAD_H
#define VLENS_GUEST_AHEAD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../syscall/sys.h"

/* Questions that are asked together; one with a longer leaf is asked alone. */
#define VL_AHEAD_MAX 32
#define VL_LEAF_MAX 44
/* Longest base, as "/proc/4194304". */
#define VL_BASE_MAX 24

enum vl_asks {
	/* openat() with its flags, and enum vl_reads, by the same numbers */
	VL_ASKS_FILE = VL_READS_ONCE,
	VL_ASKS_WHOLE = VL_READS_WHOLE,
	VL_ASKS_LIST = VL_READS_LIST,
	VL_ASKS_STAT, /* flags of newfstatat() */
	VL_ASKS_LINK, /* readlinkat() */
};

struct vl_question {
	uint32_t what;		/* enum vl_asks */
	int32_t flags;		/* as above */
	uint32_t len;		/* size of the buffer for the answer */
	char leaf[VL_LEAF_MAX]; /* the path behind the base */
};

/* The window of a message of VL_OP_ASK; the answers begin behind it. */
struct vl_asked {
	union {
		char base[PATH_MAX];
		char bases[PATH_MAX / VL_BASE_MAX][VL_BASE_MAX]; /* of a prefetch (prefetch.h) */
	};
	struct vl_question questions[VL_AHEAD_MAX];
};

/* An answer in the window; its bytes follow, at most @len of the question. */
struct vl_answer {
	int64_t ret; /* result of the call, or of openat() */
	int64_t n;   /* result of read() */
};

/* The offset behind an answer of @len bytes at offset @at. */
static inline size_t vl_answer_next(size_t at, uint32_t len)
{
	return at + sizeof(struct vl_answer) + (((size_t)len + 15) & ~(size_t)15);
}

/* The number of bytes in answer @a to @q, at most q->len; @a is untrusted. */
size_t vl_answer_size(const struct vl_question *q, const struct vl_answer *a);

/* Is there more to read of the file that @q has opened? @a is untrusted. */
bool vl_answer_needs_file(const struct vl_question *q, const struct vl_answer *a);

static inline bool vl_question_same(const struct vl_question *a, const struct vl_question *b)
{
	return a->what == b->what && a->flags == b->flags && a->len == b->len &&
	       !strcmp(a->leaf, b->leaf);
}

/* Does @q open a file? */
static inline bool vl_question_opens(const struct vl_question *q)
{
	return q->what <= VL_ASKS_LIST;
}

/* The questions of a run, and the answers that wait. */
struct vl_ahead;

struct vl_ahead *vl_ahead_create(void);
void vl_ahead_destroy(struct vl_ahead *a);

/*
 * Split the path of a process's file: "/proc/PID" goes to @base, the rest to q->leaf. False: it
 * is no such path, or too long.
 */
bool vl_ahead_split(const char *path, char base[VL_BASE_MAX], struct vl_question *q);

/* If @q about @base was answered ahead in @epoch, copy the answer to @ret and @buf; only once. */
bool vl_ahead_take(struct vl_ahead *a, uint64_t epoch, const char *base,
		   const struct vl_question *q, struct vl_answer *ret, void *buf);
/*
 * Plan what to ask, as vl_ahead_take() had no answer to @q. @ret begins with @q; returns the
 * number of questions. Their answers take at most @max_size bytes.
 */
size_t vl_ahead_plan(struct vl_ahead *a, const struct vl_question *q, size_t max_size,
		     struct vl_question ret[VL_AHEAD_MAX]);
/* Keep @answer, with its @bytes, to @q: the next question of the plan behind the first one. */
void vl_ahead_put(struct vl_ahead *a, const struct vl_question *q, const struct vl_answer *answer,
		  const void *bytes);
/* The rest of the plan got no answer: do not ask it ahead again. */
void vl_ahead_cut(struct vl_ahead *a);
/* @q, for which vl_ahead_take() had no answer, got one of a prefetch. */
void vl_ahead_prefetched(struct vl_ahead *a, const struct vl_question *q);
/* The questions to ask about the next process, as far as they are known. Returns their number. */
size_t vl_ahead_questions(const struct vl_ahead *a, struct vl_question ret[VL_AHEAD_MAX]);
/* A plan outside of a steady epoch @failed: there will be none for some questions. */
void vl_ahead_judge(struct vl_ahead *a, bool failed);
/* Drop the answers that wait: a question about the same process is answered later than they. */
void vl_ahead_expire(struct vl_ahead *a);
/* The guest's files are about to be closed: drop the answers whose file has to be read on. */
void vl_ahead_close(struct vl_ahead *a);
/*
 * Answers that wait remain good in @epoch, which is about to begin. Not those whose file has to
 * be read on: it is closed.
 */
void vl_ahead_carry(struct vl_ahead *a, uint64_t epoch);
/* Drop the answers that wait, and expect no question about the same process. */
void vl_ahead_drop(struct vl_ahead *a);

#endif
