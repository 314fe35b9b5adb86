/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows the code of one function without running it, and says what it does in lines of text:
 *
 *	L4[cur+1256]			it loads 4 bytes at an offset of current
 *	S8[a0+16]=a1			it stores its second argument
 *	call put_cred(L8[a0+8],…)	it calls a function, or the one that an expression gives
 *	cmp L4[a0+44],3			it compares; "test" of flags is the same
 *	move a0,a1			it keeps the first, or takes the second
 *	ret L8[a0+40]			it returns
 *
 * An expression is a sum, in decimal: a0 to a5 are the arguments, cur is current, NAME() is what
 * a function returned, &NAME an address of the image, %NAME one of a per-CPU variable, for this
 * CPU or behind the start of a CPU's (of a kernel for one CPU that is &NAME); ? is not known.
 * (A<<B) and the like are operations.
 *
 * Each block of the code is visited once, in the state of one way that leads to it. So each line
 * is true of one way through the function, but not all ways are seen.
 */
#ifndef VLENS_KERNEL_TRACE_H
#define VLENS_KERNEL_TRACE_H

#include "kernel.h"

/* The code of a kernel: @len bytes from @va on. */
struct vl_text {
	const unsigned char *bytes;
	size_t len;
	uint64_t va;
};

/* Bytes of a line, with its NUL. Longer lines are left out. */
#define VL_TRACE_LINE 256

/* Called for each line; the same line can come twice. */
typedef void vl_trace_fn(void *ctx, const char *line);

/*
 * Follow the function at @va, and call @fn for each line. @hot_task is the offset of current in
 * pcpu_hot, VL_NO_FIELD if that is not known. @plain: data are shown as &0xADDRESS and %0xADDRESS,
 * not by names, and calls of nameless functions, if there are such, as "call 0xADDRESS(…)". False:
 * there is no memory, or @va is not in @text. The code may be hostile: at most VL_TRACE_STEPS
 * instructions are decoded.
 */
#define VL_TRACE_STEPS 8192
bool vl_trace(const struct vl_kernel *k, const struct vl_text *text, int32_t hot_task, bool plain,
	      uint64_t va, vl_trace_fn *fn, void *ctx);

#endif
