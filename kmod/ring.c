// SPDX-License-Identifier: GPL-2.0
/*
 * The ring of the CR3 watch: the values with which vCPUs entered their guest. The vCPUs' threads
 * write it, in the probe; readers copy it out.
 */
#include <linux/ktime.h>
#include <linux/slab.h>
#include <asm/msr.h>

#include "internal.h"

struct imee_watch_ring {
	struct rcu_head rcu;
	raw_spinlock_t lock;
	u64 serial; /* among its file's, from 1 */
	u32 size;
	u64 next; /* number of the next value */
	struct imee_cr3 values[];
};

void imee_ring_entry(struct imee_vcpu *v)
{
	struct imee_watch_ring *ring = rcu_dereference(v->file->watch);
	struct imee_cr3 *value;
	u64 cr3;

	if (!ring || imee_protected(v->vcpu))
		return;
	if (imee_svm()) {
		/* Without nested paging KVM sees every load. */
		if (!imee_svm_cr3(v, &cr3))
			cr3 = v->vcpu->arch.cr3;
	} else if (!imee_vmx_cr3(v, &cr3)) {
		cr3 = v->vcpu->arch.cr3;
	}
	if (v->last_ring == ring->serial && v->last_cr3 == cr3)
		return;
	v->last_ring = ring->serial;
	v->last_cr3 = cr3;

	raw_spin_lock(&ring->lock);
	value = &ring->values[ring->next++ % ring->size];
	value->cr3 = cr3;
	value->host_tsc = rdtsc_ordered();
	value->host_ns = ktime_get_mono_fast_ns();
	value->vcpu = v->index;
	raw_spin_unlock(&ring->lock);
}

static void free_ring(struct rcu_head *rcu)
{
	kvfree(container_of(rcu, struct imee_watch_ring, rcu));
}

void imee_ring_replace(struct imee_file *f, struct imee_watch_ring *ring)
{
	struct imee_watch_ring *old = rcu_replace_pointer(f->watch, ring, true);

	if (!old)
		return;
	synchronize_rcu();
	free_ring(&old->rcu);
}

struct imee_watch_ring *imee_ring_new(struct imee_file *f, u32 size)
{
	struct imee_watch_ring *ring;

	ring = kvzalloc(struct_size(ring, values, size), GFP_KERNEL_ACCOUNT);
	if (ring) {
		raw_spin_lock_init(&ring->lock);
		ring->serial = ++f->rings;
		ring->size = size;
	}
	return ring;
}

u32 imee_ring_copy(struct imee_watch_ring *ring, struct imee_cr3_read *r, struct imee_cr3 *list)
{
	u64 first, from = r->next;
	unsigned long flags;
	u32 n = 0;

	raw_spin_lock_irqsave(&ring->lock, flags);
	first = ring->next > ring->size ? ring->next - ring->size : 0;
	r->lost = from < first ? first - from : 0;
	for (from = max(from, first); from < ring->next && n < r->capacity; from++)
		list[n++] = ring->values[from % ring->size];
	raw_spin_unlock_irqrestore(&ring->lock, flags);
	if (n)
		r->next = from;
	else if (r->lost)
		r->next = first;
	return n;
}
