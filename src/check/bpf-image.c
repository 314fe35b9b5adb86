/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compiled code of BPF. The compiler (arch/x86/net/bpf_jit_comp.c) makes few kinds of instructions,
 * and calls what the program calls. Code that an intruder has put there usually differs in both.
 */
#include "bpf-image.h"

#include <Zydis/Zydis.h>
#include <linux/bpf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/cleanup.h"

/*
 * JMP of register: instructions that newer headers have, the tail call, and src_reg of a kernel
 * function.
 */
#define GOTO_REGISTER 0x0d
#define CALL_REGISTER 0x8d
#define TAIL_CALL 0xf5
#define KERNEL_FUNCTION 2
/* A jump to a program enters it behind its first instructions: X86_TAIL_CALL_OFFSET. */
#define TAIL_MAX 64
/* push %rbp; mov %rsp,%rbp, behind at most this many instructions. */
#define BEFORE_FRAME 8

void vl_bpf_calls_deinit(struct vl_bpf_calls *c)
{
	free(c->v);
	*c = (struct vl_bpf_calls){ .nr = 0 };
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

bool vl_bpf_calls_init(const struct vl_checker *c, const struct bpf_insn *code, uint32_t len,
		       struct vl_bpf_calls *ret)
{
	uint64_t base = vl_symbol(c->k, "__bpf_call_base");
	size_t nr = 0;

	*ret = (struct vl_bpf_calls){ .any = !base };
	for (uint32_t i = 0; i < len; i++)
		nr += code[i].code == (BPF_JMP | BPF_CALL);
	ret->v = calloc(nr + 1, sizeof(*ret->v));
	if (!ret->v)
		return false;
	for (uint32_t i = 0; i < len; i++) {
		ret->jumps |= code[i].code == GOTO_REGISTER || code[i].code == TAIL_CALL;
		ret->any |= code[i].code == CALL_REGISTER;
		if (code[i].code != (BPF_JMP | BPF_CALL))
			continue;
		ret->any |= code[i].src_reg == KERNEL_FUNCTION;
		if (!code[i].src_reg)
			ret->v[ret->nr++] = base + (uint64_t)(int64_t)code[i].imm;
	}
	if (ret->nr)
		qsort(ret->v, ret->nr, sizeof(*ret->v), by_value);
	return true;
}

/* Does the compiler make such an instruction? */
static bool is_usual(ZydisMnemonic m)
{
	static const ZydisMnemonic usual[] = {
		ZYDIS_MNEMONIC_ADD,	ZYDIS_MNEMONIC_AND,    ZYDIS_MNEMONIC_BSWAP,
		ZYDIS_MNEMONIC_CALL,	ZYDIS_MNEMONIC_CDQ,    ZYDIS_MNEMONIC_CMP,
		ZYDIS_MNEMONIC_CMPXCHG, ZYDIS_MNEMONIC_CQO,    ZYDIS_MNEMONIC_DIV,
		ZYDIS_MNEMONIC_ENDBR64, ZYDIS_MNEMONIC_IDIV,   ZYDIS_MNEMONIC_IMUL,
		ZYDIS_MNEMONIC_INT3,	ZYDIS_MNEMONIC_JMP,    ZYDIS_MNEMONIC_LEA,
		ZYDIS_MNEMONIC_LEAVE,	ZYDIS_MNEMONIC_LFENCE, ZYDIS_MNEMONIC_MOV,
		ZYDIS_MNEMONIC_MOVBE,	ZYDIS_MNEMONIC_MOVSX,  ZYDIS_MNEMONIC_MOVSXD,
		ZYDIS_MNEMONIC_MOVZX,	ZYDIS_MNEMONIC_MUL,    ZYDIS_MNEMONIC_NEG,
		ZYDIS_MNEMONIC_NOP,	ZYDIS_MNEMONIC_OR,     ZYDIS_MNEMONIC_POP,
		ZYDIS_MNEMONIC_PUSH,	ZYDIS_MNEMONIC_RET,    ZYDIS_MNEMONIC_ROL,
		ZYDIS_MNEMONIC_ROR,	ZYDIS_MNEMONIC_SAR,    ZYDIS_MNEMONIC_SARX,
		ZYDIS_MNEMONIC_SHL,	ZYDIS_MNEMONIC_SHLX,   ZYDIS_MNEMONIC_SHR,
		ZYDIS_MNEMONIC_SHRX,	ZYDIS_MNEMONIC_SUB,    ZYDIS_MNEMONIC_TEST,
		ZYDIS_MNEMONIC_UD2,	ZYDIS_MNEMONIC_XADD,   ZYDIS_MNEMONIC_XCHG,
		ZYDIS_MNEMONIC_XOR,	ZYDIS_MNEMONIC_RDTSC,  ZYDIS_MNEMONIC_PAUSE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (usual[i] == m)
			return true;
	return false;
}

/* The compiler itself adds jumps and calls to the kernel's ways around flaws of processors. */
static bool is_compilers(const char *name)
{
	static const char *const own[] = { "__x86_", "clear_bhb_", "srso_",	 "retbleed_",
					   "its_",   "__bhi_",	   "call_depth_" };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (!strncmp(name, own[i], strlen(own[i])))
			return true;
	return false;
}

static bool is_called(const struct vl_bpf_calls *calls, uint64_t to)
{
	size_t at = vl_bisect(i, calls->nr, calls->v[i] < to);

	return calls->any || (at < calls->nr && calls->v[at] == to);
}

/* May compiled code jump to or call @to, outside of itself? */
static bool may_leave(const struct vl_checker *c, const struct vl_bpf_calls *calls, uint64_t to)
{
	const struct vl_place p = vl_place_of(&c->places, to);
	const struct vl_stub *stub;
	char name[VL_CHECK_TEXT];

	switch (p.kind) {
	case VL_PLACE_TEXT:
		vl_check_symbol(c, to, name);
		if (is_compilers(name))
			return true;
		/*
		 * If a program's instructions are not known, only the start of each function is.
		 */
		if (calls->classic)
			return !strncmp(name, "bpf_", 4) && !strchr(name, '+');
		return is_called(calls, to);
	case VL_PLACE_BPF:
		stub = vl_stub_at(&c->stubs, to);
		return stub && !calls->classic &&
		       (to - stub->start <= TAIL_MAX || vl_stub_is_entry(&c->stubs, to));
	case VL_PLACE_MODULE:
		return calls->any && vl_place_runs(&c->places, to);
	default:
		return false;
	}
}

/* One pass over compiled code. */
struct image {
	const struct vl_checker *c;
	const struct vl_bpf_calls *calls;
	uint64_t va;
	size_t len;
	unsigned char *starts; /* not 0: an instruction starts at this byte */
	char *says;	       /* of VL_CHECK_TEXT bytes: what was found */
	bool unsure;
};

static bool is_indirect(const ZydisDecodedInstruction *i)
{
	return (i->mnemonic == ZYDIS_MNEMONIC_CALL || i->mnemonic == ZYDIS_MNEMONIC_JMP) &&
	       !(i->raw.imm[0].size && i->raw.imm[0].is_relative);
}

/* Look at instruction @i at offset @at. False: no program has it. */
static bool see(struct image *m, const ZydisDecodedInstruction *i, size_t at)
{
	bool branch = i->raw.imm[0].size && i->raw.imm[0].is_relative;
	uint64_t to = m->va + at + i->length + (uint64_t)i->raw.imm[0].value.s;
	char place[VL_CHECK_TEXT];

	if (i->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) {
		snprintf(m->says, VL_CHECK_TEXT, "has a privileged instruction (%s)",
			 ZydisMnemonicGetString(i->mnemonic));
		return false;
	}
	if (is_indirect(i) &&
	    (i->mnemonic == ZYDIS_MNEMONIC_CALL ? !m->calls->any : !m->calls->jumps)) {
		snprintf(m->says, VL_CHECK_TEXT, "leads to a place in a register");
		return false;
	}
	if (branch && to - m->va >= m->len && !may_leave(m->c, m->calls, to)) {
		snprintf(m->says, VL_CHECK_TEXT, "leads to %.170s",
			 vl_check_describe(m->c, to, place));
		return false;
	}
	if (!branch && !is_usual(i->mnemonic)) {
		snprintf(m->says, VL_CHECK_TEXT, "has an unusual instruction (%s)",
			 ZydisMnemonicGetString(i->mnemonic));
		m->unsure = true;
	}
	return true;
}

/* Is the usual frame behind the first instructions of @code? */
static bool has_frame(const struct image *m, const unsigned char *code)
{
	static const unsigned char frame[] = { 0x55, 0x48, 0x89, 0xe5 };
	unsigned nr = 0;

	for (size_t i = 0; i + sizeof(frame) <= m->len && nr < BEFORE_FRAME; i++) {
		if (m->starts[i] && !memcmp(code + i, frame, sizeof(frame)))
			return true;
		nr += m->starts[i];
	}
	return false;
}

static enum vl_bpf_verdict look(struct image *m, const unsigned char *code, size_t room)
{
	ZydisDecodedInstruction i;
	ZydisDecoder d;

	if (ZYAN_FAILED(ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return VL_BPF_UNSURE;
	for (size_t at = 0; at < m->len; at += i.length) {
		if (ZYAN_FAILED(
			    ZydisDecoderDecodeInstruction(&d, NULL, code + at, room - at, &i))) {
			snprintf(m->says, VL_CHECK_TEXT, "has bytes that are not an instruction");
			return VL_BPF_WRONG;
		}
		m->starts[at] = 1;
		if (!see(m, &i, at))
			return VL_BPF_WRONG;
	}
	for (size_t at = 0; at < m->len; at += i.length) {
		uint64_t to;

		ZydisDecoderDecodeInstruction(&d, NULL, code + at, room - at, &i);
		to = at + i.length + (uint64_t)i.raw.imm[0].value.s;
		if (i.raw.imm[0].size && i.raw.imm[0].is_relative && to < m->len &&
		    !m->starts[to]) {
			snprintf(m->says, VL_CHECK_TEXT, "leads into the middle of an instruction");
			return VL_BPF_WRONG;
		}
	}
	if (!has_frame(m, code)) {
		snprintf(m->says, VL_CHECK_TEXT, "does not begin as compiled code does");
		m->unsure = true;
	}
	return m->unsure ? VL_BPF_UNSURE : VL_BPF_RIGHT;
}

enum vl_bpf_verdict vl_bpf_image(struct vl_checker *c, uint64_t va, size_t len, size_t room,
				 const struct vl_bpf_calls *calls, char found[VL_CHECK_TEXT])
{
	_cleanup_free_ unsigned char *code = malloc(room + 1);
	_cleanup_free_ unsigned char *starts = calloc(len + 1, 1);
	struct image m = { c, calls, va, len, starts, found, false };

	*found = '\0';
	if (!code || !starts || vl_read(c->g->reader, &c->g->space, va, code, room)) {
		snprintf(found, VL_CHECK_TEXT, "cannot be read");
		return VL_BPF_UNSURE;
	}
	return look(&m, code, room);
}
