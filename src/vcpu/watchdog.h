/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time budget of a run, kept by a thread beside it. It costs the run one store at its start
 * and one at its end.
 */
#ifndef VLENS_WATCHDOG_H
#define VLENS_WATCHDOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/clock.h"
#include "../error.h"

/* How often the thread looks, in ns; a budget is kept to this accuracy. */
#define VL_WATCHDOG_NS 10000000L

struct vl_watchdog {
	void (*kick)(void *ctx);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool runs, quit;
	const struct vl_waits *waits; /* added to the budget of a run; NULL: none are */
	_Atomic uint64_t deadline;    /* CLOCK_MONOTONIC ns; 0: nothing runs */
	_Atomic uint64_t waited;      /* of @waits, before the run */
	_Atomic bool expired;
};

/*
 * Start the watchdog; @w is zeroed, except for its waits. When a run is over its budget, the thread
 * calls @kick again and again until the watchdog is disarmed. @kick must not wait for the thread
 * that runs.
 */
struct vl_error *vl_watchdog_start(struct vl_watchdog *w, void (*kick)(void *ctx), void *ctx);
void vl_watchdog_stop(struct vl_watchdog *w);

void vl_watchdog_arm(struct vl_watchdog *w, uint64_t budget_ns);
/* True: @kick was called since it was armed. */
bool vl_watchdog_disarm(struct vl_watchdog *w);

/* Is the run that is armed over its budget? */
bool vl_watchdog_over(const struct vl_watchdog *w);

#endif
