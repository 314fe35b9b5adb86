/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of the guest that the dump lacks: cut off, or left out. The executor finds nothing at such
 * an address, as at that of a device.
 */
#include "../host/file.h"
#include "clone.h"

/* Documentation/arch/x86/x86_64/mm.rst: where the direct map is without KASLR. */
#define DIRECT_4 0xffff888000000000UL
#define DIRECT_5 0xff11000000000000UL
/* The kernel maps the addresses of ISA devices, too, whether there is memory or not. */
#define ISA_END 0x100000UL

struct walk {
	const struct vl_clone *c;
	uint64_t lacks; /* the entry on the way that the file lacks; 0: none */
};

static bool read_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	struct walk *w = ctx;
	bool has = vl_snapshot_read_entry(w->c->snapshot, gpa, ret);

	if (!has && vl_target_lacks(w->c->attach->target, gpa))
		w->lacks = gpa;
	return has;
}

/* Does the direct map have @gpa? It has the memory and no device: init_mem_mapping(). */
static bool is_direct(struct vl_clone *c, uint64_t gpa)
{
	const uint64_t at = vl_symbol(c->attach->kernel, "page_offset_base");
	struct walk w = { .c = c };
	struct vl_xlat x;
	uint64_t base;

	if (!at || !vl_clone_read64(c, at, &base))
		base = c->attach->pt.levels == 5 ? DIRECT_5 : DIRECT_4;
	return vl_translate(&c->attach->pt, read_entry, &w, base + gpa, &x) && x.gpa == gpa;
}

struct vl_error *vl_clone_lacks(struct vl_clone *c, uint64_t gpa)
{
	if (vl_target_is_live(c->attach->target) ||
	    (!vl_target_lacks(c->attach->target, gpa) && (gpa < ISA_END || !is_direct(c, gpa))))
		return NULL;
	return vl_target_lacking(c->attach->target, gpa);
}

struct vl_error *vl_clone_lacks_table(struct vl_clone *c, uint64_t va)
{
	struct walk w = { .c = c };
	struct vl_xlat x;

	/* The kernel half: tables of processes are read by the kernel itself. */
	if (va >> 63 && !vl_translate(&c->attach->pt, read_entry, &w, va, &x) && w.lacks)
		return vl_target_lacking(c->attach->target, w.lacks);
	return NULL;
}
