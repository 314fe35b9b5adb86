// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/fixup says where the code went on after a fault: "own", at its fixup, or "other". forge=1
 * changes the entry of the module's table of exceptions, and forge=2 makes another table of it.
 */
#include "lab.h"

#include <asm/asm.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

/* A hole of the address space (Documentation/x86/x86_64/mm.rst). */
#define HOLE 0xffff800000001000UL

static int forge;
module_param(forge, int, 0444);
extern char lab_faults[], lab_other[];
/* An entry is relative to itself, so it is in the module. */
static struct exception_table_entry moved;

static noinline __noclone int went_on(unsigned long at)
{
	int where = 0;

	asm volatile("	testq %1, %1\n"
		     "	jz lab_other\n"
		     "lab_faults:\n"
		     "	movq (%1), %1\n"
		     "	jmp 3f\n"
		     "2:	movl $1, %0\n"
		     "	jmp 3f\n"
		     "lab_other:\n"
		     "	movl $2, %0\n"
		     "3:\n" _ASM_EXTABLE(lab_faults, 2b)
		     : "+r"(where), "+r"(at)
		     :
		     : "memory", "cc");
	return where;
}

static int fixup_show(struct seq_file *m, void *v)
{
	static const char *const places[] = { "nowhere", "own", "other" };

	seq_printf(m, "%s\n", places[went_on(HOLE)]);
	return 0;
}

static int find_entry(const struct exception_table_entry *e, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if ((long)&e[i].insn + e[i].insn == (long)lab_faults)
			return i;
	return -1;
}

static int __init fixup_init(void)
{
	const struct exception_table_entry *e = THIS_MODULE->extable;
	int nr = THIS_MODULE->num_exentries, i = find_entry(e, nr), value;

	if (i < 0 || !proc_create_single("fixup", 0444, NULL, fixup_show))
		return -ENOENT;
	if (forge == 1) {
		value = (int)((long)lab_other - (long)&e[i].fixup);
		lab_write((void *)&e[i].fixup, &value, sizeof(value));
	}
	if (forge == 2) {
		moved = e[i];
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 16, 0) /* 46d28947d987 */
		moved.handler += (int)((long)&e[i] - (long)&moved);
#endif
		moved.insn = (int)((long)lab_faults - (long)&moved.insn);
		moved.fixup = (int)((long)lab_other - (long)&moved.fixup);
		THIS_MODULE->extable = &moved;
		THIS_MODULE->num_exentries = 1;
	}
	return 0;
}

static void __exit fixup_exit(void)
{
	remove_proc_entry("fixup", NULL);
	lab_drain();
}
module_init(fixup_init);
module_exit(fixup_exit);
