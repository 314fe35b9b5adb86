// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps 2^26 executable pages in an unused part of the kernel's addresses, by three tables whose
 * entries all lead to the next one. Who looks at all executable pages finds no end.
 */
#include "lab.h"

#include <linux/mm.h>
#include <asm/pgtable.h>

#define TABLE (_PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED | _PAGE_DIRTY)
#define ENTRIES 512

static u64 *entry; /* of the kernel's first table */

static int __init maze_init(void)
{
	struct mm_struct *mm = (void *)lab_symbol("init_mm");
	u64 *tables[4];
	int i, k;

	if (!mm)
		return -ESRCH;
	for (i = 0; i < 4; i++) {
		tables[i] = (void *)get_zeroed_page(GFP_KERNEL);
		if (!tables[i])
			return -ENOMEM;
	}
	for (k = 0; k < 3; k++)
		for (i = 0; i < ENTRIES; i += k == 2 ? 2 : 1)
			tables[k][i] = __pa(tables[k + 1]) | TABLE;
	for (i = ENTRIES / 2; i < ENTRIES - 1 && !entry; i++)
		if (!((u64 *)mm->pgd)[i])
			entry = (u64 *)mm->pgd + i;
	if (!entry)
		return -ENOSPC;
	*entry = __pa(tables[0]) | TABLE;
	return 0;
}

/* Processes that were made meanwhile have the entry, too: the tables stay. */
static void __exit maze_exit(void)
{
	*entry = 0;
}
module_init(maze_init);
module_exit(maze_exit);
