/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct vl_sys of an open guest: calls of its kernel, by its worker. */
#include "internal.h"

#include <errno.h>
#include <string.h>

static struct vl_error *validate(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_message m = { .op = VL_OP_VALIDATE };

	/* Most calls of a program are about the host: do not wake the worker for nothing. */
	if (!g->box || !sys->open)
		return NULL;
	/* They keep the epoch open, but no longer than the others do. */
	if (!g->unvalidated) {
		sys->brief |= vl_broker_is_old(g);
		return NULL;
	}
	g->unvalidated = false;
	if (sys->steady) {
		g->gone.answers.paused++;
		sys->brief = vl_broker_is_old(g);
		return NULL;
	}
	return vl_broker_ask(g, &m, VL_CALL_NS);
}

/* The error if no epoch is open: a hostile worker can end one unasked. */
static struct vl_error *no_epoch(void)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_ARG, "the worker ended its snapshot of the guest unasked"),
		"try again; if it stays so, the guest may be hostile");
}

static struct vl_error *call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
			     size_t nr, int64_t *ret)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_message m = { .op = VL_OP_CALL };
	struct vl_error *err;
	unsigned messages;
	bool closes;

	if (!g->box || !sys->open)
		return no_epoch();
	if (vl_ask_call(g, name, args, nr, ret, &err))
		return err;
	sys->missed = 0;
	/* Closing files reads nothing of the guest, so answers that were asked ahead stay valid. */
	closes = !strcmp(name, "close_range");
	if (!closes)
		vl_ask_otherwise(g);
	if (strlen(name) >= sizeof(m.text) ||
	    !vl_message_put_args(&m, vl_box_wire(g->box)->window, args, nr)) {
		*ret = -E2BIG;
		return NULL;
	}
	strcpy(m.text, name);
	g->unvalidated |= !closes;
	messages = g->prefetches.messages;
	err = vl_broker_ask(g, &m, VL_CALL_NS);
	/* A close names no process, so the count of messages stays. */
	if (closes)
		g->prefetches.messages = messages;
	if (err)
		return err;
	*ret = (int64_t)m.value[0];
	vl_message_pull_args(vl_box_wire(g->box)->window, name, args, nr, *ret);
	vl_ask_seen(g, name, args, nr, *ret);
	return NULL;
}

static struct vl_error *open_read(struct vl_sys *sys, const char *path, int flags,
				  enum vl_reads reads, void *buf, size_t len, int64_t *fd_ret,
				  int64_t *n_ret)
{
	struct vl_guest *g = vl_guest_of(sys);

	if (!g->box || !sys->open)
		return no_epoch();
	return vl_ask_file(g, path, flags, reads, buf, len, fd_ret, n_ret);
}

static uint64_t push(struct vl_sys *sys, const void *buf, size_t len)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_message m = { .op = VL_OP_PUSH, .value = { len, buf != NULL } };

	if (!g->box || len > VL_WINDOW_MAIN)
		return 0;
	if (buf)
		memcpy(vl_box_wire(g->box)->window, buf, len);
	return vl_discard(vl_broker_ask(g, &m, VL_CALL_NS)) ? 0 : m.value[0];
}

static void pull(struct vl_sys *sys, uint64_t addr, void *buf, size_t len)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_message m = { .op = VL_OP_PULL, .value = { addr, len } };

	if (g->box && len <= VL_WINDOW_MAIN && !vl_discard(vl_broker_ask(g, &m, VL_CALL_NS)))
		memcpy(buf, vl_box_wire(g->box)->window, len);
}

static void reset(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_message m = { .op = VL_OP_RESET };

	if (g->box)
		vl_error_destroy(vl_broker_ask(g, &m, VL_CALL_NS));
}

const struct vl_sys_ops vl_broker_ops = {
	.call = call,
	.open_read = open_read,
	.validate = validate,
	.push = push,
	.pull = pull,
	.reset = reset,
	.begin = vl_broker_begin,
	.prepare = vl_broker_prepare,
	.end = vl_broker_end,
};
