/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a guest's memory for a broker where only a process without rights may: it is packed in its
 * file (host/pages.h). So it is read in a box.
 */
#ifndef VLENS_UNPACKER_H
#define VLENS_UNPACKER_H

#include "../base/clock.h"
#include "../mem/paging.h"
#include "../host/target.h"

struct vl_unpacker;

/* Start one for the memory of @t by @pt; until @deadline. *@ret is owned by the caller. */
struct vl_error *vl_unpacker_start(struct vl_target *t, const struct vl_pgtable *pt,
				   struct vl_deadline deadline, struct vl_unpacker **ret);
/* End it; NULL is allowed. */
void vl_unpacker_stop(struct vl_unpacker *u);

/* Read @len bytes, 1 MiB at most, of virtual memory at @va. The bytes are untrusted. */
bool vl_unpacker_read(struct vl_unpacker *u, uint64_t va, void *buf, size_t len);

#endif
