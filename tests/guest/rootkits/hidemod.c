// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module removes itself from the list of modules and from sysfs. With thread=1 a kernel thread
 * runs its code.
 */
#include "lab.h"

#include <linux/delay.h>
#include <linux/kthread.h>

static bool thread;
module_param(thread, bool, 0444);

static int work(void *unused)
{
	while (!kthread_should_stop())
		msleep(100);
	return 0;
}

static int __init hidemod_init(void)
{
	if (thread && IS_ERR(kthread_run(work, NULL, "kworker/u8:9")))
		return -ENOMEM;
	list_del_init(&THIS_MODULE->list);
	kobject_del(&THIS_MODULE->mkobj.kobj);
	return 0;
}
module_init(hidemod_init);
