/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stacks of the kernel's that its code changes to (of softirqs, of interrupts). Instructions of
 * the stack take no prefix, so rsp gets a low address where the same pages are. Each stack has
 * a slot of such addresses, and behind each slot as many stay unmapped.
 */
#include "native.h"

/* Stacks are aligned to 16 KiB, or 32 KiB: one that @va is in lies in the middle of its place. */
#define STACK_ALIGN (VL_NATIVE_STACK / 2)

static uint64_t place(size_t i)
{
	return VL_NATIVE_STACKS + (2 * i + 1) * VL_NATIVE_STACK;
}

uint64_t vl_native_put_stack(struct vl_executor_state *e, uint64_t va)
{
	/* A stack that is empty begins where it ends. */
	uint64_t base = ((va - 1) & ~(STACK_ALIGN - 1UL)) - STACK_ALIGN / 2;
	size_t i = 0;

	while (i < e->nr_stacks && va - e->stacks[i] >= VL_NATIVE_STACK)
		i++;
	if (i == VL_NATIVE_NR_STACKS)
		return 0;
	if (i == e->nr_stacks)
		e->stacks[e->nr_stacks++] = base;
	return place(i) + (va - e->stacks[i]);
}

bool vl_native_stack_va(const struct vl_executor_state *e, uint64_t at, uint64_t *va_ret)
{
	uint64_t low = at < VL_NATIVE_G ? at : at - VL_NATIVE_G;
	/* Half of what is between two places goes with either. */
	size_t i = (low - VL_NATIVE_STACKS - VL_NATIVE_STACK / 2) / (2 * VL_NATIVE_STACK);

	if (low < place(0) - VL_NATIVE_STACK / 2 || i >= e->nr_stacks)
		return false;
	*va_ret = e->stacks[i] + (low - place(i));
	return true;
}

void vl_native_forget_stacks(struct vl_executor_state *e)
{
	e->nr_stacks = 0;
}
