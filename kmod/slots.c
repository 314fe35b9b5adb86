// SPDX-License-Identifier: GPL-2.0
/*
 * KVM's memory slots: which part of the hypervisor's memory is at which guest physical address.
 *
 * They are walked one by one, under KVM's SRCU: there are few. The lookup of KVM's header would
 * cache its last result in KVM's own structures.
 */
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "internal.h"

/* Renamed by "KVM: Allow arch code to track number of memslot address spaces per VM". */
#ifdef KVM_MAX_NR_ADDRESS_SPACES
#define NR_SPACES KVM_MAX_NR_ADDRESS_SPACES
#else
#define NR_SPACES KVM_ADDRESS_SPACE_NUM
#endif

/*
 * for_each_slot(SLOT, CURSOR, SLOTS) skips slots that are being removed. CURSOR is an int for
 * the walk's own use; some kernels need none.
 */
#ifdef HAVE_MEMSLOT_TREE
#define for_each_slot(slot, cursor, slots) \
	kvm_for_each_memslot(slot, cursor, slots) \
		if (slot_gone(slot)) { \
		} else
#else
#define for_each_slot(slot, cursor, slots) \
	kvm_for_each_memslot(slot, slots) \
		if (slot_gone(slot)) { \
		} else
#endif

static bool slot_gone(const struct kvm_memory_slot *slot)
{
	return !slot->npages || (slot->flags & KVM_MEMSLOT_INVALID);
}

/* NULL: this guest has no such address space. Under kvm->srcu. */
static struct kvm_memslots *slots_of(struct kvm *kvm, int space)
{
	return srcu_dereference(kvm->memslots[space], &kvm->srcu);
}

/*
 * While KVM installs new slots, their generation is the old number with one bit set. This
 * function clears the bit, so the number changes when KVM is done: a user that read it before
 * then sees that it must look again.
 */
static u64 generation_of(const struct kvm_memslots *slots)
{
	return READ_ONCE(slots->generation) & ~KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS;
}

u64 imee_generation(struct kvm *kvm)
{
	int idx = srcu_read_lock(&kvm->srcu);
	u64 generation = generation_of(slots_of(kvm, 0));

	srcu_read_unlock(&kvm->srcu, idx);
	return generation;
}

static u64 slot_gpa(const struct kvm_memory_slot *slot)
{
	return (u64)slot->base_gfn << PAGE_SHIFT;
}

static u64 slot_size(const struct kvm_memory_slot *slot)
{
	return (u64)slot->npages << PAGE_SHIFT;
}

static bool find(struct kvm_memslots *slots, u64 gpa, struct imee_place *place)
{
	struct kvm_memory_slot *slot;
	bool found = false;
	int __maybe_unused cursor;

	for_each_slot(slot, cursor, slots) {
		if (gpa < slot_gpa(slot) || gpa - slot_gpa(slot) >= slot_size(slot))
			continue;
		place->hva = slot->userspace_addr + (gpa - slot_gpa(slot));
		place->left = slot_size(slot) - (gpa - slot_gpa(slot));
		found = true;
		break;
	}
	return found;
}

bool imee_find(struct kvm *kvm, u64 gpa, struct imee_place *place)
{
	int idx = srcu_read_lock(&kvm->srcu);
	struct kvm_memslots *slots = slots_of(kvm, 0);
	bool found = find(slots, gpa, place);

	place->generation = generation_of(slots);
	srcu_read_unlock(&kvm->srcu, idx);
	return found;
}

bool imee_covered(struct kvm *kvm, u64 gpa, u64 size)
{
	int idx = srcu_read_lock(&kvm->srcu);
	struct kvm_memslots *slots = slots_of(kvm, 0);
	struct imee_place place;
	bool covered = true;

	while (size && covered) {
		covered = find(slots, gpa, &place);
		if (!covered || place.left >= size)
			break;
		gpa += place.left;
		size -= place.left;
	}
	srcu_read_unlock(&kvm->srcu, idx);
	return covered;
}

void imee_zap_hva(struct imee_file *f, unsigned long hva, unsigned long last)
{
	struct kvm *kvm = f->kvm;
	int idx = srcu_read_lock(&kvm->srcu);
	int __maybe_unused cursor;
	struct kvm_memslots *slots = slots_of(kvm, 0);
	struct kvm_memory_slot *slot;

	/* Pages that were inserted under earlier slots may be at other places now. */
	if (generation_of(slots) != READ_ONCE(f->status->generation)) {
		if (!imee_follow(f, generation_of(slots)))
			imee_zap_all(f);
		goto unlock;
	}
	for_each_slot(slot, cursor, slots) {
		unsigned long start = slot->userspace_addr;
		unsigned long end = start + slot_size(slot) - 1;
		unsigned long from = max(start, hva), to = min(end, last);

		if (from <= to)
			imee_zap(f, slot_gpa(slot) + (from - start), (u64)(to - from) + 1);
	}
unlock:
	srcu_read_unlock(&kvm->srcu, idx);
}

/* --- IMEE_GET_SLOTS ---------------------------------------------------------- */

static int compare_slots(const void *a, const void *b)
{
	const struct imee_slot *x = a, *y = b;

	if (x->as_id != y->as_id)
		return x->as_id < y->as_id ? -1 : 1;
	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

static u32 slot_flags(const struct kvm_memory_slot *slot)
{
	u32 flags = 0;

	if (slot->flags & KVM_MEM_READONLY)
		flags |= IMEE_SLOT_READONLY;
	if ((u16)slot->id >= KVM_USER_MEM_SLOTS)
		flags |= IMEE_SLOT_INTERNAL;
#ifdef KVM_MEM_GUEST_MEMFD
	if (slot->flags & KVM_MEM_GUEST_MEMFD)
		flags |= IMEE_SLOT_PRIVATE;
#endif
	return flags;
}

/*
 * Put the first @capacity slots into @list, and the generation into @s. Returns the number of
 * all slots.
 */
static u32 list_slots(struct kvm *kvm, struct imee_slot *list, u32 capacity, struct imee_slots *s)
{
	struct kvm_memory_slot *slot;
	struct kvm_memslots *slots;
	u32 n = 0;
	int idx = srcu_read_lock(&kvm->srcu);
	int __maybe_unused cursor;
	int space;

	for (space = 0; space < NR_SPACES; space++) {
		slots = slots_of(kvm, space);
		if (!slots)
			continue;
		if (!space)
			s->generation = generation_of(slots);
		for_each_slot(slot, cursor, slots) {
			if (n < capacity) {
				list[n].gpa = slot_gpa(slot);
				list[n].size = slot_size(slot);
				list[n].hva = slot->userspace_addr;
				list[n].flags = slot_flags(slot);
				list[n].as_id = space;
				list[n].id = slot->id;
			}
			n++;
		}
	}
	srcu_read_unlock(&kvm->srcu, idx);
	return n;
}

long imee_get_slots(struct imee_file *f, void __user *arg)
{
	struct imee_slot *list = NULL;
	struct imee_slots s;
	u32 room = 0, n;
	struct kvm *kvm;
	long err;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.reserved)
		return -EINVAL;
	err = imee_use(f, &kvm);
	if (err)
		return err;
	/* List all slots: the caller gets the first ones of the sorted list. */
	while ((n = list_slots(kvm, list, room, &s)) > room && s.capacity) {
		kvfree(list);
		room = n + 8;
		list = kvmalloc_array(room, sizeof(*list), GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!list) {
			imee_put(f);
			return -ENOMEM;
		}
	}
	imee_follow(f, s.generation);
	imee_drop_zeros(f);
	imee_put(f);

	s.count = n;
	if (s.capacity) {
		sort(list, n, sizeof(*list), compare_slots, NULL);
		if (copy_to_user(u64_to_user_ptr(s.slots), list,
				 min(n, s.capacity) * sizeof(*list)))
			err = -EFAULT;
	}
	if (!err && copy_to_user(arg, &s, sizeof(s)))
		err = -EFAULT;
	kvfree(list);
	return err;
}
