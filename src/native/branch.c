/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translates the instructions that change where control goes, or the stack. */
#include "block.h"

#define CALL_DIRECT 5 /* bytes of the call that is emitted */
#define CALL_INDIRECT 7
#define ENDBR_SIZE 4

/* Note the return address of the call of @len bytes that is emitted next. */
static void note_return(struct block *b, unsigned len)
{
	struct vl_executor_state *e = b->e;

	if (!vl_native_is_kept(e))
		return;
	emit(e, "\x48\xc7\x84\x24", 4); /* movq $return,shadow-8(%rsp) */
	emit4(e, VL_NATIVE_SHADOW - 8);
	emit4(e, (uint32_t)(uint64_t)e->cursor + 4 + len);
}

/* Note which emitted code a question to C code comes from. */
static void note_from(struct block *b)
{
	if (vl_native_is_kept(b->e))
		emit_set(b->e, CTL_FROM, (uint32_t)(uint64_t)b->e->cursor);
}

/* Go to the address in rax. The guest's rax is in ctl. */
static void go_indirect(struct block *b, bool call)
{
	if (call) {
		block_mark(b, VL_STATE_RAX);
		note_return(b, CALL_INDIRECT);
	}
	emit_jump_by(b->e, CTL_INDIRECT, call);
}

static void indirect_by_register(struct block *b, unsigned reg, bool call)
{
	struct vl_executor_state *e = b->e;

	note_from(b);
	emit_store(e, 0, CTL_RAX);
	if (reg) {
		/* mov %reg,%rax */
		emit1(e, reg >= 8 ? 0x4c : 0x48);
		emit1(e, 0x89);
		emit1(e, 0xc0 | (reg & 7) << 3);
	}
	go_indirect(b, call);
}

static void indirect(struct block *b, bool call)
{
	const ZydisDecodedOperand *o = &b->o[0];

	if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->size == 64) {
		unsigned reg = block_reg(o);

		/* no kernel has call *%rsp */
		if (reg == 4)
			block_refuse(b);
		else
			indirect_by_register(b, reg, call);
	} else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->size == 64) {
		note_from(b);
		emit_store(b->e, 0, CTL_RAX);
		/* mov MEM,%rax */
		if (block_with_segment(b, o->mem.segment == ZYDIS_REGISTER_GS ? 0x64 : 0x65, 0x8b,
				       0))
			go_indirect(b, call);
		else
			block_refuse(b);
	} else {
		block_refuse(b);
	}
	if (!call)
		b->ended = true;
}

/*
 * Can the function at @to use the return address of the call? ftrace and BPF call generated code at
 * the start of a function, and that code finds the function by it. Such code lies outside of the
 * kernel's image, like modules. The image seldom calls a module directly.
 */
static bool uses_return(const struct block *b, uint64_t to)
{
	const struct vl_vcpu_state *st = &b->e->st;
	bool is_first =
		b->nr_insns == 1 || (b->nr_insns == 2 && b->va - b->insns[0].va == ENDBR_SIZE);

	for (size_t i = 0; i < VL_NR_USE_RETURN; i++)
		if (st->use_return[i] && to == st->use_return[i])
			return true;
	return st->code_from && to >= st->code_from && (b->va < st->code_from || is_first);
}

/*
 * A call whose return address is the guest's. The return faults, and goes on at the emitted code.
 * False: the address does not fit.
 */
static bool call_as_guest(struct block *b, uint64_t to)
{
	uint64_t back = b->va + b->d.length;

	if (!emit_fits_imm32(back))
		return false;
	emit1(b->e, 0x68); /* push $back */
	emit4(b->e, (uint32_t)back);
	block_jump_to(b, to);
	return true;
}

void block_branch(struct block *b)
{
	bool call = b->d.mnemonic == ZYDIS_MNEMONIC_CALL;
	uint64_t to = b->va + b->d.length + (uint64_t)b->o[0].imm.value.s;

	if (b->o[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		indirect(b, call);
		return;
	}
	if (call) {
		/* Where control is kept, a return must match its call: nothing attached runs. */
		if (!vl_native_is_kept(b->e) && uses_return(b, to) && call_as_guest(b, to))
			return;
		note_return(b, CALL_DIRECT);
		emit1(b->e, 0xe8);
		block_exit_here(b, to);
	} else {
		block_jump_to(b, to);
		b->ended = true;
	}
}

void block_conditional(struct block *b)
{
	uint64_t to = b->va + b->d.length + (uint64_t)b->o[0].imm.value.s;
	struct vl_executor_state *e = b->e;

	if (block_has_prefix(b, 0x67)) {
		block_refuse(b);
		return;
	}
	switch (b->d.mnemonic) {
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
		/* Short displacements only: they lead to a long jump, which a short one skips. */
		emit1(e, b->d.opcode);
		emit(e, "\x02\xeb\x05", 3);
		block_jump_to(b, to);
		return;
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
		block_refuse(b);
		return;
	default:
		emit1(e, 0x0f);
		emit1(e, 0x80 | (b->d.opcode & 15));
		block_exit_here(b, to);
	}
}

/* Jumps from a place of a return to the return, at most. */
#define RETURN_JUMPS 4

/*
 * Does the code at @va only return: by ret, or by a return thunk? That of a processor with the
 * flaw SRSO calls a function that drops the call's own return address and returns.
 */
static bool only_returns(struct vl_executor_state *e, uint64_t va)
{
	static const unsigned char drops[][6] = {
		{ 0x48, 0x8d, 0x64, 0x24, 0x08, 0xc3 }, /* lea 8(%rsp),%rsp; ret */
		{ 0x48, 0x83, 0xc4, 0x08, 0xc3 },	/* add $8,%rsp; ret */
	};

	for (unsigned i = 0; i < RETURN_JUMPS; i++) {
		unsigned char code[sizeof(drops[0])];
		bool call;
		int32_t rel;

		if (!vl_native_read(e, va, code, 1, true))
			return false;
		if (code[0] == 0xc3)
			return true;
		call = code[0] == 0xe8;
		if ((!call && code[0] != 0xe9) || !vl_native_read(e, va + 1, &rel, 4, true))
			return false;
		va += 5 + (uint64_t)(int64_t)rel;
		if (call)
			return vl_native_read(e, va, code, sizeof(code), true) &&
			       (!memcmp(code, drops[0], 6) || !memcmp(code, drops[1], 5));
	}
	return false;
}

bool block_retpoline(struct block *b)
{
	struct vl_executor_state *e = b->e;
	const ZydisDecodedOperand *o = b->o;
	uint64_t va = b->va + b->d.length;

	if (o[0].type != ZYDIS_OPERAND_TYPE_MEMORY || o[0].mem.base != ZYDIS_REGISTER_RSP ||
	    o[0].mem.index != ZYDIS_REGISTER_NONE || o[0].mem.disp.has_displacement ||
	    o[1].type != ZYDIS_OPERAND_TYPE_REGISTER || o[1].size != 64 || block_reg(&o[1]) == 4)
		return false;
	if (!only_returns(e, va))
		return false;
	emit(e, "\x48\x8d\x64\x24\x08", 5); /* lea 8(%rsp),%rsp */
	indirect_by_register(b, block_reg(&o[1]), false);
	b->ended = true;
	return true;
}

/* A return goes on only to where its call noted in the shadow of the stack. */
void block_ret(struct block *b)
{
	struct vl_executor_state *e = b->e;
	unsigned char *skip;

	if (vl_native_is_kept(e)) {
		emit_store(e, 1, CTL_RCX);
		emit_store(e, 2, CTL_RDX);
		block_mark(b, VL_STATE_RETURN);
		emit(e, "\x48\x8b\x0c\x24", 4); /* mov (%rsp),%rcx */
		emit(e, "\x48\x8b\x94\x24", 4); /* mov shadow(%rsp),%rdx */
		emit4(e, VL_NATIVE_SHADOW);
		emit(e, "\x48\xf7\xd2", 3);	    /* not %rdx */
		emit(e, "\x48\x8d\x4c\x11\x01", 5); /* lea 1(%rcx,%rdx),%rcx */
		emit_load(e, 2, CTL_RDX);
		emit(e, "\xe3", 1); /* jrcxz */
		skip = e->cursor;
		emit1(e, 0);
		emit_load(e, 1, CTL_RCX);
		block_leave(b, VL_NATIVE_UNRETURNED, b->va);
		*skip = (unsigned char)(e->cursor - (skip + 1));
		emit_load(e, 1, CTL_RCX);
		block_mark(b, VL_STATE_PLAIN);
	}
	emit(e, b->in, b->d.length);
	b->ended = true;
}

bool block_sets_stack(const struct block *b)
{
	const ZydisDecodedOperand *o = b->o;

	switch (b->d.mnemonic) {
	case ZYDIS_MNEMONIC_LEAVE:
		return true;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_AND:
		if (o[0].size == 64 && o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    o[1].imm.value.s > -VL_NATIVE_NEAR && o[1].imm.value.s < VL_NATIVE_NEAR)
			return false;
		break;
	case ZYDIS_MNEMONIC_LEA:
		if (o[0].size == 64 && o[1].mem.base == ZYDIS_REGISTER_RSP &&
		    o[1].mem.index == ZYDIS_REGISTER_NONE &&
		    o[1].mem.disp.value > -VL_NATIVE_NEAR && o[1].mem.disp.value < VL_NATIVE_NEAR)
			return false;
		break;
	default:
		break;
	}
	for (unsigned i = 0; i < b->d.operand_count; i++)
		if (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    o[i].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		    o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o[i].reg.value) ==
			    ZYDIS_REGISTER_RSP)
			return true;
	return false;
}

void block_look_at_stack(struct block *b)
{
	struct vl_executor_state *e = b->e;

	block_mark(b, VL_STATE_PLAIN);
	note_from(b);
	emit_set_va(e, CTL_VA, b->va + b->d.length);
	emit_set(e, CTL_PATCH, VL_PATCH_STACK);
	emit_jump_by(e, CTL_MISS, false);
	b->ended = true;
}
