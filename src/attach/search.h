/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The search for a kernel in memory without registers: raw images, LiME, AVML, cores of other
 * tools. Its result takes the place of a vCPU's registers.
 */
#ifndef VLENS_SEARCH_H
#define VLENS_SEARCH_H

#include "../base/clock.h"
#include "../host/target.h"

/* The longest search. Its time is that of reading the whole file. */
#define VL_SEARCH_NS (600 * VL_NSEC_PER_SEC)

/* No honest file has more kernels. */
#define VL_SEARCH_MAX 8

/*
 * Find the kernels in the memory of @t, which has no registers. For each, *@ret has the
 * registers by which a first attach begins: CR0, CR3, CR4 and the address of the interrupt table;
 * all others are 0. *@ret is malloc'ed. Of memory without addresses the search also finds where it
 * lies, places it (vl_target_place()), and returns the placement in *@place_ret (0: none).
 * VL_ERR_KERNEL: there is no x86-64 Linux.
 */
struct vl_error *vl_search(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret,
			   unsigned int *place_ret);

#endif
