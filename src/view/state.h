/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest is at: vl_subject_state() (scan.h), of one whose hypervisor was asked. */
#ifndef VLENS_STATE_H
#define VLENS_STATE_H

#include "scan.h"

/*
 * @info: what the hypervisor says of @t; @contact: NULL, and @why says why (NULL: it was
 * not tried).
 */
void vl_state_of(const struct vl_target_info *info, const struct vl_contact *contact,
		 const struct vl_error *why, struct vl_state *ret);

#endif
