/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A standby worker for raw views, made ahead. A keeper forks it, with a copy of its own target,
 * in its box; a tool that reads the same memory takes it over. It serves one run of that tool,
 * and has read nothing before.
 */
#ifndef VLENS_GUEST_STANDBY_H
#define VLENS_GUEST_STANDBY_H

#include <stdint.h>

#include "../vlens.h"

struct vl_box;

/*
 * A hash of what two targets must have in common to share a worker: the process, and the place
 * of each piece of its memory.
 */
uint64_t vl_guest_print(struct vl_guest *g);

/*
 * In a keeper: make a worker for vl_box_lend(), and do not wait for it. The caller owns *@ret,
 * which is NULL if none can be lent: imee.ko maps memory for one process only.
 */
struct vl_error *vl_guest_make_standby(struct vl_guest *g, struct vl_box **ret);

/* Borrows a worker that has the vl_guest_print() @print; NULL: there is none now. */
typedef struct vl_box *vl_lend_fn(void *ctx, uint64_t print);

/*
 * In a tool, before vl_guest_attach(): use @lend to get a worker. Has no effect if it has none,
 * or if more is asked of the guest than reads by the fastest engine. A borrowed worker that ends
 * early, perhaps with its keeper, is replaced by our own.
 */
void vl_guest_use_lender(struct vl_guest *g, vl_lend_fn *lend, void *ctx);

#endif
