/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emit machine code. The code of these functions changes no flags of the guest. */
#ifndef VLENS_NATIVE_EMIT_H
#define VLENS_NATIVE_EMIT_H

#include <string.h>

#include "native.h"

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

#endif
