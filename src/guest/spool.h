/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A compressed file (gzip, bzip2, xz, zstd, lz4) is unpacked once, to a sparse file in the cache
 * directory that the next tools use, too. A process in a box unpacks it; we write what it gives.
 */
#ifndef VLENS_SPOOL_H
#define VLENS_SPOOL_H

#include "../host/target.h"

/*
 * What is in @fd, a file with this run id, from @at on, unpacked: *@fd_ret is owned by the caller,
 * open for reading. Of several tools one unpacks, and the others wait. Files that no tool has used
 * for a day are removed. VL_ERR_TARGET: the file is damaged, or there is no space.
 */
struct vl_error *vl_spool_unpack(int fd, uint64_t at, const char *run_id, int *fd_ret);

#endif
