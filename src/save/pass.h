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

/* A page that was copied in the pause: its number, and where its copy is, in pages. */
struct vl_held_page {
	uint64_t n;
	size_t slot;
};

/* held.c */
struct vl_held_pages {
	struct vl_held_page *pages; /* ascending after vl_held_write() */
	unsigned char *copy;
	size_t nr, cap;
	uint64_t walk_ns; /* the time that it takes to find all runs of memory */
	bool all;	  /* all memory was looked at in the pause: no other page had changed */
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
	uint64_t *data;	  /* a bit for each page that lies in a run */
	uint64_t *looked; /* a bit for each page whose content in the pause is known */
	uint32_t *filled; /* by chunk: pages that were not zeros */
	size_t sums_size, marks_size, filled_size; /* bytes; all bits have marks_size */
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

/* An error: the user has ended the save, or the guard the pause in which it copies. */
struct vl_error *vl_passes_go_on(const struct vl_passes *p);

/* Forget which pages are marked. */
void vl_passes_unmark(struct vl_passes *p);

/* The bytes of all runs that may hold data: an upper bound of what a file takes. */
struct vl_error *vl_passes_data(struct vl_passes *p, uint64_t *ret);

/* Count the pages that are not zeros, for the result. */
void vl_passes_count(struct vl_passes *p);

/* For held.c: memory that is zeros, and takes none until it is touched. NULL: there is none. */
void *vl_pass_reserve(size_t size);
/* The checksum of a page; 0 if it is zeros. */
uint64_t vl_pass_sum(const unsigned char *page);
/* Page @n has checksum @sum now; true: it had another one. */
bool vl_pass_note(struct vl_passes *p, uint64_t n, uint64_t sum);

#endif
