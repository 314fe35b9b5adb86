/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A compressed file (gzip, bzip2, xz, zstd, lz4) is unpacked once, to a sparse file in the cache
 * directory that the next tools use, too, and so is the index of a file (host/index.h) made once. A
 * process in a box does both, and this process writes the result.
 */
#ifndef VLENS_SPOOL_H
#define VLENS_SPOOL_H

#include "../host/target.h"

/*
 * What is in @fd, a file with this run id, from @at on, unpacked: *@fd_ret is owned by the caller,
 * open for reading. One tool unpacks; other tools wait for it. Files that no tool has used
 * for a day are removed. VL_ERR_TARGET: the file is damaged, or there is no space. @partial: what
 * can be unpacked of a damaged file, if it is more than a page.
 */
struct vl_error *vl_spool_unpack(int fd, uint64_t at, const char *run_id, bool partial,
				 int *fd_ret);

struct vl_index;
struct vl_index_job;

/*
 * The index of a file with this run id, as of host/index.h: the one that is kept in the cache
 * directory, or one that a process in a box makes, which is then kept. *@ret is the caller's, also
 * after an error.
 */
struct vl_error *vl_spool_index(const struct vl_index_job *job, const char *run_id,
				struct vl_index *ret);

/* ---- for both ---- */

#define VL_SPOOL_INDEX ".index"
/*
 * Remove what no tool has used for a day from the cache directory @path, and for an index of @index
 * bytes the oldest ones. False: it has no space for that.
 */
bool vl_spool_tidy(const char *path, uint64_t index);
/* Update the time of use of the file @path. */
void vl_spool_used(const char *path);

#endif
