/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The top-level page tables of processes (roots). All have the kernel's own entries for its half.
 * With page-table isolation a process has a second one behind the first, for the time that it runs
 * itself: of the kernel's half it maps only the entry code.
 */
#ifndef VLENS_ROOTS_H
#define VLENS_ROOTS_H

#include "check.h"

/* The entries of a root for one half of the addresses. */
#define VL_ROOT_HALF 256

struct vl_roots {
	uint64_t kernel[VL_ROOT_HALF]; /* those of the kernel's own root */
	uint64_t user[VL_ROOT_HALF];   /* those of the one behind it */
	bool known;		       /* kernel[] could be read */
	bool isolated;		       /* the kernel isolates page tables: user[] counts */
	unsigned incomplete;	       /* processes whose tables could not be seen whole */
	unsigned skipped;	       /* those that were not looked at for that reason */
	char first[64];		       /* the first of the incomplete ones */
};

/* Read the kernel's own roots, and check what the second one maps. */
void vl_roots_init(struct vl_checker *c, struct vl_roots *r);

/* Check the tables of the process @what: its task_struct is at @task, its root at @pgd. */
void vl_roots_check(struct vl_checker *c, struct vl_roots *r, uint64_t task, uint64_t pgd,
		    const char *what);

/* All processes were checked: note the parts that could not be read. */
void vl_roots_end(struct vl_checker *c, const struct vl_roots *r);

#endif
