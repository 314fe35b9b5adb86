/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "groups.h"

#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "collect.h"

/* Limits of the sets that are looked up, and of a path's depth. */
#define MAX_SETS 4096
#define MAX_DEPTH 512
#define NAME_BYTES 256 /* NAME_MAX, include/uapi/linux/limits.h, and a NUL */
/* CGROUP_SUBSYS_COUNT has been up to 16, include/linux/cgroup_subsys.h. */
#define MAX_CONTROLLERS 24

void vl_groups_init(struct vl_groups *groups, struct vl_raw_guest *g)
{
	*groups = (struct vl_groups){ .g = g, .l = vl_kernel_layout(g->attach->kernel) };
}

void vl_groups_clear(struct vl_groups *groups)
{
	groups->nr = groups->last = groups->nr_trees = 0;
}

void vl_groups_deinit(struct vl_groups *groups)
{
	free(groups->all);
	*groups = (struct vl_groups){ .g = NULL };
}

static uint64_t follow(struct vl_groups *s, uint64_t base, enum vl_field f)
{
	uint64_t v;

	if (!base || !vl_has(s->l, f))
		return 0;
	if (vl_read_u64(s->g->reader, &s->g->space, base + vl_offset(s->l, f), &v)) {
		s->lost = true;
		return 0;
	}
	return v;
}

/* Append the name of node @kn to @path, which has @len bytes. False: it has no name, or no room. */
static bool append(struct vl_groups *s, uint64_t kn, char *path, size_t *len)
{
	char name[NAME_BYTES] = "";
	size_t n;

	s->lost |= vl_read_string(s->g->reader, &s->g->space, follow(s, kn, VL_F_KN_NAME), name,
				  sizeof(name)) != VL_READ_OK;
	n = strnlen(name, sizeof(name) - 1);
	if (!n || *len + 1 + n + sizeof("/...") > VL_GROUP_PATH)
		return false;
	path[*len] = '/';
	memcpy(path + *len + 1, name, n);
	*len += 1 + n;
	return true;
}

/*
 * kernfs_path() of the node of @cgroup; the node of a hierarchy's root has no parent. Of a path
 * that is too long the upper part, which names the container, and "/...".
 */
static bool read_path(struct vl_groups *s, uint64_t cgroup, char path[VL_GROUP_PATH])
{
	/* "kernfs: Use RCU to access kernfs_node::parent" (6.15) renamed the field. */
	enum vl_field up = vl_has(s->l, VL_F_KN_PARENT) ? VL_F_KN_PARENT : VL_F_KN_PARENT_RCU;
	uint64_t nodes[MAX_DEPTH], kn = follow(s, cgroup, VL_F_CGROUP_KN), parent;
	size_t len = 0, nr = 0;

	path[0] = '\0';
	if (!kn || !vl_has(s->l, up) || !vl_has(s->l, VL_F_KN_NAME))
		return false;
	for (parent = follow(s, kn, up); parent; parent = follow(s, kn, up)) {
		if (nr == MAX_DEPTH)
			return false;
		nodes[nr++] = kn;
		kn = parent;
	}
	for (; nr && append(s, nodes[nr - 1], path, &len); nr--)
		;
	if (s->lost || (nr && !len)) {
		path[0] = '\0';
		return false;
	}
	memcpy(path + len, nr ? "/..." : len ? "" : "/", nr ? 5 : len ? 1 : 2);
	return true;
}

/* The group of the tasks of @set in the hierarchy of controller @i. */
static uint64_t group_by(struct vl_groups *s, uint64_t set, size_t i)
{
	uint64_t css = follow(s, set + 8 * i, VL_F_CSS_SET_SUBSYS);

	return follow(s, css, VL_F_CSS_CGROUP);
}

/* Find the controllers that are not in the unified hierarchy. They are the same in all sets. */
static void find_trees(struct vl_groups *s, uint64_t set)
{
	uint64_t unified = follow(s, follow(s, set, VL_F_CSS_SET_DFL), VL_F_CGROUP_ROOT);
	uint64_t roots[VL_GROUP_TREES], first = vl_offset(s->l, VL_F_CSS_SET_SUBSYS);
	/* css_set.refcount is behind the array. */
	uint64_t end = vl_offset(s->l, VL_F_CSS_SET_REFCOUNT), nr = (end - first) / 8;

	if (!unified || !vl_has(s->l, VL_F_CSS_SET_SUBSYS) || end <= first || nr > MAX_CONTROLLERS)
		return;
	for (size_t i = 0; i < nr && s->nr_trees < VL_GROUP_TREES; i++) {
		uint64_t root = follow(s, group_by(s, set, i), VL_F_CGROUP_ROOT);
		size_t k = 0;

		/* Some controllers share a hierarchy. */
		while (k < s->nr_trees && roots[k] != root)
			k++;
		if (!root || root == unified || k < s->nr_trees)
			continue;
		roots[k] = root;
		s->trees[s->nr_trees++] = (unsigned char)i;
	}
}

static void read_group(struct vl_groups *s, uint64_t set, struct vl_group *ret)
{
	struct vl_group other;

	ret->set = set;
	s->lost = false;
	read_path(s, follow(s, set, VL_F_CSS_SET_DFL), ret->path);
	vl_container_parse(ret->path, strlen(ret->path), &ret->container);
	for (size_t i = 0; !ret->container.runtime && i < s->nr_trees; i++) {
		if (!read_path(s, group_by(s, set, s->trees[i]), other.path) || !other.path[1])
			continue;
		vl_container_parse(other.path, strlen(other.path), &other.container);
		/* systemd has its own hierarchy, of which the unified one may be a copy. */
		if (!other.container.unit[0])
			memcpy(other.container.unit, ret->container.unit,
			       sizeof(other.container.unit));
		if (!other.container.runtime && ret->path[0] && ret->path[1])
			continue;
		memcpy(ret->path, other.path, sizeof(ret->path));
		ret->container = other.container;
	}
	/* Its container may be in what could not be read. */
	if (s->lost && !ret->container.runtime)
		ret->path[0] = '\0';
}

const struct vl_group *vl_groups_find(struct vl_groups *s, uint64_t set)
{
	if (!set)
		return NULL;
	/* Processes of one group mostly follow each other. */
	if (s->nr && s->all[s->last].set == set)
		return s->all[s->last].path[0] ? &s->all[s->last] : NULL;
	for (s->last = 0; s->last < s->nr && s->all[s->last].set != set;)
		s->last++;
	if (s->last == s->nr) {
		if (s->nr >= MAX_SETS || !vl_grow(s->all, s->cap, s->nr, 64)) {
			s->last = 0;
			return NULL;
		}
		if (!s->nr)
			find_trees(s, set);
		read_group(s, set, &s->all[s->nr++]);
	}
	return s->all[s->last].path[0] ? &s->all[s->last] : NULL;
}
