/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The content of a memory without registers in which the search (search.h) finds no x86-64 Linux,
 * for the error. Another system is recognized by the names in its kernel, and encrypted memory by
 * its bytes, which are all equally frequent.
 */
#ifndef VLENS_CONTENT_H
#define VLENS_CONTENT_H

#include "../error.h"
#include "../host/target.h"

/* The longest time to look for the content of a memory. */
#define VL_CONTENT_NS (20 * VL_NSEC_PER_SEC)

/*
 * The error that names what the memory of @t holds: another system, a Linux that cannot be read,
 * only zeros, or bytes that look encrypted. NULL: it is not known. The memory is hostile.
 */
struct vl_error *vl_content_error(struct vl_target *t);

#endif
