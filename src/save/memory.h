/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's memory as a sequence of runs that may hold data. Memory that was never touched costs
 * nothing.
 */
#ifndef VLENS_SAVE_MEMORY_H
#define VLENS_SAVE_MEMORY_H

#include "../host/internal.h"

struct vl_unpacker;

/* A run in a range of RAM, as offsets; @to is exclusive. */
struct vl_run {
	uint64_t from, to;
};

#define VL_RUNS 512

struct vl_memory {
	struct vl_target *t;
	const struct vl_ram *ram;
	size_t nr_ram;
	bool *anonymous; /* per range: private memory of the process, so pagemap knows it */
	struct vl_unpacker *unpacker; /* for memory that only a process without rights may read */
	int pagemap;
	bool no_scan;	   /* the host's kernel lacks PAGEMAP_SCAN */
	uint64_t *entries; /* of pagemap, for such a kernel */
	/* Runs of one anonymous range, as far as they are known. */
	struct vl_run runs[VL_RUNS];
	size_t nr_runs, range;
	uint64_t known_from, known_to;
};

struct vl_error *vl_memory_open(struct vl_target *t, struct vl_memory *ret);
void vl_memory_close(struct vl_memory *m);

/* Have the next search find the runs that there are now. */
void vl_memory_forget(struct vl_memory *m);

/*
 * The next run of range @i at or behind @off that may hold data, of whole pages. What lies between
 * is zeros. ret->from is the range's size if there is none.
 */
struct vl_error *vl_memory_next(struct vl_memory *m, size_t i, uint64_t off, struct vl_run *ret);

/*
 * Read @len bytes at @off of range @i. Pages that cannot be read are zeros, and *@lost is raised by
 * their number.
 */
struct vl_error *vl_memory_read(struct vl_memory *m, size_t i, uint64_t off, void *buf, size_t len,
				uint64_t *lost);

#endif
