/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker for raw views that is ready before it is asked. A keeper makes it, a copy of
 * its own target, in its box; a tool that looks at the same memory takes it over. It serves this
 * tool's run only, and has read nothing before.
 */
#ifndef VLENS_GUEST_SPARE_H
#define VLENS_GUEST_SPARE_H

#include <stdint.h>

#include "../vlens.h"

struct vl_box;

/*
 * What the copy of a target must have in common with one's own: its process, and where each piece of its
 * memory is.
 */
uint64_t vl_guest_print(struct vl_guest *g);

/*
 * In a keeper: make a worker for vl_box_lend(). It is not waited for. *@ret is the caller's, and
 * NULL where none can be lent: memory that the kernel module maps is for its own process.
 */
struct vl_error *vl_guest_make_spare(struct vl_guest *g, struct vl_box **ret);

/* Somebody who lends workers to whoever has this vl_guest_print(); NULL: there is none now. */
typedef struct vl_box *vl_lend_fn(void *ctx, uint64_t print);

/*
 * In a tool, before vl_guest_attach(): ask @lend for a worker. Nothing changes where it has none,
 * or where the guest is not just read by the fastest engine. One that ends before its time, perhaps
 * with its keeper, is replaced by one of our own.
 */
void vl_guest_use_lender(struct vl_guest *g, vl_lend_fn *lend, void *ctx);

#endif
