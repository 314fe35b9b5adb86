/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest of vwatch: opened, watched, and opened again when it has booted. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../applet.h"
#include "../report.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "vwatch.h"

/* An answer comes at least so often. */
#define SLICE (100 * VL_NSEC_PER_MSEC)
/* Without events: how often it is checked that the guest runs this kernel. */
#define CHECK_EVERY (500 * VL_NSEC_PER_MSEC)
/* Retries of a guest that boots. */
#define RETRY_FIRST (250 * VL_NSEC_PER_MSEC)
#define RETRY_MOST (2 * VL_NSEC_PER_SEC)
/* Errors of a watch, one after the other, that end it. */
#define MOST_ERRORS 5

static void report(struct watch_guest *g, struct vl_error *err)
{
	pthread_mutex_lock(&g->watch->lock);
	error_report(g->watch->o->applet->name, g->spec, err);
	pthread_mutex_unlock(&g->watch->lock);
	vl_error_destroy(err);
}

static void add_figures(struct vl_watch_figures *sum, const struct vl_watch_figures *f)
{
	sum->now_ns += f->now_ns - f->began_ns;
	sum->cpu_ns += f->cpu_ns;
	sum->looks += f->looks;
	sum->walks += f->walks;
	sum->processes += f->processes;
	sum->threads += f->threads;
	sum->made += f->made;
	sum->counts = sum->counts || f->counts;
	sum->dropped += f->dropped;
}

struct vl_watch_figures watch_guest_figures(const struct watch_guest *g)
{
	struct vl_watch_figures sum = g->sum;

	add_figures(&sum, &g->round.figures);
	return sum;
}

static void forget(struct watch_guest *g)
{
	add_figures(&g->sum, &g->round.figures);
	memset(&g->round.figures, 0, sizeof(g->round.figures));
	vl_guest_close(g->guest);
	g->guest = NULL;
}

static struct vl_error *open_guest(struct watch_guest *g, bool anew)
{
	const struct vl_scan_options *scan = &g->watch->o->scan;
	const struct vl_guest_options o = {
		.target = scan->target,
		.uses = VL_GUEST_READ,
		.engine = scan->engine,
		.anew = anew,
	};
	struct vl_error *err = vl_guest_open(g->spec, &o, &g->guest);

	if (!err && !vl_guest_is_live(g->guest))
		err = vl_error_hint(vl_error_new(VL_ERR_TARGET, "a file does not change"),
				    "name a guest that runs; vps shows the processes of a dump");
	if (!err)
		err = vl_guest_attach(g->guest, true);
	if (err)
		return err;
	vl_guest_hang_up(g->guest);
	g->label = (struct vl_host_label){ .spec = g->spec, .pid = vl_guest_pid(g->guest) };
	vl_host_labels(&g->label, 1);
	return NULL;
}

static void nap(struct watch_guest *g, uint64_t ns)
{
	const struct timespec ts = vl_ns_timespec(20 * VL_NSEC_PER_MSEC);

	for (uint64_t end = vl_now_ns() + ns; vl_now_ns() < end && !g->watch->quit;)
		nanosleep(&ts, NULL);
}

/* The guest is gone, or boots. True: its kernel is up again, and @g is open. */
static bool open_again(struct watch_guest *g)
{
	uint64_t wait = RETRY_FIRST;
	bool anew = false;

	while (!g->watch->quit) {
		struct vl_error *err;

		nap(g, wait);
		err = open_guest(g, anew);
		if (!err)
			return true;
		forget(g);
		if (err->code == VL_ERR_TARGET) {
			watch_print_state(g, "gone", err->message);
			vl_error_destroy(err);
			return false;
		}
		vl_error_destroy(err);
		anew = true;
		wait = wait < RETRY_MOST ? 2 * wait : RETRY_MOST;
	}
	return false;
}

/*
 * Does the guest run, with this kernel? If not, print its state. With an error in *@err_ret the
 * state is not known.
 */
static bool is_there(struct watch_guest *g, bool *gone_ret, struct vl_error **err_ret)
{
	bool runs = false;

	*err_ret = vl_guest_alive(g->guest);
	*gone_ret = *err_ret;
	if (*gone_ret) {
		watch_print_state(g, "gone", (*err_ret)->message);
		vl_error_destroy(vl_taken(*err_ret));
		return false;
	}
	*err_ret = vl_guest_runs(g->guest, &runs);
	if (!*err_ret && !runs)
		watch_print_state(g, "reboot", "its kernel no longer runs");
	return runs;
}

/*
 * One answer. False: the watch has ended, and @g is closed; with an error in *@err_ret the guest is
 * lost, else it is printed what has become of it.
 */
static bool watch_once(struct watch_guest *g, struct vl_watch_options *o, uint64_t *checked,
		       bool *gone_ret, struct vl_error **err_ret)
{
	uint64_t used = vl_clock_ns(CLOCK_THREAD_CPUTIME_ID), now;
	struct vl_error *unknown;

	*gone_ret = false;
	*err_ret = vl_guest_watch(g->guest, o, &g->round);
	now = vl_now_ns();
	/* Data read from a kernel that no longer runs are no event. */
	if (*err_ret || g->round.nr || now - *checked >= CHECK_EVERY) {
		if (!is_there(g, gone_ret, &unknown)) {
			forget(g);
			/* The error of a worker that has ended is more precise. */
			if (unknown)
				*err_ret = vl_error_first(*err_ret, unknown);
			else
				vl_error_destroy(vl_taken(*err_ret));
			return false;
		}
		*checked = now;
	}
	/* With the first pass, processes and lists are known: what comes now is an event. */
	if (!*err_ret && !o->slice_ns) {
		watch_print_state(g, "watched", NULL);
		o->slice_ns = SLICE;
	}
	watch_print(g, g->round.events, g->round.nr);
	o->others_ns = vl_clock_ns(CLOCK_THREAD_CPUTIME_ID) - used;
	if (!*err_ret)
		return true;
	forget(g);
	return false;
}

/* Watch until the kernel changes, the guest ends or vwatch does. False: do not go on. */
static bool watch_kernel(struct watch_guest *g, unsigned *errors)
{
	const struct vwatch *w = g->watch;
	struct vl_watch_options o = {
		.groups = w->groups,
		.share = (uint32_t)(w->percent * 10 / (double)w->nr + 0.5),
		.slice_ns = 0, /* first: one pass */
	};
	uint64_t checked = vl_now_ns();
	struct vl_error *err;
	bool gone;

	o.share = o.share ? o.share : 1;
	while (!w->quit) {
		if (watch_once(g, &o, &checked, &gone, &err)) {
			*errors = 0;
			continue;
		}
		if (!err)
			return !gone && open_again(g);
		if (++*errors == MOST_ERRORS) {
			report(g, err);
			return false;
		}
		watch_print_state(g, "lost", err->message);
		vl_error_destroy(err);
		return open_again(g);
	}
	return false;
}

static void *work(void *arg)
{
	const uint64_t one = 1;
	struct watch_guest *g = arg;
	struct vl_error *err = open_guest(g, false);
	unsigned errors = 0;
	bool again = !err;

	if (err)
		report(g, err);
	while (again && !g->watch->quit)
		again = watch_kernel(g, &errors);
	g->failed = !g->watch->quit;
	forget(g);
	g->done = true;
	if (write(g->watch->event_fd, &one, sizeof(one)) < 0)
		g->failed = true;
	return NULL;
}

bool watch_guest_start(struct watch_guest *g)
{
	sigset_t all, old;

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	g->started = !pthread_create(&g->thread, NULL, work, g);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return g->started;
}
