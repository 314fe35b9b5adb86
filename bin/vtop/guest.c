/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest of vtop: opened, read when asked, and opened again when it comes back. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "top.h"
#include "view/users.h"

#define LABEL "vtop" /* names the working set of its questions */
/* Retries of a guest that cannot be opened. Each may pause a guest that boots. */
#define RETRY_FIRST (500 * VL_NSEC_PER_MSEC)
#define RETRY_MOST (5 * VL_NSEC_PER_SEC)
/* If its clock stands still for so long it may be paused: ask the hypervisor. */
#define STILL (2 * VL_NSEC_PER_SEC)
#define ASK_EVERY (3 * VL_NSEC_PER_SEC)
/*
 * After a reboot the kernel can be in its old place while all else has moved: what is read
 * makes no sense. The guest is opened again when that lasts this long, with a backoff: opening
 * can pause the guest, and the reason may be another one.
 */
#define WRONG (1 * VL_NSEC_PER_SEC)
#define ANEW_FIRST (5 * VL_NSEC_PER_SEC)
#define ANEW_MOST (300 * VL_NSEC_PER_SEC)

const char *top_state_name(enum top_state state)
{
	static const char *const names[] = {
		[TOP_OPENING] = "opening", [TOP_RUNNING] = "running", [TOP_PAUSED] = "paused",
		[TOP_DUMP] = "dump",	   [TOP_BOOTING] = "booting", [TOP_GONE] = "gone",
		[TOP_STOPPED] = "stopped", [TOP_CRASHED] = "crashed", [TOP_FIRMWARE] = "firmware",
	};

	return names[state];
}

static void tell(const struct top_guest *g)
{
	const uint64_t one = 1;
	ssize_t n = write(g->event_fd, &one, sizeof(one));

	(void)n; /* a full counter wakes the reader, too */
}

static uint64_t paused_by_guest(const struct top_guest *g)
{
	struct vl_stats stats = { .paused_ns = 0 };

	if (g->guest)
		vl_guest_stats(g->guest, &stats);
	return stats.paused_ns;
}

/* Takes over @err. Without a new @sample the last one stays on show. */
static void publish(struct top_guest *g, enum top_state state, struct vl_error *err,
		    const struct vl_top_sample *sample)
{
	/* Do this without the lock: it asks the worker, which can hang. */
	const uint64_t paused = g->paused_before + paused_by_guest(g);

	pthread_mutex_lock(&g->lock);
	g->state = state;
	snprintf(g->means, sizeof(g->means), "%s", err ? "" : g->state_means);
	memcpy(g->name, g->state_name, sizeof(g->name));
	vl_error_destroy(g->err);
	g->err = err;
	if (sample)
		g->sample = sample;
	g->paused_ns = paused;
	g->answered = true;
	pthread_mutex_unlock(&g->lock);
	tell(g);
}

static void forget(struct top_guest *g)
{
	g->paused_before += paused_by_guest(g);
	vl_guest_close(g->guest);
	g->guest = NULL;
}

static bool is_state(struct top_guest *g, enum top_state state)
{
	bool is;

	pthread_mutex_lock(&g->lock);
	is = g->state == state;
	pthread_mutex_unlock(&g->lock);
	return is;
}

static bool open_guest(struct top_guest *g)
{
	const struct vl_guest_options o = {
		.target = g->scan->target,
		.uses = VL_GUEST_READ | VL_GUEST_ASK,
		.label = LABEL,
		.engine = g->scan->engine,
		.anew = g->anew,
	};
	enum top_state state = TOP_GONE;
	struct vl_reader_stats stats;
	struct vl_host_label label;
	struct vl_error *err;

	if (vl_now_ns() < g->retry_at)
		return false;
	err = vl_guest_open(g->spec, &o, &g->guest);
	if (!err)
		err = vl_guest_attach(g->guest, true);
	if (!err)
		err = vl_guest_top_open(g->guest);
	if (err) {
		/* The guest is there, but its memory is not understood yet. */
		if (err->code != VL_ERR_TARGET && !is_state(g, TOP_OPENING))
			state = TOP_BOOTING;
		if (err->code == VL_ERR_FIRMWARE)
			state = TOP_FIRMWARE;
		if (err->code == VL_ERR_DOWN)
			state = TOP_CRASHED;
		/* A file that does not have what is needed is still there. */
		if (state == TOP_GONE && g->guest && !vl_guest_is_live(g->guest))
			state = TOP_DUMP;
		forget(g);
		g->retry_ns = g->retry_ns ? g->retry_ns * 2 : RETRY_FIRST;
		g->retry_ns = g->retry_ns < RETRY_MOST ? g->retry_ns : RETRY_MOST;
		g->retry_at = vl_now_ns() + g->retry_ns;
		publish(g, state, err, NULL);
		return false;
	}
	g->retry_ns = g->wrong_at = g->asked_at = 0;
	g->anew = false;
	/* Only the second sample shows whether it moves: ask its hypervisor until then. */
	g->moved_sum = 0;
	g->moved_at = 0;
	vl_guest_reader_stats(g->guest, &stats);
	vl_guest_hang_up(g->guest);
	label = (struct vl_host_label){ .spec = g->spec, .pid = vl_guest_pid(g->guest) };
	vl_host_labels(&label, 1);
	pthread_mutex_lock(&g->lock);
	g->label = label;
	memset(g->engine, 0, sizeof(g->engine));
	strncpy(g->engine, stats.engine ? stats.engine : "none", sizeof(g->engine) - 1);
	g->is_short = vl_guest_shortfall(g->guest, &g->lacks);
	g->boots++;
	/* The last sample is of another run of the guest. */
	g->sample = NULL;
	pthread_mutex_unlock(&g->lock);
	vl_users_destroy(g->users);
	g->users = NULL;
	g->users_asked = false;
	return true;
}

/* Does the guest run, with this kernel? If not, close it and publish the reason. */
static bool is_there(struct top_guest *g)
{
	struct vl_error *err = vl_guest_alive(g->guest);
	bool runs = false;

	if (err) {
		forget(g);
		g->retry_at = vl_now_ns() + RETRY_FIRST;
		publish(g, TOP_GONE, err, NULL);
		return false;
	}
	err = vl_guest_runs(g->guest, &runs);
	if (!err && runs)
		return true;
	forget(g);
	g->retry_at = vl_now_ns() + RETRY_FIRST;
	if (!err)
		err = vl_error_new(VL_ERR_KERNEL, "its kernel is gone: it boots");
	publish(g, TOP_BOOTING, err, NULL);
	return false;
}

static bool look_anew(struct top_guest *g, uint64_t now)
{
	if (now < g->anew_after || !vl_guest_is_live(g->guest))
		return false;
	g->anew_ns = g->anew_ns ? g->anew_ns * 2 : ANEW_FIRST;
	g->anew_ns = g->anew_ns < ANEW_MOST ? g->anew_ns : ANEW_MOST;
	g->anew_after = now + g->anew_ns;
	g->anew = true;
	forget(g);
	g->retry_at = now;
	publish(g, TOP_BOOTING,
		vl_error_new(VL_ERR_KERNEL, "its kernel is not where it was: looking for it"),
		NULL);
	return true;
}

/*
 * Did its clock go back? Then the guest went back to a snapshot, or booted with its kernel in the
 * same place. The data from its opening are stale: close it.
 */
static bool went_back(struct top_guest *g, const struct vl_top_sample *s)
{
	if (!g->sample || !s->uptime || s->uptime >= g->sample->uptime)
		return false;
	forget(g);
	g->retry_at = 0;
	publish(g, TOP_BOOTING, vl_error_new(VL_ERR_KERNEL, "its clock went back"), NULL);
	return true;
}

static uint64_t moves(const struct vl_top_sample *s)
{
	uint64_t sum = s->uptime;

	for (size_t i = 0; i < s->nr_cpus; i++)
		for (size_t k = 0; k < VL_NR_USES; k++)
			sum += s->cpus[i].ns[k];
	return sum;
}

/* The state that a word of vl_guest_state() means. */
static enum top_state state_by_name(const char *word)
{
	for (int state = TOP_RUNNING; state <= TOP_GONE; state++)
		if (!strcmp(word, top_state_name((enum top_state)state)))
			return (enum top_state)state;
	/* Other words ("prelaunch", "suspended"): it stands still. No word: it runs. */
	return *word ? TOP_PAUSED : TOP_RUNNING;
}

static enum top_state ask_state(struct top_guest *g)
{
	struct vl_state state;

	vl_guest_state(g->guest, &state);
	memcpy(g->state_means, state.means, sizeof(g->state_means));
	if (state.name[0])
		memcpy(g->state_name, state.name, sizeof(g->state_name));
	return state_by_name(state.word);
}

/*
 * The state of the guest. Its hypervisor is asked at first, and then only when the guest has
 * not moved for a while.
 */
static enum top_state state_of(struct top_guest *g, const struct vl_top_sample *s)
{
	uint64_t now = vl_now_ns(), sum = moves(s);

	if (!vl_guest_is_live(g->guest))
		return TOP_DUMP;
	if (!g->moved_at) {
		g->moved_sum = sum;
		g->moved_at = g->asked_at = now;
		g->last_state = ask_state(g);
	} else if (sum != g->moved_sum) {
		g->moved_sum = sum;
		g->moved_at = now;
		/* It was paused and goes on. A crashed guest may move, too. */
		if (g->last_state != TOP_RUNNING && g->last_state != TOP_CRASHED)
			g->last_state = ask_state(g);
	} else if (now - g->moved_at >= STILL && now - g->asked_at >= ASK_EVERY) {
		g->asked_at = now;
		g->last_state = ask_state(g);
	}
	return g->last_state;
}

/*
 * The worker died before it had a sample. The next sample gets a new worker. If that dies,
 * too, the guest is closed for RETRY_MOST.
 */
static void lost_reader(struct top_guest *g, struct vl_error *err)
{
	enum top_state state = g->last_state;

	if (g->lost++) {
		forget(g);
		g->retry_at = vl_now_ns() + RETRY_MOST;
		state = TOP_GONE;
	}
	publish(g, state, err, NULL);
}

/* A run of questions, or of samples, may pause the guest for @budget; earlier pauses count on. */
static struct vl_error *begin_run(struct top_guest *g, const struct vl_pause_budget *budget)
{
	g->paused_before += paused_by_guest(g);
	return vl_guest_next(g->guest, LABEL, budget, g->scan->target.pause == VL_PAUSE_FREEZE);
}

/* This is done once for each boot: the kernel's code runs for some tenths of a second. */
static void find_users(struct top_guest *g)
{
	const struct vl_pause_budget none = { .given = true };

	if (g->users_asked || !g->guest)
		return;
	g->users_asked = true;
	if (!vl_discard(begin_run(g, &none)))
		g->users = top_users_read(g->guest);
	vl_error_destroy(begin_run(g, &g->scan->target.budget));
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < 2; i++)
		g->samples[i].users = g->users;
	pthread_mutex_unlock(&g->lock);
	if (g->users)
		tell(g);
}

static void take_sample(struct top_guest *g)
{
	struct vl_top_sample *fill = &g->samples[g->next];
	enum top_state state;
	struct vl_error *err;

	if (!g->guest && !open_guest(g)) {
		pthread_mutex_lock(&g->lock);
		g->answered = true;
		pthread_mutex_unlock(&g->lock);
		tell(g);
		return;
	}
	if (!is_there(g))
		return;
	if (g->users_when == TOP_USERS_FIRST)
		find_users(g);
	err = vl_guest_top(g->guest, fill);
	fill->users = g->users;
	if (err && err->code == VL_ERR_TARGET && (!is_there(g) || vl_guest_is_live(g->guest))) {
		vl_error_destroy(err);
		return;
	}
	if (err && !fill->at_ns) {
		lost_reader(g, err);
		return;
	}
	g->lost = 0;
	if (!err)
		g->wrong_at = 0;
	else if (!g->wrong_at)
		g->wrong_at = fill->at_ns;
	state = state_of(g, fill);
	if ((g->wrong_at && fill->at_ns - g->wrong_at > WRONG && look_anew(g, vl_now_ns())) ||
	    went_back(g, fill)) {
		vl_error_destroy(err);
		return;
	}
	g->next = !g->next;
	publish(g, state, err, fill);
}

/* The reason why no guest can be asked. */
static struct vl_error *not_open(struct top_guest *g)
{
	struct vl_error *err;

	pthread_mutex_lock(&g->lock);
	err = vl_error_new(VL_ERR_TARGET, "%s", g->err ? g->err->message : "the guest is gone");
	pthread_mutex_unlock(&g->lock);
	return err;
}

static void read_detail(struct top_guest *g)
{
	struct top_detail d = { .text = NULL };
	uint64_t paused;

	pthread_mutex_lock(&g->lock);
	d.pid = g->detail.pid;
	pthread_mutex_unlock(&g->lock);
	d.err = g->guest || open_guest(g) ? begin_run(g, &g->scan->target.budget) : not_open(g);
	if (!d.err) {
		top_detail_read(g->guest, &d);
		vl_guest_rest(g->guest);
	}
	paused = g->paused_before + paused_by_guest(g);
	pthread_mutex_lock(&g->lock);
	g->paused_ns = paused;
	/* The user may have chosen another process meanwhile. */
	if (g->detail.pid == d.pid) {
		top_detail_clear(&g->detail);
		g->detail = d;
	} else {
		top_detail_clear(&d);
	}
	pthread_mutex_unlock(&g->lock);
	tell(g);
}

static void *work(void *arg)
{
	struct top_guest *g = arg;
	bool due, detail;

	for (;;) {
		pthread_mutex_lock(&g->lock);
		while (!g->quit && !g->due && !g->detail_due)
			pthread_cond_wait(&g->wake, &g->lock);
		due = g->due;
		detail = g->detail_due;
		g->due = g->detail_due = false;
		if (g->quit)
			break;
		pthread_mutex_unlock(&g->lock);
		if (detail)
			read_detail(g);
		if (due)
			take_sample(g);
		if (due && g->users_when == TOP_USERS_LATER && g->sample)
			find_users(g);
	}
	pthread_mutex_unlock(&g->lock);
	forget(g);
	return NULL;
}

bool top_guest_start(struct top_guest *g)
{
	sigset_t all, old;

	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->wake, NULL);
	/* Signals are for the thread that has the terminal. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	g->started = !pthread_create(&g->thread, NULL, work, g);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return g->started;
}

void top_guest_stop(struct top_guest *g)
{
	if (!g->started)
		return;
	pthread_mutex_lock(&g->lock);
	g->quit = true;
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->lock);
	pthread_join(g->thread, NULL);
	g->started = false;
	for (size_t i = 0; i < 2; i++)
		vl_top_sample_deinit(&g->samples[i]);
	vl_users_destroy(g->users);
	vl_error_destroy(g->err);
	g->err = NULL;
	top_detail_clear(&g->detail);
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
}

void top_guest_ask(struct top_guest *g)
{
	pthread_mutex_lock(&g->lock);
	g->due = true;
	g->answered = false;
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->lock);
}

void top_guest_ask_detail(struct top_guest *g, int32_t pid)
{
	pthread_mutex_lock(&g->lock);
	top_detail_clear(&g->detail);
	g->detail.pid = pid;
	g->detail_due = true;
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->lock);
}

void top_guest_title(const struct top_guest *g, char *buf, size_t size)
{
	const char *name = g->name[0] ? g->name : g->spec, *node = g->sample ? g->sample->node : "";
	const char *const more[] = { strcmp(name, g->spec) ? g->spec : "",
				     strcmp(name, node) ? node : "" };

	snprintf(buf, size, "%s%s%s%s%s%s", name, *more[0] || *more[1] ? " (" : "", more[0],
		 *more[0] && *more[1] ? ", " : "", more[1], *more[0] || *more[1] ? ")" : "");
}

/* ---- all of them ---- */

void top_ask(struct vtop *t)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->batch || t->pane == TOP_GUESTS ||
		    (t->pane == TOP_HELP && t->below == TOP_GUESTS) || i == t->guest)
			top_guest_ask(&t->guests[i]);
}

bool top_all_failed(struct vtop *t)
{
	bool all = true;

	for (size_t i = 0; all && i < t->nr; i++) {
		struct top_guest *g = &t->guests[i];

		pthread_mutex_lock(&g->lock);
		all = g->err && !g->boots;
		pthread_mutex_unlock(&g->lock);
	}
	return all;
}
