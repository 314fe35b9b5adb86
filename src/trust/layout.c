/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the sections of a loaded module are: what layout_sections() of Linux
 * (kernel/module/main.c) does.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../base/array.h"
#include "internal.h"

#define PAGE 4096UL
/* The alignment of sections in the image other than text. The kernel's own tables need 8. */
#define ALIGN_PLACE 16UL
#define THIS_MODULE ".gnu.linkonce.this_module"

/* Sections that kernels place differently. */
enum {
	JUMPS_ARE_DATA = 1, /* "jump_label: mark __jump_table ro_after_init" (4.19) */
	CALLS_ARE_RO = 2,   /* ".static_call_sites" in sections_ro_after_init (6.9) */
	EXIT_IS_INIT = 4,   /* without CONFIG_MODULE_UNLOAD */
	NR_VARIANTS = 8,
};

/* No part: the section is freed, or it is not in the module's memory. */
#define NOWHERE VL_TRUST_AREAS

static uint64_t up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static bool starts(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

/* Is @s, with SHF_ALLOC, only for the load (rewrite_section_headers() of Linux)? */
static bool is_for_load(const struct vl_ko_section *s)
{
	return !strcmp(s->name, ".modinfo") || starts(s->name, "__version");
}

static bool is_init(const struct vl_ko_section *s, unsigned variant)
{
	return starts(s->name, ".init") || (variant & EXIT_IS_INIT && starts(s->name, ".exit"));
}

static bool is_ro_after_init(const struct vl_ko_section *s, unsigned variant)
{
	return !strcmp(s->name, ".data..ro_after_init") ||
	       (!(variant & JUMPS_ARE_DATA) && !strcmp(s->name, "__jump_table")) ||
	       (variant & CALLS_ARE_RO && !strcmp(s->name, ".static_call_sites"));
}

static enum vl_trust_area area_of(const struct vl_ko_section *s, unsigned variant)
{
	if (!(s->flags & SHF_ALLOC) || is_for_load(s) || is_init(s, variant) ||
	    starts(s->name, ".data..percpu"))
		return NOWHERE;
	if (s->flags & SHF_EXECINSTR)
		return VL_TRUST_AREA_TEXT;
	if (!(s->flags & SHF_WRITE))
		return VL_TRUST_AREA_RODATA;
	return is_ro_after_init(s, variant) ? VL_TRUST_AREA_RO_AFTER_INIT : VL_TRUST_AREA_DATA;
}

/* Set the addresses of the sections, in @variant. Returns the size of the text. */
static uint64_t lay_out(struct vl_ko *ko, const struct vl_trust_loaded *l, unsigned variant)
{
	static const enum vl_trust_area order[] = { VL_TRUST_AREA_TEXT, VL_TRUST_AREA_RODATA,
						    VL_TRUST_AREA_RO_AFTER_INIT,
						    VL_TRUST_AREA_DATA };
	uint64_t size = 0, text = 0;

	for (size_t k = 0; k < ARRAY_SIZE(order); k++) {
		uint64_t base = l->areas[l->together ? VL_TRUST_AREA_TEXT : order[k]].base;

		if (!l->together)
			size = 0;
		for (size_t i = 1; i < ko->nr_sections; i++) {
			struct vl_ko_section *s = &ko->sections[i];

			if (area_of(s, variant) != order[k])
				continue;
			size = up(size, s->align);
			s->va = base + size;
			size += s->size;
		}
		/* debug_align() of Linux, with CONFIG_STRICT_MODULE_RWX */
		size = up(size, PAGE);
		if (!k)
			text = size;
	}
	return text;
}

/* Do the sections have room in the parts, and is struct module at its place, in this layout? */
static bool fits(const struct vl_ko *ko, const struct vl_trust_loaded *l, unsigned variant)
{
	for (size_t i = 1; i < ko->nr_sections; i++) {
		const struct vl_ko_section *s = &ko->sections[i];
		enum vl_trust_area area = area_of(s, variant);

		if (!strcmp(s->name, THIS_MODULE) && s->va != l->module)
			return false;
		if (area != NOWHERE && (!l->together || area == VL_TRUST_AREA_TEXT) &&
		    (s->va - l->areas[area].base > l->areas[area].size ||
		     s->size > l->areas[area].size - (s->va - l->areas[area].base)))
			return false;
	}
	return true;
}

/* Choose the places of the sections in the image: text as in the guest, and the others behind. */
static size_t place(struct vl_trust *t, const struct vl_trust_loaded *l, unsigned variant)
{
	size_t end = up(t->text.len, ALIGN_PLACE);

	for (size_t i = 1; i < t->ko->nr_sections; i++) {
		struct vl_ko_section *s = &t->ko->sections[i];
		enum vl_trust_area area = area_of(s, variant);
		uint64_t align = s->align > ALIGN_PLACE ? s->align : ALIGN_PLACE;

		s->in_image = s->flags & SHF_ALLOC && s->type != SHT_NOBITS && !is_for_load(s);
		s->is_init = s->flags & SHF_ALLOC && is_init(s, variant);
		if (area == VL_TRUST_AREA_TEXT) {
			s->place = s->va - l->areas[VL_TRUST_AREA_TEXT].base;
			continue;
		}
		if (s->in_image) {
			s->place = end = up(end, align);
			end += s->size;
		}
		if (starts(s->name, ".data..percpu"))
			s->va = l->percpu;
		else if (area == NOWHERE)
			s->va = s->in_image ? l->areas[VL_TRUST_AREA_TEXT].base + s->place : 0;
		if (end > VL_TRUST_MODULE_MAX)
			break;
	}
	return end;
}

/* Copy the sections to the image, and name those that tables.c reads. */
static struct vl_error *copy(struct vl_trust *t)
{
	struct vl_ko *ko = t->ko;

	t->sections = calloc(ko->nr_sections, sizeof(*t->sections));
	if (!t->sections)
		return vl_error_nomem();
	t->bytes = mmap(NULL, t->len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->bytes == MAP_FAILED) {
		t->bytes = NULL;
		return vl_error_os(errno, "cannot map memory");
	}
	for (size_t i = 1; i < ko->nr_sections; i++) {
		const struct vl_ko_section *s = &ko->sections[i];
		struct vl_trust_section *own = &t->sections[t->nr_sections];

		if (!s->in_image || s->type == SHT_NULL || !s->size)
			continue;
		memcpy(t->bytes + s->place, ko->file + s->at, s->size);
		strncpy(own->name, s->name, sizeof(own->name) - 1);
		own->part = (struct vl_trust_part){ s->place, s->size };
		own->code = s->flags & SHF_EXECINSTR;
		t->nr_sections++;
	}
	return NULL;
}

struct vl_error *vl_ko_layout(struct vl_trust *t, const struct vl_trust_loaded *l)
{
	uint64_t base = l->areas[VL_TRUST_AREA_TEXT].base, size = l->areas[VL_TRUST_AREA_TEXT].size;
	uint64_t text = 0;
	unsigned variant;

	for (variant = 0; variant < NR_VARIANTS; variant++) {
		text = lay_out(t->ko, l, variant);
		if (text == up(size, PAGE) && fits(t->ko, l, variant))
			break;
	}
	if (variant == NR_VARIANTS || size > VL_TRUST_MODULE_MAX || base % PAGE ||
	    base + VL_TRUST_MODULE_MAX < base)
		return vl_error_new(VL_ERR_ARG,
				    "the guest's module has another layout than the trusted one");
	t->text = (struct vl_trust_part){ 0, size };
	t->va = t->link = base;
	t->len = place(t, l, variant);
	if (t->len > VL_TRUST_MODULE_MAX)
		return vl_ko_damaged("it is larger than any module");
	return copy(t);
}
