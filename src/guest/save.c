/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "save.h"

#include "internal.h"

/* Machines have their hole for devices below 4 GiB, in the last GiB or two. */
#define NO_HOLE (2UL << 30)

struct vl_error *vl_guest_save(struct vl_guest *g, const char *path,
			       const struct vl_save_options *o, struct vl_save_result *ret)
{
	struct vl_target *t = g->raw.target;
	struct vl_error *err = vl_target_flat(t) > NO_HOLE ? vl_guest_attach(g, true) : NULL;

	return err ? err : vl_save(t, path, o, ret);
}
