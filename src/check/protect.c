/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rights that the page tables give: nothing may be both writable and executable. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../attach/attach.h"
#include "check.h"

/* Most findings of each kind that are shown. */
#define SHOWN 64

static void show_range(struct vl_checker *c, uint64_t start, uint64_t end, bool note,
		       const char *what, const char *found, const char *expected)
{
	char text[VL_CHECK_TEXT];

	snprintf(text, sizeof(text), "%" PRIu64 " KiB %s", (end - start + 1023) >> 10, found);
	vl_check_show(c, &(struct vl_check_row){
				 .class = note ? VL_CHECK_NOTE : VL_CHECK_FINDING,
				 .check = "protection",
				 .at = start,
				 .what = what,
				 .expected = expected,
				 .found = text,
			 });
}

/* Was the kernel started with "rodata=off", so that all of its text is writable? */
static bool is_off(struct vl_checker *c)
{
	const struct vl_places *p = &c->places;
	uint64_t at = vl_symbol(c->k, "rodata_enabled");
	uint8_t on;

	if (!at || vl_read(c->g->reader, &c->g->space, at, &on, sizeof(on)) || on)
		return false;
	for (size_t i = 0; i < p->nr_wx; i++)
		if (p->wx[i].start <= p->stext && p->wx[i].end >= p->etext)
			return true;
	return false;
}

/*
 * Trampolines and dispatchers of BPF stayed writable before "bpf: Use arch_bpf_trampoline_size and
 * arch_protect_bpf_trampoline()" (6.9), as the kernel changes them in place.
 */
static bool is_made_so(const struct vl_checker *c, const struct vl_place *p)
{
	return strncmp(p->name, "bpf_prog_", strlen("bpf_prog_")) != 0 &&
	       !vl_symbol(c->k, "arch_protect_bpf_trampoline");
}

/* The owner of writable code, for the report; NULL: it may be writable. */
static const char *owner_of(const struct vl_checker *c, uint64_t start,
			    char buf[VL_MODULE_NAME + 32], uint64_t *end)
{
	struct vl_place p = vl_place_of(&c->places, start);

	/* The place of an address in the image is that byte alone. */
	if (p.kind == VL_PLACE_TEXT || p.kind == VL_PLACE_IMAGE)
		p.end = (c->places.end + VL_PAGE_SIZE - 1) & VL_PAGE_MASK;
	if (p.kind != VL_PLACE_NOBODY && p.end < *end)
		*end = p.end;
	switch (p.kind) {
	case VL_PLACE_BOOT:
		return NULL;
	case VL_PLACE_TEXT:
		return "the kernel's text";
	case VL_PLACE_IMAGE:
		return "the kernel's data";
	case VL_PLACE_MODULE:
		snprintf(buf, VL_MODULE_NAME + 32, "module %s", p.name);
		return buf;
	case VL_PLACE_HIDDEN:
		snprintf(buf, VL_MODULE_NAME + 32, "hidden module %s", p.name);
		return buf;
	case VL_PLACE_BPF:
		return is_made_so(c, &p) ? NULL : "compiled BPF";
	case VL_PLACE_FTRACE:
		return "a trampoline of ftrace";
	case VL_PLACE_KPROBE:
		return "the code of kprobes";
	default:
		return "memory without an owner";
	}
}

/*
 * The kernel makes its text read-only when it has started, and all other code before it makes that
 * executable. It writes to code by another page table, which only the writer uses.
 */
static void check_code(struct vl_checker *c)
{
	const struct vl_places *p = &c->places;
	bool off = is_off(c);
	unsigned shown = 0;

	for (size_t i = 0; i < p->nr_wx; i++) {
		for (uint64_t va = p->wx[i].start, end; va < p->wx[i].end && shown < SHOWN;
		     va = end) {
			char buf[VL_MODULE_NAME + 32];
			const char *what;

			end = p->wx[i].end;
			what = owner_of(c, va, buf, &end);
			if (end <= va)
				end = p->wx[i].end;
			if (!what)
				continue;
			show_range(c, va, end, off, what,
				   off ? "can be written: the kernel was started with rodata=off" :
					 "of code can be written",
				   "code that cannot be written");
			shown++;
		}
	}
}

struct constants {
	uint64_t start, end; /* whole pages */
	struct vl_exec v[SHOWN];
	size_t nr;
};

static bool see_constant(void *ctx, const struct vl_leaf *leaf)
{
	struct constants *k = ctx;
	uint64_t start = leaf->va > k->start ? leaf->va : k->start, end = leaf->va + leaf->size;

	end = end < k->end ? end : k->end;
	if (!(leaf->flags & X86_PTE_RW) || start >= end)
		return true;
	if (k->nr && k->v[k->nr - 1].end == start)
		k->v[k->nr - 1].end = end;
	else if (k->nr < SHOWN)
		k->v[k->nr++] = (struct vl_exec){ start, end };
	return true;
}

/* The kernel's constant data, and what it sets only while it starts, are read-only. */
static void check_constants(struct vl_checker *c)
{
	struct constants k = {
		.start = (vl_symbol(c->k, "__start_rodata") + VL_PAGE_SIZE - 1) & VL_PAGE_MASK,
		.end = vl_symbol(c->k, "__end_rodata") & VL_PAGE_MASK,
	};
	bool off = is_off(c);

	if (k.start >= k.end)
		return;
	vl_pages_each(c->g->target, &c->g->space, k.start, k.end - 1, see_constant, &k);
	for (size_t i = 0; i < k.nr; i++)
		show_range(c, k.v[i].start, k.v[i].end, off, "the kernel's constants",
			   off ? "can be written: the kernel was started with rodata=off" :
				 "of constants can be written",
			   "constants that cannot be written");
}

struct vl_error *vl_check_protection(struct vl_checker *c)
{
	check_code(c);
	check_constants(c);
	return NULL;
}
