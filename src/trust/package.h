/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads kernels from packages, with the package's name and version, and checks its checksums. */
#ifndef VLENS_TRUST_PACKAGE_H
#define VLENS_TRUST_PACKAGE_H

#include "image.h"

bool vl_is_deb(const unsigned char *file, size_t len);
bool vl_is_rpm(const unsigned char *file, size_t len);

/* Is @path, in a package or a directory, the path of a kernel's image? */
bool vl_is_kernel_path(const char *path);

/*
 * Call @fn for each kernel in the package @fd, and count them in *@nr. @file is its content, @len
 * bytes. @o has the path and the hash of the file; its other fields are filled in.
 */
struct vl_error *vl_deb_each(int fd, struct vl_trust_origin *o, vl_trust_kernel_fn *fn, void *ctx,
			     size_t *nr);
struct vl_error *vl_rpm_each(int fd, const unsigned char *file, size_t len,
			     struct vl_trust_origin *o, vl_trust_kernel_fn *fn, void *ctx,
			     size_t *nr);

#endif
