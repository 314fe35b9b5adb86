/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result of a view, serialized by its worker in the box. The broker checks each count, length
 * and kind in it, and refuses a parcel that does not fit.
 */
#ifndef VLENS_PARCEL_H
#define VLENS_PARCEL_H

#include "../host/kept.h"
#include "peek.h"
#include "table.h"
#include "top.h"
#include "watch.h"

struct vl_parcel {
	unsigned char *bytes;
	size_t len, cap;
	size_t at;    /* offset of the next bytes to take */
	size_t limit; /* of what is fetched; 0: VL_PARCEL_MAX */
	bool bad;     /* put: no memory, or too long; take: the bytes did not fit */
};

/* Limit of a parcel's bytes: the longest list of tasks of a kernel takes as many. */
#define VL_PARCEL_MAX (1UL << 30)

void vl_parcel_deinit(struct vl_parcel *p);

void vl_parcel_put(struct vl_parcel *p, const void *bytes, size_t len);
static inline void vl_parcel_put_u64(struct vl_parcel *p, uint64_t v)
{
	vl_parcel_put(p, &v, sizeof(v));
}

/* Take @len bytes into @buf. With fewer left they are zeros, and `bad` is set. */
void vl_parcel_take(struct vl_parcel *p, void *buf, size_t len);
uint64_t vl_parcel_take_u64(struct vl_parcel *p);
/* Take @len bytes in place. With fewer left it is NULL, and `bad` is set. */
const void *vl_parcel_take_bytes(struct vl_parcel *p, size_t len);

/* The number of bytes not taken yet. */
static inline size_t vl_parcel_left(const struct vl_parcel *p)
{
	return p->len - p->at;
}

void vl_parcel_put_table(struct vl_parcel *p, const struct vl_table *t);
/*
 * Take a table of @t's columns into @t, which is empty. False: there is no valid one; @t is
 * empty, and `bad` is set.
 */
bool vl_parcel_take_table(struct vl_parcel *p, struct vl_table *t);

/*
 * vpeek's requests, in a worker, and their results in a parcel. The broker replays that as
 * calls of struct vl_peek_ops, which are calls that vl_peek_show() could have made.
 */

#define VL_PEEK_WHAT 4096

/* A request; passed between the processes as it is. */
struct vl_peek_ask {
	char what[VL_PEEK_WHAT];
	uint64_t elements, depth; /* as in struct vl_types */
	int64_t as;		  /* a process id; 0: the kernel */
};

/* The worker's state from finding a place to reading it. */
struct vl_peeker {
	struct vl_types types;
	struct vl_lvalue place;
	bool is_found;
	char key[VL_KEY_MAX + 1]; /* of the kernel whose types these are */
};

/* Find the place of @ask: into @p, and as struct vl_peek_found into @out. */
struct vl_error *vl_peeker_find(struct vl_peeker *p, struct vl_raw_guest *g, const char *engine,
				const struct vl_peek_ask *ask, struct vl_parcel *out);
/*
 * Put the @len bytes at @va into @out, up to the first that cannot be read, which is the error.
 * With @whole put all or none.
 */
struct vl_error *vl_peeker_bytes(struct vl_peeker *p, uint64_t va, uint64_t len, bool whole,
				 struct vl_parcel *out);
/* Put the values of the place: @nr of them, 0: one. */
struct vl_error *vl_peeker_values(struct vl_peeker *p, uint64_t nr, struct vl_parcel *out);
void vl_peeker_deinit(struct vl_peeker *p);

/* In the broker: show the values of @in. False: no peek could have made them. */
bool vl_peek_replay(struct vl_parcel *in, const struct vl_peek_ops *ops, void *ctx);

/* A sample of vtop, in a parcel from its worker's box. */

void vl_parcel_put_sample(struct vl_parcel *p, const struct vl_top_sample *s);
/*
 * Take a sample into @s, whose memory is used again. False: there is no valid one; @s then has
 * no tasks and no CPUs.
 */
bool vl_parcel_take_sample(struct vl_parcel *p, struct vl_top_sample *s);

/* A round of a watch, likewise. */

void vl_parcel_put_watch(struct vl_parcel *p, const struct vl_watch_round *r);
/* Take a round into @r, whose memory is used again. False: there is no valid one; it has none. */
bool vl_parcel_take_watch(struct vl_parcel *p, struct vl_watch_round *r);

#endif
