/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A round of a watch, in a parcel from its worker's box. */
#include <stdlib.h>
#include <string.h>

#include "parcel.h"

void vl_parcel_put_watch(struct vl_parcel *p, const struct vl_watch_round *r)
{
	vl_parcel_put(p, &r->figures, sizeof(r->figures));
	vl_parcel_put_u64(p, r->nr);
	vl_parcel_put(p, r->events, r->nr * sizeof(*r->events));
}

static bool is_event(const struct vl_watch_event *e)
{
	return e->kind < VL_NR_WATCH_KINDS && vl_watch_is_pid(e->pid) && vl_watch_is_pid(e->ppid) &&
	       e->name_len <= sizeof(e->name) && e->text_len <= sizeof(e->text);
}

bool vl_parcel_take_watch(struct vl_parcel *p, struct vl_watch_round *r)
{
	const void *bytes = NULL;
	uint64_t nr;

	r->nr = 0;
	vl_parcel_take(p, &r->figures, sizeof(r->figures));
	nr = vl_parcel_take_u64(p);
	if (nr <= vl_parcel_left(p) / sizeof(*r->events))
		bytes = vl_parcel_take_bytes(p, nr * sizeof(*r->events));
	if (bytes && nr > r->cap) {
		struct vl_watch_event *more = reallocarray(r->events, nr, sizeof(*more));

		if (more) {
			r->events = more;
			r->cap = nr;
		}
	}
	if (!bytes || nr > r->cap) {
		p->bad = true;
		return false;
	}
	if (nr)
		memcpy(r->events, bytes, nr * sizeof(*r->events));
	for (size_t i = 0; i < nr; i++)
		if (!is_event(&r->events[i])) {
			p->bad = true;
			return false;
		}
	r->nr = nr;
	return true;
}
