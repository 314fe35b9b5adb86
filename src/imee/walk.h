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
	int32_t at;   /* from the begin of the group; ADDRESS: from the element */
};

/* Fields that lie side by side: in the element, or behind one pointer in it. */
struct group {
	int32_t pointer;    /* where in the element; not of the first group */
	int32_t low, high;  /* from the element, or what the pointer points to */
	unsigned first, nr; /* of parts */
};

#define MAX_GROUPS 4

struct plan {
	struct group groups[MAX_GROUPS]; /* the first is the element's own */
	unsigned nr_groups;
	struct part parts[VL_WALK_FIELDS];
	uint32_t alone; /* a bit for each field that is in no group */
};

/* Upper entries that are at hand; a power of two. */
#define UPPERS 64

struct walker {
	struct vl_direct *d;
	const struct vl_space *s;
	const struct vl_walk *w;
	struct vl_walked *ret;
	struct plan plan;
	uint64_t guess[MAX_GROUPS];
	/* By the address's bits from 21 on: what maps those 2 MiB. */
	struct {
		uint64_t key;	/* the bits; no address has UINT64_MAX */
		uint64_t entry; /* of level 2: a table, or a page of 2 MiB (PS) */
	} upper[UPPERS];
};

/* Plan how the fields of @w are read; no groups without @spans. */
void direct_plan(struct plan *p, const struct vl_walk *w, bool spans);

/*
 * One field by itself: its status, which is also what ends the walk if there is
 * nowhere to say so. plan.c.
 */
enum vl_read_status direct_field(struct walker *k, unsigned i, uint64_t element, uint64_t index,
				 unsigned char *record, uint8_t *status);

/* Where RAM is not mapped: have all that @element and @node (0: none) need at hand. */
void direct_ahead(struct walker *k, uint64_t element, uint64_t index, uint64_t node);

/* What is behind a string's end is no part of it. */
void direct_end_string(char *buf, size_t size);

/* Walk for walker.upper; false when that is not mapped. */
bool direct_upper(struct walker *k, uint64_t va, uint64_t *entry_ret);

/* Where the 4 KiB of @va are, and how many bytes lie in a row from @va on. */
static inline __attribute__((always_inline)) bool
walk_translate(struct walker *k, uint64_t va, uint64_t *gpa_ret, uint64_t *room_ret)
{
	uint64_t key = va >> 21, entry, mask = (1UL << 21) - 1;
	size_t i = key % UPPERS;

	entry = k->upper[i].entry;
	if (unlikely(k->upper[i].key != key) && !direct_upper(k, va, &entry))
		return false;
	if (!(entry & X86_PTE_PS)) {
		uint64_t at = (entry & X86_PTE_ADDR) + 8 * vl_pgtable_index(va, 1);

		if (unlikely(!direct_in_run(k->d, at, 8)))
			return false;
		entry = direct_load(k->d->base + at);
		if (unlikely(!(entry & X86_PTE_P)))
			return false;
		mask = VL_PAGE_SIZE - 1;
	}
	*gpa_ret = (entry & X86_PTE_ADDR & ~mask) | (va & mask);
	*room_ret = mask + 1 - (va & mask);
	return true;
}

/* The same for what goes on in the next page: is it in a row with this one? */
bool direct_goes_on(struct walker *k, uint64_t va, uint64_t gpa, uint64_t room, uint64_t len);

/*
 * Where @len bytes from @va on are, all in a row in mapped RAM; NULL when they are
 * not, for whatever reason: then they are read one by one. @guess: direct_guess().
 */
static inline __attribute__((always_inline)) const unsigned char *
walk_span(struct walker *k, uint64_t va, uint64_t len, uint64_t *guess)
{
	uint64_t gpa = 0, room = 0;

	if (unlikely(!walk_translate(k, va, &gpa, &room)) ||
	    (unlikely(room < len) && !direct_goes_on(k, va, gpa, room, len)) ||
	    unlikely(!direct_in_run(k->d, gpa, len)))
		return NULL;
	return direct_guess(guess, va, k->d->base + gpa);
}

static inline enum vl_read_status walk_get(struct walker *k, uint64_t va, void *buf, size_t len)
{
	return direct_read(k->d, k->s, va, buf, len, &k->ret->fault);
}

#endif
