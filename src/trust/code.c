/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "code.h"

bool vl_code_insn(const struct vl_code *c, size_t at, struct vl_insn *ret)
{
	return at < c->len && vl_insn(c->bytes + at, c->len - at, c->va + at, ret);
}

size_t vl_code_nothing(const struct vl_code *c, size_t at, const struct vl_insn *i, bool breaks)
{
	size_t end;

	if (i->kind == VL_INSN_NOP || (breaks && i->kind == VL_INSN_BREAK))
		return i->len;
	end = i->target - c->va;
	if (i->kind != VL_INSN_JUMP || end <= at || end > c->len)
		return 0;
	for (size_t k = at + i->len; k < end; k++)
		if (c->bytes[k] != 0xcc)
			return 0;
	return end - at;
}

bool vl_code_is_nop(const struct vl_code *c, size_t at, bool breaks)
{
	struct vl_insn i;
	size_t n;

	while (vl_code_insn(c, at, &i) && (n = vl_code_nothing(c, at, &i, breaks)))
		at += n;
	return at >= c->len;
}

bool vl_code_starts(const struct vl_code *c, const void *bytes, size_t len)
{
	return len <= c->len && !memcmp(c->bytes, bytes, len);
}

bool vl_code_leads_to_entry(const struct vl_trust *t, const struct vl_code *c,
			    enum vl_insn_kind kind)
{
	struct vl_insn i;

	return vl_code_insn(c, 0, &i) && i.kind == kind &&
	       vl_trust_is_entry(t, vl_code_called(t, i.target)) &&
	       vl_code_is_nop(c, i.len, kind == VL_INSN_JUMP);
}

uint64_t vl_code_called(const struct vl_trust *t, uint64_t target)
{
	return t->counter.len && !vl_trust_is_entry(t, target) &&
			       vl_trust_is_entry(t, target + t->counter.len) ?
		       target + t->counter.len :
		       target;
}
