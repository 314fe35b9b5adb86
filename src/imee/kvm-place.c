/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The place of the agent's page. Every space that is read must map it as executable, at one
 * virtual address. It overlays a page of the guest, which cannot be read meanwhile. The agent
 * starts beside the system-call entry, which the user root of an isolated process maps, too. It
 * moves when a request needs the overlay page, or when a space does not map it.
 */
#include <stdlib.h>

#include "kvm.h"

/* Pages to try on either side of the hint. */
#define NEAR 64
/* Entries of page tables that a search may read. */
#define SEARCH_BUDGET 65536
/* Tries of a request that makes no progress, by reason. */
#define TRIES_OVERLAY (2 * KVM_HITS)
#define TRIES_FAULT 4

/*
 * The physical page that @va is mapped to, if the processor would execute there. A page of user
 * mode serves, too, as SMEP is off.
 */
static bool executable(struct vl_kvm *k, const struct vl_space *s, uint64_t va, uint64_t *gpa_ret)
{
	enum vl_read_status st = VL_READ_NO_RAM;
	uint64_t e = s->root;

	if (!vl_canonical(va, s->levels))
		return false;
	direct_begin(k->walk);
	for (int level = s->levels; level >= 1; level--) {
		uint64_t size = 1UL << (12 + 9 * (level - 1));

		if (!direct_entry(k->walk, e, va, level, &e, &st) || e & X86_PTE_NX)
			return false;
		if (level > 1 && !(e & X86_PTE_PS))
			continue;
		if (level > 3)
			return false;
		*gpa_ret = ((e & X86_PTE_ADDR & ~(size - 1)) | (va & (size - 1))) & VL_PAGE_MASK;
		return direct_host(k->walk, *gpa_ret, &st);
	}
	return false;
}

static bool is_hit(const struct vl_kvm *k, uint64_t gpa)
{
	for (unsigned i = 0; i < k->nr_hits && i < KVM_HITS; i++)
		if (k->hits[i] == gpa)
			return true;
	return false;
}

static bool try_place(struct vl_kvm *k, const struct vl_space *s, uint64_t va)
{
	uint64_t gpa;

	if (!executable(k, s, va, &gpa) || is_hit(k, gpa) || !kvm_vm_place(k, va, gpa, s->levels))
		return false;
	return true;
}

struct search {
	struct vl_kvm *k;
	const struct vl_space *s;
	unsigned budget;
};

/*
 * Search the table at @table, which covers addresses from @base on. It begins at the top, where
 * the kernel is.
 */
static bool search(struct search *f, uint64_t table, uint64_t base, int level)
{
	for (int i = 511; i >= 0 && f->budget; i--) {
		uint64_t size = 1UL << (12 + 9 * (level - 1));
		uint64_t va = base + (uint64_t)i * size, e;
		enum vl_read_status st;

		f->budget--;
		if (!direct_entry(f->k->walk, table, va, level, &e, &st) || e & X86_PTE_NX)
			continue;
		if (level == f->s->levels && i >= 256)
			va |= ~(size * 512 - 1);
		if (level == 1) {
			if (try_place(f->k, f->s, va))
				return true;
		} else if (e & X86_PTE_PS) {
			for (uint64_t page = 0; page <= KVM_HITS; page++)
				if (try_place(f->k, f->s, va + page * VL_PAGE_SIZE))
					return true;
		} else if (search(f, e, va, level - 1)) {
			return true;
		}
	}
	return false;
}

static bool find_place(struct vl_kvm *k, const struct vl_space *s)
{
	struct search f = { k, s, SEARCH_BUDGET };

	for (uint64_t i = 1; k->hint && i < NEAR; i++)
		if (try_place(k, s, k->hint + i * VL_PAGE_SIZE) ||
		    try_place(k, s, k->hint - i * VL_PAGE_SIZE))
			return true;
	if (k->hint && try_place(k, s, k->hint))
		return true;
	direct_begin(k->walk);
	return search(&f, s->root, 0, s->levels);
}

/*
 * Checked for every request: a page that the guest maps in place of the agent's would run
 * instead of the agent.
 */
bool kvm_ready(struct vl_kvm *k, const struct vl_space *s)
{
	uint64_t gpa;

	k->space = *s;
	return (likely(k->placed && k->levels == s->levels) && executable(k, s, k->va, &gpa) &&
		gpa == k->overlay) ||
	       find_place(k, s);
}

static bool move(struct vl_kvm *k, const struct vl_space *s)
{
	k->relocations++;
	return find_place(k, s);
}

bool kvm_recover(struct vl_kvm *k, const struct vl_space *s, const struct agent_request *rq,
		 unsigned *tries, enum vl_read_status *st)
{
	uint64_t gpa = 0, size = 0;

	++*tries;
	switch (rq->status) {
	case AGENT_OVERLAY:
		*st = KVM_BY_WALK;
		k->hits[k->nr_hits++ % KVM_HITS] = k->overlay;
		return *tries <= TRIES_OVERLAY && move(k, s);
	case AGENT_LOST:
		/*
		 * Move the agent if it is not mapped there. If it is mapped, the failure was
		 * transient.
		 */
		*st = KVM_BY_WALK;
		return *tries <= TRIES_FAULT && kvm_ready(k, s);
	default:
		direct_begin(k->walk);
		*st = direct_translate(k->walk, s, rq->fault, &gpa, &size);
		if (*st || !direct_host(k->walk, gpa, st))
			return false;
		/*
		 * The walk succeeds where the agent failed: the tables changed in between, so
		 * retry. Pages of 1 GiB, which not all processors translate, are left to the
		 * walk.
		 */
		*st = KVM_BY_WALK;
		return *tries <= (size == 1UL << 30 ? 1 : TRIES_FAULT);
	}
}
