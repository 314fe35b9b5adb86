/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which executor a clone gets. */
#include "executors.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "../base/machine.h"
#include "../native/executor.h"

/* The reason why KVM cannot run a clone on this kind of host; NULL: it may be able to. */
static const char *unfit(const struct vl_vcpu_state *st)
{
	switch (st->host ? st->host->kind : vl_machine_kind()) {
	case VL_MACHINE_TWO_LEVELS:
		return NULL;
	case VL_MACHINE_SHADOW:
		return "KVM shadows page tables here, which would go stale";
	case VL_MACHINE_EMULATED:
		break;
	}
	return "this host has no hardware virtualization";
}

bool vl_vcpu_wants_shared(enum vl_executor which, const struct vl_machine_host *host)
{
	const struct vl_vcpu_state st = { .host = host };

	return which == VL_EXECUTOR_NATIVE || (which == VL_EXECUTOR_ANY && unfit(&st));
}

struct vl_error *vl_vcpu_create(enum vl_executor which, const struct vl_vcpu_state *st,
				struct vl_snapshot *snapshot, const struct vl_vcpu_region *own,
				const struct vl_executor_ops **ops_ret,
				struct vl_executor_state **ret, char why[VL_EXECUTOR_WHY])
{
	_cleanup_error_ struct vl_error *no_native = NULL;
	struct vl_error *err;
	const char *reason;

	*why = '\0';
	if (which == VL_EXECUTOR_ANY || which == VL_EXECUTOR_KVM) {
		reason = which == VL_EXECUTOR_ANY ? unfit(st) : NULL;
		if (!reason) {
			*ops_ret = &vl_executor_kvm;
			err = vl_executor_kvm.create(st, snapshot, own, ret);
			if (!err)
				return NULL;
			if (which == VL_EXECUTOR_KVM)
				return vl_error_hint(vl_error_prefix(err, "vmst/kvm"),
						     "--engine=vmst chooses one that works");
			snprintf(why, VL_EXECUTOR_WHY, "%s", err->message);
			vl_error_destroy(err);
		} else {
			snprintf(why, VL_EXECUTOR_WHY, "%s", reason);
		}
	}
	if (which == VL_EXECUTOR_NATIVE ||
	    (which == VL_EXECUTOR_ANY && vl_snapshot_is_shared(snapshot))) {
		*ops_ret = &vl_executor_native;
		err = vl_executor_native.create(st, snapshot, own, ret);
		if (!err)
			return NULL;
		if (which == VL_EXECUTOR_NATIVE)
			return vl_error_hint(vl_error_prefix(err, "vmst/native"),
					     "--engine=vmst chooses one that works");
		no_native = err;
	}
	*ops_ret = &vl_executor_unicorn;
	err = vl_executor_unicorn.create(st, snapshot, own, ret);
	if (!err || !no_native)
		return err;
	vl_error_destroy(err);
	return vl_taken(no_native);
}

/* Make a machine to learn which feature of @st KVM lacks, and close it. */
static struct vl_error *try_features(const struct vl_vcpu_state *st)
{
	struct vl_machine m = VL_MACHINE_NONE;
	uint64_t cr4, xcr0;
	struct kvm_cpuid2 *c;
	const char *missing;
	struct vl_error *err = vl_machine_create(&m, st->host);

	if (err)
		return err;
	err = vl_machine_cpuid(&m, &c);
	if (!err) {
		missing = vl_vcpu_missing(st, c, &cr4, &xcr0);
		err = missing ? vl_vcpu_lacks(missing) : NULL;
		free(c);
	}
	vl_machine_close(&m);
	return err;
}

const char *vl_vcpu_outlook(const struct vl_vcpu_state *st, char why[VL_EXECUTOR_WHY])
{
	const char *reason = unfit(st);
	struct vl_error *err = reason ? NULL : try_features(st);

	snprintf(why, VL_EXECUTOR_WHY, "%s", reason ? reason : err ? err->message : "");
	vl_error_destroy(err);
	if (!*why)
		return vl_executor_kvm.name;
	return vl_native_unfit(st) ? vl_executor_unicorn.name : vl_executor_native.name;
}
