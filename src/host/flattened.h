/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that may be flattened: makedumpfile's and QEMU's way to write a file in order, for a pipe.
 * It is then a list of pieces, each with the place where it belongs.
 */
#ifndef VLENS_FLATTENED_H
#define VLENS_FLATTENED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_index;

struct vl_flattened_piece {
	uint64_t at, len; /* in the file that was flattened */
	uint64_t place;	  /* of these bytes in ours */
};

struct vl_flattened {
	int fd;
	uint64_t size;			   /* of the file that was flattened */
	struct vl_flattened_piece *pieces; /* in order; NULL: it is not flattened */
	size_t nr;
};

/* Is this the beginning of a flattened file? */
bool vl_is_flattened(const void *head, size_t len);

/*
 * In a box: go through all of the file @fd of @size bytes. Nothing of @ret is to be freed if this
 * fails. @partial: a flattened file that is cut short is no error.
 */
struct vl_error *vl_flattened_init(int fd, uint64_t size, bool partial, struct vl_flattened *ret);
/* Append what was found to @ix. */
struct vl_error *vl_flattened_put(const struct vl_flattened *f, struct vl_index *ix);
/* The same file, by what is next in @ix. Nothing of @ret is to be freed if this fails. */
struct vl_error *vl_flattened_take(struct vl_index *ix, int fd, uint64_t size,
				   struct vl_flattened *ret);
void vl_flattened_deinit(struct vl_flattened *f);

/* Are the @len bytes at @at in the file? */
bool vl_flattened_has(const struct vl_flattened *f, uint64_t at, uint64_t len);
/* Read @len bytes at @at. False: they are not in the file. */
bool vl_flattened_read(const struct vl_flattened *f, uint64_t at, void *buf, size_t len);

#endif
