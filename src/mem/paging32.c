/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "paging32.h"

/*
 * Bits 1 and 2 of a page-directory-pointer entry of PAE are 0 (SDM, table 4-8). In the top-level
 * table of long mode bit 1 is set for all that is writable. (Bit 5 is reserved, too, but QEMU's
 * TCG sets it as the accessed flag.)
 */
#define PDPTE_RESERVED 6UL

struct vl_pgtable32 vl_pgtable32(uint64_t cr3, uint64_t cr4)
{
	bool pae = cr4 & X86_CR4_PAE;

	return (struct vl_pgtable32){
		.root = cr3 & (pae ? 0xffffffe0UL : 0xfffff000UL),
		.pae = pae,
		.pse = pae || (cr4 & X86_CR4_PSE),
	};
}

/* Read entry @i of the table at @table. */
static bool read_entry(const struct vl_pgtable32 *pt, vl_read_entry_fn read, void *ctx,
		       uint64_t table, uint64_t i, struct vl_xlat *x, uint64_t *ret)
{
	x->leaf = table + (pt->pae ? 8 : 4) * i;
	if (!read(ctx, x->leaf & ~7UL, ret))
		return false;
	if (!pt->pae)
		*ret = x->leaf & 4 ? *ret >> 32 : *ret & 0xffffffff;
	return *ret & X86_PTE_P;
}

/* Fill @x for @va, whose leaf is @entry and maps @size bytes from @base on. */
static void take_leaf(const struct vl_pgtable32 *pt, uint64_t va, uint64_t entry, uint64_t base,
		      uint64_t size, struct vl_xlat *x)
{
	x->gpa = base | (va & (size - 1));
	x->size = size;
	x->flags = entry & (pt->pae ? ~X86_PTE_ADDR : 0xfffUL);
	x->user = x->user && (entry & X86_PTE_US);
}

bool vl_translate32(const struct vl_pgtable32 *pt, vl_read_entry_fn read, void *ctx, uint64_t va,
		    struct vl_xlat *ret)
{
	const unsigned bits = pt->pae ? 9 : 10; /* of an index */
	const uint64_t index = (1UL << bits) - 1, large = 1UL << (12 + bits);
	const uint64_t mask = pt->pae ? X86_PTE_ADDR : 0xfffff000UL;
	uint64_t table = pt->root, entry;

	if (va >> 32)
		return false;
	ret->user = true;
	if (pt->pae) {
		if (!read_entry(pt, read, ctx, table, va >> 30, ret, &entry) ||
		    entry & PDPTE_RESERVED)
			return false;
		table = entry & mask;
	}
	if (!read_entry(pt, read, ctx, table, (va >> (12 + bits)) & index, ret, &entry))
		return false;
	if ((entry & X86_PTE_PS) && pt->pse) {
		uint64_t base = entry & mask & ~(large - 1);

		/* Without PAE, bits 13 to 20 are bits 32 to 39 of the address (PSE-36). */
		if (!pt->pae)
			base |= (entry >> 13 & 0xff) << 32;
		take_leaf(pt, va, entry, base, large, ret);
		return true;
	}
	ret->user = entry & X86_PTE_US;
	if (!read_entry(pt, read, ctx, entry & mask, (va >> 12) & index, ret, &entry))
		return false;
	take_leaf(pt, va, entry, entry & mask, VL_PAGE_SIZE, ret);
	return true;
}
