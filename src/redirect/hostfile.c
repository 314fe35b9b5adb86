/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of the host, for the program. The supervisor opens a file itself, below the place that
 * the row or own.c names. For a link that leaves the place it decides anew. It checks the open
 * file, and hands over a descriptor or makes the program's query. No such call passes: another
 * thread could change the path after the check. Files are read-only, but for devices and those
 * that folder.c opens.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "fds.h"
#include "handlers.h"
#include "files.h"
#include "tasks.h"
#include "own.h"
#include "pathname.h"
#include "refuse.h"
#include "trap.h"

/* The kernel's limit of links in a path (MAXSYMLINKS). */
#define LINKS_MAX 40
/* The largest answer to a query of extended attributes (XATTR_SIZE_MAX). */
#define XATTR_MAX 65536

static int open_path(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | flags,
				.resolve = RESOLVE_NO_MAGICLINKS | resolve };
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* The name of our own descriptor @fd. */
static int own_name(int fd, char *buf, size_t size)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, size - 1);
	if (n <= 0)
		return n ? -errno : -ENOENT;
	buf[n] = 0;
	return 0;
}

/*
 * @rest, a path below directory @dir, has a link that leads out of it. Put the path into @at,
 * with its first link resolved. 0 or -errno.
 */
static int follow(int dir, const char *rest, char at[PATH_MAX])
{
	char base[PATH_MAX], part[PATH_MAX], to[PATH_MAX];
	int err = own_name(dir, base, sizeof(base));

	for (size_t n = 0; !err; n += strspn(rest + n, "/")) {
		struct stat st;
		ssize_t len;
		int fd, cut;

		n += strcspn(rest + n, "/");
		snprintf(part, sizeof(part), "%.*s", (int)n, rest);
		fd = open_path(dir, part, O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (fd < 0)
			return fd;
		len = fstat(fd, &st) || !S_ISLNK(st.st_mode) ?
			      0 :
			      readlinkat(fd, "", to, sizeof(to) - 1);
		close(fd);
		if (len <= 0) {
			if (!rest[n])
				return -EXDEV; /* it was changed meanwhile */
			continue;
		}
		to[len] = 0;
		cut = strrchr(part, '/') ? (int)(strrchr(part, '/') - part) : 0;
		len = to[0] == '/' ?
			      snprintf(at, PATH_MAX, "%s%s", to, rest + n) :
			      snprintf(at, PATH_MAX, "%s/%.*s/%s%s", base, cut, part, to, rest + n);
		if (len < 0 || len >= PATH_MAX)
			return -ENAMETOOLONG;
		vl_path_normalise(at);
		return 0;
	}
	return err;
}

/* A descriptor of directory @path, or -errno. It stays open for the next files below. */
static int open_place(struct vl_redirect *r, const char *path)
{
	int fd = vl_own_place(r, path);

	if (fd >= 0)
		return fd;
	fd = open_path(AT_FDCWD, path, O_DIRECTORY, 0);
	return fd < 0 ? fd : vl_own_keep_place(r, path, fd);
}

/* File @path of the host as an O_PATH descriptor, or -errno. */
static int find(struct vl_trap *t, const char *path, bool nofollow)
{
	char at[PATH_MAX], root[PATH_MAX];
	uint64_t flags = nofollow ? O_NOFOLLOW : 0;

	snprintf(at, sizeof(at), "%s", path);
	vl_path_normalise(at);
	for (int links = 0; links < LINKS_MAX; links++) {
		size_t len = vl_own_root(t, at);
		const char *rest = at + len + strspn(at + len, "/");
		char tail[PATH_MAX];
		int dir, fd, err;

		if (!len)
			return -ENOENT;
		/* The table or the operator names the place itself: its links are followed. */
		snprintf(root, sizeof(root), "%.*s", (int)len, at);
		if (!*rest)
			return open_path(AT_FDCWD, root, flags, 0);
		dir = open_place(t->r, root);
		if (dir < 0)
			return dir;
		fd = open_path(dir, rest, flags, RESOLVE_BENEATH);
		if (fd != -EXDEV)
			return fd;
		snprintf(tail, sizeof(tail), "%s", rest);
		err = follow(dir, tail, at);
		if (err)
			return err;
	}
	return -ELOOP;
}

/* --- devices, terminals, /proc/self --- */

/* Devices that are the same on every machine: linux/major.h, drivers/char/mem.c. */
static const struct {
	const char *path;
	unsigned int major, minor;
} devices[] = {
	{ "/dev/null", 1, 3 },	 { "/dev/zero", 1, 5 },	   { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 },
};

static int find_device(const char *norm)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct stat st;
		int fd;

		if (strcmp(norm, devices[i].path))
			continue;
		fd = open_path(AT_FDCWD, norm, 0, 0);
		if (fd < 0 || (!fstat(fd, &st) && S_ISCHR(st.st_mode) &&
			       st.st_rdev == makedev(devices[i].major, devices[i].minor)))
			return fd;
		close(fd);
		return -ENXIO;
	}
	return -ENOENT;
}

/* Is @rdev the program's controlling terminal, or one of its standard descriptors? */
static bool has_terminal(const struct vl_trap *t, dev_t rdev)
{
	char link[64];
	struct stat st;

	if (vl_controlling(t, NULL) == rdev)
		return true;
	for (int fd = 0; fd < 3; fd++) {
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, fd);
		if (!stat(link, &st) && vl_is_terminal(&st) && st.st_rdev == rdev)
			return true;
	}
	return false;
}

/* Terminal @norm if it is the program's, or -errno. Our own /dev/tty may be another one. */
static int find_terminal(struct vl_trap *t, const char *norm)
{
	dev_t tty = 0;
	char path[PATH_MAX];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s", norm);
	if (!strcmp(norm, "/dev/tty")) {
		tty = vl_controlling(t, NULL);
		if (!tty)
			return -ENXIO;
		if (major(tty) == 4) /* drivers/tty: consoles, then serial lines */
			snprintf(path, sizeof(path), "/dev/tty%s%u", minor(tty) < 64 ? "" : "S",
				 minor(tty) < 64 ? minor(tty) : minor(tty) - 64);
		else
			snprintf(path, sizeof(path), "/dev/pts/%u",
				 minor(tty) + 256 * (major(tty) - 136));
	}
	fd = open_path(AT_FDCWD, path, O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	if (!fstat(fd, &st) && vl_is_terminal(&st) &&
	    (tty ? st.st_rdev == tty : has_terminal(t, st.st_rdev)))
		return fd;
	close(fd);
	return -ENXIO;
}

/* @ret: the name of @norm in the host's /proc. Returns the descriptor that it names, or -1. */
static int self_name(struct vl_trap *t, const char *norm, char ret[PATH_MAX])
{
	static const char *const names[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
	const struct vl_task *task = vl_task_find(t->r, t->tid);
	int tgid = task ? task->tgid : t->tid, fd = -1, end = 0;
	const char *rest;

	for (int i = 0; i < 3; i++)
		if (!strcmp(norm, names[i])) {
			snprintf(ret, PATH_MAX, "/proc/%d/fd/%d", tgid, i);
			return i;
		}
	if (vl_path_below(norm, "/dev/fd"))
		snprintf(ret, PATH_MAX, "/proc/%d/fd%s", tgid, norm + strlen("/dev/fd"));
	else if (vl_path_below(norm, "/proc/thread-self"))
		snprintf(ret, PATH_MAX, "/proc/%d/task/%d%s", tgid, (int)t->tid,
			 norm + strlen("/proc/thread-self"));
	else
		snprintf(ret, PATH_MAX, "/proc/%d%s", tgid, norm + strlen("/proc/self"));
	rest = strstr(ret, "/fd/");
	if (rest && sscanf(rest, "/fd/%d%n", &fd, &end) == 1 && !rest[end])
		return fd;
	return -1;
}

/*
 * Only the last part of the path may be a link. A path that goes on behind a descriptor's
 * name would lead out of the folders that the program may see.
 */
static int find_self(struct vl_trap *t, const char *norm, bool nofollow)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS };
	char path[PATH_MAX], *name;
	_cleanup_close_ int dir = -1;
	int fd;

	self_name(t, norm, path);
	name = strrchr(path, '/');
	*name++ = 0;
	dir = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (dir < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	fd = openat(dir, name, O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0));
	return fd < 0 ? -errno : fd;
}

/* The host's file t->where as an O_PATH descriptor, or -errno. */
static int host_fd(struct vl_trap *t, bool nofollow)
{
	char norm[PATH_MAX];
	int fd;

	if (t->where.empty) {
		snprintf(norm, sizeof(norm), "/proc/%d/fd/%d", (int)t->tid, t->where.fd);
		fd = open(norm, O_PATH | O_CLOEXEC);
		return fd >= 0 ? fd : errno == ENOENT ? -EBADF : -errno;
	}
	snprintf(norm, sizeof(norm), "%s", t->where.path);
	vl_path_normalise(norm);
	switch (t->where.row->host) {
	case W_DEVICE:
		return find_device(norm);
	case W_TTY:
		return find_terminal(t, norm);
	case W_SELF:
		return find_self(t, norm, nofollow);
	default:
		fd = find(t, norm, nofollow);
		return fd == -ENOENT && t->where.row->locales ? vl_locales_open(t->r) : fd;
	}
}

/* --- opening --- */

/* /dev/stdout and its kin: duplicate descriptor @number, with no more rights than it has. */
static struct vl_error *open_again(struct vl_trap *t, int number, uint64_t flags)
{
	int fd, has, wants = flags & O_ACCMODE;

	/* The path is in the program's memory, so the call must not pass. */
	if (vl_fd_ours(number) && vl_fd_find(t, number)) {
		struct vl_error *err = vl_fd_duplicate(t, number, flags & O_CLOEXEC);

		if (t->pass)
			t->ret = -EBADF;
		t->pass = false;
		return err;
	}
	fd = vl_fd_borrow(t, number);
	t->ret = fd == -EBADF ? -ENOENT : fd;
	if (fd < 0)
		return NULL;
	has = fcntl(fd, F_GETFL) & O_ACCMODE;
	if (has != O_RDWR && wants != has)
		t->ret = -EACCES;
	else
		vl_fd_add(t, fd, -1, flags & O_CLOEXEC);
	close(fd);
	return NULL;
}

/* Open the file of O_PATH descriptor @found with @flags, and hand it over. */
static void give(struct vl_trap *t, int found, uint64_t flags)
{
	const uint64_t keep = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECTORY;
	char link[32];
	int fd;

	if (flags & O_PATH) {
		vl_fd_add(t, found, -1, flags & O_CLOEXEC);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
	fd = open(link, (int)(flags & keep) | O_CLOEXEC | O_NOCTTY);
	t->ret = fd < 0 ? -errno : 0;
	if (fd < 0)
		return;
	vl_fd_add(t, fd, -1, flags & O_CLOEXEC);
	close(fd);
}

struct vl_error *vl_host_open(struct vl_trap *t, uint64_t flags, uint64_t mode)
{
	bool tree = t->where.row->host == W_TREE, comm;
	char norm[PATH_MAX], self[PATH_MAX];
	_cleanup_close_ int fd = -1;
	struct stat st;
	int number;

	snprintf(norm, sizeof(norm), "%s", t->where.path);
	vl_path_normalise(norm);
	comm = strlen(norm) > 5 && !strcmp(norm + strlen(norm) - 5, "/comm");
	if (t->where.row->host == W_SELF && !(flags & (O_NOFOLLOW | O_PATH))) {
		number = self_name(t, norm, self);
		if (number >= 0)
			return open_again(t, number, flags);
	}
	if (tree && t->where.row->writable &&
	    ((flags & (O_ACCMODE | O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)) {
		vl_folder_open(t, flags, mode);
		return NULL;
	}
	/* In its own folder of /proc a program may write to comm only, its name. */
	if ((tree || (t->where.row->host == W_SELF && !comm)) && (flags & O_ACCMODE) != O_RDONLY) {
		vl_deny_as(t, EROFS);
		return NULL;
	}
	fd = host_fd(t, flags & O_NOFOLLOW);
	t->ret = fd;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st))
		t->ret = -errno;
	else if (S_ISLNK(st.st_mode) && !(flags & O_PATH))
		t->ret = -ELOOP;
	else if (tree && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !(flags & O_PATH))
		vl_deny_as(t, EACCES); /* a device, a FIFO or a socket would reach others */
	else if (t->where.row->calls != C_ALL && S_ISDIR(st.st_mode))
		return vl_give_empty_folder(t, flags);
	else if (t->where.row->library && !vl_own_library_file(fd, norm, &st))
		vl_deny_as(t, EACCES);
	else
		give(t, fd, flags);
	return NULL;
}

/* --- queries --- */

static bool asks_about_link(const struct vl_trap *t)
{
	switch (t->nr) {
	case __NR_lstat:
	case __NR_lgetxattr:
	case __NR_llistxattr:
	case __NR_readlink:
	case __NR_readlinkat:
		return true;
	case __NR_newfstatat:
	case __NR_faccessat2:
		return t->args[3] & AT_SYMLINK_NOFOLLOW;
	case __NR_statx:
		return t->args[2] & AT_SYMLINK_NOFOLLOW;
	default:
		return false;
	}
}

/* Does the call take an empty path for the descriptor itself? */
static bool takes_empty(const struct vl_trap *t)
{
	switch (t->nr) {
	case __NR_readlinkat:
		return true;
	case __NR_newfstatat:
	case __NR_faccessat2:
		return t->args[3] & AT_EMPTY_PATH;
	case __NR_statx:
		return t->args[2] & AT_EMPTY_PATH;
	default:
		return false;
	}
}

static int64_t give_back(struct vl_trap *t, uint64_t addr, const void *buf, size_t len)
{
	return vl_mem_write(t, addr, buf, len);
}

static int64_t stat_fd(struct vl_trap *t, int fd, uint64_t addr)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : give_back(t, addr, &st, sizeof(st));
}

static int64_t statx_fd(struct vl_trap *t, int fd)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH | (int)(t->args[2] & AT_STATX_SYNC_TYPE),
		  (unsigned int)t->args[3], &x))
		return -errno;
	return give_back(t, t->args[4], &x, sizeof(x));
}

static int64_t access_fd(struct vl_trap *t, const char *link, unsigned int mode)
{
	if ((mode & W_OK) && !t->where.row->writable && !t->where.empty)
		return -EROFS;
	return faccessat(AT_FDCWD, link, (int)mode, 0) ? -errno : 0;
}

static int64_t readlink_fd(struct vl_trap *t, int fd, uint64_t addr, int size)
{
	char buf[PATH_MAX];
	ssize_t n;

	if (size <= 0)
		return -EINVAL;
	n = readlinkat(fd, "", buf, sizeof(buf));
	if (n < 0) /* ENOENT: it is not a link */
		return errno == ENOENT ? -EINVAL : -errno;
	if (n > size)
		n = size;
	return give_back(t, addr, buf, n) ? -EFAULT : n;
}

static int64_t xattr(struct vl_trap *t, const char *link, bool list)
{
	size_t size = t->args[list ? 2 : 3] < XATTR_MAX ? t->args[list ? 2 : 3] : XATTR_MAX;
	char name[256];
	ssize_t n;
	int err;

	err = list ? 0 : vl_mem_string(t, t->args[1], name, sizeof(name));
	if (err)
		return err == -ENAMETOOLONG ? -ERANGE : err;
	n = list ? listxattr(link, size ? t->r->chunk : NULL, size) :
		   getxattr(link, name, size ? t->r->chunk : NULL, size);
	if (n < 0)
		return -errno;
	err = size ? vl_mem_write(t, t->args[list ? 1 : 2], t->r->chunk, n) : 0;
	return err ? err : n;
}

static int64_t ask(struct vl_trap *t, int fd)
{
	struct statfs fs;
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	switch (t->nr) {
	case __NR_stat:
	case __NR_lstat:
		return stat_fd(t, fd, t->args[1]);
	case __NR_newfstatat:
		return stat_fd(t, fd, t->args[2]);
	case __NR_statx:
		return statx_fd(t, fd);
	case __NR_access:
		return access_fd(t, link, t->args[1]);
	case __NR_faccessat:
	case __NR_faccessat2:
		return access_fd(t, link, t->args[2]);
	case __NR_readlink:
		return readlink_fd(t, fd, t->args[1], (int)t->args[2]);
	case __NR_readlinkat:
		return readlink_fd(t, fd, t->args[2], (int)t->args[3]);
	case __NR_statfs:
		return fstatfs(fd, &fs) ? -errno : give_back(t, t->args[1], &fs, sizeof(fs));
	case __NR_getxattr:
	case __NR_lgetxattr:
		return xattr(t, link, false);
	case __NR_listxattr:
	case __NR_llistxattr:
		return xattr(t, link, true);
	default:
		return -ENOSYS;
	}
}

void vl_host_query(struct vl_trap *t)
{
	int fd;

	if (t->where.empty && !takes_empty(t)) {
		t->ret = -ENOENT;
		return;
	}
	fd = host_fd(t, asks_about_link(t));
	t->ret = fd;
	if (fd < 0)
		return;
	t->ret = ask(t, fd);
	close(fd);
}

int vl_host_is_dir(struct vl_trap *t)
{
	_cleanup_close_ int fd = host_fd(t, false);
	struct stat st;

	if (fd < 0)
		return fd;
	return fstat(fd, &st) ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/*
 * execve(path, …): programs are the host's. This check decides what the program sees. The
 * kernel reads the path again, so the tracer kills a process that has become a program which
 * was not approved (on_exec()).
 */
struct vl_error *vl_h_exec(struct vl_trap *t)
{
	char norm[PATH_MAX], self[PATH_MAX];
	enum vl_redirect_refused foreign;
	struct stat st;
	int fd;

	t->ret = vl_resolve(t, AT_FDCWD, t->args[0], &t->where);
	if (t->ret)
		return NULL;
	snprintf(norm, sizeof(norm), "%s", t->where.path);
	vl_path_normalise(norm);
	if (!strcmp(norm, "/proc/self/exe")) {
		t->pass = true;
		return NULL;
	}
	/* The path must be absolute, as for the kernel the working directory is /. */
	if (vl_mem_string(t, t->args[0], self, sizeof(self)) || self[0] != '/' ||
	    !vl_own_executable(t->r, norm))
		return vl_refuse_program(t, vl_path_below(norm, "/proc/self/fd") ? EACCES : ENOENT,
					 VL_REFUSED_PROGRAM, norm);
	foreign = vl_program_foreign(norm);
	if (foreign)
		return vl_refuse_program(t, EACCES, foreign, norm);
	fd = find(t, norm, false);
	/* A link of the host may lead anywhere; one in --host-files can be the program's. */
	if (fd < 0 && !vl_own_folder(t->r, norm))
		fd = open_path(AT_FDCWD, norm, 0, 0);
	t->ret = fd < 0 ? fd : !fstat(fd, &st) && !S_ISREG(st.st_mode) ? -EACCES : 0;
	if (!t->ret)
		vl_own_script(t->r, norm, fd);
	if (fd >= 0)
		close(fd);
	t->pass = !t->ret;
	return NULL;
}
