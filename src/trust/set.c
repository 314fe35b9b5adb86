/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel and its loaded modules. */
#include <stdlib.h>

#include "../base/array.h"
#include "../base/bisect.h"
#include "internal.h"

struct vl_error *vl_trust_set_create(const struct vl_trust *kernel, struct vl_trust_set **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return vl_error_nomem();
	(*ret)->kernel = kernel;
	return NULL;
}

void vl_trust_set_destroy(struct vl_trust_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->nr; i++)
		vl_trust_close(set->modules[i]);
	free(set->modules);
	free(set);
}

/* The number of modules whose text begins at or below @va. */
static size_t below(const struct vl_trust_set *set, uint64_t va)
{
	return vl_bisect(i, set->nr, set->modules[i]->va <= va);
}

/* Does the text of @t overlap that of another member? A guest can place modules anywhere. */
static bool overlaps(const struct vl_trust_set *set, const struct vl_trust *t)
{
	size_t n = below(set, t->va);

	return (n && vl_trust_covers(set->modules[n - 1], t->va)) ||
	       (n < set->nr && vl_trust_covers(t, set->modules[n]->va)) ||
	       vl_trust_covers(set->kernel, t->va) || vl_trust_covers(t, set->kernel->va);
}

struct vl_error *vl_trust_set_add(struct vl_trust_set *set, struct vl_trust *module,
				  const struct vl_trust_loaded *loaded)
{
	struct vl_error *err;
	size_t n;

	if (module->set)
		return vl_error_new(VL_ERR_ARG, "the module is in a set already");
	if (!vl_grow(set->modules, set->cap, set->nr, 64))
		return vl_error_nomem();
	err = vl_ko_layout(module, loaded);
	if (!err && overlaps(set, module))
		err = vl_error_new(VL_ERR_ARG, "the guest has two modules at the same place");
	if (err)
		return err;
	n = below(set, module->va);
	memmove(set->modules + n + 1, set->modules + n, (set->nr - n) * sizeof(*set->modules));
	set->modules[n] = module;
	set->nr++;
	module->set = set;
	return NULL;
}

void vl_trust_set_remove(struct vl_trust_set *set, struct vl_trust *module)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->nr; i++)
		if (set->modules[i] != module)
			set->modules[kept++] = set->modules[i];
	set->nr = kept;
	vl_trust_close(module);
}

const struct vl_trust *vl_trust_set_at(const struct vl_trust_set *set, uint64_t va)
{
	size_t n = below(set, va);

	if (vl_trust_covers(set->kernel, va))
		return set->kernel;
	return n && vl_trust_covers(set->modules[n - 1], va) ? set->modules[n - 1] : NULL;
}

const struct vl_trust *vl_trust_owner(const struct vl_trust *t, uint64_t va)
{
	if (vl_trust_covers(t, va))
		return t;
	return t->set ? vl_trust_set_at(t->set, va) : NULL;
}
