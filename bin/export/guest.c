/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest of the exporter: opened, read when it is due, and opened again when it comes back. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "fleet.h"

/* Retries of a guest that cannot be opened: each is a first attach. */
#define RETRY_FIRST (1 * VL_NSEC_PER_SEC)
#define RETRY_MOST (60 * VL_NSEC_PER_SEC)

static const char *const states[] = { "running", "paused", "stopped", "booting", "firmware",
				      "crashed", "dump",   "gone",    "denied",	 "unknown" };

static const char *known_state(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (!strcmp(states[i], word))
			return states[i];
	/* Other words of a hypervisor ("prelaunch", "suspended"): it stands still. */
	return *word ? "paused" : "running";
}

static void set_state(struct export_guest *g, const char *word)
{
	memset(g->state, 0, sizeof(g->state));
	strncpy(g->state, word, sizeof(g->state) - 1);
}

/* Ask the hypervisor. */
static void ask_state(struct export_guest *g)
{
	struct vl_state state;

	vl_guest_state(g->guest, &state);
	set_state(g, vl_guest_is_live(g->guest) ? known_state(state.word) : "dump");
	pthread_mutex_lock(&g->lock);
	memcpy(g->name, state.name, sizeof(g->name));
	pthread_mutex_unlock(&g->lock);
}

static uint64_t paused(struct export_guest *g)
{
	struct vl_stats stats = { .paused_ns = 0 };

	if (g->guest)
		vl_guest_stats(g->guest, &stats);
	return g->paused_before + stats.paused_ns;
}

static void forget(struct export_guest *g)
{
	g->paused_before = paused(g);
	vl_guest_close(g->guest);
	g->guest = NULL;
	g->moved = 0;
}

/* The state of a guest that could not be opened. */
static const char *state_of_error(const struct vl_error *err)
{
	if (err->os_errno == EACCES || err->os_errno == EPERM)
		return "denied";
	switch (err->code) {
	case VL_ERR_TARGET:
		return "gone";
	case VL_ERR_FIRMWARE:
		return "firmware";
	case VL_ERR_BOOTING:
		return "booting";
	case VL_ERR_DOWN:
		return "crashed";
	default:
		return "unknown";
	}
}

static struct vl_error *copy(const struct vl_error *err)
{
	struct vl_error *same = vl_error_new(err->code, "%s", err->message);

	if (same->code != VL_ERR_NOMEM)
		same->os_errno = err->os_errno;
	return err->hint ? vl_error_hint(same, "%s", err->hint) : same;
}

/* Close the guest and let some time pass before the next try. Returns @err. */
static struct vl_error *retry_later(struct export_guest *g, struct vl_error *err)
{
	/* A file that does not have what is needed is still there. */
	set_state(g, g->guest && !vl_guest_is_live(g->guest) ? "dump" : state_of_error(err));
	forget(g);
	g->retry_ns = g->retry_ns ? g->retry_ns * 2 : RETRY_FIRST;
	g->retry_ns = g->retry_ns < RETRY_MOST ? g->retry_ns : RETRY_MOST;
	g->retry_at = vl_now_ns() + g->retry_ns;
	vl_error_destroy(g->why);
	g->why = copy(err);
	return err;
}

static struct vl_error *open_guest(struct export_guest *g)
{
	const struct vl_guest_options o = {
		.target = g->scan->target,
		.uses = VL_GUEST_READ,
		.engine = g->scan->engine,
		.anew = g->anew,
	};
	struct vl_error *err = vl_guest_open(g->spec, &o, &g->guest);

	if (!err)
		err = vl_guest_attach(g->guest, true);
	if (err)
		return err;
	g->anew = false;
	ask_state(g);
	/* The descriptor of a monitor is not kept: there may be one client only. */
	vl_guest_hang_up(g->guest);
	return NULL;
}

/* Does the kernel still run that was found when the guest was opened? */
static struct vl_error *is_there(struct export_guest *g)
{
	struct vl_error *err = vl_guest_alive(g->guest);
	bool runs = false;

	if (!err)
		err = vl_guest_runs(g->guest, &runs);
	if (!err && !runs)
		err = vl_error_new(VL_ERR_BOOTING, "its kernel is gone: it boots");
	return err;
}

static const struct vl_cell *value_of(const struct vl_table *t, enum vl_metric m, size_t *row_ret)
{
	for (size_t i = 0; i < t->nr_rows; i++)
		if (vl_table_cell(t, i, VL_ROW_METRIC)->u == m) {
			*row_ret = i;
			return vl_table_cell(t, i, VL_ROW_VALUE);
		}
	return NULL;
}

/* A guest that has not moved since the last pass may be paused: ask its hypervisor. */
static void see_state(struct export_guest *g, const struct vl_table *t)
{
	size_t row;
	const struct vl_cell *uptime = value_of(t, VL_METRIC_UPTIME, &row),
			     *panicked = value_of(t, VL_METRIC_PANICKED, &row);
	uint64_t moved = uptime ? uptime->u : 0;

	if (!vl_guest_is_live(g->guest))
		return;
	if (!moved || moved == g->moved || (g->moved && strcmp(g->state, "running") != 0)) {
		ask_state(g);
		vl_guest_hang_up(g->guest);
	}
	if (panicked && panicked->u)
		set_state(g, "crashed");
	g->moved = moved;
}

/* Read the guest into @t, which is empty. */
static struct vl_error *look(struct export_guest *g, struct vl_table *t)
{
	struct vl_error *err = NULL;

	/* Until the next try the reason is the same, so that it is reported once. */
	if (!g->guest && g->why && vl_now_ns() < g->retry_at)
		return copy(g->why);
	if (!g->guest)
		err = open_guest(g);
	else
		err = is_there(g);
	t->parcel_max = VL_EXPORT_PARCEL_MAX;
	if (!err)
		err = vl_export_kept(t, vl_guest_scan(g->guest, &vl_scan_export, t));
	if (err) {
		/* After a reset the old kernel is still in memory for a while. */
		g->anew = err->code == VL_ERR_FAULT || err->code == VL_ERR_KERNEL;
		return retry_later(g, err);
	}
	vl_export_cut(t);
	g->retry_ns = 0;
	see_state(g, t);
	if (!vl_choose(&g->chooser, t, g->top) || !vl_choose_groups(t, g->top))
		return vl_error_nomem();
	return NULL;
}

/* The time of this thread, and of the worker so far, which is in @t. */
static void add_cost(struct vl_table *t, uint64_t began)
{
	size_t row;
	const struct vl_cell *worker = value_of(t, VL_METRIC_COST, &row);

	if (worker)
		t->cells[row * t->nr_columns + VL_ROW_VALUE].u +=
			vl_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	vl_sample(t, VL_METRIC_TIME, vl_now_ns() - began);
}

static void add_state(const struct export_guest *g, struct vl_table *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		VL_SAMPLE(t, STATE, !strcmp(states[i], g->state), states[i]);
}

static void answer(struct export_guest *g)
{
	uint64_t began = vl_now_ns();
	struct vl_error *err;
	struct vl_table t;

	vl_table_init(&t, vl_export_columns);
	err = look(g, &t);
	if (err)
		vl_table_clear(&t);
	vl_sample(&t, VL_METRIC_UP, !err);
	add_state(g, &t);
	vl_sample(&t, VL_METRIC_PAUSED, paused(g));
	if (!err)
		add_cost(&t, began);
	pthread_mutex_lock(&g->lock);
	vl_table_deinit(&g->rows);
	g->rows = t;
	vl_error_destroy(g->err);
	g->err = err;
	g->answered = true;
	pthread_cond_signal(&g->done);
	pthread_mutex_unlock(&g->lock);
}

static void *work(void *arg)
{
	struct export_guest *g = arg;
	bool quit;

	do {
		pthread_mutex_lock(&g->lock);
		while (!g->quit && !g->due)
			pthread_cond_wait(&g->wake, &g->lock);
		g->due = false;
		quit = g->quit;
		pthread_mutex_unlock(&g->lock);
		if (!quit)
			answer(g);
	} while (!quit);
	/* At the end of this process, wait for no worker. */
	if (g->leaves) {
		vl_guest_leave(g->guest);
		g->guest = NULL;
	}
	forget(g);
	return NULL;
}

bool export_guest_start(struct export_guest *g)
{
	pthread_condattr_t monotonic;
	sigset_t all, old;

	set_state(g, "unknown");
	vl_table_init(&g->rows, vl_export_columns);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&g->wake, NULL);
	pthread_cond_init(&g->done, &monotonic);
	g->answered = true;
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	g->started = !pthread_create(&g->thread, NULL, work, g);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return g->started;
}

/* The longest that an end of a thread is waited for. */
#define STOP_NS (5 * VL_NSEC_PER_SEC)

void export_guest_stop(struct export_guest *g, bool leaves)
{
	struct timespec until = vl_ns_timespec(vl_now_ns() + STOP_NS);

	if (g->started) {
		pthread_mutex_lock(&g->lock);
		g->quit = true;
		g->leaves = leaves;
		pthread_cond_signal(&g->wake);
		pthread_mutex_unlock(&g->lock);
		if (pthread_clockjoin_np(g->thread, NULL, CLOCK_MONOTONIC, &until))
			return;
	}
	vl_table_deinit(&g->rows);
	vl_error_destroy(g->err);
	vl_error_destroy(g->why);
	vl_chooser_deinit(&g->chooser);
	free(g->spec);
	free(g->reported);
	free(g);
}

void export_guest_ask(struct export_guest *g)
{
	pthread_mutex_lock(&g->lock);
	if (g->answered) {
		g->answered = false;
		g->due = true;
		pthread_cond_signal(&g->wake);
	}
	pthread_mutex_unlock(&g->lock);
}

void export_guest_take(struct export_guest *g, uint64_t deadline_ns, struct vl_table *ret,
		       struct vl_error **err_ret)
{
	const struct timespec until = vl_ns_timespec(deadline_ns);
	bool late = false;

	pthread_mutex_lock(&g->lock);
	while (!g->answered && !late)
		late = pthread_cond_timedwait(&g->done, &g->lock, &until) == ETIMEDOUT;
	if (g->answered) {
		vl_table_deinit(ret);
		*ret = g->rows;
		vl_table_init(&g->rows, vl_export_columns);
		*err_ret = vl_taken(g->err);
	} else {
		vl_sample(ret, VL_METRIC_UP, 0);
		*err_ret = vl_error_new(VL_ERR_TARGET, "it did not answer in time");
	}
	if (!*err_ret || g->name[0])
		VL_SAMPLE(ret, INFO, 1, g->name, g->spec);
	pthread_mutex_unlock(&g->lock);
}
