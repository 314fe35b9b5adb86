/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Epochs: when the guest is looked at. Two kinds for a live guest.
 *
 * A copy: the working set of the program is copied, and the program's questions are
 * answered from that one moment. The guest runs meanwhile if it stands still enough for
 * two readings to be the same (mem/collect.c); else it is paused for the copy. It is for a
 * program that has a working set, and a pause for one that can be copied within the budget
 * of one.
 *
 * A question: everything else. The guest runs. The program's one question is
 * answered from pages that are copied as it touches them, and at its end these are
 * read again: if none has changed, the answer is of one moment (mem/recheck.c). Else
 * the question is asked again on its pages as they were at one moment, if there is one
 * at which they can be read, at last as they are in a short pause;
 * and when the budget for pauses is used up, an answer is taken as the guest's
 * own kernel gives them, which lives with changes while it reads.
 *
 * A dump does not change: one epoch does.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/clock.h"
#include "internal.h"
#include "../host/port.h"
#include "../vmst/quiesce.h"

/* Pages a millisecond that are copied in a pause, until it is measured. */
#define COPY_RATE 1000
/* A copy is tried if it should take so much of the longest pause, in percent. */
#define COPY_SHARE 80
/* A copy that lacked a page is made again so often in a run, for half of its budget. */
#define MAX_MISSES 16
/* One of so many pages counts for two. */
#define MISS_PAGES 4096
/* A question is asked so often while the guest runs, then so often in pauses. */
#define LIVE_TRIES 4
#define TAKE_TRIES 4
/*
 * So many answers an epoch may have while nothing has changed, as to begin one costs as
 * much as an answer does; and on so many pages, as all are read again for each.
 */
#define MAX_ANSWERS 128
#define MAX_ASKED 1000
/* Nor is an answer of a moment longer ago: a program that asks again wants another one. */
#define MAX_AGE_NS 1000000000L
/* Tries to open an epoch on memory that changes. */
#define OPEN_TRIES 12
/* Moments that are tried before a pause: for a copy, for a question. */
#define COPY_MOMENTS 8
#define TAKE_MOMENTS 2
/*
 * The same for a copy of a guest that runs. After one that came to nothing it is paused, once,
 * twice, four times ... up to so often, before the next is tried.
 */
#define COLLECT_MOMENTS 3
#define COLLECT_AVOID_MAX 64

/* The clone in the view as it is now, ready to answer. */
static struct vl_error *ready(struct vl_guest *g)
{
	const struct vl_clone_start start = {
		.attach = g->attach,
		.snapshot = g->view,
		.executor = g->executor,
		.cpu = g->cpu,
		.as = g->as,
		.budget_ns = g->budget_ns,
		.live = g->ask.on && !g->ask.taken,
	};
	struct vl_error *err = vl_clone_make(&start, &g->memo, &g->clone);

	g->memo.know_mounts &= !err || !g->ask.on;
	if (!err)
		g->sys.self = g->memo.self;
	return err;
}

static struct vl_error *need_view(struct vl_guest *g)
{
	const struct vl_target_port *port = vl_target_port(g->target);
	const struct vl_machine_host *host = port ? &port->machine : NULL;
	struct vl_error *err;

	if (g->view)
		return NULL;
	err = vl_snapshot_create(g->target, vl_vcpu_wants_shared(g->executor, host), &g->view);
	if (!err)
		vl_snapshot_set_still(g->view, g->workset.still);
	return err;
}

static struct vl_error *pause_guest(struct vl_guest *g, unsigned moments)
{
	struct vl_quiesce m;
	struct vl_error *err;

	vl_quiesce_find(g->attach, &m);
	err = vl_quiesce_pause(g->target, &m, moments, &g->cpu);
	if (!err)
		g->attach->paused_host_ns = vl_now_ns();
	return err;
}

/* Nothing of it was of one moment, or something was missing. */
struct vl_error *vl_epoch_again(struct vl_guest *g)
{
	g->sys.missed = 1;
	return vl_error_new(VL_ERR_BLOCKED, "the guest changed while its memory was read");
}

/* ---- a copy ---- */

bool vl_epoch_runs(const struct vl_guest *g)
{
	return g->may_run && !g->collect_wait;
}

/* Can the working set be copied in one pause? */
static bool pause_fits(const struct vl_guest *g)
{
	uint64_t rate = g->copy_rate ? g->copy_rate : COPY_RATE;
	uint64_t left = vl_target_pause_left(g->target);

	return g->pauses && left / 100 * COPY_SHARE / 1000000 * rate > g->workset.nr;
}

bool vl_epoch_copies(const struct vl_guest *g)
{
	return g->label && g->workset.nr && (vl_epoch_runs(g) || pause_fits(g));
}

/* Copy the working set while the guest runs. *@ret: it is of one moment, and of a good one. */
static struct vl_error *collect(struct vl_guest *g, bool *ret)
{
	struct vl_quiesce m;
	struct vl_error *err;

	vl_quiesce_find(g->attach, &m);
	*ret = false;
	err = vl_snapshot_refresh(g->view, g->workset.gpas, g->workset.nr);
	/* So that what it looks at is among the pages. */
	if (!err)
		vl_quiesce_is_good(g->view, &m, &g->cpu);
	for (unsigned i = 0; !err && i <= COLLECT_MOMENTS; i++) {
		bool agrees;

		err = vl_snapshot_collect(g->view, &agrees, &g->attach->paused_host_ns);
		if (err || !agrees)
			break;
		*ret = vl_quiesce_is_good(g->view, &m, &g->cpu);
		if (*ret)
			break;
	}
	g->collect_avoid = !*ret ? 2 * g->collect_avoid + 1 : g->collect_avoid / 2;
	if (g->collect_avoid > COLLECT_AVOID_MAX)
		g->collect_avoid = COLLECT_AVOID_MAX;
	g->collect_wait = *ret ? 0 : g->collect_avoid;
	return err;
}

/* Copy the working set in a pause; @whole: all that is touched may be copied then. */
static struct vl_error *copy_paused(struct vl_guest *g, bool whole)
{
	struct vl_error *err = pause_guest(g, COPY_MOMENTS), *resumed;
	int64_t start;
	uint64_t rate;

	if (err)
		return err;
	start = vl_now_ns();
	err = vl_snapshot_refresh(g->view, g->workset.gpas, g->workset.nr);
	if (!whole)
		vl_snapshot_release(g->view);
	resumed = vl_target_resume(g->target);
	rate = g->workset.nr * 1000000 / (uint64_t)(vl_now_ns() - start + 1);
	/* The best of all: another time the host was busy. */
	if (rate > g->copy_rate)
		g->copy_rate = rate;
	if (!err)
		return resumed;
	vl_error_destroy(resumed);
	return err;
}

static struct vl_error *open_copy(struct vl_guest *g, bool whole)
{
	struct vl_error *err = need_view(g);
	bool done = false;

	if (err)
		return err;
	/* What questions of an earlier run left is of another moment. */
	vl_snapshot_ask_end(g->view);
	if (g->trim)
		vl_snapshot_keep(g->view, g->workset.gpas, g->workset.nr);
	if (!whole)
		vl_snapshot_reserve(g->view, g->workset.gpas, g->workset.nr);
	g->trim = false;
	if (!whole && vl_epoch_runs(g))
		err = collect(g, &done);
	else if (g->collect_wait)
		g->collect_wait--;
	if (done)
		vl_snapshot_release(g->view);
	else if (!err && !whole && !pause_fits(g))
		err = vl_error_new(VL_ERR_SPENT, "the guest's memory does not stand still");
	else if (!err)
		err = copy_paused(g, whole);
	if (!err)
		err = ready(g);
	if (!err && vl_snapshot_missed(g->view))
		err = vl_epoch_again(g);
	/* Nobody asks to settle what is of one moment. */
	g->memo.know_mounts |= !err;
	return err;
}

/* ---- a question ---- */

static bool take_fits(const struct vl_guest *g)
{
	uint64_t rate = g->copy_rate ? g->copy_rate : COPY_RATE;
	uint64_t left = vl_target_pause_left(g->target);

	return g->pauses && left && g->ask.takes < TAKE_TRIES &&
	       left / 100 * COPY_SHARE * rate / 1000000 > vl_snapshot_asked(g->view);
}

/* Take the question's pages in a pause; without success the guest just runs. */
static void take(struct vl_guest *g)
{
	struct vl_error *err = pause_guest(g, TAKE_MOMENTS);

	/* One that came to nothing counts, too: a question has an end. */
	g->ask.takes++;
	if (!err) {
		err = vl_snapshot_take(g->view);
		if (err)
			vl_error_destroy(vl_target_resume(g->target));
		else
			err = vl_target_resume(g->target);
	}
	g->ask.taken = !err;
	vl_error_destroy(err);
}

static struct vl_error *try_question(struct vl_guest *g)
{
	struct vl_asking *a = &g->ask;
	struct vl_error *err;

	a->taken = false;
	if (a->tries >= LIVE_TRIES && take_fits(g))
		take(g);
	if (!a->taken) {
		g->cpu = vl_quiesce_cpu(g->attach, g->cpu);
		g->attach->paused_host_ns = vl_now_ns();
	}
	err = vl_snapshot_ask(g->view, a->tries);
	if (!err)
		err = ready(g);
	return err;
}

/* Have the pages of the question changed since they were copied? */
static struct vl_error *changed(struct vl_guest *g, bool *ret)
{
	struct vl_error *err;
	size_t nr = 0;

	*ret = false;
	if ((g->ask.taken && !vl_snapshot_missed(g->view)) || vl_snapshot_is_whole(g->view))
		return NULL;
	err = vl_snapshot_recheck(g->view, &nr);
	g->ask.taken = false;
	*ret = nr;
	return err;
}

static bool is_final(const struct vl_error *err)
{
	return err->code == VL_ERR_TARGET || err->code == VL_ERR_NOMEM || err->code == VL_ERR_OS;
}

static struct vl_error *open_question(struct vl_guest *g)
{
	struct vl_error *err = need_view(g);

	for (unsigned i = 0; !err; i++) {
		struct vl_error *check;
		bool stale;

		err = try_question(g);
		if (!err || is_final(err) || i == OPEN_TRIES)
			break;
		check = changed(g, &stale);
		if (check) {
			vl_error_destroy(err);
			return check;
		}
		if (!stale)
			break;
		g->ask.tries++;
		vl_error_destroy(err);
		err = NULL;
	}
	if (err)
		g->ask.tries = g->ask.takes = 0;
	return err;
}

/* Enough of copies that lacked something: the guest changes faster than we learn. */
static bool is_vain(struct vl_guest *g)
{
	uint64_t left = vl_target_pauses_left(g->target);
	uint64_t paused = vl_target_paused_ns(g->target, NULL);

	g->misses += 1 + (unsigned)(g->workset.nr / MISS_PAGES);
	return g->misses >= MAX_MISSES || paused > left;
}

/* From now on question by question. */
static void begin_asking(struct vl_guest *g, bool from_start)
{
	g->ask.on = true;
	g->ask.all = from_start;
	g->ask.tries = g->ask.takes = 0;
}

/* ---- both ---- */

/*
 * The engine could not go on with it: KVM cannot emulate every instruction, rewriting knows
 * not all, or the processor lacks one. The next clone runs on Unicorn, if that is not
 * excluded.
 */
static bool leave_engine(struct vl_guest *g, const struct vl_error *err)
{
	if (err->code != VL_ERR_CRASHED || !g->clone || !g->clone->unfit ||
	    g->clone->ops == &vl_executor_unicorn || g->executor != VL_EXECUTOR_ANY ||
	    !vl_emulator_is_built())
		return false;
	snprintf(g->no_kvm, sizeof(g->no_kvm), "%s", err->message);
	g->executor = VL_EXECUTOR_UNICORN;
	g->suspect = true;
	return true;
}

/* A call that was cut off may run longer when it is tried again: perhaps the host is slow. */
static void allow_longer(struct vl_guest *g, const struct vl_error *err)
{
	if (err && err->code == VL_ERR_CRASHED && g->budget_ns < VL_BUDGET_MAX_NS)
		g->budget_ns *= 2;
}

struct vl_error *vl_epoch_open(struct vl_guest *g)
{
	struct vl_error *err = NULL;

	g->ask.unsettled = false;
	g->ask.answers = 0;
	g->ask.cut = false;
	g->ask.begun_ns = vl_now_ns();
	g->sys.brief = 0;
	/* Of a copy; before its first call, as that may lack a page, too. */
	g->sys.steady = 1;
	if (!vl_target_is_live(g->target)) {
		err = open_copy(g, true);
		allow_longer(g, err);
		return err;
	}
	while (!g->ask.on) {
		bool fits = vl_epoch_copies(g);

		err = fits ? open_copy(g, false) : NULL;
		if (fits && (!err || is_final(err)))
			return err;
		if (err)
			leave_engine(g, err);
		/* The guard may have ended the pause, or a page been missing. Else, what
		 * it was shows when it is looked at while the guest runs. */
		if (!fits || err->code != VL_ERR_BLOCKED || is_vain(g))
			begin_asking(g, !fits);
		else
			vl_workset_update(&g->workset, g->view);
		vl_error_destroy(err);
	}
	g->sys.steady = 0;
	err = open_question(g);
	allow_longer(g, err);
	if (err)
		leave_engine(g, err);
	return err;
}

/* The call would sleep for the same reason in memory of two moments: it does not depend on them. */
static bool is_confirmed(struct vl_guest *g, const struct vl_error *err)
{
	struct vl_asking *a = &g->ask;
	char why[sizeof(a->blocked)];
	bool same;

	snprintf(why, sizeof(why), "%s", err->code == VL_ERR_BLOCKED ? err->message : "");
	same = a->tries && *why && !strcmp(why, a->blocked);
	strcpy(a->blocked, why);
	return same;
}

struct vl_error *vl_epoch_called(struct vl_guest *g, struct vl_error *err)
{
	struct vl_error *check = NULL;
	bool stale = false;

	if (err && err->code == VL_ERR_TARGET)
		return err;
	if (g->sys.steady && vl_snapshot_missed(g->view)) {
		/* Whatever came of it: it was computed from what was not there. */
		vl_error_destroy(err);
		vl_workset_update(&g->workset, g->view);
		/* For the next epoch: this one stays one of a copy. */
		if (!g->ask.on && is_vain(g))
			begin_asking(g, false);
		return vl_epoch_again(g);
	}
	g->ask.unsettled = true;
	if (err && !g->sys.steady) {
		check = changed(g, &stale);
		if (!check && stale && g->ask.tries < LIVE_TRIES + TAKE_TRIES &&
		    !is_confirmed(g, err)) {
			g->ask.tries++;
			check = vl_epoch_again(g);
		}
		if (check) {
			vl_error_destroy(err);
			return check;
		}
		g->ask.tries = g->ask.takes = 0;
	}
	allow_longer(g, err);
	if (err && err->code == VL_ERR_CRASHED)
		leave_engine(g, err);
	/* Of code that was translated in an earlier epoch? A module may be gone. */
	if (err && err->code == VL_ERR_CRASHED && g->sys.epoch != g->born_epoch)
		g->suspect = true;
	return err;
}

struct vl_error *vl_epoch_settle(struct vl_guest *g)
{
	struct vl_asking *a = &g->ask;
	struct vl_error *err;
	bool stale = false;
	uint64_t *count;

	if (!a->unsettled)
		return NULL;
	a->unsettled = false;
	if (g->sys.steady || (a->taken && !vl_snapshot_missed(g->view))) {
		count = &g->answers.paused;
	} else {
		err = changed(g, &stale);
		if (err)
			return err;
		a->tries += stale;
		/* No pause helps any more: it is as if a task of the guest had asked. */
		if (stale && (a->tries < LIVE_TRIES || take_fits(g)))
			return vl_epoch_again(g);
		count = stale ? &g->answers.running : &g->answers.validated;
	}
	++*count;
	a->tries = a->takes = 0;
	/* By now what was found of them when the epoch began holds, too. */
	g->memo.know_mounts |= !stale;
	g->sys.brief = !g->sys.steady && (stale || ++a->answers >= MAX_ANSWERS ||
					  vl_snapshot_asked(g->view) > MAX_ASKED ||
					  vl_now_ns() - a->begun_ns > MAX_AGE_NS);
	return NULL;
}

void vl_epoch_close(struct vl_guest *g)
{
	/* An answer that its reader gave up: perhaps its pages were of no one moment. */
	if (!g->sys.steady && g->ask.unsettled && g->view)
		vl_snapshot_doubt(g->view);
	/* The clone and its memory are kept for the next epoch: what is translated
	 * need not be again. */
	if (g->label && !g->ask.on && vl_target_is_live(g->target))
		vl_workset_update(&g->workset, g->view);
}

void vl_epoch_learn(struct vl_guest *g)
{
	struct vl_workset *ws = &g->workset;

	if (!g->ask.on || !g->view || !g->label)
		return;
	if (g->clone)
		vl_clone_touch_time(g->clone);
	/* A run of questions alone touched all that it needs; what else there is is old. */
	if (g->ask.all)
		ws->nr = 0;
	if (vl_discard(vl_snapshot_all_asked(g->view, &ws->gpas, &ws->nr)) ||
	    ws->nr > VL_WORKSET_MAX)
		ws->nr = 0;
	ws->changed = true;
}

void vl_epoch_reset(struct vl_guest *g)
{
	g->ask = (struct vl_asking){ 0 };
	g->sys.brief = 0;
	g->misses = 0;
}
