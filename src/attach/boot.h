/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first contact: from the registers of a vCPU to a kernel with symbols. */
#ifndef VLENS_BOOT_H
#define VLENS_BOOT_H

#include "attach.h"

/*
 * Find the kernel of @c->target from nothing, and fill all other members of @c. Reads memory
 * and registers only; the guest is not paused. VL_ERR_KERNEL: it runs no Linux that is
 * understood; VL_ERR_BOOTING: something that every kernel has is not there yet.
 */
struct vl_error *vl_boot(struct vl_attach *c, struct vl_deadline deadline);

#endif
