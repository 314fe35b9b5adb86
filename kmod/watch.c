// SPDX-License-Identifier: GPL-2.0
/* The commands of the CR3 watch; see ring.c. */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

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
			ring = imee_ring_new(f, w.size);
			err = ring ? 0 : -ENOMEM;
		}
	}
	if (!err)
		imee_ring_replace(f, ring);
	mutex_unlock(&f->setup);
put:
	imee_put(f);
	return err;
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
		r.count = imee_ring_copy(ring, &r, list);
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
