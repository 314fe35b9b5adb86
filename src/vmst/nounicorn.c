/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaces vcpu-unicorn.c and unicorn_api.c in a build without Unicorn. */
#include "executors.h"

bool vl_emulator_is_built(void)
{
	return false;
}

struct vl_error *vl_emulator_load(void)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_OS, "this vlens is built without the emulator Unicorn"),
		"a build with it runs what the host's processor cannot");
}

static struct vl_error *no_unicorn(const struct vl_vcpu_state *st, struct vl_snapshot *snapshot,
				   const struct vl_vcpu_region *own, struct vl_executor_state **ret)
{
	(void)st, (void)snapshot, (void)own, (void)ret;
	return vl_emulator_load();
}

const struct vl_executor_ops vl_executor_unicorn = {
	.name = "vmst/unicorn",
	.create = no_unicorn,
};
