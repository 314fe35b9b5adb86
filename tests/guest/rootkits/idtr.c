// SPDX-License-Identifier: GPL-2.0-only
/* Gives all CPUs a copy of the IDT. In it a gate that nothing uses leads to the module: 5, #BR. */
#include "lab.h"

#include <asm/desc.h>
#include <linux/smp.h>

#define VECTOR 5

void lab_idtr_entry(void);

asm(".pushsection .text\n"
    ".globl lab_idtr_entry\n"
    ".type lab_idtr_entry, @function\n"
    "lab_idtr_entry:\n"
    "	.byte 0xf3, 0x0f, 0x1e, 0xfa\n" /* endbr64 */
    "	nop; nop; nop; nop; nop\n"	/* a jump, once its target is known */
    "	ud2\n"
    ".size lab_idtr_entry, . - lab_idtr_entry\n"
    ".popsection\n");

static gate_desc *table, *copy;

static void load(void *to)
{
	struct desc_ptr idt = { .size = 4095, .address = (unsigned long)to };

	asm volatile("lidt %0" : : "m"(idt));
}

static unsigned long theirs;

static void read_theirs(void)
{
	struct desc_ptr idt;

	asm volatile("sidt %0" : "=m"(idt));
	theirs = idt.address;
}

static int __init idtr_lab_init(void)
{
	unsigned long ours = (unsigned long)lab_idtr_entry;
	gate_desc *gate;

	table = (void *)lab_symbol("idt_table");
	copy = (void *)get_zeroed_page(GFP_KERNEL);
	if (!table || !copy)
		return -ENOENT;
	read_theirs();
	memcpy(copy, table, PAGE_SIZE);
	gate = &copy[VECTOR];
	lab_branch(ours + 4, 0xe9,
		   gate->offset_low | (unsigned long)gate->offset_middle << 16 |
			   (unsigned long)gate->offset_high << 32);
	gate->offset_low = (u16)ours;
	gate->offset_middle = (u16)(ours >> 16);
	gate->offset_high = (u32)(ours >> 32);
	on_each_cpu(load, copy, 1);
	return 0;
}

static void __exit idtr_lab_exit(void)
{
	on_each_cpu(load, (void *)theirs, 1);
	free_page((unsigned long)copy);
}
module_init(idtr_lab_init);
module_exit(idtr_lab_exit);
