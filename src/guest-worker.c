/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker of a guest: does what the broker says, and asks it for what needs rights. */
#include "guest-internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/port.h"
#include "vmst/unicorn_api.h"

struct vl_worker {
	struct vl_guest *guest;
	struct vl_wire *wire;
	int link;
	pthread_t main;
	struct vl_target_port port;
};

/* --- the port of the target --- */

/* A view's filler asks while the main thread waits for it. */
static enum vl_channel_id channel(const struct vl_worker *w)
{
	return pthread_equal(pthread_self(), w->main) ? VL_CHANNEL_MAIN : VL_CHANNEL_PAGES;
}

static struct vl_error *ask_back(struct vl_worker *w, struct vl_message *m)
{
	enum vl_channel_id id = channel(w);

	vl_wire_say(w->wire, id, m);
	if (!vl_wire_hear(w->wire, id, w->link, m))
		_exit(0);
	if (id == VL_CHANNEL_MAIN)
		vl_target_set_account(w->guest->target, &m->pauses);
	return vl_message_error(m);
}

static struct vl_error *port_pause(void *ctx)
{
	struct vl_message m = { .op = VL_OP_PAUSE };

	return ask_back(ctx, &m);
}

static struct vl_error *port_moment(void *ctx, unsigned tries, unsigned *cpu_ret)
{
	struct vl_message m = { .op = VL_OP_PAUSE, .value = { tries } };
	struct vl_error *err = ask_back(ctx, &m);

	*cpu_ret = (unsigned)m.value[0];
	return err;
}

static struct vl_error *port_resume(void *ctx)
{
	struct vl_message m = { .op = VL_OP_RESUME };

	return ask_back(ctx, &m);
}

static struct vl_error *port_vcpus(void *ctx, struct vl_vcpu **ret, size_t *nr_ret)
{
	struct vl_message m = { .op = VL_OP_VCPUS };
	struct vl_worker *w = ctx;
	struct vl_error *err = ask_back(w, &m);

	if (err)
		return err;
	*ret = calloc(m.value[0] + 1, sizeof(**ret));
	if (!*ret)
		return vl_error_nomem();
	memcpy(*ret, w->wire->back[channel(w)], m.value[0] * sizeof(**ret));
	*nr_ret = m.value[0];
	return NULL;
}

static struct vl_error *port_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	struct vl_worker *w = ctx;
	char *out = buf;

	while (len) {
		size_t n = len < VL_WINDOW_BACK ? len : VL_WINDOW_BACK;
		struct vl_message m = { .op = VL_OP_READ, .value = { gpa, n } };
		struct vl_error *err = ask_back(w, &m);

		if (err)
			return err;
		memcpy(out, w->wire->back[channel(w)], n);
		out += n;
		gpa += n;
		len -= n;
	}
	return NULL;
}

static struct vl_error *port_read_pages(void *ctx, const uint64_t *gpas, void *const *bufs,
					size_t nr)
{
	const size_t most = VL_WINDOW_BACK / VL_PAGE_SIZE;
	struct vl_worker *w = ctx;
	unsigned char *back = w->wire->back[channel(w)];

	while (nr) {
		size_t n = nr < most ? nr : most;
		struct vl_message m = { .op = VL_OP_PAGES, .value = { n } };
		struct vl_error *err;

		memcpy(back, gpas, n * sizeof(*gpas));
		err = ask_back(w, &m);
		if (err)
			return err;
		for (size_t i = 0; i < n; i++)
			memcpy(bufs[i], back + i * VL_PAGE_SIZE, VL_PAGE_SIZE);
		gpas += n;
		bufs += n;
		nr -= n;
	}
	return NULL;
}

static struct vl_error *port_alive(void *ctx)
{
	struct vl_message m = { .op = VL_OP_ALIVE };

	return ask_back(ctx, &m);
}

/* --- before the box --- */

struct keeping {
	struct vl_box_fds *keep;
	bool full;
};

static void keep_one(void *ctx, int fd)
{
	struct keeping *k = ctx;

	k->full |= !vl_box_keep(k->keep, fd);
}

struct vl_error *vl_worker_prepare(void *guest, struct vl_box_fds *keep)
{
	struct vl_guest *g = guest;
	struct vl_worker *w = calloc(1, sizeof(*w));
	struct keeping k = { .keep = keep };
	struct vl_unicorn_api unused;
	struct vl_error *err;
	char why[128];

	if (!w)
		return vl_error_nomem();
	w->guest = g;
	w->main = pthread_self();
	w->port = (struct vl_target_port){
		.ctx = w,
		.pause = port_pause,
		.resume = port_resume,
		.moment = port_moment,
		.vcpus = port_vcpus,
		.read = port_read,
		.read_pages = port_read_pages,
		.alive = port_alive,
		.machine = { .kvm = -1, .kind = vl_machine_kind() },
	};
	w->port.uffd = vl_view_open_uffd(&w->port.uffd_user_only);
	if (g->executor == VL_EXECUTOR_KVM ||
	    (g->executor == VL_EXECUTOR_ANY && w->port.machine.kind == VL_MACHINE_TWO_LEVELS))
		w->port.machine.kvm = vl_machine_open(why, sizeof(why));
	keep_one(&k, w->port.uffd);
	keep_one(&k, w->port.machine.kvm);
	vl_target_use_port(g->target, &w->port, keep_one, &k);
	/* No file can be opened in the box. */
	err = g->executor == VL_EXECUTOR_KVM ? NULL : vl_unicorn_load(&unused);
	if (!err && k.full)
		err = vl_error_new(VL_ERR_OS, "too many files are behind the guest's memory");
	g->boxed = true;
	g->box = NULL;
	g->sys.ops = &vl_guest_ops;
	g->worker = w;
	return err;
}

/* --- in the box --- */

static struct vl_error *call(struct vl_worker *w, struct vl_message *m)
{
	struct vl_sys *sys = &w->guest->sys;
	struct vl_arg args[VL_WIRE_ARGS];
	struct vl_error *err;
	int64_t ret = 0;

	m->text[sizeof(m->text) - 1] = '\0';
	if (!vl_message_args(m, w->wire->window, args))
		return vl_error_new(VL_ERR_ARG, "not a call");
	err = sys->ops->call(sys, m->text, args, m->nr_args, &ret);
	m->value[0] = (uint64_t)ret;
	return err;
}

static void learn(struct vl_worker *w, struct vl_message *m)
{
	const struct vl_contact *c = w->guest->contact;
	struct vl_workset *ws = &w->guest->workset;

	vl_epoch_learn(w->guest);
	m->value[VL_LEARNED_ANCHOR] = c->has_anchor;
	m->value[VL_LEARNED_LO] = (uint64_t)c->anchor_lo;
	m->value[VL_LEARNED_HI] = (uint64_t)c->anchor_hi;
	m->value[VL_LEARNED_CHANGED] = ws->changed && ws->nr <= VL_WORKSET_MAX;
	m->value[VL_LEARNED_PAGES] = ws->nr;
	if (m->value[VL_LEARNED_CHANGED] && ws->nr)
		memcpy(w->wire->window, ws->gpas, ws->nr * sizeof(*ws->gpas));
	ws->changed = false;
}

/* The contact stays, and with it what is still in the working set's eyes. */
static struct vl_error *next(struct vl_worker *w, const struct vl_message *m)
{
	struct vl_guest *g = w->guest;
	size_t nr = m->value[1];

	g->anew = false;
	g->know_mounts = false; /* they can have changed since */
	/* A keeper's answer is that of a tool which begins anew. */
	if (g->view && vl_view_still_changed(g->view))
		g->suspect = true;
	vl_epoch_reset(g);
	if (m->value[0]) {
		g->trim = true;
		vl_workset_deinit(&g->workset);
		g->workset.gpas = nr <= VL_WORKSET_MAX ? malloc(nr * 8 + 1) : NULL;
		if (!g->workset.gpas)
			return vl_error_nomem();
		memcpy(g->workset.gpas, w->wire->window, nr * 8);
		g->workset.nr = nr;
	}
	g->sys.ready = vl_guest_ready(g);
	return NULL;
}

static struct vl_error *serve(struct vl_worker *w, struct vl_message *m)
{
	struct vl_guest *g = w->guest;
	struct vl_sys *sys = &g->sys;
	struct vl_error *err;
	struct vl_stats stats;

	switch (m->op) {
	case VL_OP_BEGIN:
		g->want = VL_WANT_NOTHING;
		err = sys->ops->begin(sys);
		m->value[0] = g->want;
		return err;
	case VL_OP_SETTLE:
		return sys->ops->settle(sys);
	case VL_OP_END:
		sys->ops->end(sys);
		return NULL;
	case VL_OP_CALL:
		return call(w, m);
	case VL_OP_PUSH:
		m->value[0] =
			sys->ops->push(sys, m->value[1] ? w->wire->window : NULL, m->value[0]);
		return NULL;
	case VL_OP_PULL:
		sys->ops->pull(sys, m->value[0], w->wire->window, m->value[1]);
		return NULL;
	case VL_OP_RESET:
		sys->ops->reset(sys);
		return NULL;
	case VL_OP_LEARN:
		learn(w, m);
		return NULL;
	case VL_OP_NEXT:
		return next(w, m);
	case VL_OP_STATS:
		vl_guest_figures(g, &stats);
		memcpy(w->wire->window, &stats, sizeof(stats));
		return NULL;
	}
	return vl_error_new(VL_ERR_ARG, "not a question");
}

void vl_worker_main(void *guest, struct vl_wire *wire, int link)
{
	struct vl_guest *g = guest;
	struct vl_worker *w = g->worker;
	const struct vl_sys_ops *ops = g->sys.ops;
	struct vl_message m;

	w->wire = wire;
	w->link = link;
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		g->sys = m.sys;
		g->sys.ops = ops;
		vl_target_set_account(g->target, &m.pauses);
		vl_message_put_error(&m, serve(w, &m));
		m.sys = g->sys;
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}
