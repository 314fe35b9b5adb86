/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control groups of tasks, by the css_set of a task; each is read once in a pass. */
#ifndef VLENS_GROUPS_H
#define VLENS_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"

#define VL_GROUP_PATH 512 /* bytes, with the NUL */
/* Hierarchies of version 1 with controllers that are read. */
#define VL_GROUP_TREES 16

struct vl_raw_guest;
struct vl_layout;

struct vl_groups {
	struct vl_raw_guest *g;
	const struct vl_layout *l;
	struct vl_group {
		uint64_t set;
		char path[VL_GROUP_PATH]; /* "/" and names of the guest; "": not known */
		struct vl_container container;
	} * all;
	size_t nr, cap, last;
	/* The controllers of hierarchies of version 1, by their places in css_set.subsys. */
	unsigned char trees[VL_GROUP_TREES];
	size_t nr_trees;
	bool lost; /* something of the group that is read could not be read */
};

void vl_groups_init(struct vl_groups *groups, struct vl_raw_guest *g);
void vl_groups_deinit(struct vl_groups *groups);
/* Forget all groups: of a running guest they change. */
void vl_groups_clear(struct vl_groups *groups);

/*
 * The group of the tasks of the css_set at @set. Its path is that in the unified hierarchy (cgroup
 * v2); or, where that one says nothing and the guest has hierarchies of version 1, the path in the
 * first of them that shows a container or is not its root. NULL: it is not known. Valid until the
 * next call.
 */
const struct vl_group *vl_groups_find(struct vl_groups *groups, uint64_t set);

#endif
