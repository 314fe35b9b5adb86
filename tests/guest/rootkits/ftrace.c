// SPDX-License-Identifier: GPL-2.0-only
/* Hooks the handler of getdents64 with ftrace. */
#include "lab.h"

#include <linux/ftrace.h>

static long (*body)(const struct pt_regs *regs);

static long hooked(const struct pt_regs *regs)
{
	return lab_filter(regs, body(regs));
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0) /* d19ad0775dcd */
static void notrace divert(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
			   struct ftrace_regs *fregs)
{
	ftrace_get_regs(fregs)->ip = (unsigned long)hooked;
}
#else
static void notrace divert(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
			   struct pt_regs *regs)
{
	regs->ip = (unsigned long)hooked;
}
#endif

static struct ftrace_ops ops = {
	.func = divert,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY,
};

static int __init hook_init(void)
{
	unsigned long site = lab_ftrace_site("__x64_sys_getdents64");
	int ret;

	if (!site)
		return -ENOENT;
	body = (void *)(site + 5);
	ret = ftrace_set_filter_ip(&ops, site, 0, 0);
	return ret ? ret : register_ftrace_function(&ops);
}

static void __exit hook_exit(void)
{
	unregister_ftrace_function(&ops);
}
module_init(hook_init);
module_exit(hook_exit);
