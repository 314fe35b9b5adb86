/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Could that be? A figure that was read raw is shown only if a kernel that runs could
 * have it: memory that is no kernel's any more, or that a guest has forged, gives
 * uptimes of centuries and swap of petabytes. The limits are a table by the names of
 * columns, so that one limit holds in every view that shows the figure: see
 * vl_plausible_table() in scan.h.
 */
#ifndef VLENS_PLAUSIBLE_H
#define VLENS_PLAUSIBLE_H

#include "scan.h"
#include "top.h"

/*
 * Of a sample of vtop: a total that could not be is made unknown, a process that
 * could not be is taken out.
 */
struct vl_error *vl_plausible_totals(struct vl_target *target, struct vl_top_sample *sample);
struct vl_error *vl_plausible_tasks(struct vl_target *target, struct vl_top_sample *sample);

#endif
