/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The leaves of a guest's page tables in a range of addresses. */
#ifndef VLENS_PAGES_H
#define VLENS_PAGES_H

#include "../imee/imee.h"
#include "../host/target.h"

/* A page: @size bytes at @va are at guest-physical @gpa. @flags: all other bits of the entry. */
struct vl_leaf {
	uint64_t va, gpa, size, flags;
};

/*
 * Call @fn for each page mapped in [@start, @last], in ascending order, until it returns false.
 * At most VL_PAGES_TABLES tables are read: a guest can build tables that lead to each other
 * without end. False: that limit was reached, or @fn returned false.
 */
#define VL_PAGES_TABLES (256U << 10)
bool vl_pages_each(struct vl_target *t, const struct vl_space *s, uint64_t start, uint64_t last,
		   bool (*fn)(void *ctx, const struct vl_leaf *leaf), void *ctx);

#endif
