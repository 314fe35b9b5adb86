/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds and unpacks kernels and modules, in a file, a package, or a directory of these. */
#ifndef VLENS_TRUST_IMAGE_H
#define VLENS_TRUST_IMAGE_H

#include "trust.h"

/* The largest file that is read, in bytes. */
#define VL_TRUST_FILE_MAX (2UL << 30)

/*
 * Unpack @file, @len bytes: a vmlinuz (bzImage), or a vmlinux, which may be compressed. *@ret is
 * malloc'ed: the ELF file and the relocation lists behind it, for vl_trust_open(). VL_ERR_ARG: the
 * file is not a kernel, or it is damaged, cut short or longer than @max bytes.
 */
struct vl_error *vl_trust_unpack(const void *file, size_t len, size_t max, unsigned char **ret,
				 size_t *len_ret);

/* Where a kernel comes from. Texts can be the package's own: sanitize them to show them. */
struct vl_trust_origin {
	char path[4096];		 /* the file that was named, or found in a directory */
	char member[512];		 /* the kernel's path in the package, or "" */
	char package[128], version[128]; /* of the package, or "" */
	char sha256[65];		 /* of the file, in hexadecimal */
	char checked[128];		 /* what vouches for the package's content, in words */
	char signer[128];		 /* who has signed the kernel or the module (signature.h) */
};

/* Called for an unpacked kernel: @elf, @len bytes, belongs to the caller. */
typedef struct vl_error *vl_trust_kernel_fn(void *ctx, const struct vl_trust_origin *origin,
					    const unsigned char *elf, size_t len);

/* The same for a module: the file @ko, @len bytes, not compressed. */
typedef struct vl_error *vl_trust_module_fn(void *ctx, const struct vl_trust_origin *origin,
					    const unsigned char *ko, size_t len);

/* The functions that get each kernel and module. */
struct vl_trust_taker {
	size_t max; /* the longest kernel, unpacked, in bytes; 0: VL_TRUST_IMAGE_MAX */
	vl_trust_kernel_fn *kernel;
	vl_trust_module_fn *module; /* NULL: modules are skipped */
	void *ctx;
};

static inline size_t vl_trust_image_max(const struct vl_trust_taker *taker)
{
	return taker->max ? taker->max : VL_TRUST_IMAGE_MAX;
}

/* The same as vl_trust_each(), for modules, too: one of either is enough. */
struct vl_error *vl_trust_each_file(const char *path, const struct vl_trust_taker *taker);

/*
 * Call @fn for each kernel in @path. Stops at the first error. VL_ERR_ARG: there is no kernel, or
 * one is damaged.
 */
struct vl_error *vl_trust_each(const char *path, vl_trust_kernel_fn *fn, void *ctx);

#endif
