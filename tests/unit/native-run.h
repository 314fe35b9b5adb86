/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run of code: registers and memory before it, and after it as it is and rewritten. */
#ifndef VLENS_TESTS_NATIVE_RUN_H
#define VLENS_TESTS_NATIVE_RUN_H

#include "handmade.h"
#include "native/block.h"

/* Guest addresses of the code, with a page of data behind it, and of what operands point to. */
#define CODE 0xffffffff81000000UL
#define USE_RETURN (CODE + 0x40)
#define DATA 0x30000000UL
#define STACK 0x20000000UL
#define NR_DATA 4UL
#define NR_STACK 4UL
/* The code and its data a second time, to run it as it is. */
#define RAW 0x50000000UL
#define DATA_SIZE (NR_DATA * VL_PAGE_SIZE)
#define STACK_SIZE (NR_STACK * VL_PAGE_SIZE)

#define XSAVE_SIZE 16384
/*
 * Bytes of an image of XSAVE: the x87 registers, MXCSR, XMM. Pointers of instructions are left out.
 */
#define X87_REGS 32
#define FXSAVE_SIZE 416
#define YMM_AT 576
#define YMM_SIZE 256

#define FLAGS 0x8d5UL /* arithmetic ones, all but DF */
#define FLAG_DF 0x400UL

struct state {
	uint64_t gpr[VL_NR_GPR], rflags;
	unsigned char vectors[XSAVE_SIZE] __attribute__((aligned(64)));
	unsigned char data[DATA_SIZE], stack[STACK_SIZE], near[VL_PAGE_SIZE];
};

struct fuzz {
	struct vl_executor_state *e;
	struct guest *guest;
	unsigned char *code, *near, *data, *stack; /* as we see them */
	struct state start, raw, rewritten;
	unsigned long done, faults, refused;
	uint64_t seed;
	ZydisDecoder decoder;
};

uint64_t draw(struct fuzz *f);

/* Registers and memory to start with that make sense. */
void randomize(struct fuzz *f);

/* From f->start, at the address @target of ours. */
void run(struct fuzz *f, struct state *s, uint64_t target);

/* native-kept.c */
void test_kept(struct fuzz *f);

#endif
