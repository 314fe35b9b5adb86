/* SPDX-License-Identifier: GPL-2.0-or-later */
/* First contact: from the registers of a vCPU to a kernel with symbols. */
#ifndef VLENS_BOOT_H
#define VLENS_BOOT_H

#include "attach.h"

/*
 * Find out what @c's guest runs, with nothing known of it: fills everything
 * of @c but target. Reads memory and registers only, and pauses nothing. VL_ERR_KERNEL when
 * it runs no Linux that can be understood, VL_ERR_BOOTING when what every kernel has is not
 * there.
 */
struct vl_error *vl_boot(struct vl_attach *c, struct vl_deadline deadline);

#endif
