/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "transfer.h"

/* Make @path and its missing parents. */
static int make_path(char *path, mode_t mode)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST) {
			*p = '/';
			return -1;
		}
		*p = '/';
	}
	return mkdir(path, mode) && errno != EEXIST ? -1 : 0;
}

/*
 * The reason why the @what ("file" or "directory") at @path with status @st cannot be trusted;
 * NULL: it can. With @root it may belong to root, because root can write to our files, too.
 */
static struct vl_error *check_owner(const char *path, const char *what, const struct stat *st,
				    bool root)
{
	if (strcmp(what, "file") ? !S_ISDIR(st->st_mode) : !S_ISREG(st->st_mode))
		return vl_error_new(VL_ERR_OS, "%s is not a %s%s", path,
				    strcmp(what, "file") ? "" : "regular ", what);
	if (st->st_uid != geteuid() && !(root && !st->st_uid))
		return vl_error_new(VL_ERR_OS,
				    "the %s %s belongs to user %u, so user %u does not trust it",
				    what, path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (st->st_mode & 022)
		return vl_error_hint(
			vl_error_new(VL_ERR_OS, "other users can write to the %s %s", what, path),
			"chmod go-w %s", path);
	return NULL;
}

static struct vl_error *own_dir(char *path, mode_t mode, char **ret)
{
	struct vl_error *err;
	struct stat st;

	if (!path)
		return vl_error_nomem();
	/* The directory nearly always exists. */
	if (lstat(path, &st) && (make_path(path, mode) || lstat(path, &st))) {
		err = vl_error_os(errno, "cannot make the directory %s", path);
		free(path);
		return err;
	}
	/* Another user's directory could hold false symbols. */
	err = check_owner(path, "directory", &st, false);
	if (err) {
		free(path);
		return err;
	}
	*ret = path;
	return NULL;
}

static char *join(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static const char *env(const char *name)
{
	const char *v = secure_getenv(name);

	return v && *v == '/' ? v : NULL;
}

struct vl_error *vl_cache_dir(char **ret)
{
	const char *dir;

	dir = env("VLENS_CACHE_DIR");
	if (dir)
		return own_dir(strdup(dir), 0755, ret);
	if (!geteuid())
		return own_dir(strdup("/var/cache/vlens"), 0755, ret);
	dir = env("XDG_CACHE_HOME");
	if (dir)
		return own_dir(join(dir, "vlens"), 0755, ret);
	dir = env("HOME");
	return own_dir(join(dir ? dir : "/nonexistent", ".cache/vlens"), 0755, ret);
}

struct vl_error *vl_run_dir(char **ret)
{
	const char *dir;
	char *path;

	dir = env("VLENS_RUN_DIR");
	if (dir)
		return own_dir(strdup(dir), 0700, ret);
	if (!geteuid())
		return own_dir(strdup("/run/vlens"), 0700, ret);
	dir = env("XDG_RUNTIME_DIR");
	if (dir)
		return own_dir(join(dir, "vlens"), 0700, ret);
	return own_dir(asprintf(&path, "/tmp/vlens-%u", geteuid()) < 0 ? NULL : path, 0700, ret);
}

/*
 * Root's directory @path for other users, behind their own. NULL: it is our own, there is none,
 * $@variable names the only one, or others than root can write to it.
 */
static const char *root_dir(const char *variable, const char *path)
{
	struct stat st;

	if (!geteuid() || env(variable) || lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid ||
	    st.st_mode & 022)
		return NULL;
	return path;
}

/* The directory @name of data: $@variable, else @root for root, else the user's own. */
static struct vl_error *data_dir(const char *variable, const char *root, const char *name,
				 char **ret)
{
	const char *dir = env(variable);
	char *path;

	if (dir || !geteuid())
		return own_dir(strdup(dir ? dir : root), 0755, ret);
	dir = env("XDG_DATA_HOME");
	if (dir)
		return own_dir(asprintf(&path, "%s/vlens/%s", dir, name) < 0 ? NULL : path, 0755,
			       ret);
	dir = env("HOME");
	if (asprintf(&path, "%s/.local/share/vlens/%s", dir ? dir : "/nonexistent", name) < 0)
		path = NULL;
	return own_dir(path, 0755, ret);
}

#define TRUST_VARIABLE "VLENS_TRUST_DIR"
#define ROOT_TRUST "/var/lib/vlens/trusted"
#define TYPES_VARIABLE "VLENS_TYPES_DIR"
#define ROOT_TYPES "/var/lib/vlens/types"

const char *vl_trust_root_dir(void)
{
	return root_dir(TRUST_VARIABLE, ROOT_TRUST);
}

struct vl_error *vl_trust_dir(char **ret)
{
	return data_dir(TRUST_VARIABLE, ROOT_TRUST, "trusted", ret);
}

const char *vl_types_root_dir(void)
{
	return root_dir(TYPES_VARIABLE, ROOT_TYPES);
}

struct vl_error *vl_types_dir(char **ret)
{
	return data_dir(TYPES_VARIABLE, ROOT_TYPES, "types", ret);
}

char *vl_run_path(const char *fmt, ...)
{
	_cleanup_free_ char *dir = NULL;
	_cleanup_free_ char *name = NULL;
	va_list ap;
	int n;

	if (vl_discard(vl_run_dir(&dir)))
		return NULL;
	va_start(ap, fmt);
	n = vasprintf(&name, fmt, ap);
	va_end(ap);
	return n >= 0 ? join(dir, name) : NULL;
}

/* Write a file beside @path. *@ret is its path, malloc'ed. */
static struct vl_error *write_beside(const char *path, const void *data, size_t size, mode_t mode,
				     char **ret)
{
	struct vl_error *err = NULL;
	_cleanup_free_ char *tmp = NULL;
	int fd;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return vl_error_nomem();
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return vl_error_os(errno, "cannot write %s", path);
	if (fchmod(fd, mode))
		err = vl_error_os(errno, "cannot write %s", path);
	if (!err && !vl_put_whole(fd, data, size))
		err = vl_error_os(errno, "cannot write %s", path);
	if (close(fd) && !err)
		err = vl_error_os(errno, "cannot write %s", path);
	if (err)
		unlink(tmp);
	else
		*ret = vl_taken(tmp);
	return err;
}

struct vl_error *vl_file_move(const char *from, const char *path)
{
	struct vl_error *err;

	if (!rename(from, path))
		return NULL;
	err = vl_error_os(errno, "cannot write %s", path);
	unlink(from);
	return err;
}

int vl_file_unnamed(const char *dir)
{
	return open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* Link the file @fd at @path, where no file is yet. */
static bool link_as(int fd, const char *path)
{
	char ours[64];

	snprintf(ours, sizeof(ours), "/proc/self/fd/%d", fd);
	return !linkat(AT_FDCWD, ours, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

/* Link @fd beside @path, and rename that link over the file at @path. */
static bool replace(int fd, const char *path)
{
	_cleanup_free_ char *tmp = NULL;
	sigset_t all, before;
	uint32_t number;
	bool done;
	int e;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number) ||
	    asprintf(&tmp, "%s.%06x", path, number & 0xffffff) < 0) {
		tmp = NULL;
		errno = ENOMEM;
		return false;
	}
	/* The link beside stays only if this process is killed here. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	done = link_as(fd, tmp) && !rename(tmp, path);
	e = errno;
	if (!done)
		unlink(tmp);
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = e;
	return done;
}

bool vl_file_name(int fd, const char *path)
{
	return link_as(fd, path) || (errno == EEXIST && replace(fd, path));
}

/*
 * Write a file without a name into the directory of @path, then link it there. False: the file
 * system cannot do that.
 */
static bool store_unnamed(const char *path, const void *data, size_t size, mode_t mode)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	_cleanup_close_ int fd = -1;

	if (!slash || slash == dir)
		return false;
	*slash = '\0';
	fd = vl_file_unnamed(dir);
	return fd >= 0 && !fchmod(fd, mode) && vl_put_whole(fd, data, size) &&
	       vl_file_name(fd, path);
}

static struct vl_error *store(const char *path, const void *data, size_t size, mode_t mode)
{
	_cleanup_free_ char *tmp = NULL;
	struct vl_error *err;

	/* NFS, FAT and FUSE have no files without names. */
	if (store_unnamed(path, data, size, mode))
		return NULL;
	err = write_beside(path, data, size, mode, &tmp);
	return err ? err : vl_file_move(tmp, path);
}

struct vl_error *vl_file_store(const char *path, const void *data, size_t size)
{
	return store(path, data, size, 0600);
}

struct vl_error *vl_file_publish(const char *path, const void *data, size_t size)
{
	return store(path, data, size, 0644);
}

struct vl_error *vl_file_prepare(const char *path, const void *data, size_t size, char **ret)
{
	return write_beside(path, data, size, 0644, ret);
}

struct vl_error *vl_file_open(const char *path, size_t max, int *fd_ret, size_t *size_ret)
{
	/* O_NONBLOCK: to open a FIFO would wait for its writer. */
	_cleanup_close_ int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct vl_error *err;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return vl_error_os(errno, "cannot read %s", path);
	err = check_owner(path, "file", &st, true);
	if (err)
		return err;
	if ((uint64_t)st.st_size > max)
		return vl_error_os(EFBIG, "cannot read %s", path);
	*fd_ret = vl_taken_fd(&fd);
	*size_ret = (size_t)st.st_size;
	return NULL;
}

struct vl_error *vl_file_slurp(int fd, size_t max, char **ret, size_t *size_ret)
{
	_cleanup_free_ char *buf = malloc(max + 1);
	size_t size = 0;

	if (!buf)
		return vl_error_nomem();
	while (size < max) {
		ssize_t n = read(fd, buf + size, max - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vl_error_os(errno, "cannot read a file");
		if (!n)
			break;
		size += (size_t)n;
	}
	buf[size] = '\0';
	*ret = vl_taken(buf);
	*size_ret = size;
	return NULL;
}

struct vl_error *vl_file_load(const char *path, size_t max, char **ret, size_t *size_ret)
{
	_cleanup_close_ int fd = -1;
	struct vl_error *err;
	size_t size;

	err = vl_file_open(path, max, &fd, &size);
	if (err)
		return err;
	err = vl_file_slurp(fd, size, ret, size_ret);
	return err ? vl_error_prefix(err, "%s", path) : NULL;
}
