/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block while it is translated: what blocks.c and translate.c share. */
#ifndef VLENS_NATIVE_BLOCK_H
#define VLENS_NATIVE_BLOCK_H

#include <Zydis/Zydis.h>

#include "emit.h"

/* Limits of one block: its instructions, and the jumps out of it. */
#define BLOCK_INSNS 96
#define BLOCK_EXITS (2 * BLOCK_INSNS)

#define INSN_MAX 15

struct block_exit {
	unsigned char *at; /* a displacement to fill in */
	uint64_t va;
};

struct block {
	struct vl_executor_state *e;
	uint64_t va; /* of the instruction */
	unsigned char in[INSN_MAX + 1];
	ZydisDecodedInstruction d;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	struct block_exit exits[BLOCK_EXITS];
	size_t nr_exits;
	unsigned checked; /* a bit for each register that was looked up */
	bool ended;
	bool refused; /* it has an instruction that is not understood */
};

/* --- translate.c --- */

/* Translate the instruction of @b; the last one of a block sets @b->ended. */
void block_translate(struct block *b);

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
