/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets of fields of a kernel that has no types: they are derived from its code. A table of
 * witnesses says in which function a field shows itself, and how (derive.c, trace.h).
 */
#ifndef VLENS_KERNEL_DERIVE_H
#define VLENS_KERNEL_DERIVE_H

#include "../base/array.h"
#include "trace.h"

/* Derived beside the fields: the offset of the timekeeper (struct vl_layout), TK_AT. */
enum { VL_DERIVE_TK_AT = VL_NR_FIELDS, VL_NR_DERIVED };

/* Where a field shows itself: in lines of @function that match @pattern. */
struct vl_witness {
	int field; /* enum vl_field, or VL_DERIVE_TK_AT */
	const char *function;
	/*
	 * A line (trace.h) with
	 *	#	the field's offset: "+N", "-N", or nothing for 0
	 *	#{NAME}	the same and another field's, which is subtracted; {+NAME} is added,
	 *		{-NAME} is what the number is subtracted from, {-} changes its sign, {/}
	 *		divides it by 8, {*} doubles it, and {!NAME} is an offset that it must not
	 *		be. They can follow each hole, one after the other.
	 *	!	as #, but not 0
	 *	$	a number without a sign: the step of an array, a size that a call has
	 *	~	the same, of a shift: 2 to the power of it
	 *	@	an address of data, as 0xADDRESS
	 *	@{NAME}	the same, and the offset of a field, which is subtracted
	 *	*	any text
	 *	<NAME>	the offset of another field, in the same form; without it, no line matches
	 */
	const char *pattern;
};

/* A table of witnesses, and its length. Those of one function are next to each other. */
struct vl_witnesses {
	const struct vl_witness *list;
	size_t nr;
};
#define VL_WITNESSES(list) \
	{ \
		list, ARRAY_SIZE(list) \
	}

/*
 * Derive what can be had of @k from its code in @text. A field that has no witness in this
 * kernel, or whose witnesses contradict each other, is VL_NO_FIELD. VL_ERR_FAULT: @deadline has
 * passed.
 */
struct vl_error *vl_derive(const struct vl_kernel *k, const struct vl_text *text,
			   struct vl_deadline deadline, struct vl_layout *ret);

/* The same by @nr tables of witnesses. */
struct vl_error *vl_derive_by(const struct vl_kernel *k, const struct vl_text *text,
			      const struct vl_witnesses *tables, size_t nr,
			      struct vl_deadline deadline, struct vl_layout *ret);

/* A hash of all witnesses: another build may derive more fields, or other ones. */
uint64_t vl_derive_hash(void);

/*
 * Write @pattern as it is for a kernel for one CPU to @ret: its per-CPU variables are plain ones,
 * so that "%NAME", and the same behind where the variables of a CPU begin, "L8[…]+%NAME", are
 * "&NAME". False: it has VL_TRACE_LINE bytes or more.
 */
bool vl_derive_for_up(const char *pattern, char ret[VL_TRACE_LINE]);

/* Does @line match @pattern? *@ret is the number at its #, 0 if it has none. */
bool vl_derive_match(const struct vl_layout *known, const char *pattern, const char *line,
		     int64_t *ret);

#endif
