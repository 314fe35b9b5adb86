/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine's threads. The watchdog ends a KVM_RUN that does not return. A guest can
 * change its tables so that another page takes the place of the agent's, whose code then runs,
 * for ever if it likes, over memory that it cannot write. Some KVMs hang by themselves (see
 * probe() in kvm.c). Only a signal ends KVM_RUN. It is blocked elsewhere, so that no handler of
 * the program is ever called.
 */
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "../base/clock.h"
#include "kvm.h"

#define POLL_MS 100
/* A request that is not served has ended after this many limits, whatever CPU it got. */
#define IDLE_LIMITS 20

/* Wait for @ms or until woken; called with the lock. */
static void wait_ms(struct vl_kvm *k, unsigned ms)
{
	struct timespec ts = vl_ns_timespec(vl_clock_ns(CLOCK_REALTIME) + ms * VL_NSEC_PER_MSEC);

	pthread_cond_timedwait(&k->cond, &k->lock, &ts);
}

/* The CPU time of the thread in KVM_RUN; called with the lock, while there is one. */
static uint64_t runner_ns(const struct vl_kvm *k)
{
	clockid_t id;

	return pthread_getcpuclockid(k->runner, &id) ? 0 : vl_clock_ns(id);
}

/*
 * End a request that is not served within limit_ms of CPU time: a KVM_RUN that does not return
 * uses a CPU. On a busy host, a good one can wait longer than that for its turn.
 */
static void *watchdog(void *arg)
{
	struct vl_kvm *k = arg;
	uint64_t since = vl_now_ns(), used = UINT64_MAX; /* not looked at yet */
	uint32_t seen = 0;

	pthread_mutex_lock(&k->lock);
	while (!atomic_load(&k->stop)) {
		uint32_t served = atomic_load((_Atomic uint32_t *)&k->ring->served);
		uint64_t limit = atomic_load(&k->limit_ms) * VL_NSEC_PER_MSEC;

		if (served != seen || served == atomic_load((_Atomic uint32_t *)&k->ring->posted)) {
			seen = served;
			since = vl_now_ns();
			used = UINT64_MAX;
		} else if (k->running && used == UINT64_MAX) {
			used = runner_ns(k);
		} else if ((k->running && runner_ns(k) - used > limit) ||
			   vl_now_ns() - since > IDLE_LIMITS * limit) {
			atomic_store(&k->broken, true);
			/* Repeated: the thread may be just about to enter KVM_RUN. */
			if (k->running)
				pthread_kill(k->runner, VL_MACHINE_SIGNAL);
		}
		wait_ms(k, POLL_MS);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int kvm_enter_begin(struct vl_kvm *k, sigset_t *old)
{
	if (!vl_machine_signal_begin(old))
		return -1;
	pthread_mutex_lock(&k->lock);
	k->runner = pthread_self();
	k->running = true;
	pthread_mutex_unlock(&k->lock);
	return 0;
}

void kvm_enter_end(struct vl_kvm *k, const sigset_t *old)
{
	pthread_mutex_lock(&k->lock);
	k->running = false;
	pthread_mutex_unlock(&k->lock);
	vl_machine_signal_end(old, atomic_load(&k->broken));
}

/* A thread of ours takes none of the program's signals. */
int kvm_thread_start(pthread_t *t, void *(*fn)(void *), struct vl_kvm *k)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(t, NULL, fn, k);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

struct vl_error *kvm_watchdog_start(struct vl_kvm *k)
{
	int err = kvm_thread_start(&k->watchdog, watchdog, k);

	if (err)
		return vl_error_os(err, "cannot start a thread");
	k->has_watchdog = true;
	return NULL;
}

void kvm_quiesce(struct vl_kvm *k)
{
	static const struct timespec moment = { 0, 10000 };

	if (!k->polling)
		return;
	k->ring->spin = 0;
	while (!atomic_load(&k->asleep) && !atomic_load(&k->broken))
		nanosleep(&moment, NULL);
	/* The poller releases the lock when it sleeps. */
	pthread_mutex_lock(&k->lock);
	k->ring->spin = k->spin;
	pthread_mutex_unlock(&k->lock);
}

void kvm_threads_stop(struct vl_kvm *k)
{
	pthread_mutex_lock(&k->lock);
	atomic_store(&k->stop, true);
	/* Have the agent stop polling. */
	if (k->ring)
		k->ring->spin = 0;
	pthread_cond_broadcast(&k->cond);
	pthread_mutex_unlock(&k->lock);
	if (k->polling)
		pthread_join(k->poller, NULL);
	if (k->has_watchdog)
		pthread_join(k->watchdog, NULL);
}
