/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of addresses for the report: symbols, owners. */
#include <inttypes.h>
#include <stdio.h>

#include "check.h"

const char *vl_check_symbol(const struct vl_checker *c, uint64_t va, char buf[VL_CHECK_TEXT])
{
	uint64_t offset = 0;
	const char *name = va >= c->places.stext && va < c->places.end ?
				   vl_symbol_at(c->k, va, &offset) :
				   NULL;

	if (name && offset)
		snprintf(buf, VL_CHECK_TEXT, "%s+0x%" PRIx64, name, offset);
	else
		snprintf(buf, VL_CHECK_TEXT, "%s", name ? name : "");
	return buf;
}

const char *vl_check_owner(const struct vl_checker *c, uint64_t va, char buf[VL_CHECK_TEXT])
{
	const struct vl_place p = vl_place_of(&c->places, va);

	switch (p.kind) {
	case VL_PLACE_TEXT:
	case VL_PLACE_IMAGE:
		return "kernel";
	case VL_PLACE_MODULE:
	case VL_PLACE_HIDDEN:
		snprintf(buf, VL_CHECK_TEXT, "%smodule %s",
			 p.kind == VL_PLACE_HIDDEN ? "hidden " : "", p.name);
		return buf;
	case VL_PLACE_BPF:
		snprintf(buf, VL_CHECK_TEXT, "BPF %s", p.name);
		return buf;
	case VL_PLACE_FTRACE:
		return "ftrace";
	case VL_PLACE_KPROBE:
		return "kprobes";
	default:
		return NULL;
	}
}

const char *vl_check_describe(const struct vl_checker *c, uint64_t va, char buf[VL_CHECK_TEXT])
{
	const struct vl_place p = vl_place_of(&c->places, va);
	char owner[VL_CHECK_TEXT];
	const char *who;

	if (p.kind == VL_PLACE_TEXT || p.kind == VL_PLACE_IMAGE) {
		vl_check_symbol(c, va, buf);
		if (*buf)
			return buf;
	}
	who = vl_check_owner(c, va, owner);
	if (!who)
		who = p.kind == VL_PLACE_NOBODY	 ? "executable memory without an owner" :
		      p.kind == VL_PLACE_CLAIMED ? "memory with a false owner" :
						   "unknown memory";
	snprintf(buf, VL_CHECK_TEXT, "0x%" PRIx64 ", %s", va, who);
	return buf;
}

bool vl_check_is_code(const struct vl_checker *c, uint64_t va)
{
	switch (vl_place_of(&c->places, va).kind) {
	case VL_PLACE_TEXT:
	case VL_PLACE_MODULE:
	case VL_PLACE_FTRACE:
		return true;
	case VL_PLACE_BPF:
		return vl_stub_is_entry(&c->stubs, va);
	default:
		return false;
	}
}
