/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a view is still (see snapshot.h), and what it was like when it was copied: a kernel's
 * text is patched now and then, by the kernel itself or by whoever has taken it over.
 */
#ifndef VLENS_STILL_H
#define VLENS_STILL_H

#include "snapshot.h"

struct vl_still {
	struct vl_snapshot_still at[VL_MAX_STILL];
	/* A sum for each page, 0: not copied. NULL: there is no memory for them. */
	_Atomic uint64_t *sums[VL_MAX_STILL];
	/* Pages elsewhere (modules) whose code has run: what it was like when it first did. */
	struct vl_still_code {
		uint64_t gpa, sum;
	} * code;
	size_t nr_code, cap_code;
};

void vl_still_set(struct vl_still *s, const struct vl_snapshot_still *still);
void vl_still_deinit(struct vl_still *s);

bool vl_still_has(const struct vl_still *s, uint64_t gpa);

/* Page @gpa is copied for the first time, and has this content. Nothing if it is not still. */
void vl_still_note(struct vl_still *s, uint64_t gpa, const void *page);

/* Code of page @gpa, which is not still, is about to run for the first time. False: no memory. */
bool vl_still_note_code(struct vl_still *s, uint64_t gpa, const void *page);

/*
 * Has a page another content in the guest now, of code that ran or, with @all, of all that
 * is still? Not known is no.
 */
bool vl_still_changed(const struct vl_still *s, struct vl_target *t, bool all);

#endif
