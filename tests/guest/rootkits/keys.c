// SPDX-License-Identifier: GPL-2.0-only
/* Is called for each key of the console. Records nothing. */
#include "lab.h"

#include <linux/keyboard.h>
#include <linux/notifier.h>

LAB_LISTED;

static int notified(struct notifier_block *nb, unsigned long event, void *data)
{
	return NOTIFY_DONE;
}

static struct notifier_block block = { .notifier_call = notified };

static int __init keys_lab_init(void)
{
	return register_keyboard_notifier(&block);
}

static void __exit keys_lab_exit(void)
{
	unregister_keyboard_notifier(&block);
}
module_init(keys_lab_init);
module_exit(keys_lab_exit);
