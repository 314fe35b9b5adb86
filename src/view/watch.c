/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A watch in the worker: looks at the guest, and sleeps in between for as long as its share of a
 * CPU demands.
 */
#include "watching.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/clock.h"

#define WHOLE 1000 /* of a CPU, in the unit of vl_watch_options.share */
#define SIXTEENTHS 16
/* Events wait so long for others: an answer costs as much as some looks. */
#define PATIENCE (5 * VL_NSEC_PER_MSEC)
#define ENOUGH 256  /* … or until there are so many */
#define MOST 65536U /* events in one answer */
/* A sleep is not longer than this, whatever the last look has cost. */
#define LONGEST (50 * VL_NSEC_PER_MSEC)

/* ---- events ---- */

static unsigned group_of(enum vl_watch_kind kind)
{
	static const unsigned groups[VL_NR_WATCH_KINDS] = {
		[VL_WATCH_START] = VL_WATCH_PROCESSES,	[VL_WATCH_EXEC] = VL_WATCH_PROCESSES,
		[VL_WATCH_END] = VL_WATCH_PROCESSES,	[VL_WATCH_ROOT] = VL_WATCH_UIDS,
		[VL_WATCH_LOADED] = VL_WATCH_MODULES,	[VL_WATCH_UNLOADED] = VL_WATCH_MODULES,
		[VL_WATCH_LISTEN] = VL_WATCH_LISTENERS, [VL_WATCH_CLOSED] = VL_WATCH_LISTENERS,
		[VL_WATCH_TEXT] = VL_WATCH_TEXTS,
	};

	return groups[kind];
}

struct vl_watch_event *vl_watch_add(struct vl_watcher *w, enum vl_watch_kind kind)
{
	struct vl_watch_event *e;

	if (!(w->o.groups & group_of(kind)))
		return NULL;
	if (w->nr_events == MOST || !vl_grow(w->events, w->cap_events, w->nr_events, 64)) {
		w->figures.dropped++;
		return NULL;
	}
	e = &w->events[w->nr_events];
	*e = (struct vl_watch_event){ .kind = kind, .at_ns = vl_clock_ns(CLOCK_REALTIME) };
	if (!w->nr_events++)
		w->first_event_ns = vl_now_ns();
	return e;
}

void vl_watch_name(struct vl_watch_event *e, const char *name, size_t len)
{
	e->name_len = (uint32_t)(len < sizeof(e->name) ? len : sizeof(e->name));
	memcpy(e->name, name, e->name_len);
}

void vl_watch_text(struct vl_watch_event *e, const char *text, size_t len)
{
	e->text_len = (uint32_t)(len < sizeof(e->text) ? len : sizeof(e->text));
	memcpy(e->text, text, e->text_len);
}

/* ---- the rate ---- */

void vl_watch_did(const struct vl_watcher *w, struct vl_watch_job *job, uint64_t began,
		  unsigned weight, uint64_t least_ns)
{
	uint64_t took = vl_now_ns() - began, rest;

	rest = took * WHOLE * SIXTEENTHS / (w->o.share * weight);
	job->next_ns = began + (rest > least_ns ? rest : least_ns);
}

/* Sleep until @cost of CPU time, spent since the end of the last sleep, is within the share. */
static void rest(const struct vl_watcher *w, uint64_t cost, uint64_t until)
{
	uint64_t now = vl_now_ns(), ns;
	struct timespec ts;

	if (w->o.share >= WHOLE || now >= until)
		return;
	ns = cost * (WHOLE - w->o.share) / w->o.share;
	ns = ns < LONGEST ? ns : LONGEST;
	ns = ns < until - now ? ns : until - now;
	ts = vl_ns_timespec(ns);
	nanosleep(&ts, NULL);
}

/* ---- the watch ---- */

static void set_options(struct vl_watcher *w, const struct vl_watch_options *o)
{
	w->o = *o;
	if (w->o.share < 1 || w->o.share > WHOLE)
		w->o.share = WHOLE;
}

struct vl_error *vl_watcher_open(struct vl_raw_guest *g, const struct vl_watch_options *o,
				 struct vl_watcher **ret)
{
	struct vl_watcher *w = calloc(1, sizeof(*w));
	struct vl_error *err;

	if (!w)
		return vl_error_nomem();
	w->g = g;
	w->l = vl_kernel_layout(g->attach->kernel);
	set_options(w, o);
	err = vl_watch_tasks_open(w);
	if (err) {
		vl_watcher_close(w);
		return err;
	}
	w->figures.began_ns = w->figures.now_ns = vl_now_ns();
	*ret = w;
	return NULL;
}

void vl_watcher_close(struct vl_watcher *w)
{
	if (!w)
		return;
	vl_watch_tasks_close(w);
	free(w->events);
	free(w);
}

static bool is_enough(const struct vl_watcher *w, uint64_t now)
{
	return w->nr_events >= ENOUGH || (w->nr_events && now - w->first_event_ns >= PATIENCE);
}

static struct vl_error *look(struct vl_watcher *w, uint64_t now)
{
	struct vl_error *err = vl_watch_tasks(w, now);

	return err;
}

struct vl_error *vl_watcher_round(struct vl_watcher *w, const struct vl_watch_options *o,
				  struct vl_watch_round *ret)
{
	uint64_t began = vl_now_ns(), until = began + o->slice_ns, now = began;
	uint64_t used = vl_clock_ns(CLOCK_THREAD_CPUTIME_ID), spent = used;
	struct vl_error *err = NULL;

	set_options(w, o);
	w->nr_events = 0;
	rest(w, o->others_ns, until);
	do {
		now = vl_now_ns();
		err = look(w, now);
		if (err || is_enough(w, now))
			break;
		/* With all of a CPU its clock, a system call, is not read. */
		if (w->o.share < WHOLE) {
			uint64_t cpu = vl_clock_ns(CLOCK_THREAD_CPUTIME_ID);

			rest(w, cpu - spent, until);
			spent = cpu;
		}
	} while (now < until);
	w->figures.cpu_ns += vl_clock_ns(CLOCK_THREAD_CPUTIME_ID) - used;
	w->figures.now_ns = vl_now_ns();
	*ret = (struct vl_watch_round){ w->events, w->nr_events, w->nr_events, w->figures };
	return err;
}
