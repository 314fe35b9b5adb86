// SPDX-License-Identifier: GPL-2.0-only
/* Writes a jump at the entry of the handler of getdents64, in place of ftrace's nop. */
#include "lab.h"

static long (*body)(const struct pt_regs *regs);

static long hooked(const struct pt_regs *regs)
{
	return lab_filter(regs, body(regs));
}

static unsigned long site;

static int __init inline_init(void)
{
	site = lab_ftrace_site("__x64_sys_getdents64");
	if (!site)
		return -ENOENT;
	body = (void *)(site + 5);
	lab_branch(site, 0xe9, (unsigned long)hooked);
	return 0;
}

static void __exit inline_exit(void)
{
	lab_write((void *)site, lab_nop5, sizeof(lab_nop5));
	lab_drain();
}
module_init(inline_init);
module_exit(inline_exit);
