/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest is at: vl_guest_state() (vlens.h), of one whose hypervisor was asked. */
#ifndef VLENS_STATE_H
#define VLENS_STATE_H

#include "scan.h"

/* What the memory of a kernel that is known says. */
struct vl_fate {
	bool captures; /* it is a capture kernel (kdump) */
	bool crashed;  /* it has panicked */
};

/* @info: what the hypervisor says; @why: its kernel is not known, and why (NULL: it is). */
void vl_state_of(const struct vl_target_info *info, const struct vl_fate *fate,
		 const struct vl_error *why, struct vl_state *ret);

#endif
