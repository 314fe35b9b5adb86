// SPDX-License-Identifier: GPL-2.0
/* Takes pages of a guest out of its clients' mappings. */
#include <linux/mm.h>

#include "internal.h"

/*
 * Tasks that take pages out right now. Taking a page out of a client's mapping invalidates it
 * in the client's address space. That client can have a guest whose memory is that mapping, and
 * a client of ours attached to it; even in a circle. But no page is ever faulted in through
 * such a mapping, as pages of VM_IO cannot be pinned. So a nested invalidation has nothing to
 * do, which bounds the recursion.
 */
struct zapping {
	struct list_head list;
	struct task_struct *task;
};
static LIST_HEAD(zappings);
static DEFINE_SPINLOCK(zappings_lock);

bool imee_in_zap(void)
{
	struct zapping *z;
	bool found = false;

	spin_lock(&zappings_lock);
	list_for_each_entry(z, &zappings, list)
		found |= z->task == current;
	spin_unlock(&zappings_lock);
	return found;
}

void imee_zap(struct imee_file *f, u64 gpa, u64 size)
{
	struct zapping z = { .task = current };

	spin_lock(&zappings_lock);
	list_add(&z.list, &zappings);
	spin_unlock(&zappings_lock);
	/* Lockdep takes the nested invalidation for an endless recursion. */
	lockdep_off();
	unmap_mapping_range(&f->mapping, gpa, size, 0);
	lockdep_on();
	spin_lock(&zappings_lock);
	list_del(&z.list);
	spin_unlock(&zappings_lock);
}

void imee_zap_all(struct imee_file *f)
{
	imee_zap(f, 0, IMEE_STATUS_OFFSET);
}

bool imee_follow(struct imee_file *f, u64 generation)
{
	bool news;

	spin_lock(&f->lock);
	/* It only rises; an earlier observation may arrive late. */
	news = (s64)(generation - f->status->generation) > 0;
	if (news)
		WRITE_ONCE(f->status->generation, generation);
	spin_unlock(&f->lock);
	if (news)
		imee_zap_all(f);
	return news;
}

void imee_drop_zeros(struct imee_file *f)
{
	mutex_lock(&f->fault_lock);
	if (f->status->zeros) {
		imee_zap_all(f);
		WRITE_ONCE(f->status->zeros, 0);
	}
	mutex_unlock(&f->fault_lock);
}
