/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which engine a clone gets. */
#include "vcpu.h"

#include <stdio.h>

#include "../util/machine.h"

/* What can be said without asking KVM; NULL: it may fit. */
static const char *unfit(void)
{
	switch (vl_machine_kind()) {
	case VL_MACHINE_TWO_LEVELS:
		return NULL;
	case VL_MACHINE_SHADOW:
		return "KVM shadows page tables here, which would go stale";
	case VL_MACHINE_EMULATED:
		break;
	}
	return "this host has no hardware virtualization";
}

struct vl_error *vl_vcpu_create(enum vl_executor which, const struct vl_vcpu_state *st,
				struct vl_view *view, const struct vl_vcpu_region *own,
				const struct vl_engine_ops **ops_ret, struct vl_engine **ret,
				char why[VL_EXECUTOR_WHY])
{
	const char *reason;
	struct vl_error *err;

	*why = '\0';
	if (which != VL_EXECUTOR_UNICORN) {
		reason = which == VL_EXECUTOR_ANY ? unfit() : NULL;
		if (!reason) {
			*ops_ret = &vl_engine_kvm;
			err = vl_engine_kvm.create(st, view, own, ret);
			if (!err)
				return NULL;
			if (which == VL_EXECUTOR_KVM)
				return vl_error_hint(vl_error_prefix(err, "vmst/kvm"),
						     "--engine=vmst takes what serves");
			snprintf(why, VL_EXECUTOR_WHY, "%s", err->message);
			vl_error_destroy(err);
		} else {
			snprintf(why, VL_EXECUTOR_WHY, "%s", reason);
		}
	}
	*ops_ret = &vl_engine_unicorn;
	return vl_engine_unicorn.create(st, view, own, ret);
}
