/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that sites consist of, and those like them. */
#include <stdlib.h>
#include <string.h>

#include "../../src/base/array.h"
#include "../../src/trust/insn.h"
#include "tap.h"

#define VA 0xffffffffc0100000UL

static void test_insns(void)
{
	static const struct {
		const char *code;
		size_t len; /* of the code */
		enum vl_insn_kind kind;
		uint8_t is; /* the instruction's length; 0: it is none */
		int64_t target;
	} insns[] = {
		{ "\x90", 1, VL_INSN_NOP, 1, 0 },
		{ "\xcc\xcc", 2, VL_INSN_BREAK, 1, 0 },
		{ "\xc3\xcc", 2, VL_INSN_RETURN, 1, 0 },
		{ "\x0f\x1f\x44\x00\x00\xc3", 6, VL_INSN_NOP, 5, 0 },
		{ "\xe8\x10\x00\x00\x00", 5, VL_INSN_CALL, 5, 0x15 },
		{ "\xe9\xf0\xff\xff\xff\x90", 6, VL_INSN_JUMP, 5, -11 },
		/* Like these, but other ones. */
		{ "\xf3\xc3", 2, VL_INSN_RETURN, 2, 0 },
		{ "\x66\x90", 2, VL_INSN_NOP, 2, 0 },
		{ "\xf3\x90", 2, VL_INSN_OTHER, 2, 0 },
		{ "\x41\x90", 2, VL_INSN_OTHER, 2, 0 },
		{ "\x0f\x1f\x44\x00\x01", 5, VL_INSN_NOP, 5, 0 },
		{ "\x0f\x1f\x40\x00\xe8", 5, VL_INSN_NOP, 4, 0 },
		{ "\xeb\x10\x00\x00\x00", 5, VL_INSN_JUMP, 2, 0x12 },
		{ "\xe8\x10\x00\x00", 4, VL_INSN_OTHER, 0, 0 },
		{ "\x0f\x1f\x44\x00", 4, VL_INSN_OTHER, 0, 0 },
		{ "", 0, VL_INSN_OTHER, 0, 0 },
	};
	bool good = true;

	for (size_t k = 0; k < ARRAY_SIZE(insns); k++) {
		unsigned char *code = malloc(insns[k].len + 1);
		struct vl_insn i;
		bool found;

		/* A copy of just these bytes, so that a read behind them is found. */
		memcpy(code + 1, insns[k].code, insns[k].len);
		found = vl_insn(code + 1, insns[k].len, VA, &i);
		good &= found ? i.len == insns[k].is && i.kind == insns[k].kind &&
					i.target == (insns[k].target ?
							     VA + (uint64_t)insns[k].target :
							     0) :
				!insns[k].is;
		free(code);
	}
	ok(good, "common instructions, and those like them, are what they are");
}

int main(void)
{
	test_insns();
	return tap_end();
}
