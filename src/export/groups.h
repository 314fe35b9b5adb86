/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paths of control groups, by the css_set of a task; each is read once in a look. */
#ifndef VLENS_EXPORT_GROUPS_H
#define VLENS_EXPORT_GROUPS_H

#include <stddef.h>
#include <stdint.h>

#define VL_GROUP_PATH 256 /* bytes, with the NUL */

struct vl_collector;

struct vl_groups {
	const struct vl_collector *c;
	struct vl_group {
		uint64_t set;
		char path[VL_GROUP_PATH];
	} * all;
	size_t nr, cap, last;
};

void vl_groups_init(struct vl_groups *g, const struct vl_collector *c);
void vl_groups_deinit(struct vl_groups *g);

/*
 * The path in the unified hierarchy (cgroup v2) of the tasks of the css_set at @set: "/" and names
 * of the guest. NULL: the kernel has none, or it cannot be read. Valid until the next call.
 */
const char *vl_groups_path(struct vl_groups *g, uint64_t set);

#endif
