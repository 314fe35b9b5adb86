/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/cleanup.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../view/collect.h"

/* Executable ranges that are kept: a guest can make any number. */
#define EXEC_MAX (1U << 20)

/* Does [@start, @end) go on where the last of the @nr ranges @v ends? Then it is added to that. */
static bool extend(struct vl_exec *v, size_t nr, uint64_t start, uint64_t end)
{
	if (!nr || v[nr - 1].end != start)
		return false;
	v[nr - 1].end = end;
	return true;
}

/* Add [@start, @end). False: memory ran out, or there are too many. */
static bool add_range(struct vl_places *p, uint64_t start, uint64_t end)
{
	if (extend(p->exec, p->nr_exec, start, end))
		return true;
	if (p->nr_exec == EXEC_MAX)
		return false;
	if (!vl_grow(p->exec, p->cap_exec, p->nr_exec, 64)) {
		p->full = true;
		return false;
	}
	p->exec[p->nr_exec++] = (struct vl_exec){ start, end };
	return true;
}

/* The same of pages that are writable and executable. */
static bool add_writable(struct vl_places *p, uint64_t start, uint64_t end)
{
	if (extend(p->wx, p->nr_wx, start, end))
		return true;
	if (p->nr_wx == EXEC_MAX)
		return false;
	if (!vl_grow(p->wx, p->cap_wx, p->nr_wx, 64)) {
		p->full = true;
		return false;
	}
	p->wx[p->nr_wx++] = (struct vl_exec){ start, end };
	return true;
}

/* The kernel's text is in pages of its own. */
static bool add_exec(void *ctx, const struct vl_leaf *leaf)
{
	struct vl_places *p = ctx;
	uint64_t start = leaf->va, end = leaf->va + leaf->size;
	uint64_t text = p->stext & VL_PAGE_MASK,
		 text_end = (p->etext + VL_PAGE_SIZE - 1) & VL_PAGE_MASK;

	if (!end)
		end = ~0UL; /* the last page of all */
	if (leaf->flags & X86_PTE_RW && !add_writable(p, start, end))
		return false;
	if (end <= text || start >= text_end)
		return add_range(p, start, end);
	return (start >= text || add_range(p, start, text)) &&
	       (end <= text_end || add_range(p, text_end, end));
}

static int compare_exec(const void *a, const void *b)
{
	const struct vl_exec *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static void sort_exec(struct vl_places *p)
{
	if (p->nr_exec)
		qsort(p->exec, p->nr_exec, sizeof(*p->exec), compare_exec);
	if (p->nr_wx)
		qsort(p->wx, p->nr_wx, sizeof(*p->wx), compare_exec);
}

static void add(struct vl_places *p, uint64_t start, uint64_t size, enum vl_place_kind kind,
		const char *name)
{
	struct vl_place *place;

	if (!vl_grow(p->v, p->cap, p->nr, 128)) {
		p->full = true;
		return;
	}
	place = &p->v[p->nr++];
	*place = (struct vl_place){ .start = start, .end = start + size, .kind = kind };
	snprintf(place->name, sizeof(place->name), "%s", name);
}

void vl_places_add(struct vl_places *p, uint64_t start, uint64_t size, enum vl_place_kind kind,
		   const char *name)
{
	if (size && start >= p->low && start <= p->last && size <= p->last - start)
		add(p, start, size, kind, name);
}

static int compare(const void *a, const void *b)
{
	const struct vl_place *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

void vl_places_sort(struct vl_places *p)
{
	if (p->nr)
		qsort(p->v, p->nr, sizeof(*p->v), compare);
}

static void add_module(struct vl_places *p, const struct vl_module *m, enum vl_place_kind kind)
{
	char name[VL_MODULE_NAME + 1];

	snprintf(name, sizeof(name), "%.*s", VL_MODULE_NAME, m->name);
	for (size_t i = 0; i < VL_MODULE_AREAS; i++)
		vl_places_add(p, m->areas[i].base, m->areas[i].size, kind, name);
}

static bool is_listed(const struct vl_module *m, size_t nr, uint64_t module)
{
	for (size_t i = 0; i < nr; i++)
		if (m[i].module == module)
			return true;
	return false;
}

/* Add the modules that are in memory, but not in the list. */
static struct vl_error *add_hidden(struct vl_raw_guest *g, struct vl_places *p,
				   const struct vl_module *listed, size_t nr_listed)
{
	_cleanup_free_ uint64_t *found = NULL;
	struct vl_module m;
	size_t nr;
	struct vl_error *err = vl_modules_in_memory(g, &found, &nr);

	for (size_t i = 0; i < nr; i++)
		if (!is_listed(listed, nr_listed, found[i]) && vl_module_read(g, found[i], &m))
			add_module(p, &m, VL_PLACE_HIDDEN);
	return err;
}

/* ---- code outside of the modules' space ---- */

/* The code by which CPUs start lies here, in bytes (reserve_real_mode()); it is not longer. */
#define REAL_MODE_END (1UL << 20)
#define REAL_MODE_MAX (64UL << 10)

/* The code in the direct map by which CPUs start and wake up, arch/x86/realmode. */
static void add_real_mode(struct vl_raw_guest *g, struct vl_places *p)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t at = vl_symbol(g->attach->kernel, "real_mode_header"), base, gpa;
	uint32_t end;

	if (!at || !vl_has(l, VL_F_REAL_MODE_END) || vl_read_u64(g->reader, &g->space, at, &base) ||
	    vl_read_u32(g->reader, &g->space, base + vl_offset(l, VL_F_REAL_MODE_END), &end) ||
	    vl_reader_where(g->reader, &g->space, base, &gpa, NULL))
		return;
	/* The header has the guest-physical address of the end. */
	if (base % VL_PAGE_SIZE || end > REAL_MODE_END || gpa >= end || end - gpa > REAL_MODE_MAX)
		return;
	add(p, base, (end - gpa + VL_PAGE_SIZE - 1) & VL_PAGE_MASK, VL_PLACE_BOOT, "");
}

/*
 * The page with the code of kexec, since "x86/kexec: Mark relocate_kernel page as ROX instead of
 * RWX" (6.14). The image has the address of its struct page.
 */
static void add_kexec(struct vl_raw_guest *g, struct vl_places *p, const char *image)
{
	const struct vl_kernel *k = g->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t at = vl_symbol(k, image), page, pages, direct, nr;
	uint64_t size = vl_offset(l, VL_F_SIZE_PAGE);

	if (!at || !size || !vl_has(l, VL_F_KIMAGE_CONTROL) ||
	    vl_read_u64(g->reader, &g->space, at, &at) || !at ||
	    vl_read_u64(g->reader, &g->space, at + vl_offset(l, VL_F_KIMAGE_CONTROL), &page) ||
	    vl_read_u64(g->reader, &g->space, vl_symbol(k, "vmemmap_base"), &pages) ||
	    vl_read_u64(g->reader, &g->space, vl_symbol(k, "page_offset_base"), &direct))
		return;
	nr = (page - pages) / size;
	if (nr < direct / VL_PAGE_SIZE)
		add(p, direct + nr * VL_PAGE_SIZE, VL_PAGE_SIZE, VL_PLACE_BOOT, "");
}

struct vl_error *vl_places_init(struct vl_raw_guest *g, struct vl_places *ret)
{
	_cleanup_free_ struct vl_module *m = NULL;
	size_t nr = 0;
	/* The kernel's half of the addresses. */
	uint64_t half = ~0UL << (12 + 9 * g->space.levels - 1), own;
	struct vl_error *err;

	*ret = (struct vl_places){ .nr = 0 };
	err = vl_need_symbol(g, "_stext", "the kernel's text", &ret->stext);
	if (!err)
		err = vl_need_symbol(g, "_etext", "the kernel's text", &ret->etext);
	if (!err)
		err = vl_need_symbol(g, "_end", "the kernel's image", &ret->end);
	if (err)
		return err;
	vl_module_space(g, &ret->low, &ret->last);
	/* The image and the modules come first: their space is small, and so are its tables. */
	own = (ret->stext < ret->low ? ret->stext : ret->low) & VL_PAGE_MASK;
	ret->partial = !vl_pages_executable(g->target, &g->space, own, ~0UL, add_exec, ret) ||
		       !vl_pages_executable(g->target, &g->space, half, own - 1, add_exec, ret);
	sort_exec(ret);
	err = vl_modules_listed(g, &m, &nr);
	for (size_t i = 0; i < nr; i++)
		add_module(ret, &m[i], VL_PLACE_MODULE);
	add_real_mode(g, ret);
	add_kexec(g, ret, "kexec_image");
	add_kexec(g, ret, "kexec_crash_image");
	if (!err)
		err = add_hidden(g, ret, m, nr);
	vl_places_sort(ret);
	return err;
}

void vl_places_deinit(struct vl_places *p)
{
	free(p->v);
	free(p->exec);
	free(p->wx);
}

bool vl_place_runs(const struct vl_places *p, uint64_t va)
{
	size_t at = vl_bisect(i, p->nr_exec, p->exec[i].end <= va);

	return at < p->nr_exec && va >= p->exec[at].start;
}

size_t vl_places_from(const struct vl_places *p, uint64_t va)
{
	return vl_bisect(i, p->nr, p->v[i].start < va);
}

/* The most owners that overlap: other code may lie in a module's freed init section. */
#define OVERLAP 8

struct vl_place vl_place_of(const struct vl_places *p, uint64_t va)
{
	struct vl_place none = { .start = va, .end = va + 1, .kind = VL_PLACE_UNKNOWN };
	size_t after;

	if (va >= p->stext && va < p->etext)
		none.kind = VL_PLACE_TEXT;
	else if (va >= p->stext && va < p->end)
		none.kind = VL_PLACE_IMAGE;
	if (none.kind != VL_PLACE_UNKNOWN)
		return none;
	after = vl_places_from(p, va + 1);
	for (size_t i = 0; i < OVERLAP && i < after; i++)
		if (va < p->v[after - 1 - i].end)
			return p->v[after - 1 - i];
	if (vl_place_runs(p, va))
		none.kind = VL_PLACE_NOBODY;
	return none;
}
