/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other stacks that the kernel switches to (of softirqs, of interrupts). Stack instructions
 * take no prefix, so rsp gets a low address where the same pages are mapped. Each stack has a
 * slot of low addresses, and between two slots as many stay unmapped.
 */
#include "native.h"

/* Stacks are aligned to 16 KiB or 32 KiB. A stack lies in the middle of its slot. */
#define STACK_ALIGN (VL_NATIVE_STACK / 2)

static uint64_t slot(size_t i)
{
	return VL_NATIVE_STACKS + (2 * i + 1) * VL_NATIVE_STACK;
}

uint64_t vl_native_put_stack(struct vl_executor_state *e, uint64_t va)
{
	/* The pointer of an empty stack is the stack's end, so look at the byte below. */
	uint64_t base = ((va - 1) & ~(STACK_ALIGN - 1UL)) - STACK_ALIGN / 2;
	size_t i = 0;

	while (i < e->nr_stacks && va - e->stacks[i] >= VL_NATIVE_STACK)
		i++;
	if (i == VL_NATIVE_NR_STACKS)
		return 0;
	if (i == e->nr_stacks)
		e->stacks[e->nr_stacks++] = base;
	return slot(i) + (va - e->stacks[i]);
}

bool vl_native_stack_va(const struct vl_executor_state *e, uint64_t at, uint64_t *va_ret)
{
	uint64_t low = at < VL_NATIVE_G ? at : at - VL_NATIVE_G;
	/* Each slot has half of the gap on both sides. */
	size_t i = (low - VL_NATIVE_STACKS - VL_NATIVE_STACK / 2) / (2 * VL_NATIVE_STACK);

	if (low < slot(0) - VL_NATIVE_STACK / 2 || i >= e->nr_stacks)
		return false;
	*va_ret = e->stacks[i] + (low - slot(i));
	return true;
}

void vl_native_stack_span(const struct vl_executor_state *e, int which, uint64_t *start_ret,
			  uint64_t *end_ret)
{
	*start_ret = which ? slot((size_t)which - 1) : e->st.stack_va;
	*end_ret = *start_ret + (which ? VL_NATIVE_STACK : e->st.stack_size);
}

int vl_native_which_stack(const struct vl_executor_state *e, uint64_t at)
{
	for (int i = 0; i <= (int)e->nr_stacks; i++) {
		uint64_t start, end;

		vl_native_stack_span(e, i, &start, &end);
		/* The pointer of an empty stack is its end. */
		if (at >= start && at <= end)
			return i;
	}
	return -1;
}

void vl_native_forget_stacks(struct vl_executor_state *e)
{
	if (e->nr_stacks && vl_native_is_kept(e))
		vl_native_forget_returns(e, false);
	e->nr_stacks = 0;
}
