/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "save.h"

#include "internal.h"

struct vl_error *vl_guest_save(struct vl_guest *g, const char *path,
			       const struct vl_save_options *o, struct vl_save_result *ret)
{
	struct vl_target *t = g->raw.target;
	struct vl_placement second;
	struct vl_error *err = NULL;

	/* The memory is saved even if no kernel is found in it. */
	if (vl_target_is_live(t) && vl_target_kernel(t))
		return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "a running guest has one kernel"),
				     "leave out --kernel");
	/* The attach finds out where the memory lies. */
	if (vl_target_placement(t, 2, &second))
		err = vl_guest_attach(g, true);
	if (!err)
		err = vl_save(t, path, o, ret);
	/* What a file lacks is known by its kernel (vl_guest_shortfall()). */
	if (!err && !vl_target_is_live(t))
		vl_error_destroy(vl_guest_attach(g, true));
	return err;
}
