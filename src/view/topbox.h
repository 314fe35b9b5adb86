/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sample of vtop, in a parcel from its worker's box. */
#ifndef VLENS_TOPBOX_H
#define VLENS_TOPBOX_H

#include "parcel.h"
#include "top.h"

void vl_parcel_put_sample(struct vl_parcel *p, const struct vl_top_sample *s);
/*
 * Take a sample into @s, whose memory is used again. False: there is no valid one; @s then has
 * no tasks and no CPUs.
 */
bool vl_parcel_take_sample(struct vl_parcel *p, struct vl_top_sample *s);

#endif
