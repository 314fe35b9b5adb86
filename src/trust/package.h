/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads kernels from packages, with the package's name and version, and checks its checksums. */
#ifndef VLENS_TRUST_PACKAGE_H
#define VLENS_TRUST_PACKAGE_H

#include "image.h"

bool vl_is_deb(const unsigned char *file, size_t len);
bool vl_is_rpm(const unsigned char *file, size_t len);

/* Is @path, in a package or a directory, the path of a kernel's image? */
bool vl_is_kernel_path(const char *path);

/* Is it the path of a module: *.ko, or that with .gz, .xz or .zst behind it? */
bool vl_is_module_path(const char *path);

/*
 * Call @fn for each kernel in the package @file, @len bytes; *@nr counts them. @o has the path and
 * the hash of the file, and gets the rest.
 */
struct vl_error *vl_deb_each(const unsigned char *file, size_t len, struct vl_trust_origin *o,
			     const struct vl_trust_taker *taker, size_t *nr);
struct vl_error *vl_rpm_each(const unsigned char *file, size_t len, struct vl_trust_origin *o,
			     const struct vl_trust_taker *taker, size_t *nr);

#endif
