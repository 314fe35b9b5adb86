/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine's ring: requests are posted there, and the vCPU runs until they are served. In
 * poll mode a thread keeps the vCPU in the guest, where the agent polls the ring.
 */
#include <sched.h>

#include "kvm.h"

struct agent_request *kvm_request(struct vl_kvm *k, unsigned i, const struct vl_space *s,
				  uint32_t op)
{
	struct agent_request *rq = &k->ring->requests[(k->ring->posted + i) % AGENT_NR_REQUESTS];

	*rq = (struct agent_request){
		.op = op,
		.cr3 = s->root,
		.out = kvm_out_va(0),
		.out_end = kvm_out_va(KVM_OUT_PAGES * VL_PAGE_SIZE),
	};
	return rq;
}

bool kvm_post(struct vl_kvm *k, uint32_t *counter, uint32_t to)
{
	_Atomic uint32_t *served = (_Atomic uint32_t *)&k->ring->served;
	uint32_t posted;

	if (unlikely(atomic_load(&k->broken)))
		return false;
	atomic_store((_Atomic uint32_t *)counter, to);
	posted = k->ring->posted;
	if (!k->polling)
		return kvm_vm_run(k);
	if (atomic_load(&k->asleep)) {
		pthread_mutex_lock(&k->lock);
		pthread_cond_broadcast(&k->cond);
		pthread_mutex_unlock(&k->lock);
	}
	for (unsigned i = 1; atomic_load_explicit(served, memory_order_acquire) != posted; i++) {
		if (atomic_load(&k->broken))
			return false;
		if (i % 4096)
			__builtin_ia32_pause();
		else
			sched_yield();
	}
	return true;
}

/* ---- poll mode ---- */

static void *poller(void *arg)
{
	struct vl_kvm *k = arg;
	_Atomic uint32_t *served = (_Atomic uint32_t *)&k->ring->served;
	_Atomic uint32_t *posted = (_Atomic uint32_t *)&k->ring->posted;

	pthread_mutex_lock(&k->lock);
	while (!atomic_load(&k->stop) && !atomic_load(&k->broken)) {
		atomic_store(&k->asleep, 1);
		if (atomic_load(served) == atomic_load(posted)) {
			pthread_cond_wait(&k->cond, &k->lock);
			continue;
		}
		atomic_store(&k->asleep, 0);
		pthread_mutex_unlock(&k->lock);
		kvm_vm_run(k);
		pthread_mutex_lock(&k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

struct vl_error *vl_kvm_poll(struct vl_raw *e, uint32_t spin)
{
	struct vl_kvm *k = kvm_of(e);
	int err;

	if (k->polling)
		return NULL;
	k->ring->spin = k->spin = spin;
	err = kvm_thread_start(&k->poller, poller, k);
	if (err)
		return vl_error_os(err, "cannot start a thread");
	k->polling = true;
	return NULL;
}
