// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module removes itself from the list of modules and from sysfs. With thread=1 a kernel thread
 * runs its code, with probe=1 a kprobe calls it.
 */
#include "lab.h"

#include <linux/delay.h>
#include <linux/kthread.h>

static bool thread;
module_param(thread, bool, 0444);
static bool probe;
module_param(probe, bool, 0444);

static int work(void *unused)
{
	while (!kthread_should_stop())
		msleep(100);
	return 0;
}

static int before(struct kprobe *p, struct pt_regs *regs)
{
	return 0;
}
NOKPROBE_SYMBOL(before);

static struct kprobe probed = { .symbol_name = "vfs_mkdir", .pre_handler = before };

static int __init hidemod_init(void)
{
	int ret = probe ? register_kprobe(&probed) : 0;

	if (ret)
		return ret;
	if (thread && IS_ERR(kthread_run(work, NULL, "kworker/u8:9")))
		return -ENOMEM;
	list_del_init(&THIS_MODULE->list);
	kobject_del(&THIS_MODULE->mkobj.kobj);
	return 0;
}
module_init(hidemod_init);
