/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The still memory of a snapshot (see snapshot.h), with checksums from when it was copied: the
 * kernel, or an attacker in it, patches its text now and then.
 */
#ifndef VLENS_STILL_H
#define VLENS_STILL_H

#include "snapshot.h"

struct vl_still {
	struct vl_snapshot_still at[VL_MAX_STILL];
	/* A checksum for each page; 0: not copied. NULL: the allocation failed. */
	_Atomic uint64_t *sums[VL_MAX_STILL];
	/* Other pages (modules) whose code has run, with checksums from before the first run. */
	struct vl_still_code {
		uint64_t gpa, sum;
	} * code;
	size_t nr_code, cap_code;
	vl_snapshot_filter_fn *filter; /* NULL: there is none */
	void *filter_ctx;
};

void vl_still_set(struct vl_still *s, const struct vl_snapshot_still *still);
void vl_still_deinit(struct vl_still *s);

/*
 * The checksum of a page, never 0. It has no key: a guest that forges a page with the same sum
 * fools only itself.
 */
uint64_t vl_page_sum(const void *page);

bool vl_still_has(const struct vl_still *s, uint64_t gpa);

/* Note the content of page @gpa when it is first copied. Does nothing if it is not still. */
void vl_still_note(struct vl_still *s, uint64_t gpa, const void *page);

/* What was noted of page @gpa; 0: nothing. */
uint64_t vl_still_noted(const struct vl_still *s, uint64_t gpa);

/*
 * Before pages are copied: note those of the @nr pages that the guest has from @gpa on that are
 * still, and pass them through the filter. Does nothing without a filter.
 */
void vl_still_filter(struct vl_still *s, uint64_t gpa, unsigned char *pages, size_t nr);

/* Note page @gpa, which is not still, before its code first runs. False: no memory. */
bool vl_still_note_code(struct vl_still *s, uint64_t gpa, const void *page);

/*
 * Does the guest now have other content in a page whose code has run or, with @all, in any
 * still page? False if that cannot be found out.
 */
bool vl_still_changed(const struct vl_still *s, struct vl_target *t, bool all);

#endif
