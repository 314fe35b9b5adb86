/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest as a whole, as its kernel knows it, and the state it is in: one row. */
#ifndef VLENS_INSIDE_H
#define VLENS_INSIDE_H

#include "scan.h"

enum {
	VL_INSIDE_RELEASE,
	VL_INSIDE_NODE,
	VL_INSIDE_UPTIME,
	VL_INSIDE_BUILD,
	VL_INSIDE_CAPTURES, /* it is a capture kernel, started by one that crashed */
	VL_INSIDE_CRASHED,  /* it has panicked */
};

extern const struct vl_scan vl_scan_inside;

#endif
