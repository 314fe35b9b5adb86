/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a guest's memory for a broker where only a process without rights may: it is packed in its
 * file (host/pages.h). So it is read in a box.
 */
#ifndef VLENS_UNPACKER_H
#define VLENS_UNPACKER_H

#include "../base/clock.h"
#include "../host/target.h"

struct vl_pgtable;
struct vl_unpacker;

/*
 * Start one for the memory of @t. Addresses are virtual ones, by @pt; with @pt NULL they are
 * guest-physical. *@ret is owned by the caller.
 */
struct vl_error *vl_unpacker_start(struct vl_target *t, const struct vl_pgtable *pt,
				   struct vl_unpacker **ret);
/* End it; NULL is allowed. */
void vl_unpacker_stop(struct vl_unpacker *u);

/*
 * Read @len bytes, 1 MiB at most, at @address. The bytes are untrusted. VL_ERR_FAULT: they cannot
 * be had. Any other error: the process has ended, or the deadline is over.
 */
struct vl_error *vl_unpacker_read(struct vl_unpacker *u, uint64_t address, void *buf, size_t len,
				  struct vl_deadline deadline);

#endif
