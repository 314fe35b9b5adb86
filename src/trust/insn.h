/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes the parts of an x86-64 instruction that the comparison of texts needs. */
#ifndef VLENS_TRUST_INSN_H
#define VLENS_TRUST_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vl_insn_kind {
	VL_INSN_OTHER,
	VL_INSN_NOP,
	VL_INSN_BREAK,	       /* int3 */
	VL_INSN_CALL,	       /* direct */
	VL_INSN_JUMP,	       /* direct */
	VL_INSN_BRANCH,	       /* direct and conditional */
	VL_INSN_CALL_REGISTER, /* through a register */
	VL_INSN_JUMP_REGISTER,
	VL_INSN_RETURN,
	VL_INSN_FENCE, /* lfence */
};

struct vl_insn {
	uint8_t len;
	enum vl_insn_kind kind;
	uint64_t target;    /* of CALL, JUMP, BRANCH */
	uint8_t condition;  /* of BRANCH: the low four bits of its opcode */
	uint8_t number;	    /* of *_REGISTER */
	uint8_t relative;   /* offset of a RIP-relative displacement of 4 bytes; 0: none */
	uint64_t refers_to; /* the address that it refers to */
};

/* Decode the instruction at @va from @code, @len bytes. False: they are not an instruction. */
bool vl_insn(const unsigned char *code, size_t len, uint64_t va, struct vl_insn *ret);

#endif
