/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stubs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/cleanup.h"

static bool add(struct vl_stubs *s, const struct vl_stub *stub)
{
	if (!vl_grow(s->v, s->cap, s->nr, 64))
		return false;
	s->v[s->nr++] = *stub;
	return true;
}

static int32_t i32(const unsigned char *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* ---- ftrace ---- */

/* Bytes of ftrace_caller() and ftrace_regs_caller(); a trampoline has a return and a word more. */
#define CALLER_MAX 1024
#define CALLER_REST 32

/* Parts of a trampoline that create_trampoline() writes (arch/x86/kernel/ftrace.c), in bytes. */
#define POINTER_LEN 7
#define CALL_LEN 5
#define JUMP_LEN 2

struct ops {
	uint64_t at, func, trampoline, size;
};

/* A function of which trampolines are copies. */
struct caller {
	uint64_t start, len, pointer, call,
		jump; /* offsets but for the start; jump 0: there is none */
	unsigned char code[CALLER_MAX];
};

static bool find_caller(struct vl_raw_guest *g, const char *name, const char *call,
			struct caller *ret)
{
	const struct vl_kernel *k = g->attach->kernel;
	char symbol[64];

	ret->start = vl_symbol(k, name);
	snprintf(symbol, sizeof(symbol), "%s_end", name);
	ret->len = vl_symbol(k, symbol) - ret->start;
	snprintf(symbol, sizeof(symbol), "%s_op_ptr", name);
	ret->pointer = vl_symbol(k, symbol) - ret->start;
	snprintf(symbol, sizeof(symbol), "%s_jmp", name);
	ret->jump = vl_symbol(k, symbol) ? vl_symbol(k, symbol) - ret->start : CALLER_MAX;
	ret->call = vl_symbol(k, call) - ret->start;
	return ret->start && ret->len <= CALLER_MAX && ret->len > CALL_LEN &&
	       ret->call <= ret->len - CALL_LEN && ret->pointer < ret->len &&
	       !vl_read(g->reader, &g->space, ret->start, ret->code, ret->len);
}

/*
 * Is byte @i the same in a copy at @va, whose bytes are @code? Distances in it change with the
 * place.
 */
static bool is_same(const struct caller *c, const unsigned char *code, uint64_t va, size_t i)
{
	if (code[i] == c->code[i] || i - c->pointer < POINTER_LEN || i - c->call < CALL_LEN ||
	    i - c->jump < JUMP_LEN)
		return true;
	for (size_t at = i < 3 ? 0 : i - 3; at <= i && at + 4 <= c->len; at++)
		if ((uint32_t)i32(code + at) + (uint32_t)va ==
		    (uint32_t)i32(c->code + at) + (uint32_t)c->start)
			return true;
	return false;
}

/* Is the trampoline of @o a copy of @c that calls the function of @o, or the kernel? */
static bool is_copy(struct vl_raw_guest *g, const struct caller *c, const struct ops *o)
{
	unsigned char code[CALLER_MAX];
	uint64_t to;

	if (o->size < c->len || o->size > c->len + CALLER_REST ||
	    vl_read(g->reader, &g->space, o->trampoline, code, c->len))
		return false;
	for (size_t i = 0; i < c->len; i++)
		if (!is_same(c, code, o->trampoline, i))
			return false;
	to = o->trampoline + c->call + CALL_LEN + (uint64_t)(int64_t)i32(code + c->call + 1);
	return code[c->call] == 0xe8 &&
	       (to == o->func || (to >= vl_symbol(g->attach->kernel, "_stext") &&
				  to < vl_symbol(g->attach->kernel, "_etext")));
}

static struct vl_error *add_ftrace(struct vl_raw_guest *g, struct vl_stubs *s)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = vl_symbol(g->attach->kernel, "ftrace_ops_trampoline_list"),
		.node = vl_offset(l, VL_F_FTRACE_LIST),
		.stride = sizeof(struct ops),
	};
	_cleanup_free_ struct caller *callers = calloc(2, sizeof(*callers));
	bool plain, regs, all = true;
	const struct ops *o;
	struct vl_error *err;
	size_t nr;

	if (!callers)
		return vl_error_nomem();
	if (!w.head || !vl_has(l, VL_F_FTRACE_LIST))
		return NULL;
	plain = find_caller(g, "ftrace_caller", "ftrace_call", &callers[0]);
	regs = find_caller(g, "ftrace_regs_caller", "ftrace_regs_call", &callers[1]);
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct ops, at));
	vl_fields_add(&fs, VL_F_FTRACE_FUNC, offsetof(struct ops, func), 8);
	vl_fields_add(&fs, VL_F_FTRACE_TRAMPOLINE, offsetof(struct ops, trampoline), 8);
	vl_fields_add(&fs, VL_F_FTRACE_TRAMPOLINE_SIZE, offsetof(struct ops, size), 8);
	err = vl_collect(g, &w, &fs, "the trampolines of ftrace", &nr);
	o = w.records;
	for (size_t i = 0; i < nr && all; i++)
		if (o[i].trampoline && o[i].size && o[i].size <= CALLER_MAX + CALLER_REST)
			all = add(s, &(struct vl_stub){
					     .start = o[i].trampoline,
					     .end = o[i].trampoline + o[i].size,
					     .at = o[i].at,
					     .kind = VL_STUB_FTRACE,
					     .right = (plain && is_copy(g, &callers[0], &o[i])) ||
						      (regs && is_copy(g, &callers[1], &o[i])),
					     .name = "ftrace",
				     });
	free(w.records);
	return err || all ? err : vl_error_nomem();
}

/* ---- BPF ---- */

/* Functions of one program: BPF_MAX_SUBPROGS (256), and some. */
#define PARTS_MAX 1024
/* Bytes of a trampoline, and of all that are read: a guest can make any number. */
#define TRAMPOLINE_MAX (64U << 10)
#define TRAMPOLINES_ALL (16U << 20)

struct program {
	uint64_t func, parts;
	uint32_t nr_parts;
};

/* The first instruction of each function of the programs in prog_idr. */
struct starts {
	uint64_t *v; /* in ascending order */
	size_t nr, cap;
	bool full;
};

static void add_start(struct starts *s, uint64_t va)
{
	if (!vl_grow(s->v, s->cap, s->nr, 64))
		s->full = true;
	else
		s->v[s->nr++] = va;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Is a function's start in [@start, @end)? */
static bool has_start(const struct starts *s, uint64_t start, uint64_t end)
{
	size_t at = vl_bisect(i, s->nr, s->v[i] < start);

	return at < s->nr && s->v[at] < end;
}

/* A program of several functions has a list of them. */
static void add_parts(struct vl_raw_guest *g, const struct program *p, struct starts *s)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t part[PARTS_MAX], func;

	if (!p->parts || !p->nr_parts || p->nr_parts > PARTS_MAX ||
	    vl_read(g->reader, &g->space, p->parts, part, 8UL * p->nr_parts))
		return;
	for (uint32_t i = 0; i < p->nr_parts; i++)
		if (!vl_read_u64(g->reader, &g->space, part[i] + vl_offset(l, VL_F_BPF_FUNC),
				 &func))
			add_start(s, func);
}

static struct vl_error *find_starts(struct vl_raw_guest *g, struct starts *s)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = vl_walk_idr(g, "prog_idr", sizeof(struct program));
	const struct program *p;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(l, VL_F_BPF_FUNC))
		return NULL;
	vl_fields_add(&fs, VL_F_BPF_FUNC, offsetof(struct program, func), 8);
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_PARTS,
			      offsetof(struct program, parts), 8);
	vl_fields_add_through(&fs, VL_F_BPF_AUX, VL_F_BPF_AUX_NR_PARTS,
			      offsetof(struct program, nr_parts), 4);
	err = vl_collect(g, &w, &fs, "the BPF programs", &nr);
	p = w.records;
	for (size_t i = 0; i < nr; i++) {
		add_start(s, p[i].func);
		add_parts(g, &p[i], s);
	}
	if (s->nr)
		qsort(s->v, s->nr, sizeof(*s->v), by_value);
	free(w.records);
	return err || !s->full ? err : vl_error_nomem();
}

/* Does the code of @stub call a program, or jump to one? */
static bool calls_program(struct vl_raw_guest *g, const struct vl_stub *stub,
			  const struct starts *s, uint64_t *left)
{
	uint64_t len = stub->end - stub->start;
	_cleanup_free_ unsigned char *code = NULL;

	if (len > TRAMPOLINE_MAX || len > *left)
		return false;
	*left -= len;
	code = malloc(len);
	if (!code || vl_read(g->reader, &g->space, stub->start, code, len))
		return false;
	for (size_t i = 0; i + CALL_LEN <= len; i++) {
		uint64_t to = stub->start + i + CALL_LEN + (uint64_t)(int64_t)i32(code + i + 1);

		/* call, jmp, and the second byte of a conditional jump */
		if ((code[i] == 0xe8 || code[i] == 0xe9 || (code[i] & 0xf0) == 0x80) &&
		    has_start(s, to, to + 1))
			return true;
	}
	return false;
}

struct ksym {
	uint64_t at, start, end;
	uint8_t is_program;
	char name[VL_STUB_NAME];
};

static struct vl_error *add_bpf(struct vl_raw_guest *g, struct vl_stubs *s)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = vl_symbol(g->attach->kernel, "bpf_kallsyms"),
		.node = vl_offset(l, VL_F_BPF_KSYM_NODE),
		.stride = sizeof(struct ksym),
	};
	struct starts starts = { .nr = 0 };
	uint64_t left = TRAMPOLINES_ALL;
	bool all = true;
	const struct ksym *k;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(l, VL_F_BPF_KSYM_NODE))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct ksym, at));
	vl_fields_add(&fs, VL_F_BPF_KSYM_START, offsetof(struct ksym, start), 8);
	vl_fields_add(&fs, VL_F_BPF_KSYM_END, offsetof(struct ksym, end), 8);
	vl_fields_add(&fs, VL_F_BPF_KSYM_PROG, offsetof(struct ksym, is_program), 1);
	vl_fields_add(&fs, VL_F_BPF_KSYM_NAME, offsetof(struct ksym, name), VL_STUB_NAME - 1);
	/*
	 * Read the list first: the kernel adds a program to the table before its code to the list.
	 */
	err = vl_collect(g, &w, &fs, "what BPF has compiled", &nr);
	if (!err)
		err = find_starts(g, &starts);
	k = w.records;
	for (size_t i = 0; i < nr && all && !err; i++) {
		struct vl_stub stub = {
			.start = k[i].start,
			.end = k[i].end,
			.at = k[i].at,
			.kind = k[i].is_program ? VL_STUB_PROGRAM : VL_STUB_BPF,
		};

		if (stub.end <= stub.start)
			continue;
		snprintf(stub.name, sizeof(stub.name), "%s", k[i].name);
		stub.right = k[i].is_program ? has_start(&starts, stub.start, stub.end) :
					       calls_program(g, &stub, &starts, &left);
		all = add(s, &stub);
	}
	free(starts.v);
	free(w.records);
	return err || all ? err : vl_error_nomem();
}

/* ---- all of them ---- */

static int by_start(const void *a, const void *b)
{
	const struct vl_stub *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

struct vl_error *vl_stubs_collect(struct vl_raw_guest *g, struct vl_stubs *ret)
{
	struct vl_error *err;

	*ret = (struct vl_stubs){ .nr = 0 };
	err = add_ftrace(g, ret);
	if (!err)
		err = add_bpf(g, ret);
	if (err)
		vl_stubs_deinit(ret);
	else if (ret->nr)
		qsort(ret->v, ret->nr, sizeof(*ret->v), by_start);
	return err;
}

void vl_stubs_deinit(struct vl_stubs *s)
{
	free(s->v);
	*s = (struct vl_stubs){ .nr = 0 };
}

/* The most overlapping entries that are examined. A healthy kernel has none. */
#define OVERLAP 8

const struct vl_stub *vl_stub_at(const struct vl_stubs *s, uint64_t va)
{
	size_t after = vl_bisect(i, s->nr, s->v[i].start <= va);

	for (size_t i = 1; i <= OVERLAP && i <= after; i++)
		if (va < s->v[after - i].end && s->v[after - i].right)
			return &s->v[after - i];
	return NULL;
}

/*
 * Bytes of a check of the caller's type (cfi_get_offset()), before a trampoline's first
 * instruction.
 */
#define CFI_MAX 16

bool vl_stub_is_entry(const struct vl_stubs *s, uint64_t va)
{
	const struct vl_stub *stub = vl_stub_at(s, va);
	uint64_t at = stub ? va - stub->start : 0;

	if (!stub || stub->kind == VL_STUB_FTRACE)
		return false;
	/* Before "bpf: Fix fexit trampoline." (5.12) a page has two trampolines of BPF, in turn. */
	return !at || (stub->kind == VL_STUB_BPF && (at <= CFI_MAX || at == VL_PAGE_SIZE / 2));
}

bool vl_stub_traces(const struct vl_raw_guest *g, const struct vl_stubs *s, uint64_t to)
{
	/* ftrace_graph_caller: before "x86/ftrace: Make function graph use ftrace directly" (5.16) */
	static const char *const own[] = { "__fentry__", "ftrace_caller", "ftrace_regs_caller",
					   "ftrace_graph_caller" };
	const struct vl_stub *stub = vl_stub_at(s, to);

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (to == vl_symbol(g->attach->kernel, own[i]))
			return true;
	if (!stub || stub->kind == VL_STUB_PROGRAM)
		return false;
	/* Two trampolines of BPF in a page: see vl_stub_is_entry(). */
	return to == stub->start ||
	       (stub->kind == VL_STUB_BPF && to == stub->start + VL_PAGE_SIZE / 2);
}
