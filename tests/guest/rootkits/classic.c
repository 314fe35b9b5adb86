// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executable memory that looks like a compiled classic BPF program, which is in no list of the
 * kernel. A shrinker calls it. With odd=1 nothing calls it, but it has an instruction that no
 * program has.
 */
#include "lab.h"

#include <linux/shrinker.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0) /* 12af2b83d0b1 */
#include <linux/execmem.h>
#endif

static bool odd;
module_param(odd, bool, 0444);

#define CODE_MAX 16
/* struct bpf_binary_header begins with the size in bytes. */
#define CODE_AT 64

static u8 *page;
static int (*make_x)(unsigned long, int), (*make_nx)(unsigned long, int),
	(*make_rw)(unsigned long, int);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0) /* c42d50aefd17 */
static struct shrinker *shrinker;
#else
static struct shrinker ours, *shrinker = &ours;
#endif

/* A page of the modules' space that can be written. */
static void *take(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0) /* 12af2b83d0b1 */
	void *(*alloc)(enum execmem_type, size_t) = (void *)lab_symbol("execmem_alloc");

	return alloc ? alloc(EXECMEM_MODULE_DATA, PAGE_SIZE) : NULL;
#else
	void *(*alloc)(unsigned long) = (void *)lab_symbol("module_alloc");

	return alloc ? alloc(PAGE_SIZE) : NULL;
#endif
}

static void give_back(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	void (*release)(void *) = (void *)lab_symbol("execmem_free");
#else
	void (*release)(void *) = (void *)lab_symbol("module_memfree");
#endif

	if (release)
		release(page);
}

static unsigned long scan(struct shrinker *s, struct shrink_control *sc)
{
	return SHRINK_STOP;
}

static int register_it(unsigned long count)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0) /* c42d50aefd17 */
	shrinker = shrinker_alloc(0, "lab");
	if (!shrinker)
		return -ENOMEM;
#endif
	shrinker->count_objects = (void *)count;
	shrinker->scan_objects = (void *)count;
	if (odd)
		shrinker->count_objects = shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker_register(shrinker);
	return 0;
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 0, 0) /* e33c267ab70d */
	return register_shrinker(shrinker, "lab");
#else
	return register_shrinker(shrinker);
#endif
}

static int __init classic_init(void)
{
	/* push %rbp; mov %rsp,%rbp; xor %eax,%eax; leave; ret */
	static const u8 plain[CODE_MAX] = { 0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0xc9, 0xc3,
					    0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc };
	/* ... mov %cr4,%rax; leave; ret */
	static const u8 other[CODE_MAX] = { 0x55, 0x48, 0x89, 0xe5, 0x0f, 0x20, 0xe0, 0xc9,
					    0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc };
	u32 size = PAGE_SIZE;

	make_x = (void *)lab_symbol("set_memory_x");
	make_nx = (void *)lab_symbol("set_memory_nx");
	make_rw = (void *)lab_symbol("set_memory_rw");
	page = make_x && make_nx && make_rw ? take() : NULL;
	if (!page)
		return -ENOMEM;
	memset(page, 0xcc, PAGE_SIZE);
	memcpy(page, &size, sizeof(size));
	memcpy(page + CODE_AT, odd ? other : plain, CODE_MAX);
	make_x((unsigned long)page, 1);
	return register_it((unsigned long)page + CODE_AT);
}

static void __exit classic_exit(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker_free(shrinker);
#else
	unregister_shrinker(shrinker);
#endif
	lab_drain();
	make_nx((unsigned long)page, 1);
	make_rw((unsigned long)page, 1);
	give_back();
}
module_init(classic_init);
module_exit(classic_exit);
