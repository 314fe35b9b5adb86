/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits of figures. A figure that was read raw is shown only if a running kernel could have
 * it: memory that a kernel no longer uses, or that a guest has forged, gives uptimes of
 * centuries and swap of petabytes. The limits are a table by the names of columns, so that one
 * limit holds in every view that shows the figure: see vl_plausible_table() in scan.h.
 */
#ifndef VLENS_PLAUSIBLE_H
#define VLENS_PLAUSIBLE_H

#include "scan.h"
#include "top.h"

/*
 * For a sample of vtop: make a total beyond its limits unknown, and take out a process with
 * such a figure.
 */
struct vl_error *vl_plausible_totals(struct vl_target *target, struct vl_top_sample *sample);
struct vl_error *vl_plausible_tasks(struct vl_target *target, struct vl_top_sample *sample);

#endif
