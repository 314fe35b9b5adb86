/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block while it is translated: what blocks.c and translate.c share. */
#ifndef VLENS_NATIVE_BLOCK_H
#define VLENS_NATIVE_BLOCK_H

#include <Zydis/Zydis.h>
#include <string.h>

#include "native.h"

/* Emit machine code. The code of these functions changes no flags of the guest. */

static inline void emit(struct vl_executor_state *e, const void *bytes, size_t len)
{
	memcpy(e->cursor, bytes, len);
	e->cursor += len;
}

static inline void emit1(struct vl_executor_state *e, unsigned byte)
{
	*e->cursor++ = (unsigned char)byte;
}

static inline void emit4(struct vl_executor_state *e, uint32_t v)
{
	emit(e, &v, sizeof(v));
}

static inline void emit8(struct vl_executor_state *e, uint64_t v)
{
	emit(e, &v, sizeof(v));
}

/* mov %reg,ctl+@field and back: ModRM with a SIB that has neither base nor index. */
static inline void emit_store(struct vl_executor_state *e, unsigned reg, unsigned field)
{
	emit1(e, reg >= 8 ? 0x4c : 0x48);
	emit1(e, 0x89);
	emit1(e, (reg & 7) << 3 | 4);
	emit1(e, 0x25);
	emit4(e, VL_NATIVE_CTL + field);
}

static inline void emit_load(struct vl_executor_state *e, unsigned reg, unsigned field)
{
	emit1(e, reg >= 8 ? 0x4c : 0x48);
	emit1(e, 0x8b);
	emit1(e, (reg & 7) << 3 | 4);
	emit1(e, 0x25);
	emit4(e, VL_NATIVE_CTL + field);
}

/* movl ctl+@field,%reg, which clears the upper half. @reg is none of r8 to r15. */
static inline void emit_load32(struct vl_executor_state *e, unsigned reg, unsigned field)
{
	emit1(e, 0x8b);
	emit1(e, reg << 3 | 4);
	emit1(e, 0x25);
	emit4(e, VL_NATIVE_CTL + field);
}

/* movq $imm,ctl+@field, the number sign-extended */
static inline void emit_set(struct vl_executor_state *e, unsigned field, uint32_t imm)
{
	emit(e, "\x48\xc7\x04\x25", 4);
	emit4(e, VL_NATIVE_CTL + field);
	emit4(e, imm);
}

/* Is @va a sign-extended 32-bit number? */
static inline bool emit_fits_imm32(uint64_t va)
{
	return (uint64_t)(int64_t)(int32_t)va == va;
}

/* ctl+@field = @va */
static inline void emit_set_va(struct vl_executor_state *e, unsigned field, uint64_t va)
{
	if (emit_fits_imm32(va)) {
		emit_set(e, field, (uint32_t)va);
		return;
	}
	emit_store(e, 0, CTL_RAX);
	emit(e, "\x48\xb8", 2); /* movabs $va,%rax */
	emit8(e, va);
	emit_store(e, 0, field);
	emit_load(e, 0, CTL_RAX);
}

/* jmp or call *ctl+@field */
static inline void emit_jump_by(struct vl_executor_state *e, unsigned field, bool call)
{
	emit1(e, 0xff);
	emit1(e, call ? 0x14 : 0x24);
	emit1(e, 0x25);
	emit4(e, VL_NATIVE_CTL + field);
}

/* Fill in the 32-bit displacement at @at, so that it leads to @to. */
static inline void emit_fix(unsigned char *at, uint64_t to)
{
	uint32_t rel = (uint32_t)(to - ((uint64_t)at + 4));

	memcpy(at, &rel, sizeof(rel));
}

/* Limits of one block: its instructions, and the jumps out of it. */
#define BLOCK_INSNS 96
#define BLOCK_EXITS (2 * BLOCK_INSNS)

#define INSN_MAX 15

/* Bytes of the guest's text that are read at once. */
#define TEXT_MAX 256

struct block_exit {
	unsigned char *at; /* a displacement to fill in */
	uint64_t va;
};

/* An instruction of the block that is translated. */
struct block_insn {
	uint64_t va, code;
	/* It relies on a check of a register by an instruction before it: no jump may lead here. */
	bool relies;
};

struct block {
	struct vl_executor_state *e;
	uint64_t va; /* of the instruction */
	unsigned char in[INSN_MAX + 1];
	ZydisDecodedInstruction d;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	struct block_exit exits[BLOCK_EXITS];
	size_t nr_exits;
	struct block_insn insns[BLOCK_INSNS];
	size_t nr_insns;
	unsigned checked;	      /* a bit for each register that was looked up */
	size_t checked_by[VL_NR_GPR]; /* and the number of insns up to that one */
	unsigned char text[TEXT_MAX];
	uint64_t text_va;
	size_t text_len;
	bool ended;
	bool refused; /* it has an instruction that is not understood */
};

/* --- translate.c --- */

/* Translate the instruction of @b; the last one of a block sets @b->ended. */
void block_translate(struct block *b);

static inline unsigned block_reg(const ZydisDecodedOperand *o)
{
	return (unsigned)ZydisRegisterGetId(o->reg.value);
}

bool block_has_prefix(const struct block *b, unsigned byte);

/*
 * Emit the instruction with segment prefix @segment (0: none). An address relative to rip
 * becomes absolute. If @opcode is not 0, it replaces the instruction's own, with the ModRM
 * register field @reg, REX.W and no other prefix. False: cannot be done.
 */
bool block_with_segment(struct block *b, unsigned segment, unsigned opcode, unsigned reg);

/* --- branch.c --- */

/* Direct and indirect jumps and calls; conditional ones; returns. */
void block_branch(struct block *b);
void block_conditional(struct block *b);
void block_ret(struct block *b);
/*
 * mov %reg,(%rsp); ret: a retpoline's jump to the address in a register. Emitted as it is, the
 * ret would go to the guest's address, and fault. False: it is another instruction.
 */
bool block_retpoline(struct block *b);
/* Does the instruction set rsp to more than what a function's frame needs? */
bool block_sets_stack(const struct block *b);
/* After an instruction that sets rsp: go on by C code, which looks at rsp. */
void block_look_at_stack(struct block *b);

/* --- check.c --- */

/*
 * Emit checks that make accesses of @b's instruction to our memory fault. They come before all
 * other code for the access. False: it cannot be checked, or always leads to our memory.
 */
bool block_check(struct block *b);
/* After an instruction: forget the checks of registers that it changes. */
void block_checked(struct block *b);

/* --- blocks.c --- */

/* Mark the code from here on as that of @b's instruction. False: no memory. */
bool block_mark(struct block *b, enum vl_native_state state);

/* Emit a return to C, with the guest at @va. */
void block_leave(struct block *b, enum vl_native_kind kind, uint64_t va);
/* Emit an exception with @vector, with the guest at @va. */
void block_except(struct block *b, unsigned vector, uint64_t va);
/* Emit the end of a run at an instruction that is not understood. */
void block_refuse(struct block *b);

/* Emit a displacement that leads to the code of @va. */
void block_exit_here(struct block *b, uint64_t va);
/* Emit a jump to the code of @va. */
void block_jump_to(struct block *b, uint64_t va);

#endif
