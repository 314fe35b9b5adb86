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

#define NX (1UL << 63)

static bool add_exec(void *ctx, const struct vl_leaf *leaf)
{
	struct vl_places *p = ctx;
	struct vl_exec *last = p->nr_exec ? &p->exec[p->nr_exec - 1] : NULL;

	uint64_t start = leaf->va > p->low ? leaf->va : p->low, end = p->last + 1;

	if (leaf->flags & NX)
		return true;
	if (leaf->size < end - leaf->va)
		end = leaf->va + leaf->size;
	if (last && last->end == start) {
		last->end = end;
		return true;
	}
	if (!vl_grow(p->exec, p->cap_exec, p->nr_exec, 64)) {
		p->full = true;
		return false;
	}
	p->exec[p->nr_exec++] = (struct vl_exec){ start, end };
	return true;
}

void vl_places_add(struct vl_places *p, uint64_t start, uint64_t size, enum vl_place_kind kind,
		   const char *name)
{
	struct vl_place *place;

	if (!size || start < p->low || start > p->last || size > p->last - start)
		return;
	if (!vl_grow(p->v, p->cap, p->nr, 128)) {
		p->full = true;
		return;
	}
	place = &p->v[p->nr++];
	*place = (struct vl_place){ .start = start, .end = start + size, .kind = kind };
	snprintf(place->name, sizeof(place->name), "%s", name);
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

struct vl_error *vl_places_init(struct vl_raw_guest *g, struct vl_places *ret)
{
	_cleanup_free_ struct vl_module *m = NULL;
	size_t nr = 0;
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
	if (!vl_pages_each(g->target, &g->space, ret->low, ret->last, add_exec, ret) && !ret->full)
		err = vl_error_new(VL_ERR_KERNEL, "the modules' space has too many page tables");
	if (!err)
		err = vl_modules_listed(g, &m, &nr);
	for (size_t i = 0; i < nr; i++)
		add_module(ret, &m[i], VL_PLACE_MODULE);
	if (!err)
		err = add_hidden(g, ret, m, nr);
	vl_places_sort(ret);
	return err;
}

void vl_places_deinit(struct vl_places *p)
{
	free(p->v);
	free(p->exec);
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

/* Most owners that overlap: a module's freed init section overlaps what lies there now. */
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
