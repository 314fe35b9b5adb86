// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a process page tables of its own for the kernel's half: with slot=0 a copy of a table of
 * the kernel's image, in which an intruder can change what the process's system calls run; else an
 * executable page where the kernel has nothing. The tables of all others stay as they are.
 * With page-table isolation, user=1 does so in the process's second root, and user=2 gives it a
 * copy of the table of its own program there, which the kernel does not see.
 */
#include "lab.h"

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <asm/pgtable.h>

static int pid, slot, user;
module_param(pid, int, 0444);
module_param(slot, int, 0444);
module_param(user, int, 0444);

static struct mm_struct *mm;
static unsigned long pages[4];
static u64 *entry, was;

static int __init shadow_init(void)
{
	struct task_struct *task = pid_task(find_get_pid(pid), PIDTYPE_TGID);
	int levels = pgtable_l5_enabled() ? 4 : 3, i;

	mm = task ? get_task_mm(task) : NULL;
	if (!mm)
		return -ESRCH;
	for (i = 0; i < levels; i++) {
		pages[i] = get_zeroed_page(GFP_KERNEL);
		if (!pages[i])
			return -ENOMEM;
	}
	entry = (u64 *)mm->pgd + (slot ? 256 + slot : 511);
	if (user == 2)
		entry = (u64 *)mm->pgd + (mm->start_code >> (pgtable_l5_enabled() ? 48 : 39));
	entry += user ? 512 : 0;
	/* Where the kernel's areas lie is chosen at boot: the next slot without one. */
	for (; slot && slot < 250 && *entry & _PAGE_PRESENT; slot++)
		entry++;
	was = *entry;
	if (!slot) {
		memcpy((void *)pages[0], __va(was & PTE_PFN_MASK), PAGE_SIZE);
		*entry = __pa(pages[0]) | (was & ~(u64)PTE_PFN_MASK);
		return 0;
	}
	if (was & _PAGE_PRESENT)
		return -EBUSY;
	/* The page that is mapped is the last table itself. */
	for (i = 0; i < levels; i++)
		*(u64 *)pages[i] = __pa(pages[i + 1 < levels ? i + 1 : i]) | _KERNPG_TABLE;
	*entry = __pa(pages[0]) | _KERNPG_TABLE;
	return 0;
}

static void __exit shadow_exit(void)
{
	*entry = was;
	mmput(mm);
	/* CPUs may have the copied table in their caches: its page stays. */
}
module_init(shadow_init);
module_exit(shadow_exit);
