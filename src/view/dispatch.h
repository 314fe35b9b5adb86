/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts from machine code: the target of a switch, and the kind of a function's entry. */
#ifndef VLENS_DISPATCH_H
#define VLENS_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * x64_sys_call() is a switch over the number of the system call, in %esi, that jumps to a
 * function for each. Follow it for @number; @code is its @len bytes, at @va. False when it does
 * anything but compare and jump.
 */
bool vl_switch_target(const unsigned char *code, size_t len, uint64_t va, uint32_t number,
		      uint64_t *ret);

/* How the mark of a system call whose entry is traced begins; the address follows. */
#define VL_CALL_TRACED "its entry is traced: calls"

enum vl_entry_kind {
	VL_ENTRY_PLAIN, /* begins like compiled code */
	VL_ENTRY_JUMP,	/* jumps to *@to_ret */
	VL_ENTRY_CALL,	/* calls *@to_ret first: a tracer's place */
	VL_ENTRY_BREAK, /* a breakpoint */
	VL_ENTRY_FAR,	/* jumps to an address in a register, in memory, or in a constant */
};

/* The kind of entry of the function at @va, whose first @len bytes are @code. */
enum vl_entry_kind vl_entry_kind(const unsigned char *code, size_t len, uint64_t va,
				 uint64_t *to_ret);

#endif
