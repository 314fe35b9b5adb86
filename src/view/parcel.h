/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A result of a view on its way out of its worker's box: bytes in a row. Whoever takes
 * them out believes nothing that they say: each count, length and kind is checked, and
 * what does not fit is no result.
 */
#ifndef VLENS_PARCEL_H
#define VLENS_PARCEL_H

#include "table.h"

struct vl_parcel {
	unsigned char *bytes;
	size_t len, cap;
	size_t at; /* where the next bytes are taken from */
	bool bad;  /* put: memory ran out, or it is too long; take: what was there did not fit */
};

/* No parcel has more bytes: a list of every task that a kernel can have takes as many. */
#define VL_PARCEL_MAX (1UL << 30)

void vl_parcel_deinit(struct vl_parcel *p);

void vl_parcel_put(struct vl_parcel *p, const void *bytes, size_t len);
static inline void vl_parcel_put_u64(struct vl_parcel *p, uint64_t v)
{
	vl_parcel_put(p, &v, sizeof(v));
}

/* @len bytes to @buf; zeros, and `bad` is set, where there are not so many. */
void vl_parcel_take(struct vl_parcel *p, void *buf, size_t len);
uint64_t vl_parcel_take_u64(struct vl_parcel *p);
/* @len bytes where they are; NULL, and `bad` is set, where there are not so many. */
const void *vl_parcel_take_bytes(struct vl_parcel *p, size_t len);

/* Bytes that have not been taken. */
static inline size_t vl_parcel_left(const struct vl_parcel *p)
{
	return p->len - p->at;
}

void vl_parcel_put_table(struct vl_parcel *p, const struct vl_table *t);
/*
 * Take a table of @t's columns into @t, which is empty. False: what is there is none, @t
 * is empty, and `bad` is set.
 */
bool vl_parcel_take_table(struct vl_parcel *p, struct vl_table *t);

#endif
