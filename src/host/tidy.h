/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is removed of the files that tools leave behind: at once, and by whoever comes by. */
#ifndef VLENS_HOST_TIDY_H
#define VLENS_HOST_TIDY_H

/*
 * Remove from the run directory what is of guests and keepers that are gone. A lock goes
 * only while it is ours: who waits for it finds that it has no name any more, and takes the new one.
 */
void vl_tidy_run(void);

/*
 * Have no more than 512 MiB in the cache directory, some thirty kernels: those go first that
 * were not used for the longest time, and never @key.
 */
void vl_tidy_cache(const char *key);

#endif
