/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads compressed data and archives with libarchive. The library is loaded when a file is first
 * unpacked: if it were linked, every run of every tool would load a dozen libraries.
 */
#ifndef VLENS_TRUST_ARCHIVE_H
#define VLENS_TRUST_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/cleanup.h"
#include "../error.h"

struct vl_archive;

/*
 * Uncompress one stream of gzip, bzip2, xz, lzma, zstd, lz4 or lzop, @len bytes. *@ret is
 * malloc'ed. VL_ERR_ARG: the stream is damaged, or it uncompresses to more than @max bytes.
 */
struct vl_error *vl_uncompress(const void *bytes, size_t len, size_t max, unsigned char **ret,
			       size_t *len_ret);

/*
 * Open the archive @file, @len bytes: ar (.deb), rpm, tar or cpio. The bytes must stay until
 * vl_archive_close(). vl_archive_open_member() opens the current member of @outer as an archive.
 */
struct vl_error *vl_archive_open(const void *file, size_t len, struct vl_archive **ret);
struct vl_error *vl_archive_open_member(struct vl_archive *outer, struct vl_archive **ret);
/*
 * Read one compressed stream from a file, in pieces: no archive. The first call loads the library;
 * the second begins to read @fd, which must stay open, at its offset, and can be called in a
 * process that opens no file.
 */
struct vl_error *vl_archive_ready_stream(struct vl_archive **ret);
struct vl_error *vl_archive_begin_stream(struct vl_archive *a, int fd);
/* Read @len bytes; *@len_ret is less at the end only. */
struct vl_error *vl_archive_read_some(struct vl_archive *a, void *buf, size_t len, size_t *len_ret);
void vl_archive_close(struct vl_archive *a); /* NULL is allowed */

static inline void vl_archive_closep(struct vl_archive **a)
{
	vl_archive_close(*a);
}

#define _cleanup_archive_ _cleanup_(vl_archive_closep)

/*
 * Go to the next regular file. *@path_ret is its path, owned by @a; NULL: there is none.
 * *@size_ret is its size as the archive states it.
 */
struct vl_error *vl_archive_next(struct vl_archive *a, const char **path_ret, uint64_t *size_ret);

/* Read the whole member, at most @max bytes. *@ret is malloc'ed and ends with a NUL. */
struct vl_error *vl_archive_read(struct vl_archive *a, size_t max, unsigned char **ret,
				 size_t *len_ret);

#endif
