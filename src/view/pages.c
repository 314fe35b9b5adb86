/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "collect.h"

#define ENTRIES 512

struct walk {
	struct vl_target *t;
	uint64_t start, last;
	unsigned left; /* tables that may still be read */
	bool (*fn)(void *ctx, const struct vl_leaf *leaf);
	void *ctx;
};

/* Walk the table at @gpa, whose first entry maps @base. False: stop. */
static bool walk_table(struct walk *w, uint64_t gpa, int level, uint64_t base)
{
	uint64_t entries[ENTRIES], size = 1UL << (12 + 9 * (level - 1));

	if (!w->left)
		return false;
	w->left--;
	if (vl_discard(vl_target_read(w->t, gpa, entries, sizeof(entries))))
		return true;
	for (unsigned i = 0; i < ENTRIES; i++) {
		uint64_t va = base + i * size, e = entries[i];
		struct vl_leaf leaf = { .va = va, .size = size, .flags = e & ~X86_PTE_ADDR };

		if (!(e & X86_PTE_P) || va + (size - 1) < w->start || va > w->last)
			continue;
		if (level == 1 || ((level == 2 || level == 3) && e & X86_PTE_PS)) {
			leaf.gpa = e & X86_PTE_ADDR & ~(size - 1);
			if (!w->fn(w->ctx, &leaf))
				return false;
		} else if (!walk_table(w, e & X86_PTE_ADDR, level - 1, va)) {
			return false;
		}
	}
	return true;
}

bool vl_pages_each(struct vl_target *t, const struct vl_space *s, uint64_t start, uint64_t last,
		   bool (*fn)(void *ctx, const struct vl_leaf *leaf), void *ctx)
{
	struct walk w = {
		.t = t, .start = start, .last = last, .left = VL_PAGES_TABLES, .fn = fn, .ctx = ctx
	};
	int shift = 12 + 9 * s->levels;

	/* Addresses of the upper half have all bits set above those translated. */
	return walk_table(&w, s->root, s->levels, start >> 63 ? ~0UL << (shift - 1) << 1 : 0);
}
