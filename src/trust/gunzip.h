/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Uncompresses gzip (RFC 1952) by zlib, which compares the checksum of each member. libarchive does
 * not: a file with a wrong byte would be taken for whole.
 */
#ifndef VLENS_TRUST_GUNZIP_H
#define VLENS_TRUST_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "../error.h"

struct vl_gunzip;

/* More of the compressed bytes, valid until the next call. 0: their end. -1: errno says why. */
typedef long vl_gunzip_more_fn(void *ctx, const unsigned char **ret);

/* Do these bytes begin a gzip member? */
bool vl_is_gzip(const void *bytes, size_t len);

/*
 * Load zlib. @single: the end of the first member is the end, whatever follows; else all bytes are
 * members, but for zeros behind the last one. VL_ERR_OS: zlib is not installed.
 */
struct vl_error *vl_gunzip_create(vl_gunzip_more_fn *more, void *ctx, bool single,
				  struct vl_gunzip **ret);
void vl_gunzip_destroy(struct vl_gunzip *g); /* NULL is allowed */

/*
 * Uncompress @len bytes into @buf; *@len_ret is less at the end, or if there is an error, only.
 * VL_ERR_ARG: the bytes are damaged or end too early. VL_ERR_OS: they cannot be read, or all are
 * there and a checksum is wrong.
 */
struct vl_error *vl_gunzip_read(struct vl_gunzip *g, void *buf, size_t len, size_t *len_ret);

#endif
