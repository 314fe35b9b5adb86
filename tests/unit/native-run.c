/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "native-run.h"

#include <string.h>

uint64_t draw(struct fuzz *f)
{
	f->seed ^= f->seed << 13;
	f->seed ^= f->seed >> 7;
	f->seed ^= f->seed << 17;
	return f->seed;
}

/* No code of C's between setting vector registers, the run, and keeping them. */
static void enter(struct state *s)
{
	__asm__ volatile("xrstor64 %0" ::"m"(s->vectors), "a"(-1), "d"(-1));
	vl_native_enter();
	__asm__ volatile("xsave64 %0" : "+m"(s->vectors) : "a"(-1), "d"(-1) : "memory");
}

void run(struct fuzz *f, struct state *s, uint64_t target)
{
	struct vl_native_ctl *ctl = VL_CTL;

	memcpy(f->data, f->start.data, DATA_SIZE);
	memcpy(f->stack, f->start.stack, STACK_SIZE);
	memcpy(f->near, f->start.near, VL_PAGE_SIZE);
	memcpy(s->vectors, f->start.vectors, XSAVE_SIZE);
	memcpy(ctl->regs, f->start.gpr, sizeof(ctl->regs));
	ctl->rflags = f->start.rflags;
	ctl->interrupts = 0x200;
	ctl->kind = VL_NATIVE_RETURNED;
	ctl->why = NULL;
	ctl->target = target;
	enter(s);
	memcpy(s->gpr, ctl->regs, sizeof(s->gpr));
	s->rflags = ctl->rflags & (FLAGS | FLAG_DF);
	memcpy(s->data, f->data, DATA_SIZE);
	memcpy(s->stack, f->stack, STACK_SIZE);
	memcpy(s->near, f->near, VL_PAGE_SIZE);
}

void randomize(struct fuzz *f)
{
	for (int i = 0; i < VL_NR_GPR; i++)
		f->start.gpr[i] = draw(f) >> (draw(f) & 63);
	f->start.gpr[VL_RSP] = STACK + STACK_SIZE / 2;
	f->start.gpr[VL_RBP] = STACK + STACK_SIZE / 2 + 64;
	f->start.gpr[VL_RSI] = DATA + (draw(f) & 0x3ff0) / 2 + 0x800;
	f->start.gpr[VL_RDI] = DATA + (draw(f) & 0x3ff0) / 2 + 0x800;
	f->start.rflags = (draw(f) & FLAGS) | 2;
	for (size_t i = 0; i < DATA_SIZE; i += 8)
		*(uint64_t *)(f->start.data + i) = draw(f);
	for (size_t i = 0; i < STACK_SIZE; i += 8)
		*(uint64_t *)(f->start.stack + i) = draw(f);
	/* What popf gets: no flag that user mode cannot set, or would trap by. */
	*(uint64_t *)(f->start.stack + STACK_SIZE / 2) &= FLAGS | FLAG_DF;
	*(uint64_t *)(f->start.stack + STACK_SIZE / 2) |= 0x202;
	for (size_t i = 0; i < VL_PAGE_SIZE; i += 8)
		*(uint64_t *)(f->start.near + i) = draw(f);
	for (size_t i = 160; i < FXSAVE_SIZE; i += 8)
		*(uint64_t *)(f->start.vectors + i) = draw(f);
	for (size_t i = 0; i < YMM_SIZE; i += 8)
		*(uint64_t *)(f->start.vectors + YMM_AT + i) = draw(f);
}
