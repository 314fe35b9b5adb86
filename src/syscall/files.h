/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole files out of a guest, over its port (struct vl_sys). */
#ifndef VLENS_FILES_H
#define VLENS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "sys.h"

struct vl_file_options {
	/* Fresh epochs tried before a call counts as failed; 0: 4. */
	int tries;
};

/* What one reading brought; always filled in, also with an error. */
struct vl_file_piece {
	size_t len;	      /* bytes in the buffer */
	bool end;	      /* the end of the file is reached */
	int error;	      /* errno that the guest's kernel answered with, else 0 */
	unsigned int retries; /* fresh epochs that were needed */
};

/*
 * Read from file @path of the guest, from byte @offset on, until @size bytes
 * are in @buf or the file ends (@opts NULL: as if all were 0). All of it is of one
 * epoch, which is over on return. What the file has on its disk only is not read: such a call
 * would sleep (VL_ERR_BLOCKED); the bytes before it are in @ret.
 */
struct vl_error *vl_file_read(struct vl_sys *sys, const char *path, uint64_t offset,
			      const struct vl_file_options *opts, void *buf, size_t size,
			      struct vl_file_piece *ret);

#endif
