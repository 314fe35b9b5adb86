// SPDX-License-Identifier: GPL-2.0-only
/* One function's entry always has a jump to this module; each 200 ms it is another function's. */
#include "lab.h"

#include <linux/kthread.h>

LAB_LISTED;

static const char *const names[] = { "vfs_rename", "vfs_mkdir", "vfs_rmdir", "vfs_unlink" };

static unsigned long sites[ARRAY_SIZE(names)];
static struct task_struct *thread;

static long hooked(void)
{
	return -EPERM;
}

static int move(void *unused)
{
	unsigned int i = 0;

	while (!kthread_should_stop()) {
		lab_branch(sites[i], 0xe9, (unsigned long)hooked);
		msleep(200);
		lab_write((void *)sites[i], lab_nop5, sizeof(lab_nop5));
		i = (i + 1) % ARRAY_SIZE(names);
	}
	return 0;
}

static int __init moving_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		sites[i] = lab_ftrace_site(names[i]);
		if (!sites[i])
			return -ENOENT;
	}
	thread = kthread_run(move, NULL, "moving");
	return PTR_ERR_OR_ZERO(thread);
}

static void __exit moving_exit(void)
{
	kthread_stop(thread);
	lab_drain();
}
module_init(moving_init);
module_exit(moving_exit);
