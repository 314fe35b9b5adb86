// SPDX-License-Identifier: GPL-2.0-only
/*
 * Behind the entry of a function that nobody calls, a jump to a function of this module, which an
 * entry in the table of kprobes claims. With real=1 a kprobe of the kernel's own is there instead.
 */
#include "lab.h"

#include <linux/rculist.h>

/* KPROBE_TABLE_SIZE - 1, kernel/kprobes.c */
#define LAST 63

static bool real;
module_param(real, bool, 0444);

static struct kprobe probe;
static u8 own[5];

static void nothing(void)
{
}

static int __init forge_init(void)
{
	struct hlist_head *table = (void *)lab_symbol("kprobe_table");
	unsigned long site = lab_ftrace_site("bpf_check");

	if (!table || !site)
		return -ENOENT;
	probe.addr = (kprobe_opcode_t *)site + sizeof(lab_nop5);
	if (real)
		return register_kprobe(&probe);
	memcpy(own, probe.addr, sizeof(own));
	hlist_add_head_rcu(&probe.hlist, &table[LAST]);
	lab_branch((unsigned long)probe.addr, 0xe9, (unsigned long)nothing);
	return 0;
}

static void __exit forge_exit(void)
{
	if (real) {
		unregister_kprobe(&probe);
		return;
	}
	lab_write(probe.addr, own, sizeof(own));
	hlist_del_rcu(&probe.hlist);
	synchronize_rcu();
}
module_init(forge_init);
module_exit(forge_exit);
