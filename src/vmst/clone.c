/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clone.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/cleanup.h"
#include "../host/proxy.h"

/*
 * Our own memory, above the guest's RAM: offsets in one region of 4 MiB.
 * The top-level table is 8 KiB aligned and bit 12 of its address is clear: the
 * entry code of a kernel with page-table isolation clears that bit of CR3
 * (SWITCH_TO_KERNEL_CR3) and must arrive at the same table.
 */
enum {
	OWN_TOP = 0x0000,
	OWN_TABLES = 0x2000, /* lower tables, one page each */
	OWN_CODE = 0x10000,
	OWN_CLOCKS = 0x11000,
	OWN_SCRATCH = 0x12000, /* the executor's */
	OWN_STACK = 0x20000,
	OWN_STACK_SIZE = 0x20000,
	OWN_TASK = 0x50000,
	OWN_TASK_SIZE = 0x20000,
	OWN_TRUSTED = 0x70000, /* tables of a trusted run, one page each */
	OWN_TRUSTED_SIZE = 0x40000,
	OWN_VERIFIED = 0xb0000,
	OWN_USER = 0x200000, /* one 2 MiB page */
	OWN_SIZE = 0x400000,
};

/*
 * User addresses of the window and of the stack. The executor `native` needs them low
 * (native/native.h); the others take any canonical address of the lower half.
 */
#define USER_VA 0x10000000UL
#define STACK_VA 0x20000000UL

static uint64_t *own_table(struct vl_clone *c, uint64_t gpa)
{
	return (uint64_t *)((char *)c->own.host + (gpa - c->own.gpa));
}

/* Build our tables for @va from the top level down to @level. Returns the table of @level. */
static uint64_t *own_path(struct vl_clone *c, uint64_t va, int level, unsigned *next,
			  uint64_t flags)
{
	uint64_t *table = c->own.host;

	for (int l = c->pt.levels; l > level; l--) {
		uint64_t *entry = &table[vl_pgtable_index(va, l)];

		/*
		 * No entry of the guest's is followed: only empty top-level entries are used,
		 * and all tables below are ours.
		 */
		if (!(*entry & X86_PTE_P)) {
			*entry = (c->own.gpa + OWN_TABLES + VL_PAGE_SIZE * (*next)++) | flags;
		}
		table = own_table(c, *entry & X86_PTE_ADDR);
	}
	return table;
}

/* Copy the kernel half of the guest's top-level table. */
static struct vl_error *copy_top(struct vl_clone *c)
{
	const char *src = vl_snapshot_filled(c->snapshot, c->root, VL_PAGE_SIZE);

	if (!src)
		return vl_error_new(VL_ERR_KERNEL, "the guest's page table at 0x%lx is not in RAM",
				    (unsigned long)c->root);
	memcpy((char *)c->own.host + OWN_TOP + VL_PAGE_SIZE / 2, src + VL_PAGE_SIZE / 2,
	       VL_PAGE_SIZE / 2);
	return NULL;
}

static void map_own(struct vl_clone *c, uint64_t *table, unsigned index, uint64_t offset,
		    uint64_t size, uint64_t flags)
{
	for (unsigned i = 0; i < size / VL_PAGE_SIZE; i++)
		table[index + i] = (c->own.gpa + offset + i * VL_PAGE_SIZE) | flags;
}

static struct vl_error *build_tables(struct vl_clone *c)
{
	const uint64_t kernel = X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D;
	const uint64_t user = kernel | X86_PTE_US;
	int shift = 12 + 9 * (c->pt.levels - 1);
	struct vl_error *err = copy_top(c);
	uint64_t *top = c->own.host, *table;
	unsigned next = 0, slot;

	if (err)
		return err;
	/*
	 * The kernel half starts with a guard hole that nothing maps. The executor `native`
	 * needs a slot above its first 5 TiB.
	 */
	for (slot = c->pt.levels == 4 ? 266 : 256; slot < 511 && top[slot] & X86_PTE_P; slot++)
		;
	if (slot == 511)
		return vl_error_new(VL_ERR_KERNEL, "the guest's kernel half has no free slot");
	c->hlt_va = (uint64_t)((int64_t)((uint64_t)slot << (shift + 64 - shift - 9)) >>
			       (64 - shift - 9));
	table = own_path(c, c->hlt_va, 1, &next, kernel);
	c->slot = slot;

	/* Pages of the slot by number; guard pages stay on both sides of each. */
	map_own(c, table, 0, OWN_CODE, VL_PAGE_SIZE, X86_PTE_P | X86_PTE_A);
	map_own(c, table, 2, OWN_CLOCKS, VL_PAGE_SIZE, kernel | X86_PTE_NX);
	c->clocks_va = c->hlt_va + 2 * VL_PAGE_SIZE;
	map_own(c, table, 4, OWN_SCRATCH, VL_PAGE_SIZE, X86_PTE_P | X86_PTE_A);
	map_own(c, table, 5, OWN_SCRATCH + VL_PAGE_SIZE, (VL_SCRATCH_PAGES - 1) * VL_PAGE_SIZE,
		kernel | X86_PTE_NX);
	map_own(c, table, 64, OWN_TASK, OWN_TASK_SIZE, kernel | X86_PTE_NX);
	c->task_va = c->hlt_va + 64 * VL_PAGE_SIZE;
	c->task_room = OWN_TASK_SIZE;

	table = own_path(c, USER_VA, 2, &next, user);
	table[vl_pgtable_index(USER_VA, 2)] =
		(c->own.gpa + OWN_USER) | user | X86_PTE_PS | X86_PTE_NX;
	c->user_va = USER_VA;

	table = own_path(c, STACK_VA, 1, &next, user);
	map_own(c, table, vl_pgtable_index(STACK_VA, 1), OWN_STACK, OWN_STACK_SIZE,
		kernel | X86_PTE_NX);
	c->stack_top = STACK_VA + OWN_STACK_SIZE;
	c->trusted_at = OWN_TRUSTED;
	c->verified_at = OWN_VERIFIED;
	c->nr_trusted = OWN_TRUSTED_SIZE / VL_PAGE_SIZE;
	c->slot_entry = top[slot];
	return vl_clone_trust(c);
}

/* Where calls return to. */
static const unsigned char hlt_code[] = { 0xf4, 0xeb, 0xfd }; /* 1: hlt; jmp 1b */

/* Find the features of its processor that the guest's kernel uses. */
static void find_caps(struct vl_clone *c)
{
	const struct vl_kernel *k = c->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t va = vl_symbol(k, "boot_cpu_data");

	if (va && vl_has(l, VL_F_CPU_CAPS) &&
	    vl_clone_read(c, va + (uint64_t)l->offset[VL_F_CPU_CAPS], c->state.caps,
			  sizeof(c->state.caps)))
		c->state.nr_caps = VL_NR_CAPS;
}

/* vl_read_entry_fn over the snapshot and our own tables. */
static bool read_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	struct vl_clone *c = ctx;

	if (gpa >= c->own.gpa && gpa - c->own.gpa <= OWN_SIZE - sizeof(*ret)) {
		memcpy(ret, (char *)c->own.host + (gpa - c->own.gpa), sizeof(*ret));
		return true;
	}
	return vl_snapshot_read_entry(c->snapshot, gpa, ret);
}

/*
 * Modules and generated code (BPF, ftrace) lie above the kernel's image, within reach of its
 * branches: Documentation/arch/x86/x86_64/mm.rst.
 */
#define NEAR_KERNEL 0xffffffff80000000UL

/* Note the page at @va: code outside of the kernel's image ran there. */
static void on_code(void *ctx, uint64_t va)
{
	struct vl_clone *c = ctx;
	size_t page = (va - NEAR_KERNEL) / VL_PAGE_SIZE;
	struct vl_xlat x;

	if (va < NEAR_KERNEL || c->ran[page / 64] >> (page % 64) & 1)
		return;
	if (vl_translate(&c->pt, read_entry, c, va, &x) &&
	    vl_snapshot_note_code(c->snapshot, x.gpa))
		c->ran[page / 64] |= 1UL << (page % 64);
}

/*
 * The base of GS. Code of a kernel for one CPU uses it for nothing but the stack's canary
 * (fixed_percpu_data, arch/x86/include/asm/processor.h); it finds zeros in a page of ours.
 */
static uint64_t gs_base(const struct vl_clone *c)
{
	return vl_kernel_is_up(c->attach->kernel) ? c->clocks_va + VL_PAGE_SIZE / 2 : c->percpu;
}

static void destroy_clonep(struct vl_clone **c)
{
	vl_clone_destroy(*c);
}

/* @percpu: the per-CPU base of the CPU that it stands in for. */
static struct vl_error *create(const struct vl_clone_start *start, uint64_t percpu,
			       struct vl_clone **ret)
{
	const struct vl_attach *attach = start->attach;
	const struct vl_target_proxy *proxy = vl_target_proxy(attach->target);
	uint64_t gdt = vl_symbol(attach->kernel, "gdt_page"), end;
	_cleanup_(destroy_clonep) struct vl_clone *c = calloc(1, sizeof(*c));
	const struct vl_snapshot_range *ranges;
	struct vl_error *err;
	size_t nr;

	if (!c)
		return vl_error_nomem();
	c->attach = attach;
	c->snapshot = start->snapshot;
	c->percpu = percpu;
	c->unverified = start->unverified;
	c->verifier = start->verifier;
	c->verifier_ctx = start->verifier_ctx;

	ranges = vl_snapshot_ranges(c->snapshot, &nr);
	end = ranges[nr - 1].gpa + ranges[nr - 1].size;
	c->own.size = OWN_SIZE;
	c->own.gpa = (end + OWN_SIZE - 1) & ~(uint64_t)(OWN_SIZE - 1);
	/* The local APIC and other devices have their addresses below 4 GiB. */
	if (c->own.gpa < 1UL << 32)
		c->own.gpa = 1UL << 32;
	c->own.host =
		mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->own.host == MAP_FAILED) {
		c->own.host = NULL;
		return vl_error_os(errno, "cannot map memory");
	}
	madvise(c->own.host, OWN_SIZE, MADV_DONTFORK);
	c->pt = (struct vl_pgtable){ c->own.gpa + OWN_TOP, attach->pt.levels };
	c->root = attach->pt.root;
	err = build_tables(c);
	if (err)
		return err;
	memcpy((char *)c->own.host + OWN_CODE, hlt_code, sizeof(hlt_code));

	c->state = (struct vl_vcpu_state){
		.cr0 = attach->cr0,
		/* PCID 0, and without the bit that keeps cached translations. */
		.cr3 = c->pt.root,
		.cr4 = attach->cr4,
		.efer = attach->efer,
		.gdt_base = gdt ? gdt + percpu : 0,
		.gdt_limit = 127, /* GDT_ENTRIES * 8 - 1 */
		/* Calls go straight to kernel functions, without swapgs. */
		.gs_base = gs_base(c),
		.host = proxy ? &proxy->machine : NULL,
		.code_from = vl_symbol(attach->kernel, "_etext"),
		/* These functions find their probe by the address behind the call. */
		.use_return = { vl_symbol(attach->kernel, "ftrace_caller"),
				vl_symbol(attach->kernel, "ftrace_regs_caller") },
		.on_code = on_code,
		.kept = start->kept,
		.kept_size = start->kept_size,
		.control = attach->trusted ? &vl_clone_control : NULL,
		.ctx = c,
		.scratch = (char *)c->own.host + OWN_SCRATCH,
		.scratch_va = c->hlt_va + 4 * VL_PAGE_SIZE,
		.stack_va = STACK_VA,
		.stack_gpa = c->own.gpa + OWN_STACK,
		.stack_size = OWN_STACK_SIZE,
		.return_va = c->hlt_va,
	};
	find_caps(c);
	err = vl_vcpu_create(start->executor, &c->state, c->snapshot, &c->own, &c->ops,
			     &c->executor, c->why);
	if (!err)
		*ret = vl_taken(c);
	return err;
}

/*
 * After a refresh of the snapshot: copy the guest's top-level table again. Patches and
 * translated code stay.
 */
static struct vl_error *refresh(struct vl_clone *c, uint64_t percpu)
{
	struct vl_error *err = copy_top(c);

	if (err)
		return err;
	((uint64_t *)c->own.host)[c->slot] = c->slot_entry;
	err = vl_clone_trust(c);
	if (err)
		return err;
	c->percpu = percpu;
	c->user_used = 0;
	c->ops->set_gs(c->executor, gs_base(c), 0);
	c->ops->flush(c->executor);
	return NULL;
}

struct vl_error *vl_clone_make(const struct vl_clone_start *start, struct vl_clone_memo *memo,
			       struct vl_clone **c)
{
	const struct vl_attach *attach = start->attach;
	uint64_t offsets = vl_symbol(attach->kernel, "__per_cpu_offset"), percpu = 0;
	bool fresh = !*c;
	struct vl_error *err;

	if (!vl_kernel_is_up(attach->kernel) &&
	    (!offsets || !vl_snapshot_read(start->snapshot, &attach->pt, offsets + 8UL * start->cpu,
					   &percpu, sizeof(percpu))))
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL, "cannot find the guest's per-CPU data"), "%s",
			vl_target_wait_hint(attach->target));
	err = fresh ? create(start, percpu, c) : refresh(*c, percpu);
	memo->no_executor = err && fresh;
	if (err)
		return err;
	(*c)->budget_ns = start->budget_ns;
	(*c)->live = start->live;
	err = vl_clone_become(*c, start->as, &memo->task);
	if (!err && start->netns)
		err = vl_clone_join_network(*c, start->netns);
	if (err)
		return err;
	if (fresh)
		vl_clone_patch(*c);
	vl_clone_set_time(*c, start->attach);
	err = vl_clone_own_files(*c);
	/* A mount that failed is not tried again. Its files are then missing. */
	if (!err)
		err = vl_clone_mount(*c, memo->know_mounts, memo->no_mount);
	if (!err && !memo->know_self)
		err = vl_clone_ask_self(*c, &memo->self);
	if (!err)
		memo->know_self = true;
	return err;
}

void vl_clone_count(const struct vl_clone *c, struct vl_vcpu_count *ret)
{
	*ret = (struct vl_vcpu_count){ 0 };
	if (c->executor && c->ops->count)
		c->ops->count(c->executor, ret);
}

size_t vl_clone_keep(struct vl_clone *c, void *buf, size_t size)
{
	return c->ops->keep ? c->ops->keep(c->executor, buf, size) : 0;
}

void vl_clone_destroy(struct vl_clone *c)
{
	if (!c)
		return;
	if (c->executor)
		c->ops->destroy(c->executor);
	if (c->own.host)
		munmap(c->own.host, OWN_SIZE);
	free(c);
}

static bool clone_copy(struct vl_clone *c, uint64_t va, void *buf, size_t len, bool write)
{
	char *p = buf;

	while (len) {
		size_t n = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));
		struct vl_xlat x;
		char *host;

		if (n > len)
			n = len;
		if (!vl_translate(&c->pt, read_entry, c, va, &x))
			return false;
		if (x.gpa >= c->own.gpa && x.gpa - c->own.gpa < OWN_SIZE)
			host = (char *)c->own.host + (x.gpa - c->own.gpa);
		else
			host = vl_snapshot_filled(c->snapshot, x.gpa, n);
		if (!host)
			return false;
		if (write)
			memcpy(host, p, n);
		else
			memcpy(p, host, n);
		p += n;
		va += n;
		len -= n;
	}
	return true;
}

bool vl_clone_read(struct vl_clone *c, uint64_t va, void *buf, size_t len)
{
	return clone_copy(c, va, buf, len, false);
}

bool vl_clone_replace(struct vl_clone *c, uint64_t va, const void *code, size_t len)
{
	return c->ops->replace ? c->ops->replace(c->executor, va, code, len) :
				 vl_clone_write(c, va, code, len);
}

bool vl_clone_write(struct vl_clone *c, uint64_t va, const void *buf, size_t len)
{
	return clone_copy(c, va, (void *)buf, len, true);
}

bool vl_clone_read64(struct vl_clone *c, uint64_t va, uint64_t *ret)
{
	return clone_copy(c, va, ret, sizeof(*ret), false);
}

uint64_t vl_clone_user_push(struct vl_clone *c, const void *buf, size_t len)
{
	uint64_t at = (c->user_used + 15) & ~15UL;

	if (len > VL_USER_WINDOW - at)
		return 0;
	c->user_used = at + len;
	/* Otherwise a call that writes nothing would return the bytes of an earlier call. */
	if (buf)
		memcpy((char *)c->own.host + OWN_USER + at, buf, len);
	else if (at < c->user_dirty)
		memset((char *)c->own.host + OWN_USER + at, 0,
		       len < c->user_dirty - at ? len : c->user_dirty - at);
	if (c->user_dirty < at + len)
		c->user_dirty = at + len;
	return c->user_va + at;
}

void vl_clone_user_pull(struct vl_clone *c, uint64_t va, void *buf, size_t len)
{
	uint64_t at = va - c->user_va;

	if (at < VL_USER_WINDOW && len <= VL_USER_WINDOW - at)
		memcpy(buf, (char *)c->own.host + OWN_USER + at, len);
}

void vl_clone_user_reset(struct vl_clone *c)
{
	c->user_used = 0;
}
