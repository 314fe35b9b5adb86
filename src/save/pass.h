/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pass over all of a guest's memory: to copy it, or to find what has changed since the last. */
#ifndef VLENS_SAVE_PASS_H
#define VLENS_SAVE_PASS_H

#include "head.h"
#include "memory.h"
#include "output.h"
#include "save.h"

/* What a pass does, as bits. */
enum vl_pass {
	VL_PASS_WRITE = 1,   /* write all pages; with COMPARE and no stream: those that changed */
	VL_PASS_COMPARE = 2, /* count the pages that changed since the last pass */
	VL_PASS_MARK = 4,    /* remember which */
};

/* Pages that were copied in the pause. */
struct vl_held_pages {
	uint64_t *index;     /* ascending */
	unsigned char *copy; /* of 4096 bytes each */
	size_t nr, cap;
};

struct vl_passes {
	struct vl_memory memory;
	struct vl_head *head;
	struct vl_output *out;
	const struct vl_save_options *options;
	struct vl_save_result *result;
	/*
	 * By number of the page, over all ranges: a checksum of its content, 0 for zeros, and a bit
	 * if it changed. The host's kernel gives memory to what is touched.
	 */
	uint64_t *sums, *marks;
	uint32_t *filled;			   /* by chunk: pages that were not zeros */
	size_t sums_size, marks_size, filled_size; /* bytes */
	uint64_t nr_pages, nr_marked;
	struct vl_held_pages held;
	unsigned char *chunk;
};

struct vl_error *vl_passes_init(struct vl_passes *p, struct vl_target *t);
void vl_passes_deinit(struct vl_passes *p);

/*
 * Make a pass of @what, enum vl_pass. Counts in the result: used, unreadable; with COMPARE changed.
 */
struct vl_error *vl_pass(struct vl_passes *p, unsigned int what);

/* The bytes of all runs that may hold data: an upper bound of what a file takes. */
struct vl_error *vl_passes_data(struct vl_passes *p, uint64_t *ret);

/* Make room for the marked pages, as many as fit, and read them once, so that all is mapped. */
struct vl_error *vl_held_prepare(struct vl_passes *p);
/* In the pause: copy them, until @deadline (vl_now_ns()). */
struct vl_error *vl_held_copy(struct vl_passes *p, uint64_t deadline);
/* After it: write them. Of a stream, the pass that writes does it. */
struct vl_error *vl_held_write(struct vl_passes *p);

#endif
