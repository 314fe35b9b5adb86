/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The working set: which pages of a guest a program's questions touched the
 * last time. With them copied, the guest can run while the answer is made.
 */
#ifndef VLENS_WORKSET_H
#define VLENS_WORKSET_H

#include "../mem/snapshot.h"
#include "../attach/attach.h"

/* 128 MiB: above that copying takes longer than it is worth. */
#define VL_WORKSET_MAX 32768

struct vl_workset {
	uint64_t *gpas; /* ascending */
	size_t nr;
	bool changed;
	struct vl_snapshot_still still[VL_MAX_STILL]; /* left out: never changes */
};

/*
 * Read what is kept for @label (a program's name) about this run of the guest;
 * empty when there is nothing, or no label.
 */
void vl_workset_load(struct vl_workset *ws, struct vl_target *t, const char *label);

/* Are they a working set's: whole pages in ascending order? */
bool vl_workset_sane(const uint64_t *gpas, size_t nr);

/* Where the kernel's text and constants are: ->still. */
void vl_workset_find_still(struct vl_workset *ws, const struct vl_attach *attach);

/* Keep it, if it changed. Failing to is no error. */
void vl_workset_save(const struct vl_workset *ws, struct vl_target *t, const char *label);

/* Make it the pages that @v has. Too many empty the set. */
void vl_workset_update(struct vl_workset *ws, const struct vl_snapshot *v);

void vl_workset_deinit(struct vl_workset *ws);

#endif
