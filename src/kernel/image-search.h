/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Searches the image of a kernel without symbols of data for the parts that such symbols would
 * name, by their form. vl_image_search_btf() (image.h) is such a search, too.
 */
#ifndef VLENS_IMAGE_SEARCH_H
#define VLENS_IMAGE_SEARCH_H

#include "image.h"

/* struct btf_header, include/uapi/linux/btf.h */
struct btf_header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, type_off, type_len, str_off, str_len;
};

/* The page tables that map the image. */
struct vl_image_tables {
	const struct vl_pgtable *pt;
	vl_read_entry_fn read;
	void *ctx;
	const uint64_t *root; /* the entries of the root, read once */
};

/* Is @va mapped so that the guest cannot write there? */
bool vl_image_is_constant(const struct vl_image_tables *t, uint64_t va);

/* Linux's banner (linux_banner) in the image from byte @at on; 0: there is none. */
size_t vl_image_banner(const struct vl_image *img, size_t at);

/* Set `build_id` of @img if its note is found. */
void vl_image_search_build_id(struct vl_image *img, const struct vl_image_tables *t);

/* Set `root` of @img to the kernel's own top-level table; 0 if not exactly one is found. */
void vl_image_search_root(struct vl_image *img, const struct vl_image_tables *t);

#endif
