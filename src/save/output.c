/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../base/transfer.h"
#include "frames.h"

#define ZEROS (1UL << 20)

/* How long a write waits before the user is asked. */
#define WAIT_MS 100
/* The disk gets the file in such pieces. */
#define SYNC (64UL << 20)

static struct vl_error *no_file(const char *path, int err)
{
	return vl_error_os(err, "cannot make %s", path);
}

/* May @path be made? */
static struct vl_error *check_name(const struct vl_output *o)
{
	struct stat st;

	if (fstatat(o->dir, o->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : no_file(o->path, errno);
	if (S_ISDIR(st.st_mode))
		return vl_error_hint(no_file(o->path, EISDIR), "name a file in it");
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "%s is not a regular file", o->path),
				     "- writes to standard output, which can be anything");
	if (!o->force)
		return vl_error_hint(no_file(o->path, EEXIST), "--force replaces a file");
	return NULL;
}

/* A new, unique name in the directory of the file. */
static struct vl_error *name_beside(struct vl_output *o)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return vl_error_os(errno, "no random name for a file");
	snprintf(o->beside, sizeof(o->beside), ".%.30s.%012llx", o->name,
		 (unsigned long long)random >> 16);
	return NULL;
}

static struct vl_error *open_file(struct vl_output *o)
{
	const char *slash = strrchr(o->path, '/');
	size_t len = slash ? (size_t)(slash - o->path) : 0;
	char *dir = strndup(len ? o->path : slash ? "/" : ".", len ? len : 1);
	struct vl_error *err;

	if (!dir)
		return vl_error_nomem();
	o->name = slash ? slash + 1 : o->path;
	o->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (o->dir < 0)
		return no_file(o->path, errno);
	if (!*o->name || !strcmp(o->name, ".") || !strcmp(o->name, ".."))
		return vl_error_hint(no_file(o->path, EISDIR), "name a file in it");
	err = check_name(o);
	if (err)
		return err;
	/* The kernel removes a file without a name when this process ends, even by a kill. */
	o->fd = openat(o->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (o->fd >= 0)
		return NULL;
	/* NFS, FAT and FUSE have no such files. */
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return no_file(o->path, errno);
	err = name_beside(o);
	if (err)
		return err;
	o->fd = openat(o->dir, o->beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (o->fd >= 0)
		return NULL;
	o->beside[0] = '\0';
	return no_file(o->path, errno);
}

static struct vl_error *open_stdout(struct vl_output *o)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);
	struct stat st;
	off_t at;

	if (flags < 0 || fstat(STDOUT_FILENO, &st) < 0)
		return vl_error_os(errno, "standard output cannot be written");
	if (isatty(STDOUT_FILENO))
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "standard output is a terminal"),
				     "name a file, or write to a pipe");
	o->fd = STDOUT_FILENO;
	if (S_ISFIFO(st.st_mode)) {
		/*
		 * A write to a pipe waits as long as its reader wants. O_NONBLOCK belongs to the
		 * open file, which other processes have, too: so open it once more.
		 */
		o->own = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		o->fd = o->own >= 0 ? o->own : STDOUT_FILENO;
	}
	at = S_ISREG(st.st_mode) && !(flags & O_APPEND) ? lseek(o->fd, 0, SEEK_CUR) : -1;
	o->seeks = at >= 0;
	o->base = at >= 0 ? (uint64_t)at : 0;
	return NULL;
}

struct vl_error *vl_output_open(const char *path, bool force, bool zstd, struct vl_output *ret)
{
	struct vl_error *err = NULL;

	*ret = (struct vl_output){
		.fd = -1,
		.dir = -1,
		.own = -1,
		.path = path,
		.force = force,
	};
	if (zstd)
		err = vl_frames_create(&ret->frames);
	if (!err)
		err = strcmp(path, "-") != 0 ? open_file(ret) : open_stdout(ret);
	ret->seeks = ret->seeks || ret->dir >= 0;
	ret->is_stream = zstd || !ret->seeks;
	if (!err && ret->is_stream && !zstd) {
		ret->zeros = calloc(1, ZEROS);
		if (!ret->zeros)
			err = vl_error_nomem();
	}
	return err;
}

void vl_output_close(struct vl_output *o)
{
	if (o->beside[0])
		unlinkat(o->dir, o->beside, 0);
	if (o->dir >= 0) {
		close(o->dir);
		if (o->fd >= 0)
			close(o->fd);
	}
	if (o->own >= 0)
		close(o->own);
	free(o->zeros);
	vl_frames_destroy(o->frames);
}

const char *vl_output_name(const struct vl_output *o)
{
	return strcmp(o->path, "-") != 0 ? o->path : "standard output";
}

uint64_t vl_output_room(const struct vl_output *o)
{
	struct statvfs fs;

	if (!o->seeks || fstatvfs(o->fd, &fs) < 0 || !fs.f_blocks)
		return UINT64_MAX;
	return (uint64_t)fs.f_frsize * (geteuid() ? fs.f_bavail : fs.f_bfree);
}

static struct vl_error *cannot_write(const struct vl_output *o, int err)
{
	struct vl_error *e = vl_error_os(err, "cannot write to %s", vl_output_name(o));

	if (err == ENOSPC || err == EDQUOT || err == EFBIG)
		return vl_error_hint(e, "%sanother file system may have more room",
				     o->frames ? "" : "--zstd makes it smaller; ");
	return e;
}

/* Wait a while until the output takes bytes. */
static struct vl_error *wait_for_room(const struct vl_output *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	poll(&p, 1, WAIT_MS);
	return o->go_on(o->ctx);
}

/* Write at @at of the file, or, with a negative @at, where it ends. */
static struct vl_error *write_all(struct vl_output *o, off_t at, const void *buf, size_t len)
{
	const unsigned char *from = buf;

	while (len) {
		ssize_t n = at < 0 ? write(o->fd, from, len) : pwrite(o->fd, from, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && o->go_on) {
			struct vl_error *err = wait_for_room(o);

			if (err)
				return err;
			continue;
		}
		if (n <= 0)
			return cannot_write(o, n < 0 ? errno : ENOSPC);
		o->written += (uint64_t)n;
		from += n;
		len -= (size_t)n;
		at = at < 0 ? at : at + n;
	}
	return NULL;
}

struct vl_error *vl_output_raw(struct vl_output *o, const void *buf, size_t len)
{
	return write_all(o, -1, buf, len);
}

struct vl_error *vl_output_raw_at(struct vl_output *o, uint64_t at, const void *buf, size_t len)
{
	return write_all(o, (off_t)(o->base + at), buf, len);
}

struct vl_error *vl_output_head(struct vl_output *o, const void *buf, size_t len)
{
	const bool again = o->at;

	o->at = again ? o->at : len;
	if (o->frames)
		return vl_frames_head(o->frames, o, buf, len, again);
	return o->is_stream ? vl_output_raw(o, buf, len) : vl_output_raw_at(o, 0, buf, len);
}

struct vl_error *vl_output_put(struct vl_output *o, uint64_t at, const void *buf, size_t len)
{
	return vl_output_raw_at(o, at, buf, len);
}

struct vl_error *vl_output_add(struct vl_output *o, const void *buf, size_t len)
{
	o->at += len;
	return o->frames ? vl_frames_add(o->frames, o, buf, len) : vl_output_raw(o, buf, len);
}

struct vl_error *vl_output_skip(struct vl_output *o, uint64_t len)
{
	struct vl_error *err = NULL;

	o->at += len;
	if (o->frames)
		return vl_frames_skip(o->frames, o, len);
	while (!err && len) {
		size_t n = len < ZEROS ? (size_t)len : ZEROS;

		err = vl_output_raw(o, o->zeros, n);
		len -= n;
	}
	return err;
}

/* Give the file @name; a file that has the name is replaced. */
static int replace(const struct vl_output *o, const char *from)
{
	return renameat(o->dir, from, o->dir, o->name) ? -errno : 0;
}

/* Give the file, which is called `beside`, a name that no file has. */
static int name_new(const struct vl_output *o)
{
	if (!renameat2(o->dir, o->beside, o->dir, o->name, RENAME_NOREPLACE))
		return 0;
	/* Not each file system can do that; some have links. */
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(o->dir, o->beside, o->dir, o->name, 0))
		return -errno;
	unlinkat(o->dir, o->beside, 0);
	return 0;
}

static struct vl_error *give_name(struct vl_output *o)
{
	struct vl_error *err;
	char self[64];
	int r = 0;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
	if (!o->beside[0] && !o->force) {
		if (linkat(AT_FDCWD, self, o->dir, o->name, AT_SYMLINK_FOLLOW))
			r = -errno;
	} else {
		if (!o->beside[0]) {
			err = name_beside(o);
			if (err)
				return err;
			if (linkat(AT_FDCWD, self, o->dir, o->beside, AT_SYMLINK_FOLLOW)) {
				r = -errno;
				o->beside[0] = '\0';
			}
		}
		if (!r)
			r = o->force ? replace(o, o->beside) : name_new(o);
	}
	if (r == -EEXIST)
		return vl_error_hint(
			no_file(o->path, EEXIST),
			"another process has made it meanwhile; --force replaces a file");
	if (r < 0)
		return no_file(o->path, -r);
	o->beside[0] = '\0';
	return NULL;
}

/*
 * Let the file end at @end. Some file systems cannot make a file longer by ftruncate(), others only
 * by it.
 */
static bool end_at(const struct vl_output *o, uint64_t end)
{
	struct stat st;
	int e;

	if (fstat(o->fd, &st) < 0)
		return false;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == end)
		return true;
	if (!ftruncate(o->fd, (off_t)end))
		return true;
	e = errno;
	if (e != ENOSPC && e != EFBIG && (uint64_t)st.st_size < end &&
	    vl_put_whole_at(o->fd, "", 1, end - 1))
		return true;
	errno = e;
	return false;
}

/*
 * Have the disk get the file before fdatasync(), which nothing ends: piece by piece, so that the
 * user can end it. What cannot be written is found by fdatasync().
 */
static struct vl_error *sync_pieces(const struct vl_output *o)
{
	struct vl_error *err = NULL;
	struct stat st;

	if (!o->go_on || fstat(o->fd, &st) < 0)
		return NULL;
	for (off_t at = 0; !err && at < st.st_size; at += (off_t)SYNC) {
		if (sync_file_range(o->fd, at, SYNC,
				    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
			break;
		err = o->go_on(o->ctx);
	}
	return err;
}

struct vl_error *vl_output_finish(struct vl_output *o, uint64_t size)
{
	struct vl_error *err = o->frames ? vl_frames_finish(o->frames, o) : NULL;

	if (!err && !o->is_stream && !end_at(o, o->base + size))
		return cannot_write(o, errno);
	if (!err && !o->is_stream && o->dir < 0 && lseek(o->fd, 0, SEEK_END) < 0)
		return cannot_write(o, errno);
	if (err || o->dir < 0)
		return err;
	err = sync_pieces(o);
	if (err)
		return err;
	/* The file has its name only when it is on the disk: some errors show only now. */
	if (fdatasync(o->fd) < 0 && errno != EINVAL && errno != ENOSYS)
		return cannot_write(o, errno);
	return give_name(o);
}
