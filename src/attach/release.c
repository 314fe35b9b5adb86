/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "attach.h"

void vl_attach_release(const struct vl_attach *c, char ret[VL_RELEASE_SIZE])
{
	const struct vl_layout *l = vl_kernel_layout(c->kernel);
	uint64_t uts = vl_symbol(c->kernel, "init_uts_ns");

	ret[VL_RELEASE_SIZE - 1] = '\0';
	if (!uts || !vl_has(l, VL_F_UTS_RELEASE) ||
	    !vl_target_read_virt(c->target, &c->pt, uts + (uint64_t)l->offset[VL_F_UTS_RELEASE],
				 ret, VL_RELEASE_SIZE - 1))
		*ret = '\0';
}
