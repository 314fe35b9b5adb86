/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saves the memory of an opened guest. */
#ifndef VLENS_GUEST_SAVE_H
#define VLENS_GUEST_SAVE_H

#include "../save/save.h"

struct vl_guest;

/*
 * The same as vl_save() of @g. Of a flat image the guest's kernel is found first, in a worker, as
 * only it shows where the memory above 4 GiB lies.
 */
struct vl_error *vl_guest_save(struct vl_guest *g, const char *path,
			       const struct vl_save_options *o, struct vl_save_result *ret);

#endif
