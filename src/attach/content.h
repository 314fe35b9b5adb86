/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a memory without registers holds, if the search (search.h) finds no x86-64 Linux in it: for
 * the error that says so. Another system is known by the names that its kernel has of itself, and
 * what is encrypted by its bytes, which are all as frequent.
 */
#ifndef VLENS_CONTENT_H
#define VLENS_CONTENT_H

#include "../error.h"
#include "../host/target.h"

/* The longest look at a memory, for an error. */
#define VL_CONTENT_NS (20 * VL_NSEC_PER_SEC)

/*
 * The error that names what the memory of @t holds: another system, a Linux that cannot be read,
 * nothing but zeros, or what looks encrypted. NULL: it is not known. The memory is hostile.
 */
struct vl_error *vl_content_error(struct vl_target *t);

#endif
