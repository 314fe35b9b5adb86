// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the page of a symbol writable, by its entry in the kernel's page table, as rootkits do
 * before they change text or constants. The kernel's own set_memory_rw() refuses that for these.
 */
#include "lab.h"

#include <asm/pgtable.h>

static char *symbol = "vfs_mkdir";
module_param(symbol, charp, 0444);

static pte_t *entry;

static int __init writable_init(void)
{
	unsigned long at = lab_symbol(symbol);
	unsigned int level;

	entry = at ? lookup_address(at, &level) : NULL;
	if (!entry)
		return -ENOENT;
	if (entry->pte & _PAGE_RW)
		return -EEXIST;
	WRITE_ONCE(entry->pte, entry->pte | _PAGE_RW);
	return 0;
}

static void __exit writable_exit(void)
{
	WRITE_ONCE(entry->pte, entry->pte & ~_PAGE_RW);
}
module_init(writable_init);
module_exit(writable_exit);
