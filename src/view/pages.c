/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "collect.h"

#include "../host/file.h"

#define ENTRIES 512
/* Rights that a page has if all entries on the way to it have them. */
#define ALL_HAVE (X86_PTE_US | X86_PTE_RW)
/* Tables known to map nothing executable; a kernel maps some of them very often (espfix, KASAN). */
#define KNOWN 1024

struct walk {
	struct vl_target *t;
	uint64_t start, last;
	unsigned left;	     /* tables that may still be read */
	uint64_t *known;     /* of KNOWN tables, by their number; NULL: all pages are wanted */
	uint64_t executable; /* pages found so far */
	bool (*fn)(void *ctx, const struct vl_leaf *leaf);
	void *ctx;
};

/* Show the page of the entry @e, which is the last on the way to it. */
static bool show(struct walk *w, uint64_t va, uint64_t size, uint64_t e)
{
	const struct vl_leaf leaf = { .va = va,
				      .gpa = e & X86_PTE_ADDR & ~(size - 1),
				      .size = size,
				      .flags = e & ~X86_PTE_ADDR };

	if (w->known && e & X86_PTE_NX)
		return true;
	w->executable++;
	return w->fn(w->ctx, &leaf);
}

/*
 * Walk the table at @gpa, whose first entry maps @base. @way: X86_PTE_NX if an entry on the way to
 * it has that, and those of ALL_HAVE that all of them have. False: stop.
 */
static bool walk_table(struct walk *w, uint64_t gpa, int level, uint64_t base, uint64_t way)
{
	uint64_t entries[ENTRIES], size = 1UL << (12 + 9 * (level - 1));
	uint64_t *known = w->known ? &w->known[gpa / VL_PAGE_SIZE % KNOWN] : NULL;
	uint64_t before = w->executable;
	struct vl_error *err;

	if (known && (way & X86_PTE_NX || *known == (gpa | (uint64_t)level)))
		return true;
	if (!w->left)
		return false;
	w->left--;
	err = vl_target_read(w->t, gpa, entries, sizeof(entries));
	if (err) {
		vl_target_note_miss(w->t, gpa, err->code == VL_ERR_LACKING ? err : NULL);
		vl_error_destroy(err);
		return true;
	}
	for (unsigned i = 0; i < ENTRIES; i++) {
		uint64_t va = base + i * size, e = entries[i];

		if (!(e & X86_PTE_P) || va + (size - 1) < w->start || va > w->last)
			continue;
		e |= way & X86_PTE_NX;
		e &= way | ~ALL_HAVE;
		if (level == 1 || ((level == 2 || level == 3) && e & X86_PTE_PS)) {
			if (!show(w, va, size, e))
				return false;
		} else if (!walk_table(w, e & X86_PTE_ADDR, level - 1, va,
				       e & (X86_PTE_NX | ALL_HAVE))) {
			return false;
		}
	}
	/* Note only a table that was walked to its end. */
	if (known && before == w->executable && base >= w->start &&
	    base + (ENTRIES * size - 1) <= w->last)
		*known = gpa | (uint64_t)level;
	return true;
}

/* Tables that are read: a fraction of the pages, or the least number for a small guest. */
#define TABLES_PART 16
#define TABLES_LEAST 8192U

/*
 * The number of tables that a walk may read. The kernel maps its pages by tables of their own, 512
 * by each, and tables that are used again are few, but for those of a sanitizer (KASAN), which no
 * such walk reaches.
 */
static unsigned tables_max(struct vl_target *t)
{
	uint64_t pages = 0, max;
	const struct vl_ram *ram;
	size_t nr;

	ram = vl_target_ram(t, &nr);
	for (size_t i = 0; i < nr; i++)
		pages += ram[i].size / VL_PAGE_SIZE;
	max = pages / TABLES_PART;
	max = max < TABLES_LEAST ? TABLES_LEAST : max;
	return max < VL_PAGES_TABLES ? (unsigned)max : VL_PAGES_TABLES;
}

static bool walk(struct walk *w, const struct vl_space *s)
{
	int shift = 12 + 9 * s->levels;

	w->left = w->known ? VL_PAGES_TABLES : tables_max(w->t);

	/* Addresses of the upper half have all bits set above those translated. */
	return walk_table(w, s->root, s->levels, w->start >> 63 ? ~0UL << (shift - 1) << 1 : 0,
			  ALL_HAVE);
}

bool vl_pages_each(struct vl_target *t, const struct vl_space *s, uint64_t start, uint64_t last,
		   bool (*fn)(void *ctx, const struct vl_leaf *leaf), void *ctx)
{
	struct walk w = { .t = t, .start = start, .last = last, .fn = fn, .ctx = ctx };

	return walk(&w, s);
}

bool vl_pages_executable(struct vl_target *t, const struct vl_space *s, uint64_t start,
			 uint64_t last, bool (*fn)(void *ctx, const struct vl_leaf *leaf),
			 void *ctx)
{
	uint64_t known[KNOWN] = { 0 };
	struct walk w = {
		.t = t, .start = start, .last = last, .known = known, .fn = fn, .ctx = ctx
	};

	return walk(&w, s);
}
