/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks between the tools of one user, each a file of the run directory. */
#ifndef VLENS_LOCK_H
#define VLENS_LOCK_H

/*
 * Take the lock @name for as long as the returned descriptor is open, which the kernel
 * closes if we die; waits @ms milliseconds at most. The file is open for reading and writing.
 * VL_LOCK_BUSY: another tool has had it all the time. VL_LOCK_NONE: there is no place for it,
 * so there are no others either.
 */
int vl_run_lock(unsigned int ms, const char *name);

#define VL_LOCK_BUSY (-1)
#define VL_LOCK_NONE (-2)

#endif
