/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps control in verified code.
 *
 * A direct branch is checked when its target is translated. An indirect branch comes here when its
 * target is not in the table of indirect jumps. A return compares its address with the one that its
 * call noted in the shadow of the stack. The shadow has words of our own only: the guest's
 * addresses of it fold elsewhere, and its stack pointer is checked whenever an instruction sets it.
 *
 * The shadow of a word is at a fixed distance. So a frame can be dropped with no further step. What
 * lies below the stack pointer is void, and is cleared when the pointer is set to a lower address.
 */
#include "block.h"

#include <errno.h>
#include <sys/mman.h>

enum { CALLER_SAVED = 1 << VL_RAX | 1 << VL_RCX | 1 << VL_RDX | 1 << VL_RSI | 1 << VL_RDI | 0xf00 };

/* Steps from register to register while the place of a pointer is looked for. */
#define TRACE_DEPTH 8

/* Bytes from a thunk's start to the end of its indirect branch, at most. */
#define THUNK_SIZE 64

/* --- the shadow --- */

static void *shadow_at(uint64_t at)
{
	return vl_native_shadow(at);
}

struct vl_error *vl_native_control_begin(struct vl_executor_state *e)
{
	const uint64_t at[] = { e->st.stack_va, VL_NATIVE_STACKS };
	const uint64_t size[] = { e->st.stack_size + VL_PAGE_SIZE,
				  VL_NATIVE_STACKS_END - VL_NATIVE_STACKS };

	if (!vl_native_is_kept(e))
		return NULL;
	for (size_t i = 0; i < 2; i++) {
		void *want = shadow_at(at[i]);
		void *got = mmap(want, size[i], PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
				 -1, 0);

		if (got == want)
			continue;
		if (got != MAP_FAILED)
			munmap(got, size[i]);
		if (i)
			munmap(shadow_at(at[0]), size[0]);
		return vl_error_os(errno, "cannot map room for return addresses");
	}
	madvise(shadow_at(at[0]), size[0], MADV_DONTFORK);
	madvise(shadow_at(at[1]), size[1], MADV_DONTFORK);
	e->control.has_shadow = true;
	return NULL;
}

void vl_native_control_end(struct vl_executor_state *e)
{
	if (!e->control.has_shadow)
		return;
	munmap(shadow_at(e->st.stack_va), e->st.stack_size + VL_PAGE_SIZE);
	munmap(shadow_at(VL_NATIVE_STACKS), VL_NATIVE_STACKS_END - VL_NATIVE_STACKS);
}

static void forget(uint64_t start, uint64_t end)
{
	if (start < end)
		memset(shadow_at(start), 0, end - start);
}

void vl_native_forget_returns(struct vl_executor_state *e, bool all)
{
	for (int i = all ? 0 : 1; e->control.has_shadow && i <= (int)e->nr_stacks; i++) {
		uint64_t start, end;

		vl_native_stack_span(e, i, &start, &end);
		forget(start, end);
		e->control.tops[i] = 0;
	}
}

/* The guest's instruction that asks. */
static uint64_t asked_from(const struct vl_executor_state *e)
{
	const struct vl_native_mark *m = vl_native_mark_at(e, VL_CTL->from);

	return m ? m->va : 0;
}

bool vl_native_may_switch(struct vl_executor_state *e, uint64_t sp)
{
	uint64_t was = VL_CTL->stack, low = sp, start, end, top;
	int from = vl_native_which_stack(e, was), to;

	/* A stack of the kernel's, by its own address: it gets a low one when it is first used. */
	if (sp >= 1UL << 63)
		low = vl_native_is_mapped(e, sp - 8) ? vl_native_put_stack(e, sp) : 0;
	to = low ? vl_native_which_stack(e, low) : -1;
	if (to < 0) {
		vl_native_left(e, VL_WAY_STACK, asked_from(e), sp);
		return false;
	}
	vl_native_stack_span(e, to, &start, &end);
	if (from >= 0)
		e->control.tops[from] = was;
	/* The words in use begin at the stack pointer with which the stack was left. */
	top = e->control.tops[to] ? e->control.tops[to] : end;
	forget(low & ~7UL, top & ~7UL);
	return true;
}

/* --- where an indirect branch took its target from --- */

struct trace {
	struct vl_executor_state *e;
	const struct vl_native_mark *first, *last; /* of the block, up to the branch */
};

static bool decode(struct vl_executor_state *e, uint64_t va, ZydisDecodedInstruction *d,
		   ZydisDecodedOperand *o)
{
	size_t left = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1)), len = INSN_MAX;
	unsigned char in[INSN_MAX];
	ZydisDecoder decoder;

	if (!vl_native_read(e, va, in, len, true)) {
		len = left < len ? left : len;
		if (!vl_native_read(e, va, in, len, true))
			return false;
	}
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, in, len, d, o));
}

static bool is_gpr(ZydisRegister r)
{
	return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_GPR64;
}

static unsigned gpr(ZydisRegister r)
{
	return (unsigned)ZydisRegisterGetId(r);
}

/* A bit for each register that the instruction changes. */
static unsigned changes(const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o)
{
	unsigned regs = d->mnemonic == ZYDIS_MNEMONIC_CALL ? CALLER_SAVED : 0;

	for (unsigned i = 0; i < d->operand_count; i++) {
		ZydisRegister r;

		if (o[i].type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		r = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o[i].reg.value);
		if (is_gpr(r))
			regs |= 1U << gpr(r);
	}
	return regs;
}

static bool value_of(const struct trace *t, unsigned reg, const struct vl_native_mark *at,
		     unsigned depth, uint64_t *ret);

/* The address of operand @o of the instruction at mark @at. */
static bool address_of(const struct trace *t, const ZydisDecodedInstruction *d,
		       const ZydisDecodedOperand *o, const struct vl_native_mark *at,
		       unsigned depth, uint64_t *ret)
{
	uint64_t v = 0, part;

	if (o->mem.base == ZYDIS_REGISTER_RIP) {
		v = at->va + d->length;
	} else if (o->mem.base != ZYDIS_REGISTER_NONE) {
		if (!is_gpr(o->mem.base) || !value_of(t, gpr(o->mem.base), at, depth, &v))
			return false;
	}
	if (o->mem.index != ZYDIS_REGISTER_NONE) {
		if (!is_gpr(o->mem.index) || !value_of(t, gpr(o->mem.index), at, depth, &part))
			return false;
		v += part * o->mem.scale;
	}
	v += (uint64_t)o->mem.disp.value;
	if (o->mem.segment == ZYDIS_REGISTER_GS)
		v += VL_CTL->percpu;
	*ret = v;
	return true;
}

/* The instruction before mark @at that sets @reg last; NULL: none in the block does. */
static const struct vl_native_mark *setter(const struct trace *t, unsigned reg,
					   const struct vl_native_mark *at,
					   ZydisDecodedInstruction *d, ZydisDecodedOperand *o)
{
	uint64_t va = at->va;

	while (at > t->first) {
		at--;
		/* An instruction can have several marks. */
		if (at->va == va)
			continue;
		va = at->va;
		if (!decode(t->e, va, d, o) || changes(d, o) >> reg & 1)
			return at;
	}
	return NULL;
}

static bool value_of(const struct trace *t, unsigned reg, const struct vl_native_mark *at,
		     unsigned depth, uint64_t *ret)
{
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction d = { 0 }, later;
	const struct vl_native_mark *m;

	if (!depth)
		return false;
	m = setter(t, reg, at, &d, o);
	if (m && d.mnemonic == ZYDIS_MNEMONIC_MOV && d.operand_width == 64) {
		if (o[1].type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr(o[1].reg.value))
			return value_of(t, gpr(o[1].reg.value), m, depth - 1, ret);
		return o[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		       address_of(t, &d, &o[1], m, depth - 1, ret) &&
		       vl_native_read(t->e, *ret, ret, sizeof(*ret), false);
	}
	if (m)
		return false;
	/* It has the value that it has now, if nothing changes it from there on. */
	for (m = at; m <= t->last; m++)
		if (m->va != t->last->va &&
		    (!decode(t->e, m->va, &later, o) || changes(&later, o) >> reg & 1))
			return false;
	*ret = VL_CTL->regs[reg];
	return true;
}

static bool begins_block(const struct vl_executor_state *e, const struct vl_native_mark *m)
{
	return vl_native_block(e, m->va) == VL_NATIVE_CODE + m->code;
}

/* Where the branch at mark @site took the address @to from; 0: it is not known. */
static uint64_t find_slot(struct vl_executor_state *e, const struct vl_native_mark *site,
			  uint64_t to)
{
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	struct trace t = { e, site, site };
	ZydisDecodedInstruction d;
	unsigned reg, depth;
	uint64_t slot, value;

	while (t.first > e->marks && !begins_block(e, t.first))
		t.first--;
	if (!decode(e, site->va, &d, o))
		return 0;
	if (o[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
		return address_of(&t, &d, &o[0], site, TRACE_DEPTH, &slot) ? slot : 0;
	/* Through a register, which a thunk can have in its name: it holds the target now. */
	for (reg = 0; reg < VL_NR_GPR && VL_CTL->regs[reg] != to; reg++)
		;
	if (reg == VL_NR_GPR)
		return 0;
	for (depth = TRACE_DEPTH; depth; depth--) {
		site = setter(&t, reg, site, &d, o);
		if (!site || d.mnemonic != ZYDIS_MNEMONIC_MOV || d.operand_width != 64)
			return 0;
		if (o[1].type == ZYDIS_OPERAND_TYPE_MEMORY)
			break;
		if (o[1].type != ZYDIS_OPERAND_TYPE_REGISTER || !is_gpr(o[1].reg.value))
			return 0;
		reg = gpr(o[1].reg.value);
	}
	return depth && address_of(&t, &d, &o[1], site, TRACE_DEPTH, &slot) &&
			       vl_native_read(e, slot, &value, sizeof(value), false) &&
			       value == to ?
		       slot :
		       0;
}

/* The call that led to the thunk which has the branch at @from; NULL: there is none. */
static const struct vl_native_mark *thunk_call(struct vl_executor_state *e, uint64_t from)
{
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t sp = VL_CTL->regs[VL_RSP], to;
	const struct vl_native_mark *m;
	ZydisDecodedInstruction d;

	if (vl_native_which_stack(e, sp) < 0 || vl_native_which_stack(e, sp + 8) < 0)
		return NULL;
	m = vl_native_mark_at(e, *vl_native_shadow(sp) - 1);
	if (!m || !decode(e, m->va, &d, o) || d.mnemonic != ZYDIS_MNEMONIC_CALL ||
	    o[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return NULL;
	to = m->va + d.length + (uint64_t)o[0].imm.value.s;
	return from - to < THUNK_SIZE ? m : NULL;
}

/* --- the questions --- */

static void stop(struct vl_executor_state *e, const struct vl_step *s)
{
	struct vl_native_ctl *ctl = VL_CTL;

	e->control.left = *s;
	ctl->kind = VL_NATIVE_LEFT;
	ctl->va = s->from ? s->from : s->to;
}

void vl_native_left(struct vl_executor_state *e, enum vl_way way, uint64_t from, uint64_t to)
{
	stop(e, &(struct vl_step){ way, from, to, 0 });
}

bool vl_native_may_go_on(struct vl_executor_state *e, uint64_t va)
{
	const struct vl_native_mark *m;

	if (!vl_native_is_kept(e) || va == e->st.return_va || e->st.control->is_code(e->st.ctx, va))
		return true;
	/* The displacement to fill in is the branch's. */
	m = VL_CTL->patch > VL_PATCH_STACK ? vl_native_mark_at(e, VL_CTL->patch) : NULL;
	vl_native_left(e, VL_WAY_ON, m ? m->va : 0, va);
	return false;
}

static bool is_entry(const struct vl_executor_state *e, uint64_t va)
{
	return e->st.control->is_entry(e->st.ctx, va);
}

bool vl_native_may_start(struct vl_executor_state *e, uint64_t va, uint64_t sp)
{
	unsigned depth = e->pending < VL_NATIVE_DEPTH ? e->pending : VL_NATIVE_DEPTH - 1;
	struct vl_step s = { VL_WAY_START, e->control.stopped[depth], va, 0 };
	uint64_t low = sp >= 1UL << 63 ? vl_native_put_stack(e, sp) : sp;
	const struct vl_native_mark *m;

	if (!vl_native_is_kept(e) || is_entry(e, va))
		return true;
	/* The instruction again, or the next one. */
	if (s.from && va - s.from <= INSN_MAX)
		return true;
	/* The caller has made a return. */
	if (low && vl_native_which_stack(e, low - 8) >= 0) {
		m = vl_native_mark_at(e, *vl_native_shadow(low - 8));
		if (m && m->va == va)
			return true;
	}
	if (e->st.control->elsewhere(e->st.ctx, &s) == va)
		return true;
	stop(e, &s);
	return false;
}

uint64_t vl_native_branch(struct vl_executor_state *e, uint64_t va, bool *any_ret)
{
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	struct vl_step s = { VL_WAY_JUMP, asked_from(e), va, 0 };
	const struct vl_native_mark *site;
	ZydisDecodedInstruction d;
	uint64_t to;

	*any_ret = !vl_native_is_kept(e) || is_entry(e, va);
	if (*any_ret)
		return va;
	site = thunk_call(e, s.from);
	if (site) {
		s.way = VL_WAY_CALL;
		s.from = site->va;
	} else {
		site = vl_native_mark_at(e, VL_CTL->from);
		if (decode(e, s.from, &d, o) && d.mnemonic == ZYDIS_MNEMONIC_CALL)
			s.way = VL_WAY_CALL;
	}
	if (site)
		s.slot = find_slot(e, site, va);
	to = e->st.control->elsewhere(e->st.ctx, &s);
	if (!to)
		stop(e, &s);
	return to;
}
