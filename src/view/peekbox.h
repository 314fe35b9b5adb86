/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vpeek's requests, in a worker, and their results in a parcel. The broker replays that as
 * calls of struct vl_peek_ops, which are calls that vl_peek_show() could have made.
 */
#ifndef VLENS_PEEKBOX_H
#define VLENS_PEEKBOX_H

#include "parcel.h"
#include "peek.h"

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
	struct vl_place place;
	bool is_found;
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

#endif
