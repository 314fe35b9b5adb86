// SPDX-License-Identifier: GPL-2.0
/* The guest of an open file: its users, and its end. All other files are above this one. */
#include <linux/file.h>

#include "internal.h"

struct imee_counts imee_counts;

struct kvm *imee_get(struct imee_file *f)
{
	return refcount_inc_not_zero(&f->users) ? f->kvm : NULL;
}

void imee_put(struct imee_file *f)
{
	if (refcount_dec_and_test(&f->users)) {
		atomic_long_dec(&imee_counts.vm_files);
		fput(f->vm_file);
	}
}

int imee_use(struct imee_file *f, struct kvm **kvm)
{
	if (!smp_load_acquire(&f->attached))
		return -ENOTCONN;
	if (READ_ONCE(f->dead))
		return -ESRCH;
	*kvm = imee_get(f);
	return *kvm ? 0 : -ESRCH;
}

u32 imee_nr_vcpus(struct kvm *kvm)
{
	return atomic_read(&kvm->online_vcpus);
}

/* End waits for samples: the guest is gone. */
static void wake_vcpus(struct imee_file *f)
{
	struct imee_vcpu *v;
	unsigned long index;

	xa_for_each(&f->vcpus, index, v)
		complete(&v->done);
}

/*
 * Mark the guest as gone. May be called anywhere that can sleep, also during an invalidation.
 * A thread that sees f->dead can rely on the work item: it waits for running calls of the notifier,
 * and imee_detach() waits for it before it frees their data.
 */
void imee_die(struct imee_file *f)
{
	bool first;

	spin_lock(&f->lock);
	first = !f->dead;
	WRITE_ONCE(f->dead, true);
	WRITE_ONCE(f->status->dead, 1);
	if (first)
		schedule_work(&f->death);
	spin_unlock(&f->lock);
	if (first)
		wake_vcpus(f);
}
