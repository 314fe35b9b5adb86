// SPDX-License-Identifier: GPL-2.0-only
/* Is asked first whenever a program is started. It has no format of its own. */
#include "lab.h"

#include <linux/binfmts.h>

LAB_LISTED;

static int load(struct linux_binprm *bprm)
{
	return -ENOEXEC;
}

static struct linux_binfmt format = { .module = THIS_MODULE, .load_binary = load };

static int __init binfmt_lab_init(void)
{
	insert_binfmt(&format);
	return 0;
}

static void __exit binfmt_lab_exit(void)
{
	unregister_binfmt(&format);
}
module_init(binfmt_lab_init);
module_exit(binfmt_lab_exit);
