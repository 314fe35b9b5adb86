// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes memory executable that belongs to no module: of vmalloc or, with heap=1, of the page
 * allocator. A slot of a constant table of /proc leads there.
 */
#include "lab.h"

#include <linux/vmalloc.h>

static bool heap;
module_param(heap, bool, 0444);

static ssize_t (**slot)(struct file *, char __user *, size_t, loff_t *);
static ssize_t (*original)(struct file *, char __user *, size_t, loff_t *);
static void *page;
static int (*make_x)(unsigned long, int), (*make_nx)(unsigned long, int),
	(*make_rw)(unsigned long, int);

static int __init exec_init(void)
{
	static const u8 code[] = { 0x31, 0xc0, 0xc3 }; /* xor %eax,%eax; ret */
	struct file_operations *ops = (void *)lab_symbol("proc_root_operations");

	make_x = (void *)lab_symbol("set_memory_x");
	make_nx = (void *)lab_symbol("set_memory_nx");
	make_rw = (void *)lab_symbol("set_memory_rw");
	page = heap ? (void *)__get_free_page(GFP_KERNEL) : vmalloc(PAGE_SIZE);
	if (!ops || !make_x || !make_nx || !make_rw || !page)
		return -ENOENT;
	memset(page, 0xcc, PAGE_SIZE);
	memcpy(page, code, sizeof(code));
	make_x((unsigned long)page, 1);
	slot = &ops->read;
	original = *slot;
	lab_write(slot, &page, sizeof(page));
	return 0;
}

static void __exit exec_exit(void)
{
	lab_write(slot, &original, sizeof(original));
	lab_drain();
	make_nx((unsigned long)page, 1);
	make_rw((unsigned long)page, 1);
	if (heap)
		free_page((unsigned long)page);
	else
		vfree(page);
}
module_init(exec_init);
module_exit(exec_exit);
