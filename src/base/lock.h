/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks between the tools of one user. Each is a file in the run directory. */
#ifndef VLENS_LOCK_H
#define VLENS_LOCK_H

/*
 * Take the lock @name; wait @ms milliseconds at most. Returns a descriptor, open for reading and
 * writing. The lock is held until it is closed, by the kernel if we die. VL_LOCK_BUSY: other
 * tools held it all the time. VL_LOCK_NONE: there is no run directory, and so no other tool
 * holds the lock.
 */
int vl_run_lock(unsigned int ms, const char *name);

#define VL_LOCK_BUSY (-1)
#define VL_LOCK_NONE (-2)

#endif
