/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The working set: the pages of a guest that a program's questions touched the last time. Once
 * they are copied, the guest can run while answers are made.
 */
#ifndef VLENS_WORKSET_H
#define VLENS_WORKSET_H

#include "../mem/snapshot.h"
#include "../attach/attach.h"

/* 128 MiB, in pages: to copy more takes longer than it saves. */
#define VL_WORKSET_MAX 32768

struct vl_workset {
	uint64_t *gpas; /* ascending */
	size_t nr;
	bool changed;
	struct vl_snapshot_still still[VL_MAX_STILL]; /* left out: it never changes */
};

/*
 * Read what is kept for @label (a program's name) about this run of the guest;
 * empty when there is nothing, or no label.
 */
void vl_workset_load(struct vl_workset *ws, struct vl_target *t, const char *label);

/* @label as a part of a file's name, malloc'ed; NULL: no memory. */
char *vl_workset_name(const char *label);

/* Are @gpas those of a working set: page-aligned, in ascending order? */
bool vl_workset_sane(const uint64_t *gpas, size_t nr);

/* Fill @ws->still: the ranges of the kernel's text and constants. */
void vl_workset_find_still(struct vl_workset *ws, const struct vl_attach *attach);

/* Store it if it changed. A failure is ignored. */
void vl_workset_save(const struct vl_workset *ws, struct vl_target *t, const char *label);

/* Set it to the pages that @v holds. More than VL_WORKSET_MAX empty it. */
void vl_workset_update(struct vl_workset *ws, const struct vl_snapshot *v);

void vl_workset_deinit(struct vl_workset *ws);

#endif
