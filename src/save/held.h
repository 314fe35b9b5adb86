/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The copy that is made while the guest is held: the marked pages, and then, as long as time is
 * left, all pages that have changed since the last pass. Pages near marked ones are looked at
 * first.
 */
#ifndef VLENS_SAVE_HELD_H
#define VLENS_SAVE_HELD_H

#include "pass.h"

/* Pages that are copied in a pause: 256 MiB. */
#define VL_HELD_MAX 65536UL

/* List the marked pages, as many as fit, and read them once, so that all is mapped. */
struct vl_error *vl_held_prepare(struct vl_passes *p);
/* Before each pause: forget what the last one copied. The first @nr of the list are wanted now. */
void vl_held_begin(struct vl_passes *p, size_t nr);
/* In the pause: copy them, and look at the other pages, until @deadline (vl_now_ns()). */
struct vl_error *vl_held_copy(struct vl_passes *p, uint64_t deadline);
/* After it: write the copied pages. For a stream, the pass that writes does that. */
struct vl_error *vl_held_write(struct vl_passes *p);

#endif
