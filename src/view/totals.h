/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUs and memory of a guest as a whole, for vl_top_sample(). */
#ifndef VLENS_TOTALS_H
#define VLENS_TOTALS_H

#include "top.h"

/* Limit of CPUs: NR_CPUS of the largest configuration. */
#define VL_MAX_CPUS 8192

/* Addresses and sizes, found once, as they do not change. */
struct vl_totals {
	struct vl_raw_guest *g;
	uint64_t *offsets; /* __per_cpu_offset of each CPU */
	unsigned *online;  /* the numbers of those that are online */
	size_t nr_possible, nr_online;
	uint64_t wmark_low; /* pages, all zones */
};

struct vl_error *vl_totals_init(struct vl_totals *t, struct vl_raw_guest *g);
void vl_totals_deinit(struct vl_totals *t);

/*
 * Fill all of @ret but the processes. A figure that cannot be read stays unknown; one beyond
 * its limits (plausible.h) is made unknown, and is the error.
 */
struct vl_error *vl_totals_sample(struct vl_totals *t, const struct vl_top_sample *last,
				  struct vl_top_sample *ret);

/*
 * Fill @ret (zeroed) without processes: CPUs, memory, load, names. Pass it to
 * vl_top_sample_deinit() in any case.
 */
struct vl_error *vl_totals_once(struct vl_raw_guest *g, struct vl_top_sample *ret);

#endif
