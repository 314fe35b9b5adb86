/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An index of a file: what a pass over all of its structure finds, so that a page of memory is
 * found at once. The pass checks all that it reads, but it is much code over data of a guest, or of
 * an attacker. So it runs in a process without rights where the target was opened with the means
 * for that, and its index is kept for the next run. An index that comes back is untrusted, as the
 * file is.
 */
#ifndef VLENS_HOST_INDEX_H
#define VLENS_HOST_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

/* Its bytes. */
struct vl_index {
	unsigned char *data; /* malloc'ed */
	size_t len, room;
	size_t at; /* how much was taken */
};

/*
 * The most bytes. An index has some bytes for each run of pages. A small file can have many runs,
 * and each index takes memory of several processes, and space in the cache.
 */
#define VL_INDEX_MAX (256UL << 20)

/* The pass to make. It gets only this, and opens no file. */
struct vl_index_job {
	/*
	 * The kind of index, a word: it changes with the layout, as old ones are kept. NULL: it is
	 * not kept, as its file is of this moment.
	 */
	const char *kind;
	struct vl_error *(*make)(const struct vl_index_job *job, struct vl_index *ret);
	int fd;
	uint64_t at, size;  /* of the file: where it begins, and ends */
	const char *choice; /* of the user, NULL: none; each has a run id of its own */
	bool partial;	    /* set by vl_index_open(): a file that is cut short is no error */
};

struct stat;
struct vl_target;

/* Make the index, or take the one that is kept for @t's run. *@ret is to be deinit'ed. */
struct vl_error *vl_index_open(struct vl_target *t, const struct vl_index_job *job,
			       struct vl_index *ret);
/* The same of a file beside that of @t; @st is what is known of it. */
struct vl_error *vl_index_open_file(struct vl_target *t, const struct vl_index_job *job,
				    const struct stat *st, struct vl_index *ret);
void vl_index_deinit(struct vl_index *ix);

/* Append @len bytes. */
struct vl_error *vl_index_put(struct vl_index *ix, const void *data, size_t len);
/* Append the number of elements, then the elements. */
struct vl_error *vl_index_put_array(struct vl_index *ix, const void *data, size_t nr, size_t size);

/* Take the next @len bytes. False: there are less. */
bool vl_index_take(struct vl_index *ix, void *ret, size_t len);
/*
 * Take an array of elements of @size bytes, @max at most: *@ret is malloc'ed, and never NULL. The
 * error is that of a bad index.
 */
struct vl_error *vl_index_take_array(struct vl_index *ix, size_t size, size_t max, void *ret,
				     size_t *nr_ret);
/* The error of a file whose index would be larger than any may be. */
struct vl_error *vl_index_full(void) __attribute__((returns_nonnull));
/* The error of an index that makes no sense. */
struct vl_error *vl_index_bad(void) __attribute__((returns_nonnull));

#endif
