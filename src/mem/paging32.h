/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x86 paging of 32-bit systems, in software, beside that of 64-bit ones (paging.h): two levels,
 * or three with PAE. Layouts after the Intel SDM, volume 3, 4.3 and 4.4.
 */
#ifndef VLENS_PAGING32_H
#define VLENS_PAGING32_H

#include "paging.h"

#define X86_CR4_PSE (1UL << 4)
#define X86_CR4_PAE (1UL << 5)

/* A root of 32-bit translation. */
struct vl_pgtable32 {
	uint64_t root; /* guest-physical: of the page directory, or with PAE of its pointers */
	bool pae;      /* entries of 8 bytes in three levels; else of 4 bytes in two */
	bool pse;      /* large pages without PAE */
};

struct vl_pgtable32 vl_pgtable32(uint64_t cr3, uint64_t cr4);

/* Translate @va, which is below 4 GiB. False when it is not mapped or a table is not RAM. */
bool vl_translate32(const struct vl_pgtable32 *pt, vl_read_entry_fn read, void *ctx, uint64_t va,
		    struct vl_xlat *ret);

#endif
