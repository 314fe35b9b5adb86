/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kept.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/dirs.h"
#include "internal.h"

bool vl_is_key(const char *key)
{
	size_t n = 0;

	while (n < VL_KEY_MAX &&
	       ((key[n] >= '0' && key[n] <= '9') || (key[n] >= 'a' && key[n] <= 'f')))
		n++;
	return n == VL_KEY_MAX && !key[n];
}

bool vl_is_build_id(const char *key)
{
	size_t n = strspn(key, "0123456789abcdef");

	return n >= 8 && n <= VL_KEY_MAX && !key[n];
}

bool vl_is_release(const char *release)
{
	size_t n = strspn(release, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._+~-");

	return n && n <= VL_KEY_MAX && !release[n] && release[0] != '.';
}

static const struct {
	const char *suffix;
	struct vl_error *(*dir)(char **ret);
	bool (*is_key)(const char *key); /* NULL: named after the run */
	size_t max;
} kinds[VL_NR_KEPT] = {
	[VL_KEPT_ATTACH] = { "attach", vl_run_dir, NULL, 4096 },
	[VL_KEPT_REFUSAL] = { "refusal", vl_run_dir, NULL, 4096 },
	/* More than the largest table that vl_kallsyms_find() accepts. */
	[VL_KEPT_KERNEL] = { "kernel", vl_cache_dir, vl_is_key, 128U << 20 },
	/* VL_BTF_MAX */
	[VL_KEPT_BTF] = { "btf", vl_cache_dir, vl_is_key, 32U << 20 },
	/* VL_TRUST_IMAGE_MAX, and its index */
	[VL_KEPT_TRUSTED] = { "kernel", vl_trust_dir, vl_is_build_id, 640U << 20 },
	/* VL_PACK_MAX, and its index */
	[VL_KEPT_MODULES] = { "modules", vl_trust_dir, vl_is_release, 640U << 20 },
	[VL_KEPT_TYPES] = { "types", vl_types_dir, vl_is_build_id, 32U << 20 },
};

/* Root's directory of files of @kind, behind our own; NULL: there is none. */
static const char *root_dir(enum vl_kept kind)
{
	if (kinds[kind].dir == vl_trust_dir)
		return vl_trust_root_dir();
	return kinds[kind].dir == vl_types_dir ? vl_types_root_dir() : NULL;
}

/* The path of a file; *@ret is malloc'ed. */
static struct vl_error *path_of(struct vl_target *t, enum vl_kept kind, const char *key, char **ret)
{
	struct vl_error *err;
	char *dir;
	int n;

	if (kind >= VL_NR_KEPT || (kinds[kind].is_key ? !key || !kinds[kind].is_key(key) : !t))
		return vl_error_new(VL_ERR_ARG, "not a kept file");
	err = kinds[kind].dir(&dir);
	if (err)
		return err;
	n = asprintf(ret, "%s/%s.%s", dir, kinds[kind].is_key ? key : vl_target_run_id(t),
		     kinds[kind].suffix);
	free(dir);
	return n < 0 ? vl_error_nomem() : NULL;
}

/* Update the time of use of a file: vl_tidy_cache() removes the oldest. Once a day is enough. */
static void note_use(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && st.st_mtime < time(NULL) - 24 * 3600 && futimens(fd, NULL))
		errno = 0;
}

struct vl_error *vl_kept_open(struct vl_target *t, enum vl_kept kind, const char *key, int *fd_ret,
			      size_t *size_ret)
{
	struct vl_error *err;
	const char *root;
	char *path;

	if (t && t->proxy)
		return t->proxy->kept_open(t->proxy->ctx, kind, key, fd_ret, size_ret);
	err = path_of(t, kind, key, &path);
	if (err)
		return err;
	err = vl_file_open(path, kinds[kind].max, fd_ret, size_ret);
	free(path);
	root = err && err->os_errno == ENOENT ? root_dir(kind) : NULL;
	if (root) {
		if (asprintf(&path, "%s/%s.%s", root, key, kinds[kind].suffix) < 0)
			return err;
		vl_error_destroy(err);
		err = vl_file_open(path, kinds[kind].max, fd_ret, size_ret);
		if (err && err->os_errno == EACCES)
			vl_error_hint(err, "let root run: chmod a+r %s", path);
		free(path);
	}
	if (!err && kinds[kind].dir == vl_cache_dir)
		note_use(*fd_ret);
	return err;
}

struct vl_error *vl_kept_load(struct vl_target *t, enum vl_kept kind, const char *key, char **ret,
			      size_t *size_ret)
{
	struct vl_error *err;
	size_t size;
	int fd;

	err = vl_kept_open(t, kind, key, &fd, &size);
	if (err)
		return err;
	err = vl_file_slurp(fd, size, ret, size_ret);
	close(fd);
	return err;
}

struct vl_error *vl_kept_store(struct vl_target *t, enum vl_kept kind, const char *key,
			       const void *data, size_t size)
{
	struct vl_error *err;
	char *path;

	if (t && t->proxy)
		return t->proxy->kept_store(t->proxy->ctx, kind, data, size);
	err = path_of(t, kind, key, &path);
	if (err)
		return err;
	err = size <= kinds[kind].max ? vl_file_store(path, data, size) :
					vl_error_os(EFBIG, "cannot write %s", path);
	free(path);
	if (!err && kinds[kind].dir == vl_cache_dir)
		vl_tidy_cache(key);
	return err;
}

/* Was the attach of this run stored at @since or later? */
static bool stored_since(struct vl_target *t, const struct timespec *since)
{
	struct stat st;
	bool later = false;
	_cleanup_free_ char *path = NULL;

	if (vl_discard(path_of(t, VL_KEPT_ATTACH, NULL, &path)))
		return false;
	if (!lstat(path, &st))
		later = st.st_mtim.tv_sec > since->tv_sec || (st.st_mtim.tv_sec == since->tv_sec &&
							      st.st_mtim.tv_nsec >= since->tv_nsec);
	return later;
}

/* The name of the lock of first attaches; malloc'ed, or NULL. */
static char *first_name(struct vl_target *t)
{
	char *name;

	return asprintf(&name, "%s-first", vl_target_run_id(t)) < 0 ? NULL : name;
}

bool vl_kept_turn(struct vl_target *t, const struct timespec *since, uint64_t wait_ns)
{
	char *name;

	if (t->proxy)
		return t->proxy->turn(t->proxy->ctx, since, wait_ns);
	vl_kept_end_turn(t);
	name = first_name(t);
	if (name) {
		t->first_fd = vl_run_lock((unsigned)(wait_ns / 1000000), name);
		free(name);
	}
	return stored_since(t, since);
}

void vl_kept_end_turn(struct vl_target *t)
{
	if (t->proxy) {
		t->proxy->end_turn(t->proxy->ctx);
		return;
	}
	/*
	 * A guest's files are removed when its process has ended (tidy.c). A dump has no process.
	 */
	if (t->first_fd >= 0 && !t->pid) {
		_cleanup_free_ char *name = first_name(t);
		_cleanup_free_ char *path = name ? vl_run_path("%s.lock", name) : NULL;

		if (path)
			unlink(path);
	}
	if (t->first_fd >= 0)
		close(t->first_fd);
	t->first_fd = -1;
}
