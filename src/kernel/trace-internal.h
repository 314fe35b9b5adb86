/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a trace, for the files that follow code (trace.h). */
#ifndef VLENS_KERNEL_TRACE_INTERNAL_H
#define VLENS_KERNEL_TRACE_INTERNAL_H

#include <Zydis/Zydis.h>

#include "trace.h"

/* The parts of a value. */
enum node_kind {
	NODE_NUMBER, /* 0: the value is its offset */
	NODE_UNKNOWN,
	NODE_ARGUMENT, /* nr */
	NODE_CURRENT,
	NODE_PERCPU, /* the start of this CPU's variables */
	NODE_STACK,  /* the stack pointer at the start */
	NODE_RESULT, /* of the function at nr; 0: of an unknown one */
	NODE_LOAD,   /* nr bytes at a */
	NODE_BINARY, /* a, the operation nr, b */
};

/* A node and a constant that is added to it. */
struct value {
	uint16_t node;
	int64_t offset;
};

struct node {
	enum node_kind kind;
	uint64_t nr;
	struct value a, b;
};

/* Nodes that always exist, in this order. */
enum { N_ZERO, N_UNKNOWN, N_CURRENT, N_PERCPU, N_STACK, N_ARGUMENTS, N_FIXED = N_ARGUMENTS + 6 };

#define MAX_NODES 8192
#define MAX_SLOTS 48

/* The registers, and the stack as far as it is known. */
struct state {
	struct value reg[16]; /* by number: rax, rcx, rdx, rbx, rsp, … */
	struct slot {
		int64_t at; /* from the stack pointer at the start */
		struct value value;
	} slots[MAX_SLOTS];
	unsigned nr_slots;
};

/* Kinds of thunks by which the kernel jumps to a register, and ways by which it returns. */
#define TRACE_THUNKS 3
#define TRACE_RETURNS 6

struct trace {
	const struct vl_kernel *k;
	const struct vl_text *text;
	uint64_t start, end; /* of the function */
	bool plain;	     /* data has no names */
	bool nameless;	     /* not all functions have names */
	bool up;	     /* per-CPU variables are plain ones */
	uint64_t hot;	     /* the per-CPU address of current in pcpu_hot; 0: not known */
	uint64_t current_task[2];
	uint64_t this_cpu_off, per_cpu_offset;
	uint64_t thunks[TRACE_THUNKS]
		       [16]; /* that jump to where a register leads; 0: there is none */
	uint64_t return_thunks[TRACE_RETURNS]; /* 0: there is none */
	struct node *nodes;
	size_t nr_nodes;
	vl_trace_fn *fn;
	void *ctx;
};

/* What follows after an instruction. */
enum trace_next {
	NEXT_GO,     /* the next one */
	NEXT_BRANCH, /* the next one, or the target */
	NEXT_JUMP,   /* the target */
	NEXT_END,
};

/* Do instruction @d at @va in @s. @target_ret: of NEXT_BRANCH and NEXT_JUMP. */
enum trace_next vl_trace_step(struct trace *t, struct state *s, uint64_t va,
			      const ZydisDecodedInstruction *d, const ZydisDecodedOperand *o,
			      uint64_t *target_ret);

/* The names of the registers, by number. */
extern const char *const vl_trace_registers[16];

/* Write a line: the texts and values of @format, in which %v is a struct value and %s a text. */
void vl_trace_say(struct trace *t, const char *format, ...);

#endif
