/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one instruction does to the registers and the stack of a trace. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "trace-internal.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

static const struct value unknown = { N_UNKNOWN, 0 };

static bool same(struct value a, struct value b)
{
	return a.node == b.node && a.offset == b.offset;
}

static bool is_number(struct value v)
{
	return v.node == N_ZERO;
}

static struct value number(int64_t n)
{
	return (struct value){ N_ZERO, n };
}

/* Sums wrap around as the CPU's do. */
static struct value plus(struct value v, int64_t n)
{
	v.offset = (int64_t)((uint64_t)v.offset + (uint64_t)n);
	return v;
}

static struct value make(struct trace *t, enum node_kind kind, uint64_t nr, struct value a,
			 struct value b)
{
	if (t->nr_nodes == MAX_NODES)
		return unknown;
	t->nodes[t->nr_nodes] = (struct node){ kind, nr, a, b };
	return (struct value){ (uint16_t)t->nr_nodes++, 0 };
}

static struct value binary(struct trace *t, char op, struct value a, struct value b)
{
	if (op == '+' && is_number(b))
		return plus(a, b.offset);
	if (op == '+' && is_number(a))
		return plus(b, a.offset);
	if (op == '-' && is_number(b))
		return plus(a, (int64_t) - (uint64_t)b.offset);
	if (op == '-' && a.node == b.node && a.node != N_UNKNOWN)
		return number((int64_t)((uint64_t)a.offset - (uint64_t)b.offset));
	if ((op == '^' || op == '-') && same(a, b))
		return number(0);
	if (a.node == N_UNKNOWN && b.node == N_UNKNOWN)
		return unknown;
	/* Keep the constant of a sum apart, so that the line shows it as an offset. */
	if (op == '+') {
		int64_t offset = (int64_t)((uint64_t)a.offset + (uint64_t)b.offset);

		a.offset = b.offset = 0;
		return plus(make(t, NODE_BINARY, '+', a, b), offset);
	}
	return make(t, NODE_BINARY, (uint64_t)op, a, b);
}

/* --- the stack --- */

static struct slot *slot_of(struct state *s, int64_t at)
{
	for (unsigned i = 0; i < s->nr_slots; i++)
		if (s->slots[i].at == at)
			return &s->slots[i];
	return NULL;
}

static void set_slot(struct state *s, int64_t at, struct value v)
{
	struct slot *slot = slot_of(s, at);

	if (!slot && s->nr_slots < MAX_SLOTS)
		slot = &s->slots[s->nr_slots++];
	if (slot)
		*slot = (struct slot){ at, v };
}

static void push(struct state *s, struct value v)
{
	s->reg[RSP] = plus(s->reg[RSP], -8);
	if (s->reg[RSP].node == N_STACK)
		set_slot(s, s->reg[RSP].offset, v);
}

static struct value pop(struct state *s)
{
	const struct slot *slot =
		s->reg[RSP].node == N_STACK ? slot_of(s, s->reg[RSP].offset) : NULL;
	struct value v = slot ? slot->value : unknown;

	s->reg[RSP] = plus(s->reg[RSP], 8);
	return v;
}

/* --- operands --- */

/* The number of a general register of any width; -1: it is another one. */
static int gpr(ZydisRegister r)
{
	r = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
	return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(r) : -1;
}

/* The address of memory operand @o. */
static struct value address(struct trace *t, const struct state *s, uint64_t next,
			    const ZydisDecodedOperand *o)
{
	const ZydisDecodedOperandMem *m = &o->mem;
	struct value v = number(m->disp.value), index;
	bool percpu = m->segment == ZYDIS_REGISTER_GS;

	if (m->base == ZYDIS_REGISTER_RIP) {
		v = plus(v, (int64_t)next);
	} else if (m->base != ZYDIS_REGISTER_NONE) {
		int r = gpr(m->base);

		v = r < 0 ? unknown : binary(t, '+', s->reg[r], v);
	}
	if (m->index != ZYDIS_REGISTER_NONE) {
		int r = gpr(m->index);

		index = r < 0 ? unknown : s->reg[r];
		if (m->scale > 1 && is_number(index))
			index = number((int64_t)((uint64_t)index.offset * m->scale));
		else if (m->scale > 1)
			index = binary(t, '*', index, number(m->scale));
		v = binary(t, '+', v, index);
	}
	if (!percpu)
		return v;
	/* A per-CPU access with a register is rare, and not followed. */
	return is_number(v) ? (struct value){ N_PERCPU, v.offset } : unknown;
}

static bool is_current(const struct trace *t, struct value at, unsigned width)
{
	uint64_t offset = (uint64_t)at.offset;

	return at.node == (t->up ? N_ZERO : N_PERCPU) && width == 8 && offset &&
	       (offset == t->current_task[0] || offset == t->current_task[1] || offset == t->hot);
}

/* Load @width bytes at @at. */
static struct value load(struct trace *t, struct state *s, struct value at, unsigned width)
{
	struct value v;

	if (at.node == N_STACK) {
		const struct slot *slot = slot_of(s, at.offset);

		return slot ? slot->value : unknown;
	}
	if (is_current(t, at, width))
		return (struct value){ N_CURRENT, 0 };
	v = make(t, NODE_LOAD, width, at, unknown);
	vl_trace_say(t, "%v", v);
	return v;
}

static void store(struct trace *t, struct state *s, struct value at, unsigned width, struct value v)
{
	if (at.node == N_STACK)
		set_slot(s, at.offset, v);
	else
		vl_trace_say(t, "S%u[%v]=%v", width, at, v);
}

static struct value get(struct trace *t, struct state *s, uint64_t next,
			const ZydisDecodedOperand *o)
{
	int r;

	switch (o->type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return number(o->imm.value.s);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return load(t, s, address(t, s, next, o), o->size / 8);
	case ZYDIS_OPERAND_TYPE_REGISTER:
		r = gpr(o->reg.value);
		return r < 0 ? unknown : s->reg[r];
	default:
		return unknown;
	}
}

static void set(struct trace *t, struct state *s, uint64_t next, const ZydisDecodedOperand *o,
		struct value v)
{
	int r;

	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		store(t, s, address(t, s, next, o), o->size / 8, v);
		return;
	}
	r = o->type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr(o->reg.value) : -1;
	if (r < 0)
		return;
	/* A part of a register is not followed. */
	s->reg[r] = o->size >= 32 ? v : unknown;
}

/* --- calls --- */

static void call(struct trace *t, struct state *s, uint64_t target)
{
	uint64_t offset = 0;
	const char *name = vl_symbol_at(t->k, target, &offset);
	char place[32] = "?";

	if (t->nameless && t->plain)
		snprintf(place, sizeof(place), "0x%" PRIx64, target);
	if (!name || offset || !strcmp(name, VL_NAMELESS))
		name = place;
	vl_trace_say(t, "call %s(%v,%v,%v,%v,%v,%v)", name, s->reg[RDI], s->reg[RSI], s->reg[RDX],
		     s->reg[RCX], s->reg[8], s->reg[9]);
}

static void call_value(struct trace *t, struct state *s, struct value v)
{
	vl_trace_say(t, "call %v(%v,%v,%v,%v,%v,%v)", v, s->reg[RDI], s->reg[RSI], s->reg[RDX],
		     s->reg[RCX], s->reg[8], s->reg[9]);
}

/* A callee that gets an address of the stack may have changed all from there on. */
static void forget_from(struct state *s, int64_t at)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->nr_slots; i++)
		if (s->slots[i].at < at)
			s->slots[kept++] = s->slots[i];
	s->nr_slots = kept;
}

/* After a call: forget the registers that a callee may change. */
static void returned(struct trace *t, struct state *s, uint64_t from)
{
	static const uint8_t changed[] = { RCX, RDX, RSI, RDI, 8, 9, 10, 11 };

	for (unsigned i = 0; i < sizeof(changed); i++)
		if (s->reg[changed[i]].node == N_STACK)
			forget_from(s, s->reg[changed[i]].offset);
	for (size_t i = 0; i < sizeof(changed); i++)
		s->reg[changed[i]] = unknown;
	s->reg[RAX] = make(t, NODE_RESULT, from, unknown, unknown);
}

/* Is the function at @target one that changes no register that C code uses? */
static bool is_silent(const char *name)
{
	return !strcmp(name, "__fentry__") || !strcmp(name, "mcount") ||
	       !strncmp(name, "__sanitizer_cov", 15);
}

/*
 * Does the function never return? Behind a call of it another function, without a name, may begin.
 */
static bool is_final(const char *name)
{
	return !strcmp(name, "__stack_chk_fail") || !strcmp(name, "panic");
}

const char *const vl_trace_registers[16] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"
};

/* The register of the thunk at @target; -1: there is no thunk. */
static int thunk_register(const struct trace *t, uint64_t target)
{
	for (int i = 0; i < TRACE_THUNKS * 16; i++)
		if (target && t->thunks[i / 16][i % 16] == target)
			return i % 16;
	return -1;
}

static bool is_return(const struct trace *t, uint64_t target)
{
	for (size_t i = 0; i < TRACE_RETURNS; i++)
		if (target && t->return_thunks[i] == target)
			return true;
	return false;
}

/* FUNCTION_PADDING_BYTES */
#define PADDING 16

/*
 * The function that a call of @target reaches: where calls are counted, they go through the padding
 * in front of it ("x86/callthunks: Add call patching for call depth tracking", 6.2).
 */
static uint64_t callee(const struct trace *t, uint64_t target)
{
	uint64_t offset = 0, next;

	/* Where functions have no names, what lies before one can be another. */
	if (t->nameless || (vl_symbol_at(t->k, target, &offset) && !offset))
		return target;
	next = vl_symbol_after(t->k, target);
	return next && next - target <= PADDING ? next : target;
}

static bool target_of(const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o, uint64_t va,
		      uint64_t *ret)
{
	if (o[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !o[0].imm.is_relative)
		return false;
	*ret = va + d->length + (uint64_t)o[0].imm.value.s;
	return true;
}

static enum trace_next do_call(struct trace *t, struct state *s, uint64_t va,
			       const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o)
{
	uint64_t target, offset;
	const char *name;
	int r;

	if (!target_of(d, o, va, &target)) {
		call_value(t, s, get(t, s, va + d->length, &o[0]));
		returned(t, s, 0);
		return NEXT_GO;
	}
	target = callee(t, target);
	r = thunk_register(t, target);
	if (r >= 0) {
		call_value(t, s, s->reg[r]);
		returned(t, s, 0);
		return NEXT_GO;
	}
	name = vl_symbol_at(t->k, target, &offset);
	if (name && !offset && is_silent(name))
		return NEXT_GO;
	call(t, s, target);
	returned(t, s, target);
	return name && !offset && is_final(name) ? NEXT_END : NEXT_GO;
}

static enum trace_next do_jump(struct trace *t, struct state *s, uint64_t va,
			       const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o,
			       uint64_t *target_ret)
{
	int r;

	if (!target_of(d, o, va, target_ret)) {
		call_value(t, s, get(t, s, va + d->length, &o[0]));
		return NEXT_END;
	}
	if (*target_ret >= t->start && *target_ret < t->end)
		return NEXT_JUMP;
	*target_ret = callee(t, *target_ret);
	r = thunk_register(t, *target_ret);
	if (is_return(t, *target_ret)) {
		vl_trace_say(t, "ret %v", s->reg[RAX]);
	} else if (r >= 0) {
		call_value(t, s, s->reg[r]);
	} else {
		call(t, s, *target_ret);
		returned(t, s, *target_ret);
		vl_trace_say(t, "ret %v", s->reg[RAX]);
	}
	return NEXT_END;
}

/* --- instructions --- */

static char operation(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_INC:
		return '+';
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_DEC:
		return '-';
	case ZYDIS_MNEMONIC_AND:
		return '&';
	case ZYDIS_MNEMONIC_OR:
		return '|';
	case ZYDIS_MNEMONIC_XOR:
		return '^';
	case ZYDIS_MNEMONIC_SHL:
		return '<';
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
		return '>';
	default:
		return 0;
	}
}

static void do_binary(struct trace *t, struct state *s, uint64_t next,
		      const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o, char op)
{
	bool one = d->mnemonic == ZYDIS_MNEMONIC_INC || d->mnemonic == ZYDIS_MNEMONIC_DEC;
	struct value b = one ? number(1) : get(t, s, next, &o[1]);

	/* xor of a register with itself clears it. */
	if ((op == '^' || op == '-') && !one && o[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    o[1].type == ZYDIS_OPERAND_TYPE_REGISTER && o[0].reg.value == o[1].reg.value)
		set(t, s, next, &o[0], number(0));
	else
		set(t, s, next, &o[0], binary(t, op, get(t, s, next, &o[0]), b));
}

/*
 * A compiler tests a flag in the one byte that has it. The line shows it also as a test of the
 * aligned 4 bytes around it.
 */
static void do_compare(struct trace *t, struct state *s, uint64_t next,
		       const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o)
{
	const char *name = d->mnemonic == ZYDIS_MNEMONIC_TEST ? "test" : "cmp";

	if (d->mnemonic == ZYDIS_MNEMONIC_TEST && o[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	    o[0].size == 8 && o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		struct value at = address(t, s, next, &o[0]);
		unsigned byte = (uint64_t)at.offset & 3;

		vl_trace_say(t, "test L4[%v],%v", plus(at, -(int64_t)byte),
			     number((int64_t)((o[1].imm.value.u & 0xff) << 8 * byte)));
	}
	vl_trace_say(t, "%s %v,%v", name, get(t, s, next, &o[0]), get(t, s, next, &o[1]));
}

/* An instruction that is not followed: what it writes is unknown from here on. */
static void forget(struct trace *t, struct state *s, uint64_t next,
		   const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o)
{
	for (unsigned i = 0; i < d->operand_count; i++)
		if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    o[i].mem.type == ZYDIS_MEMOP_TYPE_MEM &&
		    o[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ)
			get(t, s, next, &o[i]);
	for (unsigned i = 0; i < d->operand_count; i++)
		if (o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    (o[i].type == ZYDIS_OPERAND_TYPE_REGISTER ||
		     (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		      o[i].mem.type == ZYDIS_MEMOP_TYPE_MEM)))
			set(t, s, next, &o[i], unknown);
}

/* Moves, with or without extension. */
static bool is_move(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_MOV || m == ZYDIS_MNEMONIC_MOVZX || m == ZYDIS_MNEMONIC_MOVSX ||
	       m == ZYDIS_MNEMONIC_MOVSXD;
}

static bool is_conditional_move(const ZydisDecodedInstruction *d)
{
	return d->meta.category == ZYDIS_CATEGORY_CMOV;
}

enum trace_next vl_trace_step(struct trace *t, struct state *s, uint64_t va,
			      const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o,
			      uint64_t *target_ret)
{
	uint64_t next = va + d->length;
	char op = operation(d->mnemonic);

	switch (d->meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return do_call(t, s, va, d, o);
	case ZYDIS_CATEGORY_RET:
		vl_trace_say(t, "ret %v", s->reg[RAX]);
		return NEXT_END;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return do_jump(t, s, va, d, o, target_ret);
	case ZYDIS_CATEGORY_COND_BR:
		return target_of(d, o, va, target_ret) ? NEXT_BRANCH : NEXT_GO;
	default:
		break;
	}
	if (is_conditional_move(d)) {
		struct value v = get(t, s, next, &o[1]);

		vl_trace_say(t, "move %v,%v", get(t, s, next, &o[0]), v);
		set(t, s, next, &o[0], v);
	} else if (is_move(d->mnemonic)) {
		set(t, s, next, &o[0], get(t, s, next, &o[1]));
	} else if (op) {
		do_binary(t, s, next, d, o, op);
	} else if (d->mnemonic == ZYDIS_MNEMONIC_LEA) {
		set(t, s, next, &o[0], address(t, s, next, &o[1]));
	} else if (d->mnemonic == ZYDIS_MNEMONIC_TEST || d->mnemonic == ZYDIS_MNEMONIC_CMP) {
		do_compare(t, s, next, d, o);
	} else if (d->mnemonic == ZYDIS_MNEMONIC_PUSH) {
		push(s, get(t, s, next, &o[0]));
	} else if (d->mnemonic == ZYDIS_MNEMONIC_POP) {
		set(t, s, next, &o[0], pop(s));
	} else if (d->mnemonic == ZYDIS_MNEMONIC_LEAVE) {
		s->reg[RSP] = s->reg[RBP];
		s->reg[RBP] = pop(s);
	} else if (d->mnemonic == ZYDIS_MNEMONIC_IMUL && d->operand_count_visible == 2) {
		set(t, s, next, &o[0],
		    binary(t, '*', get(t, s, next, &o[0]), get(t, s, next, &o[1])));
	} else if (d->mnemonic == ZYDIS_MNEMONIC_IMUL && d->operand_count_visible == 3) {
		set(t, s, next, &o[0],
		    binary(t, '*', get(t, s, next, &o[1]), number(o[2].imm.value.s)));
	} else if (d->mnemonic == ZYDIS_MNEMONIC_UD2 || d->mnemonic == ZYDIS_MNEMONIC_INT3) {
		/* BUG() ends here, WARN() goes on. */
		return d->mnemonic == ZYDIS_MNEMONIC_UD2 ? NEXT_GO : NEXT_END;
	} else if (d->mnemonic != ZYDIS_MNEMONIC_NOP && d->mnemonic != ZYDIS_MNEMONIC_ENDBR64) {
		forget(t, s, next, d, o);
	}
	return NEXT_GO;
}
