/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block while it is translated: what blocks.c and translate.c share. */
#ifndef VLENS_NATIVE_BLOCK_H
#define VLENS_NATIVE_BLOCK_H

#include <Zydis/Zydis.h>

#include "emit.h"

/* Instructions of one block, and jumps out of it. */
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
	unsigned checked; /* registers that are known to lead to nothing of ours, a bit each */
	bool ended;
	bool refused; /* there was an instruction that is not understood */
};

/* --- translate.c --- */

/* Emit what the instruction of @b does; the last one of a block sets @b->ended. */
void block_translate(struct block *b);

/* --- check.c --- */

/*
 * Emit what makes a fault of the accesses of @b's instruction that lead to what is ours. It
 * stands before all else that is emitted for the access. False: cannot be done, or it is one.
 */
bool block_check(struct block *b);
/* The instruction has been translated: forget what it makes unknown. */
void block_checked(struct block *b);

/* --- blocks.c --- */

/* What is emitted from here on is of the instruction of @b. False: no memory. */
bool block_mark(struct block *b, enum vl_native_state state);

/* Back to C, at @va. */
void block_leave(struct block *b, enum vl_native_kind kind, uint64_t va);
/* An exception with @vector, at @va. */
void block_except(struct block *b, unsigned vector, uint64_t va);
/* The instruction is not understood. */
void block_refuse(struct block *b);

/* Emit a displacement that leads to the code of @va. */
void block_exit_here(struct block *b, uint64_t va);
/* Emit a jump there. */
void block_jump_to(struct block *b, uint64_t va);

#endif
