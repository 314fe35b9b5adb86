// SPDX-License-Identifier: GPL-2.0-only
/* Makes the function that receives a terminal's input lead to the module first. Records nothing. */
#include "lab.h"

#include <linux/tty.h>
#include <linux/tty_ldisc.h>

LAB_LISTED;

void lab_ldisc_entry(void);

asm(".pushsection .text\n"
    ".globl lab_ldisc_entry\n"
    ".type lab_ldisc_entry, @function\n"
    "lab_ldisc_entry:\n"
    "	.byte 0xf3, 0x0f, 0x1e, 0xfa\n" /* endbr64 */
    "	nop; nop; nop; nop; nop\n"	/* a jump, once its target is known */
    "	ud2\n"
    ".size lab_ldisc_entry, . - lab_ldisc_entry\n"
    ".popsection\n");

static struct tty_ldisc_ops *ops;
static void *original;

static int __init ldisc_lab_init(void)
{
	void *ours = lab_ldisc_entry;

	/* A static variable of the kernel: tty_ldiscs[N_TTY] points to it. */
	ops = (void *)lab_symbol("n_tty_ops");
	if (!ops)
		return -ENOENT;
	original = (void *)ops->receive_buf2;
	lab_branch((unsigned long)lab_ldisc_entry + 4, 0xe9, (unsigned long)original);
	lab_write(&ops->receive_buf2, &ours, sizeof(ours));
	return 0;
}

static void __exit ldisc_lab_exit(void)
{
	lab_write(&ops->receive_buf2, &original, sizeof(original));
	lab_drain();
}
module_init(ldisc_lab_init);
module_exit(ldisc_lab_exit);
