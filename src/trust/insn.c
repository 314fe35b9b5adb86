/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "insn.h"

#include <Zydis/Zydis.h>
#include <string.h>

#include "../base/array.h"

static bool is_jcc(const ZydisDecodedInstruction *i)
{
	return (i->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (i->opcode & 0xf0) == 0x70) ||
	       (i->opcode_map == ZYDIS_OPCODE_MAP_0F && (i->opcode & 0xf0) == 0x80);
}

static enum vl_insn_kind kind_of(const ZydisDecodedInstruction *i)
{
	bool direct = i->raw.imm[0].size && i->raw.imm[0].is_relative;
	bool by_register = i->opcode == 0xff && i->raw.modrm.mod == 3;

	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
		return VL_INSN_NOP;
	case ZYDIS_MNEMONIC_INT3:
		return VL_INSN_BREAK;
	case ZYDIS_MNEMONIC_CALL:
		return direct ? VL_INSN_CALL : by_register ? VL_INSN_CALL_REGISTER : VL_INSN_OTHER;
	case ZYDIS_MNEMONIC_JMP:
		return direct ? VL_INSN_JUMP : by_register ? VL_INSN_JUMP_REGISTER : VL_INSN_OTHER;
	case ZYDIS_MNEMONIC_RET:
		return i->opcode == 0xc3 ? VL_INSN_RETURN : VL_INSN_OTHER;
	case ZYDIS_MNEMONIC_LFENCE:
		return VL_INSN_FENCE;
	default:
		return direct && is_jcc(i) ? VL_INSN_BRANCH : VL_INSN_OTHER;
	}
}

/*
 * The instructions that most sites hold, without the decoder: it takes longer than all else that a
 * comparison does.
 */
static bool is_common(const unsigned char *code, size_t len, uint64_t va, struct vl_insn *ret)
{
	/* The kernel's own, by length (arch/x86/include/asm/nops.h). */
	static const unsigned char nops[][9] = {
		{ 0x90 },
		{ 0x66, 0x90 },
		{ 0x0f, 0x1f, 0x00 },
		{ 0x0f, 0x1f, 0x40, 0x00 },
		{ 0x0f, 0x1f, 0x44, 0x00, 0x00 },
		{ 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
		{ 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
		{ 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	};
	size_t rex = len && code[0] == 0x41;
	int32_t distance;

	*ret = (struct vl_insn){ .len = 1 };
	if (!len)
		return false;
	switch (code[0]) {
	case 0xc3:
		ret->kind = VL_INSN_RETURN;
		return true;
	case 0xcc:
		ret->kind = VL_INSN_BREAK;
		return true;
	case 0x90:
	case 0x66:
	case 0x0f:
		ret->kind = VL_INSN_NOP;
		for (size_t n = 1; n <= ARRAY_SIZE(nops) && n <= len; n++) {
			ret->len = (uint8_t)n;
			if (code[0] == nops[n - 1][0] && code[n - 1] == nops[n - 1][n - 1] &&
			    !memcmp(code, nops[n - 1], n))
				return true;
		}
		return false;
	default:
		break;
	}
	/* call or jmp through a register */
	if (len >= 2 + rex && code[rex] == 0xff &&
	    ((code[rex + 1] & 0xf8) == 0xd0 || (code[rex + 1] & 0xf8) == 0xe0)) {
		ret->len = (uint8_t)(2 + rex);
		ret->kind = (code[rex + 1] & 0xf8) == 0xd0 ? VL_INSN_CALL_REGISTER :
							     VL_INSN_JUMP_REGISTER;
		ret->number = (uint8_t)((code[rex + 1] & 7) | rex << 3);
		return true;
	}
	if (len < 5 || (code[0] != 0xe8 && code[0] != 0xe9))
		return false;
	ret->len = 5;
	memcpy(&distance, code + 1, sizeof(distance));
	ret->kind = code[0] == 0xe8 ? VL_INSN_CALL : VL_INSN_JUMP;
	ret->target = va + 5 + (uint64_t)(int64_t)distance;
	return true;
}

bool vl_insn(const unsigned char *code, size_t len, uint64_t va, struct vl_insn *ret)
{
	ZydisDecodedInstruction i;
	ZydisDecoder d;

	if (is_common(code, len, va, ret))
		return true;
	if (ZYAN_FAILED(ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeInstruction(&d, NULL, code, len, &i)))
		return false;
	*ret = (struct vl_insn){ .len = i.length, .kind = kind_of(&i) };
	switch (ret->kind) {
	case VL_INSN_CALL:
	case VL_INSN_JUMP:
	case VL_INSN_BRANCH:
		ret->target = va + i.length + (uint64_t)i.raw.imm[0].value.s;
		ret->condition = ret->kind == VL_INSN_BRANCH ? i.opcode & 15 : 0;
		break;
	case VL_INSN_CALL_REGISTER:
	case VL_INSN_JUMP_REGISTER:
		ret->number = (uint8_t)(i.raw.modrm.rm | i.raw.rex.B << 3);
		break;
	default:
		break;
	}
	if (i.attributes & ZYDIS_ATTRIB_HAS_MODRM && !i.raw.modrm.mod && i.raw.modrm.rm == 5 &&
	    i.raw.disp.size == 32) {
		ret->relative = i.raw.disp.offset;
		ret->refers_to = va + i.length + (uint64_t)i.raw.disp.value;
	}
	return true;
}
