/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result of a view, serialized by its worker in the box. The taker trusts none of it: each
 * count, length and kind is checked, and a parcel that does not fit is no result.
 */
#ifndef VLENS_PARCEL_H
#define VLENS_PARCEL_H

#include "table.h"

struct vl_parcel {
	unsigned char *bytes;
	size_t len, cap;
	size_t at; /* offset of the next bytes to take */
	bool bad;  /* put: no memory, or too long; take: the bytes did not fit */
};

/* Limit of a parcel's bytes: a list of the most tasks that a kernel can have takes as many. */
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

#endif
