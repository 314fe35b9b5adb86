/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "../base/array.h"

/* arch/x86/include/uapi/asm/hwcap2.h */
#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1)
#endif

#define FLAGS_USER 0xcd5UL
#define FLAGS_IF 0x200UL

static const char crowded[] = "the guest's kernel has memory where vlens is";

/* May a process set the bases of fs and gs by instructions? */
static bool has_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

const char *vl_native_unfit(const struct vl_vcpu_state *st)
{
	uint64_t gs;

#ifdef __SANITIZE_ADDRESS__
	return "the address sanitizer's memory lies where the guest's goes";
#endif
	if (!has_fsgsbase() && vl_native_prctl(ARCH_GET_GS, (uint64_t)&gs))
		return "this host has no FSGSBASE, and refuses arch_prctl()";
	if (st->cr4 & X86_CR4_LA57)
		return "the guest's page tables have five levels";
	return NULL;
}

static void native_destroy(struct vl_executor_state *e)
{
	if (!e)
		return;
	vl_native_signals_end(e);
	vl_native_unmap_all(e);
	vl_native_control_end(e);
	if (e->cursor) {
		munmap(VL_CTL, VL_NATIVE_SIZE);
		munmap((void *)e->st.stack_va, e->st.stack_size);
	}
	for (size_t i = 0; i < e->nr_blanks; i++)
		munmap(e->blanks[i].host, VL_PAGE_SIZE);
	free(e->aliases);
	free(e->blocks);
	free(e->marks);
	free(e->replaced);
	free(e->text);
	free(e);
}

static struct vl_error *map_ours(struct vl_executor_state *e)
{
	void *stack = (char *)e->own.host + (e->st.stack_gpa - e->own.gpa);
	void *at = mmap(VL_CTL, VL_NATIVE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (at != VL_CTL) {
		if (at != MAP_FAILED)
			munmap(at, VL_NATIVE_SIZE);
		return vl_error_os(errno, "cannot map room for code at a fixed address");
	}
	madvise(VL_CTL, VL_NATIVE_SIZE, MADV_DONTFORK);
	/* No access until the kernel switches to another stack. */
	if (mprotect((void *)VL_NATIVE_STACKS, VL_NATIVE_STACKS_END - VL_NATIVE_STACKS,
		     PROT_NONE) ||
	    mprotect((void *)VL_NATIVE_WALL, VL_PAGE_SIZE, PROT_NONE))
		return vl_error_os(errno, "cannot reserve addresses without access");
	/* The addresses must be free; the stack is mapped there a second time. */
	at = mmap((void *)e->st.stack_va, e->st.stack_size, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (at == (void *)e->st.stack_va)
		at = mremap(stack, 0, e->st.stack_size, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	if (at != (void *)e->st.stack_va)
		return vl_error_os(errno, "cannot map a stack at a fixed address");
	return NULL;
}

static void native_set_gs(struct vl_executor_state *e, uint64_t gs_base, uint64_t kernel_gs_base)
{
	(void)e, (void)kernel_gs_base;
	VL_CTL->guest_fs = vl_native_fold(gs_base);
	VL_CTL->percpu = gs_base;
}

static struct vl_error *native_create(const struct vl_vcpu_state *st, struct vl_snapshot *snapshot,
				      const struct vl_vcpu_region *own,
				      struct vl_executor_state **ret)
{
	const char *why = vl_native_unfit(st);
	struct vl_executor_state *e;
	struct vl_error *err;

	if (why)
		return vl_error_new(VL_ERR_ARG, "%s", why);
	e = calloc(1, sizeof(*e));
	if (!e)
		return vl_error_nomem();
	e->st = *st;
	e->snapshot = snapshot;
	e->own = *own;
	e->pt = vl_pgtable(st->cr3, st->cr4);
	err = map_ours(e);
	if (!err)
		err = vl_native_control_begin(e);
	if (err) {
		native_destroy(e);
		return err;
	}
	if (!vl_native_has_room(e)) {
		native_destroy(e);
		return vl_error_new(VL_ERR_OS, "%s", crowded);
	}
	vl_native_reset(e);
	VL_CTL->by_call = !has_fsgsbase();
	*VL_CTL = (struct vl_native_ctl){
		.by_call = VL_CTL->by_call,
		.gs = VL_NATIVE_G,
		.host_fs = vl_native_fs(),
		.miss = (uint64_t)vl_native_miss,
		.indirect = (uint64_t)vl_native_indirect,
		.leave = (uint64_t)vl_native_leave,
	};
	native_set_gs(e, st->gs_base, 0);
	/* Only this thread runs the guest's code, and nothing else changes the base of gs. */
	if (VL_CTL->by_call && vl_native_prctl(ARCH_SET_GS, VL_NATIVE_G))
		err = vl_error_new(VL_ERR_OS, "this host refuses arch_prctl()");
	else
		err = vl_native_signals(e);
	if (err) {
		native_destroy(e);
		return err;
	}
	*ret = e;
	return NULL;
}

/* The code of ctl->va for a branch that comes from emitted code; 0: ctl->kind says why not. */
static uint64_t find_code(struct vl_executor_state *e, bool *any_ret)
{
	struct vl_native_ctl *ctl = VL_CTL;
	uint64_t va = ctl->va;

	*any_ret = false;
	if (ctl->patch == VL_PATCH_STACK && !vl_native_may_switch(e, ctl->regs[VL_RSP]))
		return 0;
	if (!ctl->patch)
		va = vl_native_branch(e, va, any_ret);
	return va ? vl_native_code(e, va) : 0;
}

uint64_t vl_native_missed(void)
{
	struct vl_native_ctl *ctl = VL_CTL;
	struct vl_executor_state *e = ctl->executor;
	uint64_t code;
	bool any;

	e->nr_misses++;
	ctl->why = NULL;
	ctl->kind = VL_NATIVE_REFUSED;
	code = find_code(e, &any);
	if (!code)
		return (uint64_t)vl_native_leave;
	if (ctl->patch > VL_PATCH_STACK) {
		uint32_t rel = (uint32_t)(code - (ctl->patch + 4));

		memcpy((void *)ctl->patch, &rel, sizeof(rel));
	} else if (any) {
		VL_NATIVE_ENTRIES[ctl->va & 0xffff] = (struct vl_native_entry){ ctl->va, code };
	}
	return code;
}

static uint64_t *stopped(struct vl_executor_state *e)
{
	size_t last = ARRAY_SIZE(e->control.stopped) - 1;

	return &e->control.stopped[e->pending < last ? e->pending : last];
}

static void begin_call(struct vl_executor_state *e)
{
	e->pending++;
	*stopped(e) = 0;
}

/*
 * A call on another stack of the kernel's, which a fault came from: it returns to the clone's hlt
 * by the guest's address.
 */
static void fix_other_return(struct vl_executor_state *e, uint64_t sp)
{
	uint64_t low = sp >= 1UL << 63 ? vl_native_put_stack(e, sp) : 0, word;

	if (!low || !vl_native_read(e, sp, &word, sizeof(word), false) || word != e->st.return_va)
		return;
	begin_call(e);
	*vl_native_shadow(low) = word;
}

/* A call returns to the clone's hlt: use its emitted code, as the guest's address would fault. */
static void fix_return(struct vl_executor_state *e, const struct vl_regs *regs)
{
	uint64_t sp = regs->gpr[VL_RSP], *word = (uint64_t *)sp, code;

	if (sp < e->st.stack_va || sp - e->st.stack_va > e->st.stack_size - sizeof(*word) ||
	    *word != e->st.return_va) {
		if (vl_native_is_kept(e))
			fix_other_return(e, sp);
		return;
	}
	if (!e->pending &&
	    (e->dirty || (uint64_t)e->cursor > VL_NATIVE_CODE + VL_NATIVE_CODE_SIZE / 2))
		vl_native_reset(e);
	code = vl_native_return_code(e);
	begin_call(e);
	if (code)
		*word = code;
	if (vl_native_is_kept(e))
		*vl_native_shadow(sp) = *word;
}

static uint64_t native_code_va(const struct vl_executor_state *e, uint64_t value)
{
	const struct vl_native_mark *m = vl_native_mark_at(e, value);

	return m ? m->va : value;
}

static void native_run(struct vl_executor_state *e, struct vl_regs *regs, uint64_t budget_ns,
		       struct vl_exit *ret)
{
	struct vl_native_ctl *ctl = VL_CTL;

	bool started = false;

	*ret = (struct vl_exit){ .reason = VL_EXIT_BROKEN, .detail = crowded };
	if (e->crowded)
		return;
	if (e->st.kept)
		vl_native_take_kept(e);
	fix_return(e, regs);
	memcpy(ctl->regs, regs->gpr, sizeof(ctl->regs));
	ctl->rflags = (regs->rflags & FLAGS_USER) | 2;
	ctl->interrupts = regs->rflags & FLAGS_IF;
	ctl->va = regs->rip;
	ctl->patch = 0;
	vl_watchdog_arm(&e->watchdog, budget_ns);
	for (;;) {
		ctl->why = NULL;
		ctl->kind = VL_NATIVE_REFUSED;
		if (!started && !vl_native_may_start(e, ctl->va, ctl->regs[VL_RSP]))
			break;
		started = true;
		ctl->target = vl_native_code(e, ctl->va);
		if (!ctl->target)
			break;
		vl_native_enter();
		if (ctl->kind != VL_NATIVE_FLUSH)
			break;
		vl_native_unmap_all(e);
	}
	vl_watchdog_disarm(&e->watchdog);
	if (ctl->kind == VL_NATIVE_UNRETURNED)
		vl_native_left(e, VL_WAY_RETURN, ctl->va,
			       native_code_va(e, *(uint64_t *)ctl->regs[VL_RSP]));
	/* The end of a call that fix_other_return() began. */
	if (vl_native_is_kept(e) && ctl->kind == VL_NATIVE_HLT && ctl->va == e->st.return_va + 1)
		ctl->kind = VL_NATIVE_RETURNED;
	if (ctl->kind != VL_NATIVE_RETURNED)
		*stopped(e) = ctl->va;
	memcpy(regs->gpr, ctl->regs, sizeof(ctl->regs));
	vl_native_stack_va(e, regs->gpr[VL_RSP], &regs->gpr[VL_RSP]);
	regs->rip = ctl->va;
	regs->rflags = (ctl->rflags & ~FLAGS_IF) | ctl->interrupts;
	switch (ctl->kind) {
	case VL_NATIVE_RETURNED:
		regs->rip = e->st.return_va + 1;
		ret->reason = VL_EXIT_HLT;
		e->pending -= e->pending > 0;
		break;
	case VL_NATIVE_HLT:
		ret->reason = VL_EXIT_HLT;
		break;
	case VL_NATIVE_EXCEPTION:
		ret->reason = VL_EXIT_EXCEPTION;
		ret->vector = (int)ctl->patch;
		ret->address = ctl->address;
		break;
	case VL_NATIVE_PHYS:
		ret->reason = VL_EXIT_PHYS;
		ret->address = ctl->address;
		break;
	case VL_NATIVE_BUDGET:
		ret->reason = VL_EXIT_BUDGET;
		break;
	case VL_NATIVE_LEFT:
		ret->reason = VL_EXIT_LEFT;
		ret->left = e->control.left;
		break;
	case VL_NATIVE_PORT:
		ret->reason = VL_EXIT_PORT;
		break;
	default:
		ret->detail = ctl->why ? ctl->why : "an instruction is not understood";
	}
}

static void native_flush(struct vl_executor_state *e)
{
	vl_native_unmap_old(e);
	vl_native_forget_stacks(e);
	e->pending = 0;
	e->crowded = !vl_native_has_room(e);
}

static struct vl_error *native_map_blank(struct vl_executor_state *e, uint64_t gpa)
{
	void *page;

	if (e->nr_blanks == VL_NATIVE_BLANKS)
		return vl_error_new(VL_ERR_CRASHED, "too many accesses to device memory");
	page = mmap(NULL, VL_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return vl_error_os(errno, "cannot map a page");
	e->blanks[e->nr_blanks++] = (struct vl_native_blank){ gpa & VL_PAGE_MASK, page };
	return NULL;
}

static bool native_replace(struct vl_executor_state *e, uint64_t va, const void *code, size_t len)
{
	e->dirty = e->nr_blocks > 0;
	return vl_native_put_replaced(e, va, code, len);
}

static void native_set_tsc(struct vl_executor_state *e, uint64_t tsc)
{
	(void)e;
	VL_CTL->tsc = tsc;
}

const struct vl_executor_ops vl_executor_native = {
	.name = "vmst/native",
	.shared = true,
	.controls = true,
	.create = native_create,
	.destroy = native_destroy,
	.set_gs = native_set_gs,
	.run = native_run,
	.flush = native_flush,
	.map_blank = native_map_blank,
	.code_va = native_code_va,
	.replace = native_replace,
	.set_tsc = native_set_tsc,
	.keep = vl_native_keep,
};
