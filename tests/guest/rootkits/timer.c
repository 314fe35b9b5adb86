// SPDX-License-Identifier: GPL-2.0-only
/* Does something again and again: a timer and delayed work. What they do is nothing. */
#include "lab.h"

#include <linux/timer.h>
#include <linux/workqueue.h>

LAB_LISTED;

#define LATER (600 * HZ)

static void expired(struct timer_list *t)
{
	mod_timer(t, jiffies + LATER);
}

static void work(struct work_struct *w)
{
}

static struct timer_list timer;
static DECLARE_DELAYED_WORK(delayed, work);

static int __init timer_lab_init(void)
{
	timer_setup(&timer, expired, 0);
	mod_timer(&timer, jiffies + LATER);
	schedule_delayed_work(&delayed, LATER);
	return 0;
}

static void __exit timer_lab_exit(void)
{
	cancel_delayed_work_sync(&delayed);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0) /* f571faf6e443 */
	timer_shutdown_sync(&timer);
#else
	del_timer_sync(&timer);
#endif
}
module_init(timer_lab_init);
module_exit(timer_lab_exit);
