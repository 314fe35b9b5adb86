/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Goes through the blocks of a function, and writes its lines. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "trace-internal.h"

/* Ways that wait for their turn. */
#define MAX_WAYS 512
/* The longest function that is followed, in bytes. */
#define MAX_FUNCTION (64UL << 10)
/* Values within values; deeper ones are shown as unknown. */
#define MAX_DEPTH 8
/* Code and data of a kernel lie within so many bytes. */
#define IMAGE_MAX (512UL << 20)

/* --- lines --- */

struct line {
	char text[VL_TRACE_LINE];
	size_t len;
	bool cut;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *format, ...)
{
	size_t left = sizeof(l->text) - l->len;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(l->text + l->len, left, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= left)
		l->cut = true;
	else
		l->len += (size_t)n;
}

/* Is @number an address of the kernel's code, or of its data behind that? */
static bool in_image(const struct trace *t, int64_t number)
{
	return (uint64_t)number - t->text->va < IMAGE_MAX;
}

static bool in_text(const struct trace *t, int64_t number)
{
	return (uint64_t)number - t->text->va < t->text->len;
}

static void add_number(struct line *l, const struct trace *t, int64_t number)
{
	uint64_t offset;
	const char *name;

	if (t->plain && in_image(t, number) && !in_text(t, number)) {
		add(l, "&0x%lx", number);
		return;
	}
	name = in_image(t, number) ? vl_symbol_at(t->k, (uint64_t)number, &offset) : NULL;
	if (!name)
		add(l, "%ld", number);
	else
		add(l, offset ? "&%s+%lu" : "&%s", name, offset);
}

/* The per-CPU variable at @offset. */
static void add_percpu(struct line *l, const struct trace *t, uint64_t offset)
{
	uint64_t at = 0;
	const char *name = t->plain ? NULL : vl_symbol_percpu(t->k, offset, &at);

	if (t->plain)
		add(l, "%%0x%lx", offset);
	else if (name)
		add(l, at ? "%%%s+%lu" : "%%%s", name, at);
	else
		add(l, "%%%lu", offset);
}

/* Is @n where the variables of a CPU begin? It is loaded for this CPU, or from an array. */
static bool is_percpu_base(const struct trace *t, const struct node *n)
{
	uint64_t at = (uint64_t)n->a.offset;

	if (n->kind != NODE_LOAD || n->nr != 8 || !at)
		return false;
	if (n->a.node == N_PERCPU)
		return at == t->this_cpu_off;
	return n->a.node != N_ZERO && at == t->per_cpu_offset;
}

static void add_value(struct line *l, const struct trace *t, struct value v, unsigned depth)
{
	const struct node *n = &t->nodes[v.node];
	uint64_t offset;
	const char *name;

	if (depth > MAX_DEPTH) {
		add(l, "?");
		return;
	}
	switch (n->kind) {
	case NODE_NUMBER:
		add_number(l, t, v.offset);
		return;
	case NODE_PERCPU:
		add_percpu(l, t, (uint64_t)v.offset);
		return;
	case NODE_UNKNOWN:
		add(l, "?");
		break;
	case NODE_ARGUMENT:
		add(l, "a%lu", n->nr);
		break;
	case NODE_CURRENT:
		add(l, "cur");
		break;
	case NODE_STACK:
		add(l, "stack");
		break;
	case NODE_RESULT:
		name = n->nr ? vl_symbol_at(t->k, n->nr, &offset) : NULL;
		add(l, "%s()", name && !offset ? name : "?");
		break;
	case NODE_LOAD:
		add(l, "L%lu[", n->nr);
		add_value(l, t, n->a, depth + 1);
		add(l, "]");
		break;
	case NODE_BINARY:
		add(l, "(");
		add_value(l, t, n->a, depth + 1);
		add(l, n->nr == '<' || n->nr == '>' ? "%c%c" : "%c", (char)n->nr, (char)n->nr);
		add_value(l, t, n->b, depth + 1);
		add(l, ")");
		break;
	}
	if (v.offset && is_percpu_base(t, n)) {
		add(l, "+");
		add_percpu(l, t, (uint64_t)v.offset);
	} else if (in_image(t, v.offset)) {
		/* An address of the kernel, as a base of an array with an index. */
		add(l, "+");
		add_number(l, t, v.offset);
	} else if (v.offset) {
		add(l, "%+ld", v.offset);
	}
}

void vl_trace_say(struct trace *t, const char *format, ...)
{
	struct line l = { .len = 0 };
	va_list ap;

	va_start(ap, format);
	for (; *format; format++) {
		if (*format != '%')
			add(&l, "%c", *format);
		else if (*++format == 'v')
			add_value(&l, t, va_arg(ap, struct value), 0);
		else if (*format == 'u')
			add(&l, "%u", va_arg(ap, unsigned));
		else
			add(&l, "%s", va_arg(ap, const char *));
	}
	va_end(ap);
	if (!l.cut)
		t->fn(t->ctx, l.text);
}

/* --- the ways through a function --- */

struct way {
	uint64_t va;
	struct state state;
};

struct ways {
	struct way *list;
	size_t nr, cap;
	unsigned char *seen; /* a byte for each of the function's */
	unsigned steps;
};

/* Remember a way; false: there is no memory. With too many ways, the last ones are not followed. */
static bool later(struct ways *w, uint64_t va, const struct state *s)
{
	if (w->nr == MAX_WAYS)
		return true;
	if (w->nr == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;
		struct way *p = realloc(w->list, cap * sizeof(*p));

		if (!p)
			return false;
		w->list = p;
		w->cap = cap;
	}
	w->list[w->nr].va = va;
	w->list[w->nr++].state = *s;
	return true;
}

/* Follow one way to its end, or to a block that was visited. */
static bool follow(struct trace *t, struct ways *w, const ZydisDecoder *decoder, struct way *way)
{
	struct state *s = &way->state;
	uint64_t va = way->va;

	while (va >= t->start && va < t->end && !w->seen[va - t->start]) {
		ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
		ZydisDecodedInstruction d;
		uint64_t target = 0;

		if (w->steps++ >= VL_TRACE_STEPS ||
		    ZYAN_FAILED(ZydisDecoderDecodeFull(decoder, t->text->bytes + (va - t->text->va),
						       t->end - va, &d, o)))
			return true;
		w->seen[va - t->start] = 1;
		switch (vl_trace_step(t, s, va, &d, o, &target)) {
		case NEXT_GO:
			va += d.length;
			break;
		case NEXT_BRANCH:
			if (!later(w, target, s))
				return false;
			va += d.length;
			break;
		case NEXT_JUMP:
			va = target;
			break;
		case NEXT_END:
			return true;
		}
	}
	return true;
}

static void fixed_nodes(struct trace *t)
{
	static const enum node_kind kinds[] = {
		[N_ZERO] = NODE_NUMBER,	  [N_UNKNOWN] = NODE_UNKNOWN, [N_CURRENT] = NODE_CURRENT,
		[N_PERCPU] = NODE_PERCPU, [N_STACK] = NODE_STACK,
	};

	for (unsigned i = 0; i < N_ARGUMENTS; i++)
		t->nodes[i].kind = kinds[i];
	for (unsigned i = N_ARGUMENTS; i < N_FIXED; i++)
		t->nodes[i] = (struct node){ .kind = NODE_ARGUMENT, .nr = i - N_ARGUMENTS };
	t->nr_nodes = N_FIXED;
}

static void first_state(struct state *s)
{
	/* rdi, rsi, rdx, rcx, r8, r9 */
	static const uint8_t arguments[] = { 7, 6, 2, 1, 8, 9 };

	*s = (struct state){ .nr_slots = 0 };
	for (unsigned i = 0; i < 16; i++)
		s->reg[i].node = N_UNKNOWN;
	for (unsigned i = 0; i < 6; i++)
		s->reg[arguments[i]].node = (uint16_t)(N_ARGUMENTS + i);
	s->reg[4].node = N_STACK;
}

/* arch/x86/lib/retpoline.S: what a running kernel's calls and returns are changed to. */
static const char *const thunks[TRACE_THUNKS] = {
	"__x86_indirect_thunk_",
	"__x86_indirect_call_thunk_",
	"__x86_indirect_jump_thunk_",
};
static const char *const returns[TRACE_RETURNS] = {
	"__x86_return_thunk",	   "call_depth_return_thunk", "srso_return_thunk",
	"srso_alias_return_thunk", "retbleed_return_thunk",   "its_return_thunk",
};

bool vl_trace(const struct vl_kernel *k, const struct vl_text *text, int32_t hot_task, bool plain,
	      uint64_t va, vl_trace_fn *fn, void *ctx)
{
	struct trace t = {
		.k = k, .text = text, .start = va, .plain = plain, .fn = fn, .ctx = ctx
	};

	_cleanup_free_ struct node *nodes = calloc(MAX_NODES, sizeof(*nodes));
	_cleanup_free_ unsigned char *seen = NULL;
	struct ways w = { .nr = 0 };
	struct state first;
	ZydisDecoder decoder;
	bool good = true;

	t.end = vl_symbol_after(k, va);
	if (va < text->va || t.end <= va || t.end - text->va > text->len ||
	    t.end - va > MAX_FUNCTION)
		return false;
	t.up = vl_kernel_is_up(k);
	t.nameless = vl_symbol_is(k, VL_NAMELESS);
	t.nodes = nodes;
	w.seen = seen = calloc(1, t.end - va);
	if (!nodes || !seen)
		return false;
	t.current_task[0] = vl_symbol(k, "current_task");
	t.this_cpu_off = vl_symbol(k, "this_cpu_off");
	t.per_cpu_offset = vl_symbol(k, "__per_cpu_offset");
	for (unsigned i = 0; i < TRACE_THUNKS * 16; i++) {
		char name[48];

		snprintf(name, sizeof(name), "%s%s", thunks[i / 16], vl_trace_registers[i % 16]);
		t.thunks[i / 16][i % 16] = vl_symbol(k, name);
	}
	for (unsigned i = 0; i < TRACE_RETURNS; i++)
		t.return_thunks[i] = vl_symbol(k, returns[i]);
	t.current_task[1] = vl_symbol(k, "const_current_task");
	if (hot_task != VL_NO_FIELD && vl_symbol_is(k, "pcpu_hot"))
		t.hot = vl_symbol(k, "pcpu_hot") + (uint64_t)hot_task;
	fixed_nodes(&t);
	first_state(&first);
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	good = later(&w, va, &first);
	while (good && w.nr) {
		struct way way = w.list[--w.nr];

		good = follow(&t, &w, &decoder, &way);
	}
	free(w.list);
	return good;
}
