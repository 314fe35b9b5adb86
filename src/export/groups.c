/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "groups.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "collect.h"

/* Limits of the sets that are looked up, and of a path's depth. */
#define MAX_SETS 4096
#define MAX_DEPTH 32
#define NAME_MAX_LEN 128

void vl_groups_init(struct vl_groups *g, const struct vl_collector *c)
{
	*g = (struct vl_groups){ .c = c };
}

void vl_groups_deinit(struct vl_groups *g)
{
	free(g->all);
	vl_groups_init(g, NULL);
}

static uint64_t follow(const struct vl_collector *c, uint64_t base, enum vl_field f)
{
	return base && vl_has(c->l, f) ? vl_export_word(c, base + vl_offset(c->l, f)) : 0;
}

/* Put the name of node @kn in front of @path, of which @at bytes are free. */
static size_t prepend(const struct vl_collector *c, uint64_t kn, char *path, size_t at)
{
	char name[NAME_MAX_LEN] = "";
	size_t len;

	vl_read_string(c->g->reader, &c->g->space, follow(c, kn, VL_F_KN_NAME), name, sizeof(name));
	len = strnlen(name, sizeof(name) - 1);
	if (!len || len + 1 > at)
		return SIZE_MAX;
	at -= len + 1;
	path[at] = '/';
	memcpy(path + at + 1, name, len);
	return at;
}

/* kernfs_path() of the group's node; the node of a hierarchy's root has no parent. */
static bool read_path(const struct vl_collector *c, uint64_t set, char path[VL_GROUP_PATH])
{
	/* "kernfs: Use RCU to access kernfs_node::parent" (6.15) renamed the field. */
	enum vl_field up = vl_has(c->l, VL_F_KN_PARENT) ? VL_F_KN_PARENT : VL_F_KN_PARENT_RCU;
	uint64_t kn = follow(c, follow(c, set, VL_F_CSS_SET_DFL), VL_F_CGROUP_KN), parent;
	size_t at = VL_GROUP_PATH - 1;
	unsigned depth = 0;

	if (!kn || !vl_has(c->l, up) || !vl_has(c->l, VL_F_KN_NAME))
		return false;
	path[at] = '\0';
	for (parent = follow(c, kn, up); parent; parent = follow(c, kn, up)) {
		at = depth++ < MAX_DEPTH ? prepend(c, kn, path, at) : SIZE_MAX;
		if (at == SIZE_MAX)
			return false;
		kn = parent;
	}
	memmove(path, path + at, VL_GROUP_PATH - at);
	if (!*path)
		memcpy(path, "/", 2);
	return true;
}

const char *vl_groups_path(struct vl_groups *g, uint64_t set)
{
	struct vl_group *found;

	if (!set)
		return NULL;
	/* Processes of one group mostly follow each other. */
	if (g->nr && g->all[g->last].set == set)
		return g->all[g->last].path[0] ? g->all[g->last].path : NULL;
	for (g->last = 0; g->last < g->nr && g->all[g->last].set != set;)
		g->last++;
	if (g->last == g->nr) {
		if (g->nr >= MAX_SETS || !vl_grow(g->all, g->cap, g->nr, 64)) {
			g->last = 0;
			return NULL;
		}
		found = &g->all[g->nr++];
		found->set = set;
		if (!read_path(g->c, set, found->path))
			found->path[0] = '\0';
	}
	return g->all[g->last].path[0] ? g->all[g->last].path : NULL;
}
