/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole files out of a guest, by struct vl_sys. */
#ifndef VLENS_FILES_H
#define VLENS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "sys.h"

struct vl_file_options {
	/* New epochs tried before a call counts as failed; 0: 4. */
	int tries;
};

/* The result of one read; always filled in, also with an error. */
struct vl_file_piece {
	size_t len;	      /* bytes in the buffer */
	bool end;	      /* the end of the file is reached */
	int error;	      /* errno that the guest's kernel answered with, else 0 */
	unsigned int retries; /* further epochs that were needed */
};

/*
 * Read file @path of the guest, from byte @offset on, until @size bytes are in @buf or the file
 * ends. @opts may be NULL, as if all were 0. All bytes are of one epoch, which has ended on
 * return. Data that is only on the guest's disk cannot be read, as the call would sleep
 * (VL_ERR_BLOCKED); the bytes before are in @ret. An errno of the guest's kernel is no error: it is
 * in @ret. Other errors are those of struct vl_sys_ops. One thread at a time may use @sys.
 */
struct vl_error *vl_file_read(struct vl_sys *sys, const char *path, uint64_t offset,
			      const struct vl_file_options *opts, void *buf, size_t size,
			      struct vl_file_piece *ret);

#endif
