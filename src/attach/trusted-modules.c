/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The module that an address of the guest is in, for messages. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/bisect.h"
#include "trusted.h"

/* More modules than any guest has. */
#define MODULES_MAX 4096
/* Kinds of a module's memory, at most (enum mod_mem_type of Linux). */
#define MEMORY_KINDS 7
/* Time for which the list that was read counts as current, in ns. */
#define CURRENT_NS 100000000L
/* Ranges that a wrong list can have in front of the right one. */
#define OVERLAP 8

struct vl_trusted_range {
	uint64_t base, size, module; /* address of the struct module */
};

/* Add the range whose base and size the guest has at @base_at and @size_at. */
static void add(struct vl_trusted *t, uint64_t module, uint64_t base_at, uint64_t size_at)
{
	uint64_t base;
	uint32_t size;

	if (vl_trusted_read(t, base_at, &base, sizeof(base)) &&
	    vl_trusted_read(t, size_at, &size, sizeof(size)) && size &&
	    vl_grow(t->ranges, t->cap_ranges, t->nr_ranges, 64))
		t->ranges[t->nr_ranges++] = (struct vl_trusted_range){ base, size, module };
}

/* Add the memory of the struct module at @mod. */
static void add_module(struct vl_trusted *t, const struct vl_layout *l, uint64_t mod)
{
	if (vl_has(l, VL_F_MOD_CORE_BASE) && vl_has(l, VL_F_MOD_CORE_SIZE)) {
		add(t, mod, mod + (uint64_t)l->offset[VL_F_MOD_CORE_BASE],
		    mod + (uint64_t)l->offset[VL_F_MOD_CORE_SIZE]);
		return;
	}
	if (!vl_has(l, VL_F_MOD_MEM) || !vl_has(l, VL_F_SIZE_MODMEM) ||
	    !vl_has(l, VL_F_MODMEM_BASE) || !vl_has(l, VL_F_MODMEM_SIZE))
		return;
	for (uint64_t i = 0; i < MEMORY_KINDS; i++) {
		uint64_t at = mod + (uint64_t)l->offset[VL_F_MOD_MEM] +
			      i * (uint64_t)l->offset[VL_F_SIZE_MODMEM];

		add(t, mod, at + (uint64_t)l->offset[VL_F_MODMEM_BASE],
		    at + (uint64_t)l->offset[VL_F_MODMEM_SIZE]);
	}
}

static int by_base(const void *pa, const void *pb)
{
	const struct vl_trusted_range *a = pa, *b = pb;

	return (a->base > b->base) - (a->base < b->base);
}

/* Read the list of modules, as far as it can be read. */
static void read_list(struct vl_trusted *t, const struct vl_layout *l)
{
	uint64_t head = vl_trust_symbol(t->trust, "modules"), at;
	bool good = head && vl_trusted_read(t, head, &at, sizeof(at));

	t->nr_ranges = 0;
	for (unsigned i = 0; good && at != head && i < MODULES_MAX; i++) {
		add_module(t, l, at - (uint64_t)l->offset[VL_F_MOD_LIST]);
		good = vl_trusted_read(t, at, &at, sizeof(at));
	}
	if (t->nr_ranges)
		qsort(t->ranges, t->nr_ranges, sizeof(*t->ranges), by_base);
	t->ranges_ns = (int64_t)vl_now_ns();
}

bool vl_trusted_module_at(struct vl_trusted *t, uint64_t va, char name[VL_TRUSTED_NAME])
{
	const struct vl_layout *l = vl_kernel_layout(t->attach->kernel);
	uint64_t module = 0;
	size_t after;

	if (!vl_has(l, VL_F_MOD_LIST) || !vl_has(l, VL_F_MOD_NAME))
		return false;
	pthread_mutex_lock(&t->lock);
	/* A message about many findings has an address or two of each. */
	if (!t->ranges || (int64_t)vl_now_ns() - t->ranges_ns >= CURRENT_NS)
		read_list(t, l);
	after = vl_bisect(i, t->nr_ranges, t->ranges[i].base <= va);
	for (size_t i = 0; !module && i < OVERLAP && i < after; i++)
		if (va - t->ranges[after - 1 - i].base < t->ranges[after - 1 - i].size)
			module = t->ranges[after - 1 - i].module;
	pthread_mutex_unlock(&t->lock);
	name[VL_TRUSTED_NAME - 1] = '\0';
	return module && vl_trusted_read(t, module + (uint64_t)l->offset[VL_F_MOD_NAME], name,
					 VL_TRUSTED_NAME - 1);
}
