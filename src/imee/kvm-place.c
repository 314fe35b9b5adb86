/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the agent is. In every space that is read it must be mapped executable, at
 * one virtual address; the page of the guest that it stands on cannot be read
 * meanwhile. It starts beside the system-call entry, which also the user half of an
 * isolated process maps, and moves when that page is asked for or is not there.
 */
#include <stdlib.h>

#include "kvm.h"

/* Pages that are looked at around the hint, on either side. */
#define NEAR 64
/* Entries of page tables that a search may read. */
#define SEARCH_BUDGET 65536
/* How often one request is posted again for one reason without getting further. */
#define TRIES_BLIND (2 * KVM_HITS)
#define TRIES_FAULT 4

/*
 * The physical page that @va is mapped to, if the processor would execute there. Pages
 * of user mode are as good: SMEP is off.
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

/* The table at @table covers addresses from @base on. From the top: there the kernel is. */
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
 * Looked at for every request: were the page replaced by another one of the guest's,
 * that would run in the agent's place.
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
	case AGENT_BLIND:
		*st = KVM_BY_WALK;
		k->hits[k->nr_hits++ % KVM_HITS] = k->overlay;
		return *tries <= TRIES_BLIND && move(k, s);
	case AGENT_LOST:
		/* Not mapped any more, or never was; else it was a moment's state. */
		*st = KVM_BY_WALK;
		return *tries <= TRIES_FAULT && kvm_ready(k, s);
	default:
		direct_begin(k->walk);
		*st = direct_translate(k->walk, s, rq->fault, &gpa, &size);
		if (*st || !direct_host(k->walk, gpa, st))
			return false;
		/*
		 * Both have looked, at two moments: the agent looks again. What this
		 * processor cannot translate (pages of 1 GiB, not all have them) the walk can.
		 */
		*st = KVM_BY_WALK;
		return *tries <= (size == 1UL << 30 ? 1 : TRIES_FAULT);
	}
}
