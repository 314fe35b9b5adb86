/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libvirt.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "../base/clock.h"

/* Freed by the last user: the thread, or the caller that waits for it. */
struct job {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	void (*fn)(void *arg);
	void (*left)(void *arg);
	void *arg;
	bool done, alone;
};

static void end_job(struct job *j)
{
	pthread_cond_destroy(&j->ended);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

static void *work(void *job)
{
	struct job *j = job;
	bool alone;

	j->fn(j->arg);
	pthread_mutex_lock(&j->lock);
	j->done = true;
	alone = j->alone;
	pthread_cond_signal(&j->ended);
	pthread_mutex_unlock(&j->lock);
	if (alone) {
		j->left(j->arg);
		end_job(j);
	}
	return NULL;
}

static bool start(struct job *j)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	bool ok;

	/* The new thread takes no signals: the program's other threads handle them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ok = pthread_create(&thread, &attr, work, j) == 0;
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

bool vl_bounded(void (*fn)(void *arg), void *arg, unsigned int ms, void (*left)(void *arg))
{
	struct job *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;
	struct timespec until;
	bool done;

	if (j) {
		*j = (struct job){ .fn = fn, .left = left, .arg = arg };
		pthread_mutex_init(&j->lock, NULL);
		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		pthread_cond_init(&j->ended, &attr);
		pthread_condattr_destroy(&attr);
	}
	if (!j || !start(j)) {
		if (j)
			end_job(j);
		fn(arg);
		return true;
	}
	until = vl_ns_timespec(vl_now_ns() + (uint64_t)ms * VL_NSEC_PER_MSEC);
	pthread_mutex_lock(&j->lock);
	while (!j->done && pthread_cond_timedwait(&j->ended, &j->lock, &until) == 0)
		;
	done = j->done;
	j->alone = !done;
	pthread_mutex_unlock(&j->lock);
	if (done)
		end_job(j);
	return done;
}
