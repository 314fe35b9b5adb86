/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Views of a guest, in the worker: made by its reader; the last result is kept. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "../host/file.h"
#include "../view/watching.h"

struct vl_viewer {
	struct vl_parcel found;
	struct vl_peeker peeker;
	struct vl_top *top;
	struct vl_top_sample samples[2];
	unsigned nr_samples; /* taken so far; number @i is in samples[i % 2] */
	struct vl_watcher *watcher;
};

/* Without a kernel there are no addresses to read, so no reader. */
static struct vl_error *open_viewer(struct vl_guest *g)
{
	struct vl_reader *r;
	struct vl_error *err = g->raw.attach ? vl_guest_reader(g, &r) : NULL;

	if (err || g->viewer)
		return err;
	g->viewer = calloc(1, sizeof(*g->viewer));
	return g->viewer ? NULL : vl_error_nomem();
}

/* Copy the result, from byte @at on, to the window, as much as fits. */
static void show(const struct vl_viewer *v, struct vl_wire *wire, size_t at)
{
	size_t n = at < v->found.len ? v->found.len - at : 0;

	if (n)
		memcpy(wire->window, v->found.bytes + at, n < VL_WINDOW_MAIN ? n : VL_WINDOW_MAIN);
}

static void begin(struct vl_viewer *v)
{
	v->found.len = 0;
	v->found.bad = false;
}

/* Reply with the result and @err. */
static struct vl_error *hand_over(struct vl_viewer *v, struct vl_wire *wire, struct vl_message *m,
				  struct vl_error *err)
{
	if (v->found.bad) {
		v->found.len = 0;
		vl_error_destroy(err);
		err = vl_error_hint(vl_error_new(VL_ERR_KERNEL, "that is more than %lu MiB",
						 VL_PARCEL_MAX >> 20),
				    "the guest may be hostile: a real one has less to show");
	}
	m->value[1] = v->found.len;
	show(v, wire, 0);
	return err;
}

/* The same with table @t as the result; destroys it. */
static struct vl_error *hand_over_table(struct vl_viewer *v, struct vl_wire *wire,
					struct vl_message *m, struct vl_table *t,
					struct vl_error *err)
{
	begin(v);
	vl_parcel_put_table(&v->found, t);
	vl_table_deinit(t);
	return hand_over(v, wire, m, err);
}

static struct vl_error *scan(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m)
{
	const struct vl_scan *scan = vl_scan_of(m->value[0]);
	struct vl_error *err;
	struct vl_table t;

	vl_table_init(&t, scan->columns);
	err = vl_scan_bears(&g->raw, scan->fields, scan->plural);
	if (!err)
		err = vl_symbols_bear(&g->raw, scan->symbols, scan->plural);
	if (!err)
		err = scan->run(&g->raw, &t);
	return hand_over_table(g->viewer, wire, m, &t, err);
}

static struct vl_error *diff(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m)
{
	const struct vl_diff *diff = (const struct vl_diff *)(uintptr_t)m->value[0];
	struct vl_error *err;
	struct vl_table t;

	vl_table_init(&t, diff->columns);
	g->want = VL_WANT_NOTHING;
	/* Each way and each check has a list of the fields that it needs. */
	err = vl_symbols_bear(&g->raw, NULL, "lists to compare");
	if (!err && g->raw.attach && g->raw.attach->trusted)
		err = vl_session_own(g);
	if (!err)
		err = diff->run(&g->raw, &g->sys, &t);
	vl_session_own_end(g);
	m->value[0] = g->want;
	return hand_over_table(g->viewer, wire, m, &t, err);
}

static struct vl_error *peek(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m)
{
	struct vl_viewer *v = g->viewer;
	struct vl_error *err;
	struct vl_peek_ask ask;

	begin(v);
	if (m->op == VL_OP_FIND) {
		memcpy(&ask, wire->window, sizeof(ask));
		err = vl_peeker_find(&v->peeker, &g->raw, g->engine, &ask, &v->found);
	} else if (!v->peeker.is_found) {
		err = vl_error_new(VL_ERR_ARG, "no place was found");
	} else if (m->op == VL_OP_BYTES) {
		err = vl_peeker_bytes(&v->peeker, m->value[0], m->value[2], m->value[3], &v->found);
	} else {
		err = vl_peeker_values(&v->peeker, m->value[0], &v->found);
	}
	return hand_over(v, wire, m, err);
}

static struct vl_error *top(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m)
{
	struct vl_viewer *v = g->viewer;
	struct vl_top_sample *now = &v->samples[v->nr_samples % 2];
	/* A dump has no rates: nothing is known of its CPUs' use. */
	struct vl_top_sample *last = v->nr_samples && vl_target_is_live(g->raw.target) ?
					     &v->samples[(v->nr_samples - 1) % 2] :
					     NULL;
	struct vl_error *err = vl_scan_bears(&g->raw, vl_top_fields, "processes");

	if (!err)
		err = vl_scan_bears(&g->raw, vl_cpu_fields, "the CPUs");
	if (!err)
		err = vl_scan_bears(&g->raw, vl_memory_fields, "memory");
	if (!err)
		err = vl_symbols_bear(&g->raw, vl_totals_symbols, "processes");
	if (!err && !v->top)
		err = vl_top_open(&g->raw, &v->top);
	if (err || !m->value[0])
		return err;
	err = vl_top_sample(v->top, last, now);
	v->nr_samples++;
	begin(v);
	vl_parcel_put_sample(&v->found, now);
	return hand_over(v, wire, m, err);
}

static struct vl_error *watch(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m)
{
	struct vl_viewer *v = g->viewer;
	struct vl_watch_round round = { .events = NULL };
	struct vl_watch_options o;
	struct vl_error *err = NULL;

	memcpy(&o, wire->window, sizeof(o));
	if (!v->watcher) {
		err = vl_scan_bears(&g->raw, vl_watch_fields, "processes");
		if (!err)
			err = vl_symbols_bear(&g->raw, vl_task_symbols, "processes");
		if (!err)
			err = vl_watcher_open(&g->raw, &o, &v->watcher);
		if (err)
			return err;
	}
	err = vl_watcher_round(v->watcher, &o, &round);
	begin(v);
	vl_parcel_put_watch(&v->found, &round);
	return hand_over(v, wire, m, err);
}

static void put_reader(struct vl_guest *g, struct vl_wire *wire)
{
	struct vl_reader_stats stats = { .engine = NULL };
	struct vl_words w = { .open_ns = 0 };

	if (g->raw.reader)
		vl_reader_stats(g->raw.reader, &stats);
	if (stats.engine) {
		snprintf(w.engine, sizeof(w.engine), "%s", stats.engine);
		snprintf(w.reason, sizeof(w.reason), "%s", stats.reason);
		snprintf(w.others, sizeof(w.others), "%s", stats.others);
		w.open_ns = stats.open_ns;
		w.requests = stats.requests;
	}
	memcpy(wire->window, &w, sizeof(w));
}

static struct vl_error *serve(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m)
{
	m->value[1] = 0;
	if (m->op == VL_OP_VIEWER) {
		vl_error_destroy(g->raw.why);
		g->raw.why = vl_message_error(m);
		return open_viewer(g);
	}
	if (!g->viewer)
		return vl_error_new(VL_ERR_ARG, "a malformed request");
	switch (m->op) {
	case VL_OP_SCAN:
		return scan(g, wire, m);
	case VL_OP_DIFF:
		return diff(g, wire, m);
	case VL_OP_FIND:
	case VL_OP_BYTES:
	case VL_OP_VALUES:
		return peek(g, wire, m);
	case VL_OP_TOP:
		return top(g, wire, m);
	case VL_OP_WATCH:
		return watch(g, wire, m);
	case VL_OP_PIECE:
		show(g->viewer, wire, m->value[0]);
		return NULL;
	case VL_OP_READER:
		put_reader(g, wire);
		return NULL;
	}
	return vl_error_new(VL_ERR_ARG, "a malformed request");
}

struct vl_error *vl_viewer_serve(struct vl_guest *g, struct vl_wire *wire, struct vl_message *m)
{
	struct vl_error *err;

	vl_error_destroy(vl_target_missed(g->raw.target));
	err = serve(g, wire, m);
	/* A cell without a value is a wrong answer if the file lacks the memory that has it. */
	return err || m->op == VL_OP_VIEWER ? err : vl_target_missed(g->raw.target);
}
