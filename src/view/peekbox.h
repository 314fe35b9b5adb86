/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vpeek's looks, in a worker, and what they found on its way out. The broker reads that
 * back as calls of struct vl_peek_ops, which are what vl_peek_show() could have made.
 */
#ifndef VLENS_PEEKBOX_H
#define VLENS_PEEKBOX_H

#include "parcel.h"
#include "peek.h"

#define VL_PEEK_WHAT 4096

/* What is asked; between the processes as it is. */
struct vl_peek_ask {
	char what[VL_PEEK_WHAT];
	uint64_t elements, depth; /* of struct vl_types */
	int64_t as;		  /* a process id; 0: the kernel */
};

/* In the worker: between the finding of a place and the looks at it. */
struct vl_peeker {
	struct vl_types types;
	struct vl_place place;
	bool is_found;
};

/* Find what @ask says, into @p and as struct vl_peek_found into @out. */
struct vl_error *vl_peeker_find(struct vl_peeker *p, struct vl_subject *s, const char *engine,
				const struct vl_peek_ask *ask, struct vl_parcel *out);
/*
 * @len bytes at @va, up to the first that cannot be read, for which there is an error; with
 * @whole it is all of them or none.
 */
struct vl_error *vl_peeker_bytes(struct vl_peeker *p, uint64_t va, uint64_t len, bool whole,
				 struct vl_parcel *out);
/* The values there; @nr: so many of them, 0: one. */
struct vl_error *vl_peeker_values(struct vl_peeker *p, uint64_t nr, struct vl_parcel *out);
void vl_peeker_deinit(struct vl_peeker *p);

/* In the broker: show what @in has. False: it is not what a look finds. */
bool vl_peek_replay(struct vl_parcel *in, const struct vl_peek_ops *ops, void *ctx);

#endif
