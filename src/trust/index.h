/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The index of a stored kernel: its symbols, its sites and the table of its fields. With it a run
 * need not make them anew. They depend on the image only, and not on its place. The index stands
 * behind the ELF file and its relocation lists, in the same file, so it is always of that image.
 */
#ifndef VLENS_TRUST_INDEX_H
#define VLENS_TRUST_INDEX_H

#include "trust.h"

enum vl_trust_index_end {
	VL_TRUST_INDEX_CUT,    /* the file was cut short, and would look like another kernel */
	VL_TRUST_INDEX_NO_SUM, /* it has an index, and no checksum: an older vlens made it */
	VL_TRUST_INDEX_SUM,
};

/* How does the file @fd of the store, @len bytes, end? */
enum vl_trust_index_end vl_trust_index_there(int fd, size_t len);

/* Has that file, which has a checksum, the right one? */
struct vl_error *vl_trust_index_right(int fd, size_t len, bool *ret);

/* A number of the source that judges text. It differs for each source. */
uint64_t vl_trust_maker(void);

/* The length of the image in @file, @len bytes, without the index behind it. */
size_t vl_trust_image_len(const void *file, size_t len);

/*
 * Make the file of kernel @t for the store: @image, @len bytes, from which it was opened, and the
 * index. @t has been placed at the addresses that it was linked for. *@ret is malloc'ed.
 */
struct vl_error *vl_trust_index_make(const struct vl_trust *t, const void *image, size_t len,
				     unsigned char **ret, size_t *len_ret);

/*
 * Take the symbols and sites of @t from the index in the file @fd, which is mapped: @file, @len
 * bytes. False: it has none, or that of another vlens, or a damaged one. @sound: its checksum is
 * right, and is not compared.
 */
bool vl_trust_index_take(struct vl_trust *t, int fd, const unsigned char *file, size_t len,
			 bool sound);

/* Release what vl_trust_index_take() took. */
void vl_trust_index_drop(struct vl_trust *t);

#endif
