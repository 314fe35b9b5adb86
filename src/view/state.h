/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a guest, from its hypervisor and from its memory. */
#ifndef VLENS_STATE_H
#define VLENS_STATE_H

#include "scan.h"

/* The guest as its kernel knows it, one row. */
enum {
	VL_INSIDE_RELEASE,
	VL_INSIDE_NODE,
	VL_INSIDE_UPTIME,
	VL_INSIDE_BUILD,
	VL_INSIDE_CAPTURES, /* it is a capture kernel, started by one that crashed */
	VL_INSIDE_CRASHED,  /* it has panicked */
};

extern const struct vl_scan vl_scan_inside;

/* The state of a guest whose hypervisor was asked: vl_guest_state() (vlens.h). */

/* Facts from the memory of a known kernel. */
struct vl_fate {
	bool captures; /* it is a capture kernel (kdump) */
	bool crashed;  /* it has panicked */
};

/* @info is the hypervisor's report; @why is the reason why the kernel is not known, or NULL. */
void vl_state_of(const struct vl_target_info *info, const struct vl_fate *fate,
		 const struct vl_error *why, struct vl_state *ret);

#endif
