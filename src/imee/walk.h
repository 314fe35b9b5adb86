/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the direct engine's walks: the plan by which the fields of an element are read, and
 * the translation within a walk.
 *
 * A walk is one request, of microseconds. Within it each upper entry (all above that of a 4 KiB
 * page, and that of a 2 MiB page) is read once, as in a processor. The entry of a 4 KiB page is
 * read for each element. No entry is kept for the next walk.
 */
#ifndef VLENS_IMEE_WALK_H
#define VLENS_IMEE_WALK_H

#include "direct.h"

/* How a part is copied. */
enum part_op {
	PART_4,
	PART_8,
	PART_16,
	PART_32,
	PART_BYTES,
	PART_STRING,
	PART_ADDRESS,
	PART_INDEX,
};

/* A field that is read with its group. */
struct walk_part {
	uint8_t op;    /* enum part_op */
	uint8_t index; /* the caller's index of the field */
	uint16_t size;
	uint32_t out; /* in the record */
	int64_t at;   /* offset in the group; ADDRESS: from the element */
};

/* Fields that lie side by side: in the element, or behind one pointer in it. */
struct walk_group {
	int64_t low;	 /* its start, from the element or the pointer's target */
	uint64_t len;	 /* bytes; 0: nothing is read */
	int64_t pointer; /* offset of the pointer in the first group; not of the first */
	/* Its parts: those of 8 bytes, of 4, addresses, others. */
	const struct walk_part *part, *end8, *end4, *end_address, *end;
};

#define MAX_GROUPS 4

struct plan {
	struct walk_group groups[MAX_GROUPS]; /* the first is the element's own */
	unsigned nr_groups;
	struct walk_part parts[VL_WALK_FIELDS];
	uint32_t alone; /* a bit for each field that is in no group */
};

/* Upper entries that are kept; a power of two. */
#define PMDS 32
/* Bit 0 of pmd.host: it is a page of 2 MiB, not a table. */
#define PMD_PAGE 1UL

struct walker {
	struct vl_direct *d;
	const struct vl_space *s;
	const struct vl_walk *w;
	struct vl_walked *ret;
	struct plan plan;
	/* The last PUD entry, by the address's bits from 30 on. */
	uint64_t pud_key, pud;
	uint64_t guess; /* direct_guess(), for an xarray */
	/* By the address's bits from 21 on: the mapping of those 2 MiB, in mapped RAM. */
	struct {
		uint64_t key;	/* the bits; no address has UINT64_MAX */
		uintptr_t host; /* the table of level 1, or the page of 2 MiB */
	} pmd[PMDS];
};

/* ---- plan.c ---- */

/* Plan how the fields of @w are read; no groups without @spans. */
void direct_plan(struct plan *p, const struct vl_walk *w, bool spans);

/*
 * Read one field by itself. Its status goes to @status; without (NULL) it is returned, and ends
 * the walk.
 */
enum vl_read_status direct_field(struct walker *k, unsigned i, uint64_t element, uint64_t index,
				 unsigned char *record, uint8_t *status);

/*
 * Where RAM is not mapped: fetch all pages that @element and @node (0: none) need. @record is
 * scratch.
 */
void direct_ahead(struct walker *k, uint64_t element, uint64_t index, uint64_t node,
		  unsigned char *record);

/* Clear the bytes behind a string's NUL. */
void direct_end_string(char *buf, size_t size);

/* ---- translate.c ---- */

/* Fill in walker.pmd for @va; 0 when it is not mapped, or not by mapped RAM. */
uintptr_t direct_pmd(struct walker *k, uint64_t va);

/* Are the @len bytes at @va contiguous from @p on? */
bool direct_in_row(struct walker *k, uint64_t va, const unsigned char *p, uint64_t len);

/* Is the page of 4 KiB in mapped RAM? For pages outside of fast[0]. */
bool direct_in_other(const struct vl_direct *d, uint64_t gpa);

/*
 * Pointer to @len bytes from @va on, contiguous in mapped RAM; NULL otherwise: then they are
 * read one by one.
 */
static inline __attribute__((always_inline)) const unsigned char *
walk_host(struct walker *k, uint64_t va, uint64_t len)
{
	uint64_t key = va >> 21, off = va & (VL_PAGE_SIZE - 1), e;
	uintptr_t host = k->pmd[key % PMDS].host;
	const unsigned char *p;

	if (unlikely(k->pmd[key % PMDS].key != key)) {
		host = direct_pmd(k, va);
		if (unlikely(!host))
			return NULL;
	}
	if (host & PMD_PAGE) {
		off = va & ((1UL << 21) - 1);
		p = (const unsigned char *)(host - PMD_PAGE + off);
		if (unlikely(off + len > 1UL << 21) && !direct_in_row(k, va, p, len))
			return NULL;
		return p;
	}
	e = direct_load((const unsigned char *)host + 8 * vl_pgtable_index(va, 1));
	if (unlikely(!(e & X86_PTE_P)))
		return NULL;
	e &= X86_PTE_ADDR;
	if (unlikely(e - k->d->fast[0].gpa >= k->d->fast[0].size) && !direct_in_other(k->d, e))
		return NULL;
	p = k->d->base + e + off;
	if (unlikely(off + len > VL_PAGE_SIZE) && !direct_in_row(k, va, p, len))
		return NULL;
	return p;
}

/* The same, by a guess: see direct_guess(). */
static inline __attribute__((always_inline)) const unsigned char *
walk_span(struct walker *k, uint64_t va, uint64_t len, uint64_t *guess)
{
	const unsigned char *p = walk_host(k, va, len);

	return likely(p) ? direct_guess(guess, va, p) : NULL;
}

static inline enum vl_read_status walk_get(struct walker *k, uint64_t va, void *buf, size_t len)
{
	if (unlikely(k->d->has_live))
		direct_at_hand(k->d, k->s, va, len);
	return direct_read(k->d, k->s, va, buf, len, &k->ret->fault);
}

#endif
