/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "paging.h"

struct vl_pgtable vl_pgtable(uint64_t cr3, uint64_t cr4)
{
	return (struct vl_pgtable){
		.root = cr3 & X86_PTE_ADDR,
		.levels = cr4 & X86_CR4_LA57 ? 5 : 4,
	};
}

bool vl_canonical(uint64_t va, int levels)
{
	int shift = 64 - (12 + 9 * levels);

	return (uint64_t)((int64_t)(va << shift) >> shift) == va;
}

bool vl_translate(const struct vl_pgtable *pt, vl_read_entry_fn read, void *ctx, uint64_t va,
		  struct vl_xlat *ret)
{
	uint64_t table = pt->root;
	uint64_t nx = 0;
	bool user = true;

	if (!vl_canonical(va, pt->levels))
		return false;
	for (int level = pt->levels; level >= 1; level--) {
		uint64_t size = 1UL << (12 + 9 * (level - 1));
		uint64_t at = table + 8 * vl_pgtable_index(va, level), entry;

		if (!read(ctx, at, &entry))
			return false;
		if (!(entry & X86_PTE_P))
			return false;
		user = user && (entry & X86_PTE_US);
		nx |= entry & X86_PTE_NX;
		/* Bit 7 means a large page only in levels 2 and 3. */
		if (level == 1 || ((level == 2 || level == 3) && entry & X86_PTE_PS)) {
			/* A large leaf's address bits below its size are flags (PAT). */
			uint64_t base = entry & X86_PTE_ADDR & ~(size - 1);

			ret->gpa = base | (va & (size - 1));
			ret->size = size;
			ret->flags = (entry & ~X86_PTE_ADDR) | nx;
			ret->leaf = at;
			ret->user = user;
			return true;
		}
		table = entry & X86_PTE_ADDR;
	}
	return false;
}

/*
 * Entries that are read at most: some 60 tables. A kernel has few tables for unused addresses, but
 * a hostile one can have 2^18 that lead to nothing.
 */
#define MAX_ENTRIES (1u << 15)

struct walk {
	vl_read_entry_fn read;
	void *ctx;
	unsigned left;
};

static bool is_empty(struct walk *w, uint64_t table, int level, uint64_t va, uint64_t last)
{
	uint64_t size = 1UL << (12 + 9 * (level - 1));

	for (;;) {
		uint64_t stop = va | (size - 1), entry;

		if (stop > last)
			stop = last;
		if (!w->left)
			return false;
		w->left--;
		if (w->read(w->ctx, table + 8 * vl_pgtable_index(va, level), &entry) &&
		    entry & X86_PTE_P &&
		    (level == 2 || (level == 3 && entry & X86_PTE_PS) ||
		     !is_empty(w, entry & X86_PTE_ADDR, level - 1, va, stop)))
			return false;
		if (stop == last)
			return true;
		va = stop + 1;
	}
}

bool vl_pgtable_is_empty(const struct vl_pgtable *pt, vl_read_entry_fn read, void *ctx, uint64_t va,
			 uint64_t last)
{
	return is_empty(&(struct walk){ read, ctx, MAX_ENTRIES }, pt->root, pt->levels, va, last);
}
