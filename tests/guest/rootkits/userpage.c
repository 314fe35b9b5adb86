// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes the first page of a process's code from the process: the kernel may execute it then, also
 * where the processor keeps it from the code of processes (SMEP).
 */
#include "lab.h"

#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <asm/pgtable.h>

static int pid;
module_param(pid, int, 0444);

static u64 *entry; /* of the page, in the table of pages */

static int __init userpage_init(void)
{
	struct task_struct *task = pid_task(find_get_pid(pid), PIDTYPE_TGID);
	struct mm_struct *mm = task ? get_task_mm(task) : NULL;
	unsigned long va;
	u64 *table;
	int shift;

	if (!mm)
		return -ESRCH;
	va = mm->start_code;
	table = (u64 *)mm->pgd;
	mmput(mm);
	for (shift = pgtable_l5_enabled() ? 48 : 39; shift > 12; shift -= 9) {
		u64 e = table[(va >> shift) & 511];

		if (!(e & _PAGE_PRESENT) || e & _PAGE_PSE)
			return -EFAULT;
		table = __va(e & PTE_PFN_MASK);
	}
	if (!(table[(va >> 12) & 511] & _PAGE_PRESENT))
		return -EFAULT;
	entry = &table[(va >> 12) & 511];
	*entry &= ~(u64)_PAGE_USER;
	return 0;
}

static void __exit userpage_exit(void)
{
	*entry |= _PAGE_USER;
}
module_init(userpage_init);
module_exit(userpage_exit);
