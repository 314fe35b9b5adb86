/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Epochs of a live guest. There are two kinds.
 *
 * A copy: the working set of the program is copied, and all its questions are answered from that
 * copy, which is of one point in time. It is made while the guest runs, if two readings agree
 * (mem/collect.c); else in a pause, if the working set is small enough for the pause budget. It
 * needs a program with a working set.
 *
 * Questions: in all other cases. The guest runs. A question is answered from pages that are
 * copied when it touches them, and at its end these are read again: if none has changed, the
 * answer is of one point in time (mem/recheck.c). Else the question is asked again, on its pages as
 * they were at one point in time if they can be read so, in the end on pages read in a short pause.
 * When the pause budget is used up, the answer is taken as it is. It is then as good as one that
 * a task of the guest gets, whose kernel also reads while things change.
 *
 * A dump does not change: one epoch is enough.
 */
#include <stdio.h>

#include "internal.h"
#include "../vmst/quiesce.h"

/* Pages copied in a pause, per millisecond, before it was measured. */
#define COPY_RATE 1000
/* Percentage of the longest pause that a copy may be expected to take. */
#define COPY_SHARE 80
/* Copies in a run that may lack a page, before it changes to questions. */
#define MAX_MISSES 16
/* A large copy counts once more for each 4096 pages. */
#define MISS_PAGES 4096
/* Tries of a question while the guest runs, then in pauses. */
#define LIVE_TRIES 4
#define TAKE_TRIES 4
/*
 * An epoch of questions goes on while nothing changes, as to begin one costs as much as an
 * answer. It ends after MAX_ANSWERS; or with MAX_ASKED pages more than it began with, as each
 * answer reads all again.
 */
#define MAX_ANSWERS 128
#define MAX_ASKED 400
/* Tries to open an epoch on memory that changes. */
#define OPEN_TRIES 12
/* Tries to pause when the guest is quiesced: for a copy, for a question. */
#define COPY_QUIESCE_TRIES 8
#define TAKE_QUIESCE_TRIES 2
/*
 * The same for a copy while the guest runs. After a failure the next 1, 3, 7 ... copies, up to
 * COLLECT_AVOID_MAX, are made in pauses.
 */
#define COLLECT_QUIESCE_TRIES 3
#define COLLECT_AVOID_MAX 64

/* The pages were not of one point in time, or one was missing. */
struct vl_error *vl_epoch_again(struct vl_guest *g)
{
	g->sys.missed = 1;
	return vl_error_new(VL_ERR_BLOCKED, "the guest changed while its memory was read");
}

/* ---- a copy ---- */

bool vl_epoch_runs(const struct vl_guest *g)
{
	const struct vl_session *s = g->session;

	return g->may_run && !s->collect_wait;
}

/* Can the working set be copied in one pause? */
static bool pause_fits(const struct vl_guest *g)
{
	const struct vl_session *s = g->session;
	uint64_t rate = s->copy_rate ? s->copy_rate : COPY_RATE;
	uint64_t left = vl_target_pause_left(g->raw.target);

	return g->pauses && left / 100 * COPY_SHARE / 1000000 * rate > g->workset.nr;
}

bool vl_epoch_copies(const struct vl_guest *g)
{
	return g->label && g->workset.nr && (vl_epoch_runs(g) || pause_fits(g));
}

/*
 * Copy the working set while the guest runs. *@ret: it is of one point in time, at which the guest
 * was quiesced.
 */
static struct vl_error *collect(struct vl_guest *g, bool *ret)
{
	struct vl_session *s = g->session;
	struct vl_quiesce m;
	struct vl_error *err;

	vl_quiesce_find(g->raw.attach, &m);
	*ret = false;
	err = vl_snapshot_refresh(s->snapshot, g->workset.gpas, g->workset.nr);
	/* The pages that this reads are then part of the copy. */
	if (!err)
		vl_quiesce_is_good(s->snapshot, &m, &s->cpu);
	for (unsigned i = 0; !err && i <= COLLECT_QUIESCE_TRIES; i++) {
		bool agrees;

		err = vl_snapshot_collect(s->snapshot, &agrees, &g->raw.attach->paused_host_ns);
		if (err || !agrees)
			break;
		/* A page that this had to fill is of a later point in time. */
		vl_snapshot_release(s->snapshot);
		*ret = vl_quiesce_is_good(s->snapshot, &m, &s->cpu) &&
		       !vl_snapshot_missed(s->snapshot);
		if (*ret || vl_snapshot_missed(s->snapshot))
			break;
	}
	s->collect_avoid = !*ret ? 2 * s->collect_avoid + 1 : s->collect_avoid / 2;
	if (s->collect_avoid > COLLECT_AVOID_MAX)
		s->collect_avoid = COLLECT_AVOID_MAX;
	s->collect_wait = *ret ? 0 : s->collect_avoid;
	return err;
}

/* Copy the working set in a pause; @whole: of a dump, so pages may be filled later, too. */
static struct vl_error *copy_paused(struct vl_guest *g, bool whole)
{
	struct vl_session *s = g->session;
	struct vl_error *err = vl_epoch_pause(g, COPY_QUIESCE_TRIES), *resumed;
	int64_t start;
	uint64_t rate;

	if (err)
		return err;
	start = vl_now_ns();
	err = vl_snapshot_refresh(s->snapshot, g->workset.gpas, g->workset.nr);
	if (!whole)
		vl_snapshot_release(s->snapshot);
	resumed = vl_target_resume(g->raw.target);
	rate = g->workset.nr * 1000000 / (uint64_t)(vl_now_ns() - start + 1);
	/* Keep the best rate: at other times the host was busy. */
	if (rate > s->copy_rate)
		s->copy_rate = rate;
	if (!err)
		return resumed;
	vl_error_destroy(resumed);
	return err;
}

static struct vl_error *open_copy(struct vl_guest *g, bool whole)
{
	struct vl_session *s = g->session;
	struct vl_error *err = vl_epoch_snapshot(g);
	bool done = false;

	if (err)
		return err;
	/* Pages from questions of an earlier run are of another point in time. */
	vl_snapshot_ask_end(s->snapshot);
	if (s->trim)
		vl_snapshot_keep(s->snapshot, g->workset.gpas, g->workset.nr);
	if (!whole && !vl_epoch_runs(g))
		vl_snapshot_reserve(s->snapshot, g->workset.gpas, g->workset.nr);
	s->trim = false;
	if (!whole && vl_epoch_runs(g))
		err = collect(g, &done);
	else if (s->collect_wait)
		s->collect_wait--;
	if (!done && !err && !whole && !pause_fits(g))
		err = vl_error_new(VL_ERR_SPENT, "the guest's memory changes too fast");
	else if (!done && !err)
		err = copy_paused(g, whole);
	if (!err)
		err = vl_epoch_clone(g);
	if (!err && vl_snapshot_missed(s->snapshot))
		err = vl_epoch_again(g);
	/* Here, as vl_epoch_validate() is not called for a copy. */
	s->memo.know_mounts |= !err;
	return err;
}

/* ---- a question ---- */

static bool take_fits(const struct vl_guest *g)
{
	const struct vl_session *s = g->session;
	uint64_t rate = s->copy_rate ? s->copy_rate : COPY_RATE;
	uint64_t left = vl_target_pause_left(g->raw.target);

	return g->pauses && left && s->ask.takes < TAKE_TRIES &&
	       left / 100 * COPY_SHARE * rate / 1000000 > vl_snapshot_asked(s->snapshot);
}

/* Read the question's pages in a pause. A failure is ignored: the next try is without one. */
static void take(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	struct vl_error *err = vl_epoch_pause(g, TAKE_QUIESCE_TRIES);

	/* A failure counts, too, so that a question ends. */
	s->ask.takes++;
	if (!err) {
		err = vl_snapshot_take(s->snapshot);
		if (err)
			vl_error_destroy(vl_target_resume(g->raw.target));
		else
			err = vl_target_resume(g->raw.target);
	}
	s->ask.taken = !err;
	vl_error_destroy(err);
}

static struct vl_error *try_question(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	struct vl_asking *a = &s->ask;
	struct vl_error *err;

	a->taken = false;
	if (a->tries >= LIVE_TRIES && take_fits(g))
		take(g);
	if (!a->taken) {
		s->cpu = vl_quiesce_cpu(g->raw.attach, s->cpu);
		g->raw.attach->paused_host_ns = vl_now_ns();
	}
	err = vl_snapshot_ask(s->snapshot, a->tries);
	if (!err)
		err = vl_epoch_clone(g);
	return err;
}

/* Have the pages of the question changed since they were copied? */
static struct vl_error *changed(struct vl_guest *g, bool *ret)
{
	struct vl_session *s = g->session;
	struct vl_error *err;
	size_t nr = 0;

	*ret = false;
	if ((s->ask.taken && !vl_snapshot_missed(s->snapshot)) || vl_snapshot_is_whole(s->snapshot))
		return NULL;
	err = vl_snapshot_recheck(s->snapshot, 1 + s->ask.more, &nr);
	s->ask.taken = false;
	s->ask.more = 0;
	*ret = nr;
	return err;
}

static bool is_final(const struct vl_error *err)
{
	return err->code == VL_ERR_TARGET || err->code == VL_ERR_NOMEM || err->code == VL_ERR_OS;
}

static struct vl_error *open_question(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	struct vl_error *err = vl_epoch_snapshot(g);

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
		s->ask.tries++;
		vl_error_destroy(err);
		err = NULL;
	}
	if (err)
		s->ask.tries = s->ask.takes = 0;
	return err;
}

/*
 * A copy lacked a page: count it. True: too many did, or pauses took more time than is left, as
 * the guest changes faster than the working set is learned.
 */
static bool give_up_copies(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	uint64_t left = vl_target_pauses_left(g->raw.target);
	uint64_t paused = vl_target_paused_ns(g->raw.target, NULL);

	s->misses += 1 + (unsigned)(g->workset.nr / MISS_PAGES);
	return s->misses >= MAX_MISSES || paused > left;
}

/* Answer by questions for the rest of the run. */
static void begin_asking(struct vl_session *s, bool from_start)
{
	s->ask.on = true;
	s->ask.all = from_start;
	s->ask.tries = s->ask.takes = 0;
}

/* ---- both ---- */

/*
 * If the executor could not go on (KVM or rewriting does not know an instruction, or the
 * processor lacks it), let the next clone run on Unicorn, unless an executor was chosen.
 */
static bool leave_executor(struct vl_guest *g, const struct vl_error *err)
{
	struct vl_session *s = g->session;

	if (err->code != VL_ERR_CRASHED || !s->clone || !s->clone->unfit ||
	    s->clone->ops == &vl_executor_unicorn || g->executor != VL_EXECUTOR_ANY ||
	    vl_code_may_fail(g) || !vl_emulator_is_built())
		return false;
	snprintf(g->no_kvm, sizeof(g->no_kvm), "%s", err->message);
	g->executor = VL_EXECUTOR_UNICORN;
	s->suspect = true;
	return true;
}

/* A call that exceeded its budget gets a larger one in the retry: perhaps the host is slow. */
static void allow_longer(struct vl_session *s, const struct vl_error *err)
{
	if (err && err->code == VL_ERR_CRASHED && s->budget_ns < VL_BUDGET_MAX_NS)
		s->budget_ns *= 2;
}

struct vl_error *vl_epoch_open(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	struct vl_error *err = NULL;

	s->ask.unvalidated = false;
	s->ask.answers = 0;
	s->ask.cut = false;
	s->ask.begun_ns = vl_now_ns();
	g->sys.brief = 0;
	/* Set before the first call of a copy, as that may lack a page, too. */
	g->sys.steady = 1;
	if (!vl_target_is_live(g->raw.target)) {
		err = open_copy(g, true);
		allow_longer(s, err);
		return vl_session_endless(g, err);
	}
	while (!s->ask.on) {
		bool fits = vl_epoch_copies(g);

		err = fits ? open_copy(g, false) : NULL;
		if (fits && (!err || is_final(err)))
			return err;
		if (err)
			leave_executor(g, err);
		/* VL_ERR_BLOCKED: the guard ended the pause, or a page was missing: copy again.
		 * After other errors ask questions, which will show the reason. */
		if (!fits || err->code != VL_ERR_BLOCKED || give_up_copies(g))
			begin_asking(s, !fits);
		else
			vl_workset_update(&g->workset, s->snapshot);
		vl_error_destroy(err);
	}
	g->sys.steady = 0;
	err = open_question(g);
	if (s->snapshot)
		s->ask.begun_nr = vl_snapshot_asked(s->snapshot);
	allow_longer(s, err);
	if (err)
		leave_executor(g, err);
	return err;
}

/*
 * Did the try before this one block for the same reason? Its memory was of another point in time,
 * so the reason is not that pages changed.
 */
static bool is_confirmed(struct vl_session *s, const struct vl_error *err)
{
	struct vl_asking *a = &s->ask;
	char why[sizeof(a->blocked)];
	bool same;

	snprintf(why, sizeof(why), "%s", err->code == VL_ERR_BLOCKED ? err->message : "");
	same = a->tries && *why && !strcmp(why, a->blocked);
	strcpy(a->blocked, why);
	return same;
}

struct vl_error *vl_epoch_called(struct vl_guest *g, struct vl_error *err)
{
	struct vl_session *s = g->session;
	struct vl_error *check = NULL;
	bool stale = false;

	if (err && err->code == VL_ERR_TARGET)
		return err;
	if (g->sys.steady && vl_snapshot_missed(s->snapshot)) {
		/* The result is invalid in any case: it used a page that was not copied. */
		vl_error_destroy(err);
		vl_workset_update(&g->workset, s->snapshot);
		/* From the next epoch on: this one stays a copy. */
		if (!s->ask.on && give_up_copies(g))
			begin_asking(s, false);
		return vl_epoch_again(g);
	}
	s->ask.unvalidated = true;
	if (err && !g->sys.steady) {
		check = changed(g, &stale);
		if (!check && stale && s->ask.tries < LIVE_TRIES + TAKE_TRIES &&
		    !is_confirmed(s, err)) {
			s->ask.tries++;
			check = vl_epoch_again(g);
		}
		if (check) {
			vl_error_destroy(err);
			return check;
		}
		s->ask.tries = s->ask.takes = 0;
	}
	if (err && err->code == VL_ERR_CRASHED && vl_code_blame(g)) {
		vl_error_destroy(err);
		g->sys.missed = 1;
		return vl_error_new(VL_ERR_BLOCKED, "code that was translated earlier failed");
	}
	allow_longer(s, err);
	err = vl_session_endless(g, err);
	if (err && err->code == VL_ERR_CRASHED)
		leave_executor(g, err);
	/* Perhaps it ran stale code, translated in an earlier epoch: a module may be gone. */
	if (err && err->code == VL_ERR_CRASHED && g->sys.epoch != s->born_epoch)
		s->suspect = true;
	return err;
}

struct vl_error *vl_epoch_validate(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	struct vl_asking *a = &s->ask;
	struct vl_error *err;
	bool stale = false;
	uint64_t *count;

	if (!s || !a->unvalidated)
		return NULL;
	a->unvalidated = false;
	if (g->sys.steady || (a->taken && !vl_snapshot_missed(s->snapshot))) {
		count = &s->answers.paused;
	} else {
		err = changed(g, &stale);
		if (err)
			return err;
		a->tries += stale;
		/* If no pause is left, take the answer as a task of the guest would get it. */
		if (stale && (a->tries < LIVE_TRIES || take_fits(g)))
			return vl_epoch_again(g);
		count = stale ? &s->answers.running : &s->answers.validated;
	}
	++*count;
	a->tries = a->takes = 0;
	/* The mounts were read when the epoch began: they are confirmed now, too. */
	s->memo.know_mounts |= !stale;
	g->sys.brief =
		!g->sys.steady && (stale || ++a->answers >= MAX_ANSWERS ||
				   vl_snapshot_asked(s->snapshot) > a->begun_nr + MAX_ASKED ||
				   vl_now_ns() - a->begun_ns > VL_EPOCH_MAX_AGE_NS);
	return NULL;
}

void vl_epoch_close(struct vl_guest *g)
{
	struct vl_session *s = g->session;

	/* An answer was given up: perhaps its pages were not of one point in time. */
	if (!g->sys.steady && s->ask.unvalidated && s->snapshot)
		vl_snapshot_doubt(s->snapshot);
	/* Clone and snapshot are kept for the next epoch, and with them the translated code. */
	if (g->label && !s->ask.on && vl_target_is_live(g->raw.target))
		vl_workset_update(&g->workset, s->snapshot);
}

void vl_epoch_learn(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	struct vl_workset *ws = &g->workset;

	if (!s || !s->ask.on || !s->snapshot || !g->label)
		return;
	if (s->clone)
		vl_clone_touch_time(s->clone);
	/* A run of questions only has touched all pages that it needs: drop the others. */
	if (s->ask.all)
		ws->nr = 0;
	if (vl_discard(vl_snapshot_all_asked(s->snapshot, &ws->gpas, &ws->nr)) ||
	    ws->nr > VL_WORKSET_MAX)
		ws->nr = 0;
	ws->changed = true;
}

void vl_epoch_reset(struct vl_guest *g)
{
	struct vl_session *s = g->session;

	g->sys.brief = 0;
	if (!s)
		return;
	s->ask = (struct vl_asking){ 0 };
	s->misses = 0;
	s->memo.know_mounts = false; /* they may have changed since */
	/* The identity of a task may have changed, too, but not that of the init process. */
	s->memo.know_self &= !g->as;
	/* Compare still memory again, so that a keeper answers as a new process would. */
	s->compared_ns = s->compared_code_ns = 0;
}
