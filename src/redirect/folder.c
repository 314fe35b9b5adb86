/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --host-files=DIR: the one folder of the host in which the program may change files. The
 * supervisor makes the changes, below a descriptor of the folder, and follows no link out of
 * it. It never sets the set-user-ID or set-group-ID bit, an owner or attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/process.h"
#include "fds.h"
#include "handlers.h"
#include "files.h"
#include "own.h"
#include "pathname.h"
#include "refuse.h"
#include "trap.h"

#define MODE_BITS 01777

static int open_below(int dir, const char *rest, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
				.mode = mode,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, dir, *rest ? rest : ".", &how, sizeof(how));

	if (fd >= 0)
		return fd;
	return errno == EXDEV ? -EROFS : -errno; /* it leads out of the folder */
}

/* The mode of a new file: @mode under the task's umask. */
static mode_t masked(const struct vl_trap *t, uint64_t mode)
{
	mode_t mask = vl_proc_number("Umask", 8, 022, "/proc/%d/status", (int)t->tid);

	return mode & MODE_BITS & ~mask;
}

/* A descriptor of the folder, or -errno; @rest is the path of t->where below it. */
static int folder_of(struct vl_trap *t, char rest[PATH_MAX])
{
	int dir = open(t->r->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char norm[PATH_MAX];
	size_t len;

	snprintf(norm, sizeof(norm), "%s", t->where.path);
	vl_path_normalise(norm);
	len = strlen(t->r->folder);
	snprintf(rest, PATH_MAX, "%s", norm + len + strspn(norm + len, "/"));
	return dir < 0 ? -errno : dir;
}

/* Open the file of O_PATH descriptor @found with @flags: a descriptor or -errno. */
static int open_found(int found, uint64_t flags)
{
	const uint64_t keep = O_ACCMODE | O_APPEND | O_DIRECTORY | O_TRUNC;
	char link[32];
	struct stat st;
	int fd;

	if ((flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (fstat(found, &st))
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return -EACCES;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
	fd = open(link, (int)(flags & keep) | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

void vl_folder_open(struct vl_trap *t, uint64_t flags, uint64_t mode)
{
	const uint64_t make = O_ACCMODE | O_APPEND | O_CREAT | O_EXCL;
	char rest[PATH_MAX];
	int dir = folder_of(t, rest), fd, found;

	if (dir < 0) {
		t->ret = dir;
		return;
	}
	if ((flags & O_TMPFILE) == O_TMPFILE) {
		fd = open_below(dir, rest, flags & (O_TMPFILE | O_ACCMODE | O_EXCL),
				masked(t, mode));
	} else {
		found = open_below(dir, rest, O_PATH | (flags & O_NOFOLLOW), 0);
		fd = found;
		if (found >= 0)
			fd = open_found(found, flags);
		else if (found == -ENOENT && (flags & O_CREAT))
			fd = open_below(dir, rest, (flags & make) | O_EXCL | O_NOCTTY,
					masked(t, mode));
		if (found >= 0)
			close(found);
	}
	close(dir);
	t->ret = fd;
	if (fd < 0)
		return;
	vl_fd_add(t, fd, -1, flags & O_CLOEXEC);
	close(fd);
}

/* A descriptor of the directory of t->where, or -errno; @name is its name there. */
static int parent_of(struct vl_trap *t, char name[NAME_MAX + 1])
{
	char rest[PATH_MAX], *slash;
	_cleanup_close_ int dir = folder_of(t, rest);

	if (dir < 0)
		return dir;
	slash = strrchr(rest, '/');
	if (!*rest || strlen(slash ? slash + 1 : rest) > NAME_MAX)
		return *rest ? -ENAMETOOLONG : -EBUSY; /* the folder itself */
	strcpy(name, slash ? slash + 1 : rest);
	if (!slash)
		return vl_taken_fd(&dir);
	*slash = 0;
	return open_below(dir, rest, O_PATH | O_DIRECTORY, 0);
}

/* chmod, truncate, utimensat of the file that we have open. @link: its name in /proc. */
static int change_found(struct vl_trap *t, const char *link, const uint64_t *a)
{
	struct timespec ts[2];

	switch (t->nr) {
	case __NR_truncate:
		return truncate(link, (off_t)a[1]);
	case __NR_chmod:
	case __NR_fchmod:
		return chmod(link, a[1] & MODE_BITS);
	case __NR_fchmodat:
	case __NR_fchmodat2:
		return chmod(link, a[2] & MODE_BITS);
	case __NR_utimensat:
		if (a[2] && vl_mem_read(t, a[2], ts, sizeof(ts))) {
			errno = EFAULT;
			return -1;
		}
		return utimensat(AT_FDCWD, link, a[2] ? ts : NULL, 0);
	default:
		errno = EROFS;
		return -1;
	}
}

/* The same, by descriptor @fd of ours. 0 or -errno. */
static int change_held(struct vl_trap *t, int fd)
{
	struct stat st;
	char link[32];

	if (fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return -EROFS;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return change_found(t, link, t->args) ? -errno : 0;
}

static int change_file(struct vl_trap *t)
{
	char rest[PATH_MAX];
	_cleanup_close_ int dir = folder_of(t, rest), fd = -1;

	if (dir < 0)
		return dir;
	fd = open_below(dir, rest, O_PATH, 0);
	return fd < 0 ? fd : change_held(t, fd);
}

/* Calls that change one name, @name in @dir. */
static int change_name(struct vl_trap *t, int dir, const char *name)
{
	const uint64_t *a = t->args;
	char target[PATH_MAX];
	int err;

	switch (t->nr) {
	case __NR_unlink:
		return unlinkat(dir, name, 0);
	case __NR_unlinkat:
		return unlinkat(dir, name, (int)a[2] & AT_REMOVEDIR);
	case __NR_rmdir:
		return unlinkat(dir, name, AT_REMOVEDIR);
	case __NR_mkdir:
		return mkdirat(dir, name, masked(t, a[1]));
	case __NR_mkdirat:
		return mkdirat(dir, name, masked(t, a[2]));
	case __NR_symlink:
	case __NR_symlinkat:
		err = vl_mem_string(t, a[0], target, sizeof(target));
		if (!err)
			return symlinkat(target, dir, name);
		errno = -err;
		return -1;
	default:
		errno = EROFS;
		return -1;
	}
}

static int change_two(struct vl_trap *t, int from, const char *old, int to, const char *new)
{
	switch (t->nr) {
	case __NR_rename:
	case __NR_renameat:
		return renameat(from, old, to, new);
	case __NR_renameat2:
		return (int)syscall(SYS_renameat2, from, old, to, new, (unsigned int)t->args[4]);
	case __NR_link:
	case __NR_linkat:
		return linkat(from, old, to, new, 0);
	default:
		errno = EROFS;
		return -1;
	}
}

int vl_folder_change(struct vl_trap *t, const struct vl_where *other)
{
	char name[NAME_MAX + 1], from[NAME_MAX + 1];
	_cleanup_close_ int dir = -1, dir2 = -1;
	struct vl_where now = t->where;

	switch (t->nr) {
	case __NR_truncate:
	case __NR_chmod:
	case __NR_fchmodat:
	case __NR_fchmodat2:
	case __NR_utimensat:
		return change_file(t);
	}
	dir = parent_of(t, name);
	if (dir < 0)
		return dir;
	if (!other)
		return change_name(t, dir, name) ? -errno : 0;
	t->where = *other;
	dir2 = parent_of(t, from);
	t->where = now;
	if (dir2 < 0)
		return dir2;
	return change_two(t, dir2, from, dir, name) ? -errno : 0;
}

/*
 * Changes of a file by its descriptor: only files in the folder. Another thread may put
 * another file behind the number at any time, so a descriptor of ours is checked and changed.
 */
struct vl_error *vl_h_change_fd(struct vl_trap *t)
{
	_cleanup_close_ int fd = vl_fd_borrow(t, (int)t->args[0]);
	char link[32], name[PATH_MAX];
	ssize_t n;

	if (fd < 0) {
		t->ret = -EBADF;
		return NULL;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	if (!t->r->folder || t->r->folder_ro || name[0] != '/' || !vl_own_folder(t->r, name))
		vl_deny_as(t, EROFS);
	else if (t->nr == __NR_fchmod || t->nr == __NR_utimensat)
		t->ret = change_held(t, fd);
	else
		t->ret = t->nr == __NR_fchown ? -EPERM : -EOPNOTSUPP;
	return NULL;
}
