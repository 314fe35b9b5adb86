/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Alternatives: code of the image that the kernel moves to a site. */
#include "code.h"

/*
 * A piece of the image's code that may be at a site. Its instructions have the image's addresses.
 */
struct piece {
	struct vl_code from;
	uint64_t to; /* its address at the site */
};

/* Is instruction @b (bytes @at_b) at the site the same as @a (bytes @at_a) of piece @p? */
static bool same_insn(const struct vl_trust *t, const struct piece *p, const unsigned char *at_a,
		      const struct vl_insn *a, const unsigned char *at_b, const struct vl_insn *b)
{
	uint64_t target = a->target;

	if (a->kind != b->kind || a->condition != b->condition)
		return false;
	if (a->kind == VL_INSN_CALL || a->kind == VL_INSN_JUMP || a->kind == VL_INSN_BRANCH) {
		/* A jump within the piece moves with it. */
		if (target - p->from.va <= p->from.len)
			target += p->to - p->from.va;
		return b->target == target ||
		       (a->kind == VL_INSN_CALL && vl_code_called(t, b->target) == target);
	}
	if (a->len != b->len)
		return false;
	if (!a->relative)
		return !memcmp(at_a, at_b, a->len);
	return b->relative == a->relative && a->refers_to == b->refers_to &&
	       !memcmp(at_a, at_b, a->relative) &&
	       !memcmp(at_a + a->relative + 4, at_b + a->relative + 4, a->len - a->relative - 4U);
}

/* The site at @va, of at most @room bytes, that is not an alternative; NULL: there is none. */
static const struct vl_trust_site *site_at(const struct vl_trust *t, uint64_t va, size_t room)
{
	size_t at = va - t->va;

	for (size_t i = vl_trust_site_from(t, at); i < t->nr_sites && t->sites[i].at == at; i++)
		if (t->sites[i].class != VL_TRUST_ALTERNATIVE && t->sites[i].len <= room)
			return &t->sites[i];
	return NULL;
}

/*
 * The instruction at offset *@off of @p can itself be a site of the image. Is the guest's code at
 * offset *@at of @c a legal form of that site? Then step over it in both.
 */
static bool same_site(const struct vl_trust_context *l, const struct piece *p, size_t *off,
		      const struct vl_code *c, size_t *at)
{
	const struct vl_trust_site *s = site_at(l->t, p->from.va + *off, p->from.len - *off);

	if (!s || s->len > c->len - *at ||
	    vl_trust_form(l, s, c->bytes + *at, c->va + *at) != VL_TRUST_LEGAL)
		return false;
	*off += s->len;
	*at += s->len;
	return true;
}

/*
 * Does the guest's code @c have the instructions of all @nr @pieces, one after the other? No
 * operations may lie between: the kernel pads a shorter replacement with them, joins them, and
 * shortens jumps.
 */
static bool same_code(const struct vl_trust_context *l, const struct piece *pieces, size_t nr,
		      const struct vl_code *c)
{
	bool leaves = false;
	size_t at = 0;

	for (size_t k = 0; k < nr; k++) {
		const struct piece *p = &pieces[k];
		size_t off = 0;

		if (!p->from.bytes)
			return false;
		while (off < p->from.len) {
			struct vl_insn a, b;
			bool same = false;
			size_t n;

			if (!vl_code_insn(&p->from, off, &a))
				return false;
			if (a.kind == VL_INSN_NOP || (leaves && a.kind == VL_INSN_BREAK)) {
				off += a.len;
				continue;
			}
			while (vl_code_insn(c, at, &b)) {
				same = same_insn(l->t, p, p->from.bytes + off, &a, c->bytes + at,
						 &b);
				if (same || !(n = vl_code_nothing(c, at, &b, leaves)))
					break;
				at += n;
			}
			if (at >= c->len)
				return false;
			leaves = a.kind == VL_INSN_JUMP || a.kind == VL_INSN_RETURN;
			if (same) {
				off += a.len;
				at += b.len;
			} else if (!same_site(l, p, &off, c, &at)) {
				return false;
			}
		}
	}
	return vl_code_is_nop(c, at, leaves);
}

bool vl_trust_same_code(const struct vl_trust_context *l, size_t at, size_t len,
			const struct vl_code *c)
{
	unsigned char buf[VL_TRUST_PIECE_MAX];
	const struct piece piece = { vl_code_of_image(l, at, len, buf), c->va };

	return same_code(l, &piece, 1, c);
}

/* --- chains --- */

/*
 * "x86/paravirt: Switch functions with custom code to ALTERNATIVE" (6.8): the original calls
 * through a pointer, and the replacement is that function, called directly.
 */
#define ALT_FLAG_DIRECT_CALL (2u << 16)

static bool direct_call(const struct vl_trust_context *l, const struct vl_trust_alternative *a,
			const struct vl_code *c)
{
	return a->feature & ALT_FLAG_DIRECT_CALL &&
	       (vl_code_leads_to_entry(l->t, c, VL_INSN_CALL) || vl_code_is_nop(c, 0, false));
}

/* Is @c the replacement of alternative @s, followed by the rest of the original (@whole bytes)? */
static bool replaced(const struct vl_trust_context *l, const struct vl_trust_site *s, size_t whole,
		     const struct vl_code *c)
{
	struct vl_trust_alternative a;
	unsigned char bufs[2][VL_TRUST_PIECE_MAX];
	struct piece pieces[2];

	vl_trust_alternative(l->t, s, &a);
	pieces[0] = (struct piece){ vl_code_of_image(l, a.replacement, a.replacement_len, bufs[0]),
				    c->va };
	pieces[1] = (struct piece){ vl_code_of_image(l, s->at + a.len, whole - a.len, bufs[1]),
				    c->va + a.len };
	return same_code(l, pieces, 2, c) || direct_call(l, &a, c);
}

enum vl_trust_form vl_trust_chain(const struct vl_trust_context *l, const struct vl_trust_site *s,
				  const struct vl_code *c)
{
	unsigned char buf[VL_TRUST_PIECE_MAX];
	const struct piece original = { vl_code_of_image(l, s->at, s->len, buf), c->va };
	const struct vl_trust_site *end = l->t->sites + l->t->nr_sites;

	if (same_code(l, &original, 1, c))
		return VL_TRUST_LEGAL;
	for (const struct vl_trust_site *one = s; one < end && one->at == s->at; one++)
		if (one->class == VL_TRUST_ALTERNATIVE && one->len <= s->len &&
		    replaced(l, one, s->len, c))
			return VL_TRUST_LEGAL;
	return VL_TRUST_ILLEGAL;
}
