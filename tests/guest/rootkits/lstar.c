// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the entry of system calls (MSR LSTAR) lead to the module first, on all CPUs. For guests
 * without page-table isolation only: with isolation a module's text is not mapped at the entry.
 */
#include "lab.h"

#include <asm/msr.h>
#include <linux/smp.h>

void lab_lstar_entry(void);

asm(".pushsection .text\n"
    ".globl lab_lstar_entry\n"
    ".type lab_lstar_entry, @function\n"
    "lab_lstar_entry:\n"
    "	.byte 0xf3, 0x0f, 0x1e, 0xfa\n" /* endbr64 */
    "	nop; nop; nop; nop; nop\n"	/* a jump, once its target is known */
    "	ud2\n"
    ".size lab_lstar_entry, . - lab_lstar_entry\n"
    ".popsection\n");

static unsigned long original;

static void redirect(void *to)
{
	unsigned long entry = (unsigned long)to;

	asm volatile("wrmsr"
		     :
		     : "c"(MSR_LSTAR), "a"((u32)entry), "d"((u32)(entry >> 32))
		     : "memory");
}

static int __init lstar_init(void)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_LSTAR));
	original = low | (unsigned long)high << 32;
	lab_branch((unsigned long)lab_lstar_entry + 4, 0xe9, original);
	on_each_cpu(redirect, lab_lstar_entry, 1);
	return 0;
}

static void __exit lstar_exit(void)
{
	on_each_cpu(redirect, (void *)original, 1);
}
module_init(lstar_init);
module_exit(lstar_exit);
