// SPDX-License-Identifier: GPL-2.0-only
/*
 * Turns a bit of a control register off on every CPU, as rootkits and exploits do before they write
 * to read-only memory or run the memory of a process: reg=0 bit=16 (WP), reg=4 bit=20 (SMEP) or
 * bit=21 (SMAP). The kernel's own writes would turn a bit of CR4 on again, so that is repeated.
 */
#include "lab.h"

#include <linux/smp.h>
#include <linux/workqueue.h>

static int reg;
module_param(reg, int, 0444);
static int bit = 16;
module_param(bit, int, 0444);

static void write_bit(void *on)
{
	unsigned long value, mask = 1UL << bit;

	if (reg == 0) {
		asm volatile("mov %%cr0, %0" : "=r"(value));
		value = on ? value | mask : value & ~mask;
		asm volatile("mov %0, %%cr0" : : "r"(value) : "memory");
	} else {
		asm volatile("mov %%cr4, %0" : "=r"(value));
		value = on ? value | mask : value & ~mask;
		asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
	}
}

static void again(struct work_struct *work);
static DECLARE_DELAYED_WORK(work, again);

static void again(struct work_struct *w)
{
	on_each_cpu(write_bit, NULL, 1);
	schedule_delayed_work(&work, 1);
}

static int __init control_init(void)
{
	if (reg != 0 && reg != 4)
		return -EINVAL;
	on_each_cpu(write_bit, NULL, 1);
	schedule_delayed_work(&work, 1);
	return 0;
}

static void __exit control_exit(void)
{
	cancel_delayed_work_sync(&work);
	on_each_cpu(write_bit, &reg, 1);
}
module_init(control_init);
module_exit(control_exit);
