/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's requests for vpeek. */
#include "internal.h"

#define VIEW_NS 30000000000UL

struct vl_error *vl_guest_peek(struct vl_guest *g, const char *what, pid_t as, uint64_t elements,
			       unsigned depth, struct vl_peek_found *ret)
{
	struct vl_peek_ask ask = { .elements = elements, .depth = depth, .as = as };
	struct vl_message m = { .op = VL_OP_FIND };
	struct vl_parcel p = { .bytes = NULL };
	struct vl_error *err;

	if (strlen(what) >= sizeof(ask.what))
		return vl_error_new(VL_ERR_ARG, "the name of the place is too long");
	strcpy(ask.what, what);
	if (g->box)
		memcpy(vl_box_wire(g->box)->window, &ask, sizeof(ask));
	err = vl_views_ask(g, &m, VIEW_NS, &p);
	if (!err) {
		vl_parcel_take(&p, ret, sizeof(*ret));
		ret->type[sizeof(ret->type) - 1] = '\0';
		if (p.bad || vl_parcel_left(&p))
			err = vl_broker_lied(g);
	}
	vl_parcel_deinit(&p);
	return err;
}

struct vl_error *vl_guest_peek_bytes(struct vl_guest *g, uint64_t va, void *buf, size_t len,
				     bool whole, size_t *done_ret)
{
	struct vl_message m = { .op = VL_OP_BYTES, .value = { va, 0, len, whole } };
	struct vl_parcel p = { .bytes = NULL };
	struct vl_error *err = vl_views_ask(g, &m, VIEW_NS, &p);
	size_t got = vl_parcel_left(&p);

	*done_ret = 0;
	if (got > len || (!err && got < len)) {
		vl_error_destroy(err);
		err = vl_broker_lied(g);
	} else if (got) {
		vl_parcel_take(&p, buf, got);
		*done_ret = got;
	}
	vl_parcel_deinit(&p);
	return err;
}

struct vl_error *vl_guest_peek_values(struct vl_guest *g, uint64_t nr,
				      const struct vl_peek_ops *ops, void *ctx)
{
	struct vl_message m = { .op = VL_OP_VALUES, .value = { nr } };
	struct vl_parcel p = { .bytes = NULL };
	struct vl_error *err = vl_views_ask(g, &m, VIEW_NS, &p);

	if (!err && !vl_peek_replay(&p, ops, ctx))
		err = vl_broker_lied(g);
	vl_parcel_deinit(&p);
	return err;
}
