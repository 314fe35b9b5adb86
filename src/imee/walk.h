/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the direct engine's walks share: the plan by which the fields of an element
 * are read, and the translation within a walk.
 *
 * A walk is one request, of microseconds. Within it an entry of the upper levels
 * (what is above a page of 4 KiB; a page of 2 MiB is such an entry) is read once,
 * as the processor does. The entry of a page of 4 KiB is read for each element. The
 * next walk knows nothing of it.
 */
#ifndef VLENS_IMEE_WALK_H
#define VLENS_IMEE_WALK_H

#include "direct.h"

/* How a part is moved. */
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

/* A field that is read where its group is. */
struct part {
	uint8_t op;    /* enum part_op */
	uint8_t index; /* of the field as the caller has it */
	uint16_t size;
	uint32_t out; /* in the record */
	int64_t at;   /* from the begin of the group; ADDRESS: from the element */
};

/* Fields that lie side by side: in the element, or behind one pointer in it. */
struct group {
	int64_t low;	 /* where it begins, from the element or what the pointer points to */
	uint64_t len;	 /* bytes; 0: nothing is read */
	int64_t pointer; /* of others than the first: where in the first group */
	/* Its parts: those of 8 bytes, of 4, addresses, others. */
	const struct part *part, *end8, *end4, *end_address, *end;
};

#define MAX_GROUPS 4

struct plan {
	struct group groups[MAX_GROUPS]; /* the first is the element's own */
	unsigned nr_groups;
	struct part parts[VL_WALK_FIELDS];
	uint32_t alone; /* a bit for each field that is in no group */
};

/* Upper entries that are at hand; a power of two. */
#define PMDS 32
/* Bit 0 of upper.host: it is a page of 2 MiB, not a table. */
#define PMD_PAGE 1UL

struct walker {
	struct vl_direct *d;
	const struct vl_space *s;
	const struct vl_walk *w;
	struct vl_walked *ret;
	struct plan plan;
	/* The last entry of level 3, by the address's bits from 30 on. */
	uint64_t pud_key, pud;
	uint64_t guess; /* direct_guess(), for an xarray */
	/* By the address's bits from 21 on: what maps those 2 MiB, in mapped RAM. */
	struct {
		uint64_t key;	/* the bits; no address has UINT64_MAX */
		uintptr_t host; /* the table of level 1, or the page of 2 MiB */
	} pmd[PMDS];
};

/* ---- plan.c ---- */

/* Plan how the fields of @w are read; no groups without @spans. */
void direct_plan(struct plan *p, const struct vl_walk *w, bool spans);

/*
 * One field by itself: its status, which is also what ends the walk if there is
 * nowhere to say so.
 */
enum vl_read_status direct_field(struct walker *k, unsigned i, uint64_t element, uint64_t index,
				 unsigned char *record, uint8_t *status);

/*
 * Where RAM is not mapped: have all that @element and @node (0: none) need at hand.
 * What is in @record is of no account.
 */
void direct_ahead(struct walker *k, uint64_t element, uint64_t index, uint64_t node,
		  unsigned char *record);

/* What is behind a string's end is no part of it. */
void direct_end_string(char *buf, size_t size);

/* ---- translate.c ---- */

/* Find out walker.upper of @va; 0 when it is not mapped, or not by mapped RAM. */
uintptr_t direct_pmd(struct walker *k, uint64_t va);

/* Do the @len bytes at @va, of which the first is at @p, lie in a row? */
bool direct_in_row(struct walker *k, uint64_t va, const unsigned char *p, uint64_t len);

/* Is the page of 4 KiB in mapped RAM, though not in the larger run of it? */
bool direct_in_other(const struct vl_direct *d, uint64_t gpa);

/*
 * Where @len bytes from @va on are, all in a row in mapped RAM; NULL when they are
 * not, for whatever reason: then they are read one by one.
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
