/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The code that a guest has at a site, and its comparison with code of the image. */
#ifndef VLENS_TRUST_CODE_H
#define VLENS_TRUST_CODE_H

#include "forms.h"
#include "insn.h"
#include "internal.h"

struct vl_code {
	const unsigned char *bytes;
	size_t len;
	uint64_t va;
};

/* Decode the instruction at offset @at of @c. */
bool vl_code_insn(const struct vl_code *c, size_t at, struct vl_insn *ret);

/*
 * The length of code without effect that begins with instruction @i, at offset @at of @c; 0: it
 * has an effect. It is a no operation,
 * or a jump over int3 in place of many of them ("x86/alternatives: Optimize optimize_nops()",
 * 6.9), or, with @breaks, an int3.
 */
size_t vl_code_nothing(const struct vl_code *c, size_t at, const struct vl_insn *i, bool breaks);

/* Is all code of @c from offset @at on without effect, as vl_code_nothing() says? */
bool vl_code_is_nop(const struct vl_code *c, size_t at, bool breaks);

bool vl_code_starts(const struct vl_code *c, const void *bytes, size_t len);

/*
 * Is the first instruction of @c one of @kind (a call or a jump) to an entry of the image, with
 * only no operations behind it?
 */
bool vl_code_leads_to_entry(const struct vl_trust *t, const struct vl_code *c,
			    enum vl_insn_kind kind);

/*
 * The function that a call of @target reaches. @target can be the code in front of a function that
 * counts its calls.
 */
uint64_t vl_code_called(const struct vl_trust *t, uint64_t target);

/* The @len bytes of the image at offset @at; of length 0 if vl_trust_image_at() gives none. */
static inline struct vl_code vl_code_of_image(const struct vl_trust_context *l, size_t at,
					      size_t len, unsigned char buf[VL_TRUST_PIECE_MAX])
{
	const unsigned char *own = vl_trust_image_at(l, at, len, buf);

	return (struct vl_code){ own, own ? len : 0, l->t->va + at };
}

/* --- alternative.c --- */

/* Does the guest's code @c have the same instructions as the image at offset @at (@len bytes)? */
bool vl_trust_same_code(const struct vl_trust_context *l, size_t at, size_t len,
			const struct vl_code *c);

/* Judge a chain of alternatives, of which @s is the longest. */
enum vl_trust_form vl_trust_chain(const struct vl_trust_context *l, const struct vl_trust_site *s,
				  const struct vl_code *c);

#endif
