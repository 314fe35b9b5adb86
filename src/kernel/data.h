/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Symbols of data, of a kernel whose tables have symbols of code only (no CONFIG_KALLSYMS_ALL).
 * Code shows where a variable is. A table of witnesses says in which functions, and how.
 */
#ifndef VLENS_KERNEL_DATA_H
#define VLENS_KERNEL_DATA_H

#include "trace.h"

/*
 * Where a variable, or a function, shows itself: in lines of @function that match @pattern, at its
 * @ (derive.h).
 */
struct vl_data_witness {
	const char *symbol, *function, *pattern;
};

/*
 * The first round finds what code needs to be followed: the current task, and where the variables
 * of a CPU begin. The last one needs fields of the kernel, too. In a round the witnesses of one
 * function are next to each other.
 */
enum { VL_DATA_BY_FIELDS = 2, VL_DATA_ROUNDS };
extern const struct vl_data_round {
	const struct vl_data_witness *list;
	size_t nr;
} vl_data_rounds[VL_DATA_ROUNDS];
/*
 * More of a kernel for one CPU, which has no per-CPU variables: of the others, those of a per-CPU
 * variable are not asked there.
 */
extern const struct vl_data_round vl_data_up[VL_DATA_ROUNDS];
/*
 * More of a kernel in which functions have no names (exports.h). Those of the first round are
 * functions, found by their calls; they are asked until no more are found.
 */
extern const struct vl_data_round vl_data_bare[VL_DATA_ROUNDS];

/*
 * A function, of such a kernel, that only functions without names call: it is at the @ of a line
 * that matches @pattern, of a function that has the @len bytes at @code near its start. One of its
 * own lines must match @shows.
 */
struct vl_data_callee {
	const char *symbol;
	const unsigned char *code;
	size_t len;
	const char *pattern, *shows;
};
enum { VL_DATA_CALLEES = 1 };
extern const struct vl_data_callee vl_data_callees[VL_DATA_CALLEES];

/*
 * Add to @s what the code in @text shows, without a field (@layout is NULL) or by the fields of
 * @layout. A variable that has no witness in this kernel, or whose witnesses contradict each other,
 * is left out. VL_ERR_FAULT: @deadline has passed.
 */
struct vl_error *vl_data_add(struct vl_symbols *s, const struct vl_text *text,
			     const struct vl_layout *layout, struct vl_deadline deadline);

/* A hash of all witnesses: what was found by others is not used. */
uint64_t vl_data_hash(void);

#endif
