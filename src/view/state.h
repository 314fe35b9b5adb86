/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a guest whose hypervisor was asked: vl_guest_state() (vlens.h). */
#ifndef VLENS_STATE_H
#define VLENS_STATE_H

#include "scan.h"

/* Facts from the memory of a known kernel. */
struct vl_fate {
	bool captures; /* it is a capture kernel (kdump) */
	bool crashed;  /* it has panicked */
};

/* @info is the hypervisor's report; @why is the reason why the kernel is not known, or NULL. */
void vl_state_of(const struct vl_target_info *info, const struct vl_fate *fate,
		 const struct vl_error *why, struct vl_state *ret);

#endif
