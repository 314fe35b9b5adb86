// SPDX-License-Identifier: GPL-2.0-only
/* Not a rootkit: a live patch like those of distributions, for /proc/cmdline. */
#include "lab.h"

#include <linux/livepatch.h>
#include <linux/seq_file.h>

static int patched_show(struct seq_file *m, void *v)
{
	seq_puts(m, "patched\n");
	return 0;
}

static struct klp_func funcs[] = {
	{ .old_name = "cmdline_proc_show", .new_func = patched_show },
	{},
};
static struct klp_object objects[] = {
	{ .funcs = funcs },
	{},
};
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init livepatch_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit livepatch_exit(void)
{
}
module_init(livepatch_init);
module_exit(livepatch_exit);
MODULE_INFO(livepatch, "Y");
