/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds and unpacks kernels: in a vmlinuz, a vmlinux, a package, or a directory of such. */
#ifndef VLENS_TRUST_IMAGE_H
#define VLENS_TRUST_IMAGE_H

#include "trust.h"

/* Limit of a file on disk, in bytes. */
#define VL_TRUST_FILE_MAX (2UL << 30)

/*
 * Unpack @file, @len bytes: a vmlinuz (bzImage), or a vmlinux, which may be compressed. *@ret is
 * malloc'ed: the ELF file and what follows it, as vl_trust_open() takes it. VL_ERR_ARG: it is no
 * kernel, damaged, cut short or too long.
 */
struct vl_error *vl_trust_unpack(const void *file, size_t len, unsigned char **ret,
				 size_t *len_ret);

/* Where a kernel comes from. Texts may be the package's own: show them with care. */
struct vl_trust_origin {
	char path[4096];		 /* the file that was named, or found in a directory */
	char member[512];		 /* the kernel in the package, or "" */
	char package[128], version[128]; /* of the package, or "" */
	char sha256[65];		 /* of the file, in hexadecimal */
	char checked[128];		 /* what vouches for the package's content, in words */
};

/* Called with a kernel, unpacked: @elf, of @len bytes, is the caller's. */
typedef struct vl_error *vl_trust_kernel_fn(void *ctx, const struct vl_trust_origin *origin,
					    const unsigned char *elf, size_t len);

/*
 * Call @fn for each kernel in @path. VL_ERR_ARG: there is none, or one is damaged. Ends at the
 * first error.
 */
struct vl_error *vl_trust_each(const char *path, vl_trust_kernel_fn *fn, void *ctx);

#endif
