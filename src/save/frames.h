/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compression by zstd, for a reader that wants any part of the file: frames of 1 MiB that do not
 * depend on each other, and a table of their sizes at the end (zstd contrib/seekable_format/
 * zstd_seekable_compression_format.md). To zstd itself the table is a frame that it skips.
 */
#ifndef VLENS_SAVE_FRAMES_H
#define VLENS_SAVE_FRAMES_H

#include "output.h"

/* VL_ERR_OS: libzstd is not installed. */
struct vl_error *vl_frames_create(struct vl_frames **ret);
void vl_frames_destroy(struct vl_frames *p);

/*
 * Write the first frame, of @len bytes. It is not compressed, so its size depends on @len only, and
 * @again it is written over the last one.
 */
struct vl_error *vl_frames_head(struct vl_frames *p, struct vl_output *o, const void *buf,
				size_t len, bool again);
/* Add @len bytes. */
struct vl_error *vl_frames_add(struct vl_frames *p, struct vl_output *o, const void *buf,
			       size_t len);
/* Add @len bytes of zeros. */
struct vl_error *vl_frames_skip(struct vl_frames *p, struct vl_output *o, uint64_t len);
/* Write the last frame, and the table. */
struct vl_error *vl_frames_finish(struct vl_frames *p, struct vl_output *o);

#endif
