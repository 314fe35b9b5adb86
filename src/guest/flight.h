/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions about the next processes. A program that has listed /proc asks about one process
 * after the other, the same of each (ahead.h). So the worker is asked about the next ones, and
 * answers while the program gets the answers that are there: where there is a second CPU, it
 * runs on that.
 *
 * Such a message is a flight. It asks the same questions of each of its processes. There are two
 * at most: one with the worker, and one whose answers are being used. Each has a window of the
 * wire. A flight ends early if the broker needs the worker for something else.
 */
#ifndef VLENS_GUEST_FLIGHT_H
#define VLENS_GUEST_FLIGHT_H

#include "../box/wire.h"
#include "ahead.h"

/* Processes of a flight. */
#define VL_FLIGHT_BASES 8

struct vl_flight {
	size_t window; /* of the wire */
	size_t from;   /* its first process, in the listing */
	size_t nr_bases, nr_questions;
	struct vl_question questions[VL_AHEAD_MAX];
	size_t stride; /* bytes of the answers of one process */
	size_t landed; /* number of answers, when the worker has replied; until then all */
	bool used;     /* it has processes that the program has not passed */
	bool taken[VL_FLIGHT_BASES * VL_AHEAD_MAX];
};

struct vl_flights {
	uint32_t *pids; /* as /proc lists them */
	size_t nr_pids, max_pids;
	size_t at;	   /* the process that the program asks about */
	bool known;	   /* it is in the listing */
	bool in_order;	   /* the last one was that before it, */
	bool clean;	   /* and took one message at most */
	unsigned messages; /* that this one took so far; flights do not count */
	int64_t listing;   /* the guest's descriptor of /proc; -1: none */
	bool begins;	   /* nothing was read from it */
	uint64_t epoch;
	struct vl_flight flight[VL_NR_AHEAD];
};

/* Where the answers of @f are in its window. */
static inline size_t vl_flight_answer(const struct vl_flight *f, size_t i)
{
	size_t at = sizeof(struct vl_asked) + i / f->nr_questions * f->stride;

	for (size_t k = 0; k < i % f->nr_questions; k++)
		at = vl_answer_next(at, f->questions[k].len);
	return at;
}

void vl_flights_deinit(struct vl_flights *fl);

/*
 * The guest's kernel has answered call @name: notice a listing of /proc. The order of its
 * entries is that in which the program will ask.
 */
void vl_flights_see(struct vl_flights *fl, const char *name, const struct vl_arg *args, size_t nr,
		    int64_t ret);

/* Likewise: all entries of /proc were listed in one step. */
void vl_flights_list(struct vl_flights *fl, const void *data, size_t len);

/* The program asks about @base, in @epoch. Drops the flights that it has passed, or left. */
void vl_flights_turn(struct vl_flights *fl, uint64_t epoch, const char *base);

/* The flight that has @q about the process whose turn it is, as answer *@i_ret; or NULL. */
struct vl_flight *vl_flights_find(struct vl_flights *fl, const struct vl_question *q,
				  size_t *i_ret);

/*
 * Plan the next flight: @nr questions, of each of the next processes. NULL: the program does not
 * ask in order, or what cannot be asked ahead; all are asked about; or both windows are in use.
 */
struct vl_flight *vl_flights_plan(struct vl_flights *fl, const struct vl_question *questions,
				  size_t nr);

/* Write @f into its window, for the worker. */
void vl_flight_write(const struct vl_flights *fl, const struct vl_flight *f, unsigned char *window);

/* Drop all flights. One that is with the worker still has to land. */
void vl_flights_drop(struct vl_flights *fl);

#endif
