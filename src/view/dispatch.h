/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What code says of itself: where a switch leads, and what stands at a function's entry. */
#ifndef VLENS_DISPATCH_H
#define VLENS_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * x64_sys_call() is a switch over the number of the system call, in %esi, that
 * jumps to a function for each. Follow it for @number: @code is its @len bytes, at
 * @va. False when it does something else than compare and jump.
 */
bool vl_switch_target(const unsigned char *code, size_t len, uint64_t va, uint32_t number,
		      uint64_t *ret);

enum vl_entry_kind {
	VL_ENTRY_PLAIN, /* begins as the compiler has it */
	VL_ENTRY_JUMP,	/* jumps to *@to_ret */
	VL_ENTRY_CALL,	/* calls *@to_ret first: a tracer's place */
	VL_ENTRY_BREAK, /* a breakpoint */
	VL_ENTRY_FAR,	/* goes to where a register or a constant says */
};

/* What stands at the entry of the function at @va, of whose code @len bytes are at @code. */
enum vl_entry_kind vl_entry_kind(const unsigned char *code, size_t len, uint64_t va,
				 uint64_t *to_ret);

#endif
