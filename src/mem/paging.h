/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x86-64 paging, in software: 4 and 5 levels, pages of 4 KiB, 2 MiB and 1 GiB.
 * Layouts after the Intel SDM, volume 3, chapter 4.
 */
#ifndef VLENS_PAGING_H
#define VLENS_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VL_PAGE_SIZE 4096UL
#define VL_PAGE_MASK (~(uint64_t)(VL_PAGE_SIZE - 1))

#define X86_CR0_PG (1UL << 31)
#define X86_CR4_LA57 (1UL << 12)

#define X86_PTE_P (1UL << 0)
#define X86_PTE_RW (1UL << 1)
#define X86_PTE_US (1UL << 2)
#define X86_PTE_A (1UL << 5)
#define X86_PTE_D (1UL << 6)
#define X86_PTE_PS (1UL << 7)
#define X86_PTE_NX (1UL << 63)
#define X86_PTE_ADDR 0x000ffffffffff000UL

/* Reads 8 bytes of guest-physical memory; false when there is no RAM there. */
typedef bool (*vl_read_entry_fn)(void *ctx, uint64_t gpa, uint64_t *ret);

/* A root of translation. */
struct vl_pgtable {
	uint64_t root; /* guest-physical address of the top-level table */
	int levels;    /* 4 or 5 */
};

/* What a virtual address translates to. */
struct vl_xlat {
	uint64_t gpa;	/* of the byte asked for */
	uint64_t size;	/* of the page: 4096, 2 MiB or 1 GiB */
	uint64_t flags; /* the leaf entry's bits outside the address; NX is that of any level */
	uint64_t leaf;	/* guest-physical address of the leaf entry */
	bool user;	/* user access is allowed at every level */
};

/*
 * The root that @cr3 and @cr4 select. Bits 0 to 11 of CR3 are flags or the PCID. Bit 12 is part
 * of the address: with page-table isolation it selects the user's table, which maps only the
 * entry code.
 */
struct vl_pgtable vl_pgtable(uint64_t cr3, uint64_t cr4);

/* The index of the entry that @va selects at @level (1: page table, 2: PMD, 3: PUD ...). */
static inline unsigned vl_pgtable_index(uint64_t va, int level)
{
	return (va >> (12 + 9 * (level - 1))) & 511;
}

/* Is @va canonical under @levels levels of translation? */
bool vl_canonical(uint64_t va, int levels);

/* Translate @va. False when it is not mapped or a table is not RAM. */
bool vl_translate(const struct vl_pgtable *pt, vl_read_entry_fn read, void *ctx, uint64_t va,
		  struct vl_xlat *ret);

/*
 * Is nothing mapped in [@va, @last] (inclusive, within one canonical half): no large page, and
 * no table of 4 KiB pages, which could get entries at any time? Also false after more entries
 * than any honest kernel has there.
 */
bool vl_pgtable_is_empty(const struct vl_pgtable *pt, vl_read_entry_fn read, void *ctx, uint64_t va,
			 uint64_t last);

#endif
