/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves the image to the guest's base. An image that has an index is not changed: to copy some
 * thousand mapped pages takes longer than all else. Its bytes are moved when they are used.
 */
#include "../base/bisect.h"
#include "internal.h"

static const size_t widths[VL_TRUST_LISTS] = {
	[VL_TRUST_64] = 8,
	[VL_TRUST_INVERSE] = 4,
	[VL_TRUST_32] = 4,
};

/* The place of value @i of list @kind, in bytes from the image's start. */
static uint64_t place_of(const struct vl_trust *t, enum vl_trust_list kind, size_t i)
{
	return (uint64_t)(int64_t)t->lists[kind][i] - t->link;
}

static void add(unsigned char *p, enum vl_trust_list kind, uint64_t delta)
{
	uint64_t v = 0;

	memcpy(&v, p, widths[kind]);
	v += kind == VL_TRUST_INVERSE ? -delta : delta;
	memcpy(p, &v, widths[kind]);
}

/* Move the values of list @kind in @out, which has the @len bytes at offset @at. */
static void move_values(const struct vl_trust *t, enum vl_trust_list kind, size_t at, size_t len,
			unsigned char *out)
{
	size_t width = widths[kind], nr = t->nr_list[kind];
	size_t i = vl_bisect(k, nr, place_of(t, kind, k) + width <= at);

	for (; i < nr; i++) {
		uint64_t place = place_of(t, kind, i), from, to;
		unsigned char whole[8];

		if (place >= at + len)
			return;
		if (place >= at && place + width <= at + len) {
			add(out + (place - at), kind, t->pending);
			continue;
		}
		memcpy(whole, t->bytes + place, width);
		add(whole, kind, t->pending);
		from = place > at ? place : at;
		to = place + width < at + len ? place + width : at + len;
		memcpy(out + (from - at), whole + (from - place), to - from);
	}
}

const unsigned char *vl_trust_own(const struct vl_trust *t, size_t at, size_t len,
				  unsigned char *buf)
{
	if (!t->pending)
		return t->bytes + at;
	memcpy(buf, t->bytes + at, len);
	for (size_t k = 0; k < VL_TRUST_LISTS; k++)
		move_values(t, k, at, len, buf);
	return buf;
}

bool vl_trust_copy(const struct vl_trust *t, uint64_t va, void *ret, size_t len)
{
	const unsigned char *own;

	if (!vl_trust_has(t, va - t->va, len))
		return false;
	own = vl_trust_own(t, va - t->va, len, ret);
	if (own != ret)
		memcpy(ret, own, len);
	return true;
}

/*
 * Is list @kind in ascending order, with no two values at the same bytes? There are some 100,000:
 * without a way out of the loop the compiler compares several at once.
 */
static bool is_sorted(const struct vl_trust *t, enum vl_trust_list kind)
{
	const int32_t *list = t->lists[kind];
	const int64_t width = (int64_t)widths[kind];
	size_t nr = t->nr_list[kind];
	bool good = true;

	for (size_t i = 1; i < nr; i++)
		good &= (int64_t)list[i] - list[i - 1] >= width;
	return good;
}

/* Are all values of list @kind in the image? */
static bool has_values(const struct vl_trust *t, enum vl_trust_list kind, bool sorted)
{
	size_t nr = t->nr_list[kind];

	/* If they are sorted, all are between the first and the last one. */
	for (size_t i = 0; i < nr; i += sorted && nr > 1 ? nr - 1 : 1)
		if (!vl_trust_has(t, place_of(t, kind, i), widths[kind]))
			return false;
	return true;
}

bool vl_trust_move(struct vl_trust *t, uint64_t delta)
{
	bool later = t->index;

	for (size_t k = 0; k < VL_TRUST_LISTS; k++) {
		bool sorted = is_sorted(t, k);

		if (delta && !has_values(t, k, sorted))
			return false;
		later &= sorted;
	}
	for (size_t k = 0; delta && !later && k < VL_TRUST_LISTS; k++)
		for (size_t i = 0; i < t->nr_list[k]; i++)
			add(t->bytes + place_of(t, k, i), k, delta);
	t->pending = later ? delta : 0;
	t->va = t->link + delta;
	return true;
}
