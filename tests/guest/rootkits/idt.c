// SPDX-License-Identifier: GPL-2.0-only
/* Makes a gate of the IDT lead to the module first. Nothing uses the vector: 5, #BR. */
#include "lab.h"

#include <asm/desc.h>

#define VECTOR 5

void lab_idt_entry(void);

asm(".pushsection .text\n"
    ".globl lab_idt_entry\n"
    ".type lab_idt_entry, @function\n"
    "lab_idt_entry:\n"
    "	.byte 0xf3, 0x0f, 0x1e, 0xfa\n" /* endbr64 */
    "	nop; nop; nop; nop; nop\n"	/* a jump, once its target is known */
    "	ud2\n"
    ".size lab_idt_entry, . - lab_idt_entry\n"
    ".popsection\n");

static gate_desc *table, theirs;

static int __init idt_init(void)
{
	gate_desc gate;
	unsigned long ours = (unsigned long)lab_idt_entry, original;

	table = (void *)lab_symbol("idt_table");
	if (!table)
		return -ENOENT;
	gate = theirs = table[VECTOR];
	original = gate.offset_low | (unsigned long)gate.offset_middle << 16 |
		   (unsigned long)gate.offset_high << 32;
	lab_branch(ours + 4, 0xe9, original);
	gate.offset_low = (u16)ours;
	gate.offset_middle = (u16)(ours >> 16);
	gate.offset_high = (u32)(ours >> 32);
	lab_write(&table[VECTOR], &gate, sizeof(gate));
	return 0;
}

static void __exit idt_exit(void)
{
	lab_write(&table[VECTOR], &theirs, sizeof(theirs));
}
module_init(idt_init);
module_exit(idt_exit);
