/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Removal of stale files in the run and cache directories, by any tool. */
#ifndef VLENS_HOST_TIDY_H
#define VLENS_HOST_TIDY_H

/*
 * Remove the files of guests and keepers that have ended from the run directory. A lock's file is
 * removed only while we hold the lock. A tool that waits for it then finds that its file has no
 * name any more, and takes the lock in a new file.
 */
void vl_tidy_run(void);

/*
 * Keep the cache directory below 512 MiB, some thirty kernels: remove the least recently used
 * kernels, but never @key.
 */
void vl_tidy_cache(const char *key);

#endif
