// SPDX-License-Identifier: GPL-2.0-only
/* Is called when a module is loaded or unloaded, as rootkits do to stop others. */
#include "lab.h"

#include <linux/module.h>
#include <linux/notifier.h>

LAB_LISTED;

static int notified(struct notifier_block *nb, unsigned long event, void *data)
{
	return NOTIFY_DONE;
}

static struct notifier_block block = { .notifier_call = notified };

static int __init notifier_lab_init(void)
{
	return register_module_notifier(&block);
}

static void __exit notifier_lab_exit(void)
{
	unregister_module_notifier(&block);
}
module_init(notifier_lab_init);
module_exit(notifier_lab_exit);
