/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks of memory as AVML compresses them: snappy's framing format behind a header (image.rs). */
#ifndef VLENS_AVML_H
#define VLENS_AVML_H

#include "dump.h"

struct vl_avml;

/* *@ret is owned by the caller, until vl_avml_set(). */
struct vl_error *vl_avml_create(const struct vl_dump *d, struct vl_avml **ret);
/* NULL is allowed. */
void vl_avml_destroy(struct vl_avml *a);

/*
 * Add the block of @len bytes of memory at @gpa, whose frames begin at *@at of the file. *@at
 * becomes the end of the block. Only the sizes of frames are read.
 */
struct vl_error *vl_avml_add(struct vl_avml *a, uint64_t gpa, uint64_t len, uint64_t *at);

/* The pages of @t come from @a, which belongs to @t from now on. */
struct vl_error *vl_avml_set(struct vl_target *t, struct vl_avml *a);

#endif
