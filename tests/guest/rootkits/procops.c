// SPDX-License-Identifier: GPL-2.0-only
/* Replaces the file operation that lists /proc: by ours, or by another function of the kernel's. */
#include "lab.h"

static char *by = "";
module_param(by, charp, 0444);
static struct file_operations *ops;
static int (*original)(struct file *, struct dir_context *);

static int hooked(struct file *file, struct dir_context *ctx)
{
	return lab_iterate(original, file, ctx);
}

static int __init procops_init(void)
{
	void *ours = *by ? (void *)lab_symbol(by) : hooked;

	ops = (void *)lab_symbol("proc_root_operations");
	if (!ops || !ours)
		return -ENOENT;
	original = ops->iterate_shared;
	lab_write(&ops->iterate_shared, &ours, sizeof(ours));
	return 0;
}

static void __exit procops_exit(void)
{
	lab_write(&ops->iterate_shared, &original, sizeof(original));
	lab_drain();
}
module_init(procops_init);
module_exit(procops_exit);
