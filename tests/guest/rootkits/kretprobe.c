// SPDX-License-Identifier: GPL-2.0-only
/* Changes nothing, but could: it runs whenever the function that lists a directory returns. */
#include "lab.h"

LAB_LISTED;

static int returned(struct kretprobe_instance *i, struct pt_regs *regs)
{
	return 0;
}

static struct kretprobe probe = { .kp.symbol_name = "iterate_dir", .handler = returned };

static int __init kretprobe_lab_init(void)
{
	return register_kretprobe(&probe);
}

static void __exit kretprobe_lab_exit(void)
{
	unregister_kretprobe(&probe);
}
module_init(kretprobe_lab_init);
module_exit(kretprobe_lab_exit);
