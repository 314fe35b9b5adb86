/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "poke.h"

#include <string.h>

/* A list of changes is not longer, in bytes: TP_VEC_MAX, TEXT_POKE_ARRAY_MAX. */
#define LIST_MAX VL_PAGE_SIZE

static bool read_at(const struct vl_attach *a, uint64_t va, void *buf, size_t len)
{
	return vl_target_read_virt(a->target, &a->pt, va, buf, len);
}

/* Where the list is, and how many entries it has. False: no change is made, or it is not known. */
static bool find_list(const struct vl_attach *a, uint64_t *vec, uint32_t *nr)
{
	const struct vl_layout *l = vl_kernel_layout(a->kernel);
	/* "x86/alternatives: Rename 'bp_desc' to 'text_poke_array'" (6.16): the list itself. */
	uint64_t at = vl_symbol(a->kernel, "text_poke_array");
	uint32_t refs = 1;

	if (at && vl_has(l, VL_F_POKE_ARRAY_VEC) && vl_has(l, VL_F_POKE_ARRAY_NR)) {
		*vec = at + (uint64_t)l->offset[VL_F_POKE_ARRAY_VEC];
		return read_at(a, at + (uint64_t)l->offset[VL_F_POKE_ARRAY_NR], nr, sizeof(*nr));
	}
	at = vl_symbol(a->kernel, "bp_desc");
	if (!at || !vl_has(l, VL_F_POKE_VEC) || !vl_has(l, VL_F_POKE_NR))
		return false;
	/* A pointer to it, before "x86/alternatives: Fix race in try_get_desc()" (6.1). */
	if (vl_symbol_after(a->kernel, at) - at == sizeof(at) &&
	    (!read_at(a, at, &at, sizeof(at)) || !at))
		return false;
	/* The entries stay there when the change is made. */
	if (vl_has(l, VL_F_POKE_REFS) &&
	    (!read_at(a, at + (uint64_t)l->offset[VL_F_POKE_REFS], &refs, sizeof(refs)) || !refs))
		return false;
	return read_at(a, at + (uint64_t)l->offset[VL_F_POKE_VEC], vec, sizeof(*vec)) &&
	       read_at(a, at + (uint64_t)l->offset[VL_F_POKE_NR], nr, sizeof(*nr));
}

#define CALL 0xe8
#define JUMP 0xe9
#define CALL_LEN 5

/*
 * Does the entry at @entry of a change at @va lead out of the kernel's text? A CPU that meets the
 * int3 goes where the entry says. ftrace does that, for the microseconds of the change.
 */
static bool leads_out(const struct vl_attach *a, bool smp, const unsigned char *entry,
		      uint64_t size, uint64_t va)
{
	const struct vl_layout *l = vl_kernel_layout(a->kernel);
	enum vl_field op = smp ? VL_F_SMP_POKE_OPCODE : VL_F_POKE_OPCODE;
	enum vl_field to = smp			     ? VL_F_SMP_POKE_DISP :
			   vl_has(l, VL_F_POKE_DISP) ? VL_F_POKE_DISP :
						       VL_F_POKE_REL32;
	uint64_t text = vl_symbol(a->kernel, "_text"), end = vl_symbol(a->kernel, "_etext"), target;
	int32_t disp;

	/* The change of a module's text leads to that module. */
	if (va < text || va >= end)
		return false;
	if (!vl_has(l, op) || !vl_has(l, to) || (uint64_t)l->offset[op] >= size ||
	    (uint64_t)l->offset[to] + sizeof(disp) > size)
		return true;
	if (entry[l->offset[op]] != CALL && entry[l->offset[op]] != JUMP)
		return false;
	memcpy(&disp, entry + l->offset[to], sizeof(disp));
	target = va + CALL_LEN + (uint64_t)(int64_t)disp;
	return target < text || target >= end;
}

bool vl_poke_lists(const struct vl_attach *a, uint64_t va)
{
	const struct vl_layout *l = vl_kernel_layout(a->kernel);
	bool smp = vl_has(l, VL_F_SMP_POKE_REL) && vl_has(l, VL_F_SIZE_SMP_POKE);
	enum vl_field rel_at = smp ? VL_F_SMP_POKE_REL : VL_F_POKE_REL;
	enum vl_field entry = smp ? VL_F_SIZE_SMP_POKE : VL_F_SIZE_POKE;
	uint64_t start = vl_symbol(a->kernel, "_stext"), vec, size;
	unsigned char list[LIST_MAX];
	uint32_t nr;

	if (!vl_has(l, rel_at) || !vl_has(l, entry))
		return false;
	size = (uint64_t)l->offset[entry];
	if (!size || !find_list(a, &vec, &nr) || !nr || nr > sizeof(list) / size ||
	    !read_at(a, vec, list, nr * size))
		return false;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t at = i * size + (uint64_t)l->offset[rel_at];
		int32_t rel;

		if (at > sizeof(list) - sizeof(rel))
			return false;
		memcpy(&rel, list + at, sizeof(rel));
		if (start + (uint64_t)(int64_t)rel == va)
			return !leads_out(a, smp, list + i * size, size, va);
	}
	return false;
}
