/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's own page table (swapper_pg_dir) is known by its shape: nothing in the user half, the
 * image of the kernel in the last slot. Only one of the pages with this shape is mapped by itself,
 * as it lies in the kernel's image. From there the interrupt table is found by its gates, which
 * lead into the image.
 */
#include "search.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../host/file.h"
#include "../kernel/image.h"
#include "../mem/paging.h"
#include "content.h"

#define ENTRIES (VL_PAGE_SIZE / sizeof(uint64_t))
#define CHUNK (1UL << 20)
#define PMD_SIZE (2UL << 20)

#define X86_CR0_PE (1UL << 0)
#define X86_CR0_WP (1UL << 16)
#define X86_CR4_PAE (1UL << 5)
/* Bits of a table's entry that are 0: above an address of 52 bits, but for NX and software's. */
#define RESERVED (0x000fUL << 48)

/* The memory of @target, by a placement if it has no addresses. */
struct space {
	struct vl_target *target;
	const struct vl_placement *place; /* NULL: it has addresses */
	unsigned long *left;		  /* pages that may still be read */
};

/* Where in the RAM map the @len bytes at @gpa lie; false: they are not there. */
static bool to_map(const struct space *s, uint64_t gpa, uint64_t len, uint64_t *ret)
{
	*ret = gpa;
	for (size_t i = 0; s->place && i < s->place->nr; i++) {
		const struct vl_extent *e = &s->place->extents[i];

		if (gpa - e->gpa >= e->size || e->size - (gpa - e->gpa) < len)
			continue;
		*ret = e->at + (gpa - e->gpa);
		return true;
	}
	return !s->place;
}

/* The address of what lies at @at in the RAM map; false: it is not in this placement. */
static bool from_map(const struct space *s, uint64_t at, uint64_t *ret)
{
	*ret = at;
	for (size_t i = 0; s->place && i < s->place->nr; i++) {
		const struct vl_extent *e = &s->place->extents[i];

		if (at - e->at >= e->size)
			continue;
		*ret = e->gpa + (at - e->at);
		return true;
	}
	return !s->place;
}

static bool read_pages(const struct space *s, uint64_t gpa, void *ret, size_t len)
{
	const unsigned long pages = len / VL_PAGE_SIZE;
	uint64_t at;

	if (*s->left < pages)
		return false;
	*s->left -= pages;
	return to_map(s, gpa, len, &at) && !vl_discard(vl_target_read(s->target, at, ret, len));
}

/* Is @entry one of a table that leads to another table? */
static bool is_table(uint64_t entry)
{
	return (entry & (X86_PTE_P | X86_PTE_PS)) == X86_PTE_P && !(entry & RESERVED) &&
	       entry & X86_PTE_ADDR;
}

/* Has the page the shape of a kernel's own top-level table? */
static bool has_shape(const uint64_t *page)
{
	unsigned high = 0;

	if (page[0] || page[ENTRIES / 2 - 1] || !is_table(page[ENTRIES - 1]))
		return false;
	for (size_t i = 0; i < ENTRIES / 2; i++)
		if (page[i])
			return false;
	for (size_t i = ENTRIES / 2; i < ENTRIES - 1; i++) {
		if (page[i] && !is_table(page[i]))
			return false;
		high += !!page[i];
	}
	/* The direct map, at least. */
	return high;
}

/* A page of the kernel's: 4 KiB to 1 GiB. */
struct page {
	uint64_t va, gpa, size;
};

/* A walk over all pages that are mapped from @first to @last, in the order of their addresses. */
struct walk {
	const struct space *space;
	uint64_t first, last;
	bool (*fn)(void *ctx, const struct page *p); /* true: stop, the walk is true */
	void *ctx;
	unsigned long left; /* tables that it may still read */
};

/* No kernel has more tables: a TiB needs 1024 for its pages of 2 MiB. */
#define TABLES_MAX 20000
/* Pages of tables and of the image that are read for one table of that shape. */
#define PAGES_MAX 100000

static bool walk(struct walk *w, uint64_t table, int level, uint64_t va)
{
	const uint64_t size = 1UL << (12 + 9 * (level - 1));
	uint64_t entries[ENTRIES];

	if (!w->left || !read_pages(w->space, table & X86_PTE_ADDR, entries, sizeof(entries)))
		return false;
	w->left--;
	for (size_t i = 0; i < ENTRIES; i++, va += size) {
		const struct page p = { va, entries[i] & X86_PTE_ADDR & ~(size - 1), size };

		if (!(entries[i] & X86_PTE_P) || va + (size - 1) < w->first || va > w->last)
			continue;
		if (level == 1 || (level <= 3 && entries[i] & X86_PTE_PS)) {
			if (w->fn(w->ctx, &p))
				return true;
		} else if (walk(w, entries[i], level - 1, va)) {
			return true;
		}
	}
	return false;
}

/* Walk from @first to @last, both in the kernel's half, through @tables tables at most. */
static bool walk_kernel(const struct space *s, const struct vl_pgtable *pt, uint64_t first,
			uint64_t last, unsigned long tables,
			bool (*fn)(void *ctx, const struct page *p), void *ctx)
{
	struct walk w = { s, first, last, fn, ctx, tables };
	/* Addresses in the upper half are sign-extended: the table begins as many below 0. */
	uint64_t va = pt->levels == 4 ? 0xffff000000000000UL : 0xfe00000000000000UL;

	return walk(&w, pt->root, pt->levels, va);
}

/* vl_read_entry_fn */
static bool read_entry(void *space, uint64_t gpa, uint64_t *ret)
{
	const struct space *s = space;
	uint64_t at;

	return to_map(s, gpa, sizeof(*ret), &at) &&
	       !vl_discard(vl_target_read(s->target, at, ret, sizeof(*ret)));
}

/* Take the first page of a walk. */
static bool take_first(void *first, const struct page *p)
{
	*(struct page *)first = *p;
	return true;
}

/* Tables that are read to find the first page of an image. */
#define FIRST_TABLES 16

/* A 64-bit interrupt gate: Intel SDM, volume 3, 6.14.1. */
static bool is_gate(const unsigned char *g)
{
	uint64_t handler = (uint64_t)g[0] | (uint64_t)g[1] << 8 | (uint64_t)g[6] << 16 |
			   (uint64_t)g[7] << 24 | (uint64_t)g[8] << 32 | (uint64_t)g[9] << 40 |
			   (uint64_t)g[10] << 48 | (uint64_t)g[11] << 56;

	return (g[5] & 0x9e) == 0x8e && handler >= VL_IMAGE_START && handler < VL_IMAGE_LIMIT;
}

/* The exceptions that every processor has; vector 9 and those from 15 on may be missing. */
static const unsigned char vectors[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14 };

struct idt {
	unsigned char page[PMD_SIZE] __attribute__((aligned(VL_PAGE_SIZE)));
	const struct space *space;
	uint64_t va, gpa;
};

/* Is the interrupt table in this page? It begins a page of 4 KiB (idt_table, page-aligned). */
static bool has_idt(void *ctx, const struct page *p)
{
	struct idt *idt = ctx;

	if (p->size > PMD_SIZE || !read_pages(idt->space, p->gpa, idt->page, p->size))
		return false;
	for (uint64_t off = 0; off < p->size; off += VL_PAGE_SIZE) {
		size_t good = 0;

		while (good < ARRAY_SIZE(vectors) && is_gate(idt->page + off + 16 * vectors[good]))
			good++;
		if (good < ARRAY_SIZE(vectors))
			continue;
		idt->va = p->va + off;
		idt->gpa = p->gpa + off;
		return true;
	}
	return false;
}

/* The direct map: it begins with the page of address 0, and each follows by its address. */
struct direct {
	bool begun;
	uint64_t start, end;
};

static bool is_not_direct(void *ctx, const struct page *p)
{
	struct direct *d = ctx;

	if (!d->begun) {
		d->begun = !p->gpa;
		d->start = p->va;
	}
	if (!d->begun)
		return false;
	if (p->gpa != p->va - d->start)
		return true;
	d->end = p->gpa + p->size;
	return false;
}

/* The end of the memory that the kernel's direct map has, as far as it can be followed. */
static uint64_t direct_end(const struct space *s, const struct vl_pgtable *pt)
{
	struct direct d = { 0 };

	walk_kernel(s, pt, 0, VL_IMAGE_START - 1, TABLES_MAX, is_not_direct, &d);
	return d.end;
}

/* The end of the memory in this placement. */
static uint64_t end_of(const struct vl_placement *p)
{
	return p->extents[p->nr - 1].gpa + p->extents[p->nr - 1].size;
}

/*
 * Is the page at @gpa, of that shape, the kernel's own table? Then *@ret is how it is reached. The
 * image is one piece of memory, so its first page says where in it the table is mapped.
 */
static bool is_root(const struct space *s, uint64_t gpa, struct vl_pgtable *ret)
{
	for (int levels = 4; levels <= 5; levels++) {
		struct space own = *s;
		struct page first;
		struct vl_xlat x;
		uint64_t va;

		*ret = (struct vl_pgtable){ gpa, levels };
		if (!walk_kernel(s, ret, VL_IMAGE_START, VL_IMAGE_LIMIT - 1, FIRST_TABLES,
				 take_first, &first))
			continue;
		va = first.va - first.gpa + gpa;
		if (gpa > first.gpa && gpa - first.gpa < VL_IMAGE_LIMIT - first.va &&
		    vl_translate(ret, read_entry, &own, va, &x) && x.gpa == gpa)
			return true;
	}
	return false;
}

struct search {
	struct vl_target *target;
	bool scattered;		   /* there are several placements of its memory */
	unsigned int number;	   /* of its placement; 0: none is needed, or found yet */
	struct vl_placement place; /* that one */
	struct vl_vcpu *found;
	uint64_t places[VL_SEARCH_MAX]; /* of its interrupt table, guest-physical */
	uint64_t mapped[VL_SEARCH_MAX]; /* the end of its direct map */
	size_t nr;
	unsigned long left; /* pages that may still be read for the table that is looked at */
	struct vl_deadline deadline;
	struct idt *idt;
	unsigned char *chunk;
};

static bool is_full(const struct search *f)
{
	return f->nr == VL_SEARCH_MAX || vl_late(f->deadline);
}

/*
 * Find the placement with which the direct map can be followed to the end of the memory: with
 * another one its tables are read at the wrong places, or its end is another. Firmware may keep the
 * last MiBs. A piece that is alone may have more bytes behind the memory.
 */
#define NEAR_END (64UL << 20)

static bool find_place(struct search *f, uint64_t at)
{
	uint64_t best = NEAR_END;
	struct vl_placement p;

	for (unsigned int i = 1; vl_target_placement(f->target, i, &p) && !vl_late(f->deadline);
	     i++) {
		const struct space s = { f->target, &p, &f->left };
		uint64_t end, off, ends = end_of(&p), gpa;
		struct vl_pgtable pt;

		f->left = PAGES_MAX;
		if (!from_map(&s, at, &gpa) || !is_root(&s, gpa, &pt))
			continue;
		end = direct_end(&s, &pt);
		off = end > ends ? end - ends : ends - end;
		if (p.nr == 1 && end && end <= ends && off >= NEAR_END)
			off = NEAR_END - 1;
		if (off >= best)
			continue;
		best = off;
		f->number = i;
		f->place = p;
	}
	return best < NEAR_END;
}

/* Look at the page at @at, which has the shape. */
static void look_at(struct search *f, uint64_t at)
{
	struct space s = { .target = f->target, .left = &f->left };
	struct vl_pgtable pt;
	uint64_t end, gpa;
	size_t i = 0;

	if (f->scattered && !f->nr && !find_place(f, at))
		return;
	f->left = PAGES_MAX;
	s.place = f->scattered ? &f->place : NULL;
	f->idt->space = &s;
	if (!from_map(&s, at, &gpa) || !is_root(&s, gpa, &pt) ||
	    !walk_kernel(&s, &pt, VL_IMAGE_START, VL_IMAGE_LIMIT - 1, TABLES_MAX, has_idt, f->idt))
		return;
	/*
	 * The table of the early boot (early_top_pgt) leads to the same image. A dead kernel and
	 * the one that captured its memory can be at the same virtual addresses.
	 */
	end = direct_end(&s, &pt);
	while (i < f->nr && f->places[i] != f->idt->gpa)
		i++;
	if (i < f->nr && f->mapped[i] >= end)
		return;
	f->nr += i == f->nr;
	f->mapped[i] = end;
	f->places[i] = f->idt->gpa;
	f->found[i] = (struct vl_vcpu){
		.cr0 = X86_CR0_PG | X86_CR0_WP | X86_CR0_PE,
		.cr3 = pt.root,
		.cr4 = X86_CR4_PAE | (pt.levels == 5 ? X86_CR4_LA57 : 0),
		.idt_base = f->idt->va,
		.idt_limit = VL_PAGE_SIZE - 1,
	};
}

/* Read @n bytes. Pages that cannot be read count as zeros. */
static void read_chunk(struct search *f, uint64_t gpa, uint64_t n)
{
	if (!vl_discard(vl_target_read(f->target, gpa, f->chunk, n)))
		return;
	for (uint64_t at = 0; at < n; at += VL_PAGE_SIZE)
		if (vl_discard(vl_target_read(f->target, gpa + at, f->chunk + at, VL_PAGE_SIZE)))
			memset(f->chunk + at, 0, VL_PAGE_SIZE);
}

static void look_through(struct search *f, const struct vl_ram *r)
{
	uint64_t gpa = r->gpa, end;

	while (gpa - r->gpa < r->size && !is_full(f) &&
	       vl_target_next_data(f->target, gpa, &gpa, &end)) {
		uint64_t n = end - gpa < CHUNK ? end - gpa : CHUNK;

		read_chunk(f, gpa, n);
		for (uint64_t at = 0; at < n; at += VL_PAGE_SIZE) {
			const uint64_t *page = (const uint64_t *)(f->chunk + at);

			if (has_shape(page) && !is_full(f))
				look_at(f, gpa + at);
		}
		gpa += n;
	}
}

static struct vl_error *none(const struct search *f)
{
	struct vl_error *err =
		vl_error_new(VL_ERR_KERNEL, "no Linux kernel was found in this memory");

	if (vl_target_is_live(f->target))
		return vl_error_hint(err, "only x86-64 guests are understood, and no encrypted "
					  "ones; is it still booting?");
	if (f->scattered)
		return vl_error_hint(err, "only x86-64 guests are understood; a file of more than "
					  "2 GiB without addresses must be a hypervisor's RAM; "
					  "ELF and LiME have addresses");
	return vl_error_hint(err,
			     "only x86-64 guests are understood; is it an image of a machine's "
			     "RAM, and complete?");
}

static struct vl_error *search(struct vl_target *t, struct search *f)
{
	size_t nr;
	const struct vl_ram *ram;
	struct vl_error *err = vl_target_place(t, 0);
	struct vl_placement second;

	if (err)
		return err;
	f->scattered = vl_target_placement(t, 2, &second);
	ram = vl_target_ram(t, &nr);
	for (size_t i = 0; i < nr; i++)
		look_through(f, &ram[i]);
	if (!f->nr && vl_late(f->deadline))
		return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "no kernel was found in %ld s",
						  VL_SEARCH_NS / VL_NSEC_PER_SEC),
				     "copy the file to a faster disk");
	if (!f->nr) {
		struct vl_error *err = vl_content_error(t);

		return err ? err : none(f);
	}
	return f->scattered ? vl_target_place(t, f->number) : NULL;
}

struct vl_error *vl_search(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret,
			   unsigned int *place_ret)
{
	struct search f = {
		.target = t,
		.deadline = vl_deadline_besides(vl_deadline_in(VL_SEARCH_NS), vl_target_waits(t)),
	};
	struct vl_error *err;

	*ret = calloc(VL_SEARCH_MAX, sizeof(**ret));
	f.found = *ret;
	/* Aligned: a copy to other addresses costs up to four times more. */
	f.idt = aligned_alloc(VL_PAGE_SIZE, sizeof(*f.idt));
	f.chunk = aligned_alloc(VL_PAGE_SIZE, CHUNK);
	err = *ret && f.idt && f.chunk ? search(t, &f) : vl_error_nomem();
	free(f.idt);
	free(f.chunk);
	*nr_ret = f.nr;
	*place_ret = f.number;
	if (err) {
		free(*ret);
		*ret = NULL;
	}
	return err;
}
