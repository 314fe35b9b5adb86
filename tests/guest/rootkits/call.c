// SPDX-License-Identifier: GPL-2.0-only
/* Redirects the call of iterate_dir() inside the handler of getdents64, behind its entry. */
#include "lab.h"

/* Handlers are some hundred bytes long. */
#define REACH 512

static unsigned long site;
static int (*original)(struct file *, struct dir_context *);

static int hooked(struct file *file, struct dir_context *ctx)
{
	return lab_iterate(original, file, ctx);
}

static int __init call_init(void)
{
	unsigned long at = lab_symbol("__x64_sys_getdents64"), target = lab_symbol("iterate_dir");
	int i = 0;

	original = (void *)target;
	for (; at && target && i < REACH; i++, at++) {
		const u8 *p = (const u8 *)at;
		s32 disp;

		memcpy(&disp, p + 1, 4);
		if (*p != 0xe8 || at + 5 + disp != target)
			continue;
		site = at;
		lab_branch(at, 0xe8, (unsigned long)hooked);
		return 0;
	}
	pr_err("lab: the handler does not call iterate_dir()\n");
	return -ENOENT;
}

static void __exit call_exit(void)
{
	lab_branch(site, 0xe8, (unsigned long)original);
	lab_drain();
}
module_init(call_init);
module_exit(call_exit);
