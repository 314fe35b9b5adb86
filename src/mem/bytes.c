/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a snapshot, by physical and by virtual addresses. */
#include <string.h>

#include "snapshot-internal.h"

void *vl_snapshot_host(const struct vl_snapshot *v, uint64_t gpa, size_t len)
{
	const struct vl_snapshot_range *r = vl_snapshot_find(v, gpa);

	if (!r || len > r->size - (gpa - r->gpa))
		return NULL;
	return (char *)r->host + (gpa - r->gpa);
}

void *vl_snapshot_filled(struct vl_snapshot *v, uint64_t gpa, size_t len)
{
	char *p = vl_snapshot_host(v, gpa, len);

	if (p)
		vl_snapshot_need(v, vl_snapshot_find(v, gpa), gpa);
	return p;
}

bool vl_snapshot_read_entry(void *snapshot, uint64_t gpa, uint64_t *ret)
{
	const void *p = vl_snapshot_filled(snapshot, gpa, sizeof(*ret));

	if (!p)
		return false;
	memcpy(ret, p, sizeof(*ret));
	return true;
}

bool vl_snapshot_held_entry(void *snapshot, uint64_t gpa, uint64_t *ret)
{
	struct vl_snapshot *v = snapshot;
	const struct vl_snapshot_range *r = vl_snapshot_find(v, gpa);

	return r &&
	       vl_snapshot_test_bit(v,
				    vl_snapshot_first_bit(v, r) + (gpa - r->gpa) / VL_PAGE_SIZE) &&
	       vl_snapshot_read_entry(v, gpa, ret);
}

bool vl_snapshot_peek_page(struct vl_snapshot *v, uint64_t gpa, void *buf)
{
	const struct vl_snapshot_range *r = vl_snapshot_find(v, gpa);

	if (!r)
		return false;
	if (!vl_snapshot_test_bit(v, vl_snapshot_first_bit(v, r) + (gpa - r->gpa) / VL_PAGE_SIZE))
		return !vl_discard(vl_target_read(v->target, gpa, buf, VL_PAGE_SIZE));
	memcpy(buf, (char *)r->host + (gpa - r->gpa), VL_PAGE_SIZE);
	return true;
}

bool vl_snapshot_read(struct vl_snapshot *v, const struct vl_pgtable *pt, uint64_t va, void *buf,
		      size_t len)
{
	char *out = buf;

	while (len) {
		size_t n = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));
		struct vl_xlat x;
		const void *p;

		if (n > len)
			n = len;
		if (!vl_translate(pt, vl_snapshot_read_entry, v, va, &x))
			return false;
		p = vl_snapshot_filled(v, x.gpa, n);
		if (!p)
			return false;
		memcpy(out, p, n);
		out += n;
		va += n;
		len -= n;
	}
	return true;
}
