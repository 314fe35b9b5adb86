// SPDX-License-Identifier: GPL-2.0
/*
 * The CR3 watch: a ring of the values with which vCPUs entered their guest. The vCPUs' threads
 * write it, in the probe; readers copy it out.
 */
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
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

void imee_watch_entry(struct imee_vcpu *v)
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

/* Under setup, or when nobody uses the file. */
static void replace(struct imee_file *f, struct imee_watch_ring *ring)
{
	struct imee_watch_ring *old = rcu_replace_pointer(f->watch, ring, true);

	if (!old)
		return;
	synchronize_rcu();
	free_ring(&old->rcu);
}

void imee_watch_drop(struct imee_file *f)
{
	replace(f, NULL);
}

static struct imee_watch_ring *new_ring(struct imee_file *f, u32 size)
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

/* Watch all vCPUs; there may be more than last time. */
static long watch_all(struct imee_file *f, struct kvm *kvm)
{
	u32 i, n = imee_nr_vcpus(kvm);
	struct imee_vcpu *v;

	for (i = 0; i < n; i++) {
		v = imee_vcpu(f, kvm, i);
		if (IS_ERR(v))
			return PTR_ERR(v);
	}
	return 0;
}

long imee_watch_cr3(struct imee_file *f, void __user *arg)
{
	struct imee_watch_ring *ring = NULL;
	struct imee_watch w;
	struct kvm *kvm;
	long err;

	if (copy_from_user(&w, arg, sizeof(w)))
		return -EFAULT;
	if (w.reserved || w.size > IMEE_WATCH_MAX)
		return -EINVAL;
	err = imee_use(f, &kvm);
	if (err)
		return err;
	if (mutex_lock_interruptible(&f->setup)) {
		err = -EINTR;
		goto put;
	}
	if (w.size) {
		err = imee_probe_get(f);
		if (!err)
			err = watch_all(f, kvm);
		if (!err) {
			ring = new_ring(f, w.size);
			err = ring ? 0 : -ENOMEM;
		}
	}
	if (!err)
		replace(f, ring);
	mutex_unlock(&f->setup);
put:
	imee_put(f);
	return err;
}

/* Copy out up to @r->capacity values from number @r->next on. */
static u32 copy_values(struct imee_watch_ring *ring, struct imee_cr3_read *r, struct imee_cr3 *list)
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

long imee_read_cr3(struct imee_file *f, void __user *arg)
{
	struct imee_cr3 *list = NULL;
	struct imee_watch_ring *ring;
	struct imee_cr3_read r;
	struct kvm *kvm;
	long err;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	r.capacity = min_t(u32, r.capacity, IMEE_WATCH_MAX);
	list = kvmalloc_array(r.capacity ?: 1, sizeof(*list), GFP_KERNEL_ACCOUNT);
	if (!list)
		return -ENOMEM;
	err = imee_use(f, &kvm);
	if (err)
		goto free;
	if (mutex_lock_interruptible(&f->setup)) {
		err = -EINTR;
		goto put;
	}
	ring = rcu_dereference_protected(f->watch, lockdep_is_held(&f->setup));
	err = ring ? watch_all(f, kvm) : -EINVAL;
	if (!err)
		r.count = copy_values(ring, &r, list);
	mutex_unlock(&f->setup);
put:
	imee_put(f);
	if (err)
		goto free;
	if (copy_to_user(u64_to_user_ptr(r.values), list, r.count * sizeof(*list)) ||
	    copy_to_user(arg, &r, sizeof(r)))
		err = -EFAULT;
free:
	kvfree(list);
	return err;
}
