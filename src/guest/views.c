/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Views of a guest, in the broker: the worker is asked, and its result is checked like anything
 * that comes from a guest.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "../imee/engine.h"
#include "../view/collect.h"
#include "../view/sample.h"

/*
 * Timeouts. To read a list takes milliseconds; the longest, with a system call for each page,
 * some seconds. A comparison pauses the guest for each pass, and waits in between.
 */
#define VIEW_NS (30 * VL_NSEC_PER_SEC)
#define DIFF_NS (120 * VL_NSEC_PER_SEC)
#define WORD_NS (5 * VL_NSEC_PER_SEC)

#define NOT_ATTACHED "a view of a guest that is not attached"

/* The attach failed with @err: can a view do without it? */
static bool is_bearable(const struct vl_error *err)
{
	return err->code != VL_ERR_TARGET && err->code != VL_ERR_NOMEM;
}

/* Add to the hint of @err the tools that work without a known kernel. */
static struct vl_error *still_works(struct vl_error *err)
{
	char *hint = err->hint ? strdup(err->hint) : NULL;

	vl_error_hint(err, "%s%swithout its types vmem and vpeek with an address still work",
		      hint ? hint : "", hint ? "; " : "");
	free(hint);
	return err;
}

static struct vl_error *attach(struct vl_guest *g, bool need_kernel)
{
	struct vl_message m = { .op = VL_OP_VIEWER };
	struct vl_error *err = vl_broker_ready(g, true);

	if (err && !need_kernel && !g->attached && is_bearable(err)) {
		vl_message_put_error(&m, err);
		err = vl_broker_ready(g, false);
	}
	if (!err)
		err = vl_broker_ask(g, &m, VIEW_NS);
	g->viewed = !err;
	if (err &&
	    (err->code == VL_ERR_KERNEL || err->code == VL_ERR_BOOTING || err->code == VL_ERR_DOWN))
		err = still_works(err);
	return err;
}

struct vl_error *vl_guest_attach(struct vl_guest *g, bool need_kernel)
{
	struct vl_error *err = attach(g, need_kernel);

	if (!err || !vl_standby_lost(g))
		return err;
	vl_error_destroy(err);
	return attach(g, need_kernel);
}

/* Fetch all @len bytes of the result; the window has the first ones. */
static struct vl_error *fetch(struct vl_guest *g, uint64_t len, struct vl_parcel *p)
{
	struct vl_error *err;

	if (len > (p->limit ? p->limit : VL_PARCEL_MAX))
		return vl_broker_lied(g);
	p->bytes = malloc(len + 1);
	if (!p->bytes)
		return vl_error_nomem();
	for (;;) {
		struct vl_message m = { .op = VL_OP_PIECE };
		size_t n = len - p->len < VL_WINDOW_MAIN ? len - p->len : VL_WINDOW_MAIN;

		memcpy(p->bytes + p->len, vl_box_wire(g->box)->window, n);
		p->len += n;
		if (p->len == len)
			return NULL;
		m.value[0] = p->len;
		err = vl_broker_ask(g, &m, WORD_NS);
		if (err)
			return err;
	}
}

struct vl_error *vl_views_ask(struct vl_guest *g, struct vl_message *m, uint64_t timeout_ns,
			      struct vl_parcel *p)
{
	struct vl_error *said, *err;
	cpu_set_t old;
	bool joined;

	if (!g->box)
		return vl_error_new(VL_ERR_ARG, NOT_ATTACHED);
	joined = vl_guest_join_cpu(g, &old);
	said = vl_broker_ask(g, m, timeout_ns);
	if (joined)
		vl_guest_leave_cpu(g, &old);
	if (!g->box)
		return said;
	err = fetch(g, m->value[1], p);
	if (!err)
		return said;
	vl_error_destroy(said);
	vl_parcel_deinit(p);
	return err;
}

static struct vl_error *ask_table(struct vl_guest *g, struct vl_message *m, uint64_t timeout_ns,
				  size_t most, struct vl_table *t)
{
	struct vl_parcel p = { .limit = most };
	struct vl_error *err = vl_views_ask(g, m, timeout_ns, &p), *wrong;

	if (!p.bytes)
		return err;
	if (!vl_parcel_take_table(&p, t) || vl_parcel_left(&p)) {
		vl_error_destroy(err);
		err = vl_broker_lied(g);
		vl_table_deinit(t);
	}
	vl_parcel_deinit(&p);
	wrong = vl_plausible_table(g->raw.target, t);
	if (!err)
		return wrong;
	vl_error_destroy(wrong);
	t->partial = false;
	return err;
}

struct vl_error *vl_guest_scan(struct vl_guest *g, const struct vl_scan *scan, struct vl_table *t)
{
	const struct vl_message m = { .op = VL_OP_SCAN, .value = { vl_scan_number(scan) } };
	struct vl_message ask = m;
	const size_t most = t->parcel_max;
	struct vl_error *err = ask_table(g, &ask, VIEW_NS, most, t);

	if (!err || !vl_standby_lost(g))
		return err;
	vl_error_destroy(err);
	vl_table_clear(t);
	err = attach(g, scan->need_kernel);
	ask = m;
	return err ? err : ask_table(g, &ask, VIEW_NS, most, t);
}

/* Can @g be asked again? Checks go on without an epoch, so @err can be NULL. */
static bool is_replaced(struct vl_guest *g, uint64_t want, const struct vl_error *err)
{
	return g->box && vl_broker_grant(g, want, err);
}

struct vl_error *vl_guest_diff(struct vl_guest *g, const struct vl_diff *diff, struct vl_table *t)
{
	struct vl_message m = { .op = VL_OP_DIFF, .value = { (uintptr_t)diff } };
	struct vl_error *err = ask_table(g, &m, DIFF_NS, 0, t);

	while (is_replaced(g, m.value[0], err)) {
		vl_error_destroy(err);
		vl_table_clear(t);
		err = vl_guest_attach(g, true);
		m = (struct vl_message){ .op = VL_OP_DIFF, .value = { (uintptr_t)diff } };
		if (!err)
			err = ask_table(g, &m, DIFF_NS, 0, t);
	}
	return err;
}

struct vl_error *vl_guest_top_open(struct vl_guest *g)
{
	struct vl_message m = { .op = VL_OP_TOP };

	return g->box ? vl_broker_ask(g, &m, VIEW_NS) : vl_error_new(VL_ERR_ARG, NOT_ATTACHED);
}

/* Have a worker with an open vtop: the last one may have died, or have been replaced. */
static struct vl_error *have_top(struct vl_guest *g)
{
	struct vl_error *err;

	if (g->box && g->viewed)
		return NULL;
	err = vl_guest_attach(g, true);
	return err ? err : vl_guest_top_open(g);
}

struct vl_error *vl_guest_top(struct vl_guest *g, struct vl_top_sample *ret)
{
	struct vl_message m = { .op = VL_OP_TOP, .value = { 1 } };
	struct vl_parcel p = { .bytes = NULL };
	uint64_t begin = vl_now_ns();
	struct vl_error *err, *wrong;

	ret->at_ns = 0;
	ret->nr_tasks = ret->nr_cpus = 0;
	err = have_top(g);
	if (!err)
		err = vl_views_ask(g, &m, VIEW_NS, &p);
	if (!vl_parcel_left(&p))
		return err ? err : vl_broker_lied(g);
	if (vl_parcel_take_sample(&p, ret) && !vl_parcel_left(&p)) {
		ret->at_ns = begin;
		ret->cost_ns = vl_now_ns() - begin;
	} else {
		vl_error_destroy(err);
		err = vl_broker_lied(g);
		ret->nr_tasks = ret->nr_cpus = 0;
	}
	vl_parcel_deinit(&p);
	wrong = vl_plausible_totals(g->raw.target, ret);
	if (!wrong)
		wrong = vl_plausible_tasks(g->raw.target, ret);
	else
		vl_error_destroy(vl_plausible_tasks(g->raw.target, ret));
	if (!err)
		return wrong;
	vl_error_destroy(wrong);
	return err;
}

struct vl_error *vl_guest_watch(struct vl_guest *g, const struct vl_watch_options *o,
				struct vl_watch_round *ret)
{
	struct vl_message m = { .op = VL_OP_WATCH };
	struct vl_parcel p = { .bytes = NULL };
	struct vl_error *err = NULL;

	ret->nr = 0;
	if (!g->box || !g->viewed)
		return vl_error_new(VL_ERR_ARG, NOT_ATTACHED);
	/* A watch is long: its CPU time has no end. */
	vl_box_allow_time(g->box, 2 * o->slice_ns + VIEW_NS);
	memcpy(vl_box_wire(g->box)->window, o, sizeof(*o));
	err = vl_views_ask(g, &m, VIEW_NS + o->slice_ns, &p);
	if (!vl_parcel_left(&p))
		return err ? err : vl_broker_lied(g);
	if (!vl_parcel_take_watch(&p, ret) || vl_parcel_left(&p)) {
		vl_error_destroy(err);
		err = vl_broker_lied(g);
		ret->nr = 0;
	}
	vl_parcel_deinit(&p);
	return err;
}

void vl_guest_dismiss(struct vl_guest *g)
{
	if (g->box && !(g->uses & VL_GUEST_ASK))
		vl_box_dismiss(g->box);
}

/* The engine of the name @said, which is untrusted; NULL: there is none. */
static const char *reader_name(const char *said)
{
	const char *name;

	for (size_t i = 0; (name = vl_raw_name(i)); i++)
		if (!strcmp(said, name))
			break;
	return name;
}

#define END(text) (text)[sizeof(text) - 1] = '\0'

bool vl_guest_reader_stats(struct vl_guest *g, struct vl_reader_stats *ret)
{
	struct vl_message m = { .op = VL_OP_READER };
	struct vl_words *w;

	*ret = (struct vl_reader_stats){ .engine = NULL };
	if (!g->words)
		g->words = malloc(sizeof(*g->words));
	if (!g->words || !g->box || vl_discard(vl_broker_ask(g, &m, WORD_NS)))
		return false;
	w = g->words;
	memcpy(w, vl_box_wire(g->box)->window, sizeof(*w));
	END(w->engine);
	END(w->reason);
	END(w->others);
	*ret = (struct vl_reader_stats){
		.engine = reader_name(w->engine),
		.reason = w->reason,
		.others = w->others,
		.open_ns = w->open_ns,
		.requests = w->requests,
	};
	return ret->engine;
}
