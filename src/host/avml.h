/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks of memory as AVML compresses them: snappy's framing format behind a header (image.rs). */
#ifndef VLENS_AVML_H
#define VLENS_AVML_H

#include "dump.h"

/* A piece of memory, which is compressed alone. */
struct vl_frame {
	uint64_t gpa, at; /* its first byte, and the place of its checksum and data in the file */
	uint32_t len;	  /* bytes of memory */
	uint32_t packed;  /* bytes in the file; 0: as many, as they are */
};

/* The pieces of an image. */
struct vl_frames_of {
	struct vl_frame *frames; /* malloc'ed */
	size_t nr, room;
};

/*
 * Add the block of @len bytes of memory at @gpa, whose frames begin at *@at of file @fd, of @size
 * bytes. *@at becomes the end of the block. Only the sizes of frames are read.
 */
struct vl_error *vl_avml_add(struct vl_frames_of *f, int fd, uint64_t size, uint64_t gpa,
			     uint64_t len, uint64_t *at);
/* Sort the pieces by their memory. */
void vl_avml_sort(struct vl_frames_of *f);

/*
 * The pages of @t come from the @nr frames of file @fd. The call owns the frames, also after an
 * error. They come from an index, and are untrusted. @partial: memory that is in no frame was cut
 * off.
 */
struct vl_error *vl_avml_set(struct vl_target *t, int fd, struct vl_frame *frames, size_t nr,
			     bool partial);

#endif
