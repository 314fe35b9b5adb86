/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translates one instruction of the guest's. */
#include "block.h"

/* Flags that popf may change: CF, PF, AF, ZF, SF, DF, OF, ID. TF and AC would trap in user mode. */
#define FLAGS_MASK 0x200cd5

/* --- memory operands --- */

static bool is_prefix(unsigned byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	}
	return false;
}

static bool is_segment(unsigned byte)
{
	return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x64 ||
	       byte == 0x65;
}

static bool by_rip(const ZydisDecodedInstruction *d)
{
	return d->attributes & ZYDIS_ATTRIB_HAS_MODRM && d->raw.modrm.mod == 0 &&
	       d->raw.modrm.rm == 5;
}

static uint64_t rip_target(const struct block *b)
{
	return b->va + b->d.length + (uint64_t)b->d.raw.disp.value;
}

bool block_has_prefix(const struct block *b, unsigned byte)
{
	for (unsigned i = 0; i < b->d.raw.prefix_count; i++)
		if (b->d.raw.prefixes[i].value == byte)
			return true;
	return false;
}

bool block_with_segment(struct block *b, unsigned segment, unsigned opcode, unsigned reg)
{
	const unsigned char *p = b->in, *end = b->in + b->d.length;
	const ZydisDecodedInstruction *d = &b->d;
	struct vl_executor_state *e = b->e;
	unsigned char rest[INSN_MAX];
	size_t n, modrm;

	if (block_has_prefix(b, 0x67) || !block_check(b))
		return false;
	if (segment)
		emit1(e, segment);
	for (; p < end && is_prefix(*p); p++)
		if (!is_segment(*p) && !opcode)
			emit1(e, *p);
	n = (size_t)(end - p);
	memcpy(rest, p, n);
	modrm = d->raw.modrm.offset - (size_t)(p - b->in);
	if (opcode) {
		unsigned rex = 0x48 | (d->raw.rex.X ? 2 : 0) | (d->raw.rex.B ? 1 : 0);

		emit1(e, rex | (reg >= 8 ? 4 : 0));
		emit1(e, opcode);
		n -= modrm;
		memmove(rest, rest + modrm, n);
		rest[0] = (unsigned char)((rest[0] & ~0x38) | (reg & 7) << 3);
		modrm = 0;
	}
	if (!by_rip(d)) {
		emit(e, rest, n);
		return true;
	}
	/* X would turn "no index" into r12 as index. VEX and EVEX hold X inverted. */
	if (d->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ? d->raw.rex.X :
							       rest[0] != 0xc5 && !(rest[1] & 0x40))
		return false;
	if (!emit_fits_imm32(rip_target(b)))
		return false;
	emit(e, rest, modrm);
	emit1(e, (rest[modrm] & 0x38) | 4);
	emit1(e, 0x25);
	emit4(e, (uint32_t)rip_target(b));
	emit(e, rest + modrm + 5, n - modrm - 5);
	return true;
}

/* --- flags --- */

/* In user mode the pushed interrupt flag is always set: replace it by the guest's. */
static void pushf(struct block *b)
{
	struct vl_executor_state *e = b->e;

	emit1(e, 0x9c);
	emit_store(e, 0, CTL_RAX);
	emit_store(e, 1, CTL_RCX);
	emit1(e, 0x58);					/* pop %rax */
	emit_load(e, 1, CTL_IF);			/* mov ctl->interrupts,%rcx */
	emit(e, "\x48\x8d\x84\x08\x00\xfe\xff\xff", 8); /* lea -0x200(%rax,%rcx),%rax */
	emit1(e, 0x50);					/* push %rax */
	emit_load(e, 1, CTL_RCX);
	emit_load(e, 0, CTL_RAX);
}

static void popf(struct block *b)
{
	struct vl_executor_state *e = b->e;

	emit_store(e, 0, CTL_RAX);
	emit_store(e, 1, CTL_RCX);
	emit1(e, 0x58);				/* pop %rax */
	emit(e, "\x89\xc1", 2);			/* mov %eax,%ecx */
	emit(e, "\x81\xe1\x00\x02\x00\x00", 6); /* and $0x200,%ecx */
	emit_store(e, 1, CTL_IF);
	emit1(e, 0x25); /* and $mask,%eax */
	emit4(e, FLAGS_MASK);
	emit(e, "\x50\x9d", 2); /* push %rax; popf */
	emit_load(e, 1, CTL_RCX);
	emit_load(e, 0, CTL_RAX);
}

/* --- the rest --- */

/* es:rdi takes no prefix, so rdi is folded while the instruction runs. */
static void string(struct block *b)
{
	struct vl_executor_state *e = b->e;
	bool di = false, si = false;

	for (unsigned i = 0; i < b->d.operand_count; i++)
		if (b->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			di |= b->o[i].mem.base == ZYDIS_REGISTER_RDI;
			si |= b->o[i].mem.base == ZYDIS_REGISTER_RSI;
			if (b->o[i].mem.segment == ZYDIS_REGISTER_GS ||
			    b->o[i].mem.segment == ZYDIS_REGISTER_FS) {
				block_refuse(b);
				return;
			}
		}
	if (block_has_prefix(b, 0x67) || (!di && !si) || !block_check(b)) {
		block_refuse(b);
		return;
	}
	if (di) {
		emit_store(e, 2, CTL_RDX);
		emit_load(e, 2, CTL_GS);
		emit(e, "\x48\x8d\x3c\x17", 4); /* lea (%rdi,%rdx),%rdi */
		block_mark(b, VL_STATE_STRING);
	}
	if (si)
		emit1(e, 0x65);
	for (unsigned i = 0; i < b->d.length; i++)
		if (!is_segment(b->in[i]))
			emit1(e, b->in[i]);
	if (!di)
		return;
	emit(e, "\x48\xba", 2); /* movabs $-G,%rdx */
	emit8(e, -VL_NATIVE_G);
	emit(e, "\x48\x8d\x3c\x17", 4);
	emit_load(e, 2, CTL_RDX);
}

static void lea(struct block *b)
{
	struct vl_executor_state *e = b->e;
	unsigned reg = block_reg(&b->o[0]);

	if (!by_rip(&b->d)) {
		emit(e, b->in, b->d.length);
		return;
	}
	if (block_has_prefix(b, 0x67) || b->o[0].size < 32) {
		block_refuse(b);
		return;
	}
	if (b->o[0].size == 64 && !emit_fits_imm32(rip_target(b))) { /* movabs $target,%reg */
		emit1(e, 0x48 | (reg >= 8));
		emit1(e, 0xb8 | (reg & 7));
		emit8(e, rip_target(b));
		return;
	}
	if (b->o[0].size == 64) { /* movq $target,%reg */
		emit1(e, 0x48 | (reg >= 8));
		emit1(e, 0xc7);
		emit1(e, 0xc0 | (reg & 7));
	} else { /* movl */
		if (reg >= 8)
			emit1(e, 0x41);
		emit1(e, 0xb8 | (reg & 7));
	}
	emit4(e, (uint32_t)rip_target(b));
}

/* mov from or to a control register */
static void control(struct block *b)
{
	const ZydisDecodedOperand *to = &b->o[0], *from = &b->o[1];
	const struct vl_vcpu_state *st = &b->e->st;
	unsigned reg = block_reg(to);
	uint64_t value;

	if (to->type != ZYDIS_OPERAND_TYPE_REGISTER || from->type != ZYDIS_OPERAND_TYPE_REGISTER) {
		block_refuse(b);
		return;
	}
	switch (from->reg.value) {
	case ZYDIS_REGISTER_CR0:
		value = st->cr0;
		break;
	case ZYDIS_REGISTER_CR3:
		value = st->cr3;
		break;
	case ZYDIS_REGISTER_CR4:
		value = st->cr4;
		break;
	case ZYDIS_REGISTER_CR2:
	case ZYDIS_REGISTER_CR8:
		value = 0;
		break;
	default:
		/* The clone's page table stays; cached translations are dropped. */
		if (to->reg.value == ZYDIS_REGISTER_CR3 || to->reg.value == ZYDIS_REGISTER_CR4)
			block_leave(b, VL_NATIVE_FLUSH, b->va + b->d.length);
		else
			block_refuse(b);
		return;
	}
	emit1(b->e, 0x48 | (reg >= 8));
	emit1(b->e, 0xb8 | (reg & 7));
	emit8(b->e, value);
}

static bool is_special_register(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass c;

	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	c = ZydisRegisterGetClass(o->reg.value);
	return c == ZYDIS_REGCLASS_SEGMENT || c == ZYDIS_REGCLASS_CONTROL ||
	       c == ZYDIS_REGCLASS_DEBUG || c == ZYDIS_REGCLASS_TEST;
}

/* An instruction that only computes and accesses memory. */
static void plain(struct block *b)
{
	bool memory = false, percpu = false, special = false;

	for (unsigned i = 0; i < b->d.operand_count; i++) {
		const ZydisDecodedOperand *o = &b->o[i];

		/* Hidden stack operands take no prefix; those of xlat and maskmov do. */
		if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		    (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.base == ZYDIS_REGISTER_RSP))
			continue;
		special |= is_special_register(o);
		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
			continue;
		memory = true;
		percpu |= o->mem.segment == ZYDIS_REGISTER_GS;
		/* An operand in es takes no prefix. */
		special |=
			o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_ES;
	}
	if (special || b->d.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		block_refuse(b);
	else if (!memory)
		emit(b->e, b->in, b->d.length);
	else if (!block_with_segment(b, percpu ? 0x64 : 0x65, 0, 0))
		block_refuse(b);
}

static void translate(struct block *b)
{
	uint64_t next = b->va + b->d.length;
	struct vl_executor_state *e = b->e;

	switch (b->d.mnemonic) {
	case ZYDIS_MNEMONIC_RET:
		if (b->d.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) {
			block_refuse(b);
			return;
		}
		block_ret(b);
		return;
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
		if (b->d.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
			block_refuse(b);
		else
			block_branch(b);
		return;
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_VERW: /* only for its effect on buffers */
	case ZYDIS_MNEMONIC_CLTS:
		return;
	case ZYDIS_MNEMONIC_CLI:
		emit_set(e, CTL_IF, 0);
		return;
	case ZYDIS_MNEMONIC_STI:
		emit_set(e, CTL_IF, 0x200);
		return;
	case ZYDIS_MNEMONIC_PUSHFQ:
		pushf(b);
		return;
	case ZYDIS_MNEMONIC_POPFQ:
		popf(b);
		return;
	case ZYDIS_MNEMONIC_HLT:
		block_leave(b, VL_NATIVE_HLT, next);
		return;
	case ZYDIS_MNEMONIC_INT3:
		block_except(b, 3, next);
		return;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		block_except(b, 6, b->va);
		return;
	/* User mode cannot access MSRs: #GP, which the kernel may have a fixup for. */
	case ZYDIS_MNEMONIC_RDMSR:
	case ZYDIS_MNEMONIC_WRMSR:
		block_except(b, 13, b->va);
		return;
	/* The clone's clocks stand still. */
	case ZYDIS_MNEMONIC_RDTSCP:
		emit(e, "\xb9\x00\x00\x00\x00", 5); /* mov $0,%ecx: TSC_AUX */
		__attribute__((fallthrough));
	case ZYDIS_MNEMONIC_RDTSC:
		emit_load32(e, 0, CTL_TSC);
		emit_load32(e, 2, CTL_TSC + 4);
		return;
	case ZYDIS_MNEMONIC_IN:
	case ZYDIS_MNEMONIC_INSB:
	case ZYDIS_MNEMONIC_INSW:
	case ZYDIS_MNEMONIC_INSD:
	case ZYDIS_MNEMONIC_OUT:
	case ZYDIS_MNEMONIC_OUTSB:
	case ZYDIS_MNEMONIC_OUTSW:
	case ZYDIS_MNEMONIC_OUTSD:
		block_leave(b, VL_NATIVE_PORT, b->va);
		return;
	case ZYDIS_MNEMONIC_INVLPG:
	case ZYDIS_MNEMONIC_INVPCID:
		block_leave(b, VL_NATIVE_FLUSH, next);
		return;
	case ZYDIS_MNEMONIC_LEA:
		lea(b);
		return;
	case ZYDIS_MNEMONIC_MOV:
		if (b->d.opcode_map == ZYDIS_OPCODE_MAP_0F &&
		    (b->d.opcode == 0x20 || b->d.opcode == 0x22))
			control(b);
		else if (!block_retpoline(b))
			plain(b);
		return;
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_RDFSBASE:
	case ZYDIS_MNEMONIC_RDGSBASE:
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
	case ZYDIS_MNEMONIC_RDPKRU:
	case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_STR:
	/* These would return this host's values, not the guest's. */
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_XGETBV:
		block_refuse(b);
		return;
	default:
		break;
	}
	if (b->d.meta.category == ZYDIS_CATEGORY_COND_BR)
		block_conditional(b);
	else if (b->d.meta.category == ZYDIS_CATEGORY_STRINGOP)
		string(b);
	else
		plain(b);
}

void block_translate(struct block *b)
{
	bool stack = vl_native_is_kept(b->e) && block_sets_stack(b);

	if (stack)
		emit_store(b->e, VL_RSP, CTL_STACK);
	translate(b);
	if (stack && !b->ended)
		block_look_at_stack(b);
}
