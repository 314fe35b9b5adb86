/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUs and memory of a guest as a whole, for vl_top_sample(). */
#ifndef VLENS_TOTALS_H
#define VLENS_TOTALS_H

#include "top.h"

/* The most CPUs looked at: NR_CPUS of the largest configuration. */
#define VL_MAX_CPUS 8192

/* Where things are; found once, as they do not move. */
struct vl_totals {
	struct vl_subject *s;
	uint64_t *offsets; /* __per_cpu_offset of each CPU */
	unsigned *online;  /* the numbers of those that are online */
	size_t nr_possible, nr_online;
	uint64_t wmark_low; /* pages, all zones */
};

struct vl_error *vl_totals_init(struct vl_totals *t, struct vl_subject *s);
void vl_totals_deinit(struct vl_totals *t);

/*
 * Fill what is no process in @ret. What cannot be read stays unknown; what could not be
 * (plausible.h) is made unknown, and is the error.
 */
struct vl_error *vl_totals_sample(struct vl_totals *t, const struct vl_top_sample *last,
				  struct vl_top_sample *ret);

/*
 * Only what is no process, into @ret (zeroed): its CPUs, memory, load, names. For
 * vl_top_sample_deinit(), in any case.
 */
struct vl_error *vl_totals_once(struct vl_subject *s, struct vl_top_sample *ret);

#endif
