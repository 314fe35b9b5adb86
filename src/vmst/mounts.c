/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs read /proc and /sys. The guest's first process may lack them: an init need not mount
 * them, and an intruder can unmount /proc to hide. The clone then mounts its own, in its
 * private memory. The guest's kernel fills them from the same tables, and nothing of them is
 * left when the epoch ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "clone.h"

static const struct {
	const char *dir, *type;
	long magic; /* of statfs(2), linux/magic.h */
	const char *note;
} mounts[VL_NR_MOUNTS] = {
	{ "/proc", "proc", PROC_SUPER_MAGIC, "processes, and most that is asked" },
	{ "/sys", "sysfs", SYSFS_MAGIC, "devices" },
};

#define CALL(c, name, ret, ...) \
	vl_clone_syscall(c, name, (const struct vl_arg[]){ __VA_ARGS__ }, \
			 sizeof((const struct vl_arg[]){ __VA_ARGS__ }) / sizeof(struct vl_arg), \
			 ret)

static struct vl_error *is_mounted(struct vl_clone *c, size_t i, bool *ret)
{
	struct statfs st = { 0 };
	struct vl_error *err;
	int64_t n;

	err = CALL(c, "statfs", &n, VL_ARG_STR(mounts[i].dir), VL_ARG_OUT(&st, sizeof(st)));
	*ret = !err && !n && st.f_type == mounts[i].magic;
	return err;
}

static struct vl_error *mount_own(struct vl_clone *c, size_t i, int64_t *ret)
{
	return CALL(c, "mount", ret, VL_ARG_STR(mounts[i].type), VL_ARG_STR(mounts[i].dir),
		    VL_ARG_STR(mounts[i].type), VL_ARG_INT(0), VL_ARG_NULL);
}

/* Is the root a file system in memory? On any other, mkdir would wait for a disk. */
static struct vl_error *has_light_root(struct vl_clone *c, bool *ret)
{
	struct statfs st = { 0 };
	struct vl_error *err;
	int64_t n;

	err = CALL(c, "statfs", &n, VL_ARG_STR("/"), VL_ARG_OUT(&st, sizeof(st)));
	*ret = !err && !n && (st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC);
	return err;
}

static struct vl_error *make_and_mount(struct vl_clone *c, size_t i)
{
	struct vl_error *err;
	int64_t ret = 0;
	bool light;

	err = mount_own(c, i, &ret);
	if (err || ret != -ENOENT)
		return err;
	err = has_light_root(c, &light);
	if (!err && light)
		err = CALL(c, "mkdir", &ret, VL_ARG_STR(mounts[i].dir), VL_ARG_INT(0555));
	return err || !light || ret ? err : mount_own(c, i, &ret);
}

struct vl_error *vl_clone_mount(struct vl_clone *c, bool known, bool missing[VL_NR_MOUNTS])
{
	struct vl_error *err = NULL;
	bool is;

	for (size_t i = 0; !err && i < VL_NR_MOUNTS; i++) {
		if (!known) {
			err = is_mounted(c, i, &is);
			missing[i] = !is;
		}
		if (!err && missing[i])
			err = make_and_mount(c, i);
		if (err)
			missing[i] = false;
	}
	return err;
}
