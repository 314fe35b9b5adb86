/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "insn.h"

#include <Zydis/Zydis.h>
#include <string.h>

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

bool vl_insn(const unsigned char *code, size_t len, uint64_t va, struct vl_insn *ret)
{
	ZydisDecodedInstruction i;
	ZydisDecoder d;

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
