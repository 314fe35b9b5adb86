/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A watch in the worker: looks at the guest, and sleeps in between for as long as its share of a
 * CPU demands.
 */
#include "watching.h"

#include <stdlib.h>
#include <time.h>

#include "../attach/attach.h"
#include "../base/clock.h"

/*
 * An event waits so long for others. While an answer is handed over, the guest is not watched; on
 * a busy host that takes milliseconds.
 */
#define PATIENCE (40 * VL_NSEC_PER_MSEC)
#define ENOUGH 1024 /* … or until there are so many events */
/* A sleep is not longer than this, whatever the last pass has cost. */
#define LONGEST (50 * VL_NSEC_PER_MSEC)
#define CREDIT (20 * VL_NSEC_PER_MSEC)

/* ---- the rate ---- */

/*
 * Sleep until @cost of CPU time, spent since the end of the last sleep, is within the share. A host
 * that wakes us late owes the rest of the time, up to CREDIT.
 */
static void rest(struct vl_watcher *w, uint64_t cost, uint64_t until)
{
	uint64_t now = vl_now_ns(), ns;
	struct timespec ts;

	if (w->o.share >= VL_WATCH_WHOLE || now >= until)
		return;
	if (w->paid_ns + CREDIT < now)
		w->paid_ns = now - CREDIT;
	w->paid_ns += cost * VL_WATCH_WHOLE / w->o.share;
	/* Looks without any sleep between them see the same. */
	ns = w->paid_ns > now + cost ? w->paid_ns - now : cost;
	ns = ns < LONGEST ? ns : LONGEST;
	ns = ns < until - now ? ns : until - now;
	ts = vl_ns_timespec(ns);
	nanosleep(&ts, NULL);
}

/* ---- the watch ---- */

static void set_options(struct vl_watcher *w, const struct vl_watch_options *o)
{
	w->o = *o;
	if (w->o.share < 1 || w->o.share > VL_WATCH_WHOLE)
		w->o.share = VL_WATCH_WHOLE;
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
	vl_watch_lists_close(w);
	vl_watch_texts_close(w);
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

	vl_watch_lists(w, now);
	vl_watch_texts(w, now);
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
		if (w->o.share < VL_WATCH_WHOLE) {
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
