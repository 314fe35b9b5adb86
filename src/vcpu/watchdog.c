/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "watchdog.h"

#include <signal.h>
#include <time.h>

static bool past(const struct vl_watchdog *w, uint64_t deadline)
{
	const uint64_t now = deadline ? vl_now_ns() : 0;

	return now > deadline &&
	       now > deadline + (vl_waited_ns(w->waits) - atomic_load(&w->waited));
}

bool vl_watchdog_over(const struct vl_watchdog *w)
{
	return past(w, atomic_load(&w->deadline));
}

static void *watch(void *arg)
{
	struct vl_watchdog *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->quit) {
		struct timespec ts = vl_ns_timespec(vl_now_ns() + VL_WATCHDOG_NS);

		pthread_cond_timedwait(&w->cond, &w->lock, &ts);
		if (vl_watchdog_over(w)) {
			atomic_store(&w->expired, true);
			w->kick(w->ctx);
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct vl_error *vl_watchdog_start(struct vl_watchdog *w, void (*kick)(void *ctx), void *ctx)
{
	pthread_condattr_t attr;
	sigset_t all, old;
	int err;

	w->kick = kick;
	w->ctx = ctx;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	/* The thread takes none of the process's signals. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		pthread_mutex_destroy(&w->lock);
		pthread_cond_destroy(&w->cond);
		return vl_error_os(err, "cannot start a thread");
	}
	w->runs = true;
	return NULL;
}

void vl_watchdog_stop(struct vl_watchdog *w)
{
	if (!w->runs)
		return;
	pthread_mutex_lock(&w->lock);
	w->quit = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->cond);
	w->runs = false;
}

void vl_watchdog_arm(struct vl_watchdog *w, uint64_t budget_ns)
{
	atomic_store(&w->expired, false);
	atomic_store(&w->waited, vl_waited_ns(w->waits));
	atomic_store(&w->deadline, vl_now_ns() + budget_ns);
}

bool vl_watchdog_disarm(struct vl_watchdog *w)
{
	/* Past its deadline, the thread may be inside the kick: wait for it. */
	if (!past(w, atomic_exchange(&w->deadline, 0)))
		return false;
	pthread_mutex_lock(&w->lock);
	pthread_mutex_unlock(&w->lock);
	return atomic_load(&w->expired);
}
