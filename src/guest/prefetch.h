/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions about the next processes. A program that has listed /proc asks about one process
 * after the other, the same questions each time (ahead.h). So the broker asks the worker about the
 * next processes in advance. The worker answers, on a second CPU if there is one, while the
 * program gets the answers that have arrived.
 *
 * A message with these questions is a prefetch. It has the same questions for each of its
 * processes. There are two prefetches at most: one with the worker, and one whose answers are in
 * use. Each has a window of the wire. A prefetch ends early if the broker needs the worker for
 * something else.
 *
 * In an epoch of questions the answers of a prefetch are validated together, when the last one is
 * there; before that none can be taken. They are of one point in time, that of the next prefetch is
 * later. So both are dropped at any other question to the worker: the program would get older
 * answers after a newer one.
 */
#ifndef VLENS_GUEST_PREFETCH_H
#define VLENS_GUEST_PREFETCH_H

#include "../box/wire.h"
#include "ahead.h"

/* Processes of a prefetch. */
#define VL_PREFETCH_BASES 32
/* The same after prefetches that could not be validated. */
#define VL_PREFETCH_LEAST 4

struct vl_prefetch {
	size_t window; /* of the wire */
	size_t from;   /* its first process, in the listing */
	size_t nr_bases, nr_questions;
	struct vl_question questions[VL_AHEAD_MAX];
	size_t stride;	    /* bytes of the answers of one process */
	size_t nr_answers;  /* number of answers; before the worker's reply that of all questions */
	bool used;	    /* it has processes that the program has not passed */
	bool validates;	    /* the answers are validated together */
	bool closed;	    /* the files that it opened are closed by now */
	uint64_t epoch, ns; /* when it was sent: the epoch, and vl_broker_work_ns() */
	bool taken[VL_PREFETCH_BASES * VL_AHEAD_MAX];
};

struct vl_prefetches {
	uint32_t *pids; /* as /proc lists them */
	size_t nr_pids, max_pids;
	size_t at;	   /* the process that the program asks about */
	bool known;	   /* it is in the listing */
	bool in_order;	   /* the last process was the one before it in the listing, */
	bool clean;	   /* and its questions took one message at most */
	unsigned messages; /* messages for this process so far, without prefetches */
	int64_t listing;   /* the guest's descriptor of /proc; -1: none */
	bool begins;	   /* nothing has been read from it since it was opened */
	uint64_t epoch;
	/*
	 * Processes to ask about before the next prefetch, after some that could not be validated.
	 */
	unsigned wait, wait_next;
	size_t bases_lost; /* processes that a prefetch has less than VL_PREFETCH_BASES, likewise */
	struct vl_prefetch prefetch[VL_NR_AHEAD];
};

/* The offset of answer @i of @f in its window. */
static inline size_t vl_prefetch_answer(const struct vl_prefetch *f, size_t i)
{
	size_t at = sizeof(struct vl_asked) + i / f->nr_questions * f->stride;

	for (size_t k = 0; k < i % f->nr_questions; k++)
		at = vl_answer_next(at, f->questions[k].len);
	return at;
}

void vl_prefetches_deinit(struct vl_prefetches *fl);

/*
 * The guest's kernel has answered call @name with @ret. If it lists /proc, keep the entries: the
 * program will ask about them in this order.
 */
void vl_prefetches_see(struct vl_prefetches *fl, const char *name, const struct vl_arg *args,
		       size_t nr, int64_t ret);

/* The guest's descriptor @fd of /proc was opened otherwise. Negative: it was not. */
void vl_prefetches_opened(struct vl_prefetches *fl, int64_t fd);

/* Likewise, for all entries of /proc at once. */
void vl_prefetches_list(struct vl_prefetches *fl, const void *data, size_t len);

/* The program asks about process @base in @epoch. Drops prefetches that it can no longer use. */
void vl_prefetches_turn(struct vl_prefetches *fl, uint64_t epoch, const char *base);

/* The prefetch that asks @q about the current process, as its answer *@i_ret; or NULL. */
struct vl_prefetch *vl_prefetches_find(struct vl_prefetches *fl, const struct vl_question *q,
				       size_t *i_ret);

/*
 * Plan the next prefetch, with @nr questions about each of the next processes. NULL: the program
 * does not ask in the order of the listing, or its questions cannot be asked in advance; or all
 * processes have been asked about; or both windows are in use.
 */
struct vl_prefetch *vl_prefetches_plan(struct vl_prefetches *fl,
				       const struct vl_question *questions, size_t nr);

/* Write @f into its window, for the worker. */
void vl_prefetch_write(const struct vl_prefetches *fl, const struct vl_prefetch *f,
		       unsigned char *window);

/*
 * The worker has replied to @f with @nr answers. If these are not all, the next prefetch begins
 * with the first process that lacks some.
 */
void vl_prefetch_end(struct vl_prefetch *f, size_t nr);

/* Drop all prefetches. The worker still replies to one that it has. */
void vl_prefetches_drop(struct vl_prefetches *fl);

/* The guest's files are about to be closed: no answer can be read on. */
void vl_prefetches_close(struct vl_prefetches *fl);

/* Prefetches that are validated remain good in @epoch, which is about to begin. */
void vl_prefetches_carry(struct vl_prefetches *fl, uint64_t epoch);

/*
 * A prefetch has ended, and was @validated or not. The next one is half as large then, and so
 * sooner at its end. If the least one fails, too, there is none for some processes.
 */
void vl_prefetches_judge(struct vl_prefetches *fl, bool validated);

#endif
