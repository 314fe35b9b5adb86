/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of accesses to our memory. The guest has nothing mapped there, so to it they are page
 * faults.
 *
 * The flags hold the guest's values, so no comparison is emitted. The code reads the byte at
 * VL_NATIVE_WALL - 1 plus the table's entry. An entry of 1 hits the page without access, and
 * the signal handler works out the guest's address.
 */
#include "block.h"

enum { RCX = 1, RDX = 2, RSP = 4, NONE = 4 };

static unsigned gpr(ZydisRegister r)
{
	return (unsigned)ZydisRegisterGetId(r);
}

/* lea disp(%base,%index,scale),%rcx */
static void emit_address(struct vl_executor_state *e, const ZydisDecodedOperandMem *m)
{
	bool base = m->base != ZYDIS_REGISTER_NONE, index = m->index != ZYDIS_REGISTER_NONE;
	unsigned b = base ? gpr(m->base) : 5, i = index ? gpr(m->index) : NONE, scale = 0;

	while (index && 1U << scale < m->scale)
		scale++;
	emit1(e, 0x48 | (i >= 8) << 1 | (b >= 8));
	emit1(e, 0x8d);
	emit1(e, (base ? 0x80 : 0) | RCX << 3 | 4);
	emit1(e, scale << 6 | (i & 7) << 3 | (b & 7));
	emit4(e, (uint32_t)m->disp.value);
}

/* Look up the address in ctl+@field. Changes rcx. */
static void emit_look_up(struct vl_executor_state *e, unsigned field)
{
	emit(e, "\x0f\xb7\x0c\x25", 4); /* movzwl ctl+field+5,%ecx */
	emit4(e, VL_NATIVE_CTL + field + VL_NATIVE_TIB / 8);
	emit(e, "\x0f\xb6\x89", 3); /* movzbl barred(%rcx),%ecx */
	emit4(e, VL_NATIVE_BARRED);
	emit(e, "\x8a\x89", 2); /* mov wall-1(%rcx),%cl */
	emit4(e, VL_NATIVE_WALL - 1);
}

static bool check_register(struct block *b, unsigned reg)
{
	struct vl_executor_state *e = b->e;
	bool good;

	if (b->checked >> reg & 1) {
		for (size_t i = b->checked_by[reg]; i < b->nr_insns; i++)
			b->insns[i].relies = true;
		return true;
	}
	b->checked |= 1U << reg;
	b->checked_by[reg] = b->nr_insns;
	emit_store(e, RCX, CTL_CHECK_RCX);
	if (reg != RCX)
		emit_store(e, reg, CTL_CHECK);
	good = block_mark(b, VL_STATE_CHECK);
	emit_look_up(e, reg == RCX ? CTL_CHECK_RCX : CTL_CHECK);
	emit_load(e, RCX, CTL_CHECK_RCX);
	return block_mark(b, VL_STATE_PLAIN) && good;
}

static bool check_sum(struct block *b, const ZydisDecodedOperandMem *m)
{
	bool percpu = m->segment == ZYDIS_REGISTER_GS, good = true;
	struct vl_executor_state *e = b->e;

	emit_store(e, RCX, CTL_CHECK_RCX);
	if (percpu)
		emit_store(e, RDX, CTL_CHECK_RDX);
	good &= block_mark(b, percpu ? VL_STATE_CHECK_PERCPU : VL_STATE_CHECK);
	emit_address(e, m);
	if (percpu) {
		emit_load(e, RDX, CTL_PERCPU);
		emit(e, "\x48\x8d\x0c\x11", 4); /* lea (%rcx,%rdx),%rcx */
		emit_load(e, RDX, CTL_CHECK_RDX);
	}
	emit_store(e, RCX, CTL_CHECK);
	emit_look_up(e, CTL_CHECK);
	emit_load(e, RCX, CTL_CHECK_RCX);
	return block_mark(b, VL_STATE_PLAIN) && good;
}

static bool check_operand(struct block *b, const ZydisDecodedOperandMem *m)
{
	if (m->type == ZYDIS_MEMOP_TYPE_VSIB)
		return false;
	/* Only movabs has a constant address that is not near the code or below 2 GiB. */
	if (m->base == ZYDIS_REGISTER_RIP ||
	    (m->base == ZYDIS_REGISTER_NONE && m->index == ZYDIS_REGISTER_NONE)) {
		if (emit_fits_imm32((uint64_t)m->disp.value))
			return true;
		b->e->bound = true;
		return !*vl_native_barred((uint64_t)m->disp.value);
	}
	/* rsp is not looked up: push and pop use the same addresses without a check. */
	if (m->base == ZYDIS_REGISTER_RSP && m->index == ZYDIS_REGISTER_NONE)
		return true;
	if (m->base != ZYDIS_REGISTER_NONE && m->index == ZYDIS_REGISTER_NONE &&
	    m->segment != ZYDIS_REGISTER_GS && m->disp.value > -VL_NATIVE_NEAR &&
	    m->disp.value < VL_NATIVE_NEAR)
		return check_register(b, gpr(m->base));
	return check_sum(b, m);
}

bool block_check(struct block *b)
{
	/* These never fault. */
	if (b->d.meta.category == ZYDIS_CATEGORY_PREFETCH)
		return true;
	for (unsigned i = 0; i < b->d.operand_count; i++)
		if (b->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    b->o[i].mem.type != ZYDIS_MEMOP_TYPE_AGEN && !check_operand(b, &b->o[i].mem))
			return false;
	return true;
}

void block_checked(struct block *b)
{
	if (b->d.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
	    b->d.meta.category == ZYDIS_CATEGORY_STRINGOP)
		b->checked = 0;
	for (unsigned i = 0; i < b->d.operand_count; i++) {
		const ZydisDecodedOperand *o = &b->o[i];
		ZydisRegister r;

		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		r = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value);
		if (ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_GPR64)
			b->checked &= ~(1U << gpr(r));
	}
}
