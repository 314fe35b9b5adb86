/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/dirs.h"
#include "../base/transfer.h"
#include "../box/box.h"
#include "../trust/archive.h"

/* A dictionary of xz has up to 1.5 GiB, most have 64 MiB; a window of zstd 128 MiB. */
#define UNPACKER_MEMORY (2UL << 30)
/* A piece takes bzip2 some 0.2 s. */
#define PIECE_NS (60 * VL_NSEC_PER_SEC)
#define PIECE (2UL << 20)
_Static_assert(PIECE <= VL_WINDOW_MAIN, "a piece fits into the window");
#define PAGE 4096UL

/* No machine has more memory. A file that unpacks to more is an attack on the disk. */
#define LARGEST (64UL << 40)
/* Leave this much of a file system, or a twentieth of it if that is less. */
#define LEFT_FREE (1UL << 30)
/* Look for free space each time that so much was written. */
#define CHECK_BYTES (64UL << 20)

#define SUFFIX ".unpacked"
#define PART ".part"
#define UNUSED_SECONDS 86400
/* Bytes of all indexes that are kept. */
#define INDEXES_MAX (512UL << 20)

enum { OP_PIECE = 1 };

struct spool {
	int fd; /* compressed */
	struct vl_archive *archive;
};

/* ---- in the box ---- */

static struct vl_error *spool_prepare(void *ctx, struct vl_box_fds *keep)
{
	struct spool *s = ctx;

	vl_box_keep(keep, s->fd);
	/* Its library is loaded now: in the box no file can be opened. */
	return vl_archive_ready_stream(&s->archive);
}

static void spool_main(void *ctx, struct vl_wire *wire, int link)
{
	struct spool *s = ctx;
	struct vl_message m;
	bool begun = false;

	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		struct vl_error *err = NULL;
		size_t n = 0;

		if (!begun)
			err = vl_archive_begin_stream(s->archive, s->fd);
		begun = true;
		if (!err)
			err = vl_archive_read_some(s->archive, wire->window, PIECE, &n);
		m.value[0] = n;
		vl_message_put_error(&m, err);
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}

/* ---- with rights ---- */

static bool is_zeros(const unsigned char *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* Write @len bytes at @at, a multiple of a page; pages of zeros stay holes. */
static bool put_sparse(int fd, const unsigned char *p, size_t len, uint64_t at, uint64_t *written)
{
	for (size_t off = 0, end; off < len; off = end) {
		bool zeros = is_zeros(p + off, len - off < PAGE ? len - off : PAGE);

		for (end = off; end < len; end += PAGE)
			if (is_zeros(p + end, len - end < PAGE ? len - end : PAGE) != zeros)
				break;
		end = end < len ? end : len;
		if (zeros)
			continue;
		if (!vl_put_whole_at(fd, p + off, end - off, at + off))
			return false;
		*written += end - off;
	}
	return true;
}

static struct vl_error *no_space(const char *dir)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the file is compressed, and %s has no space for what "
					  "is in it",
					  dir),
			     "uncompress it elsewhere, or set VLENS_CACHE_DIR to a directory with "
			     "more space");
}

/* Can @more bytes be written to @dir? */
static bool has_space(const char *dir, uint64_t more)
{
	struct statvfs v;
	uint64_t least;

	if (statvfs(dir, &v))
		return true;
	least = (uint64_t)v.f_blocks * v.f_frsize / 20;
	least = least < LEFT_FREE ? least : LEFT_FREE;
	return (uint64_t)v.f_bavail * v.f_frsize > least + more;
}

/* The error of the process that unpacks, for a user; NULL if that is NULL. */
static struct vl_error *not_whole(struct vl_error *err)
{
	if (!err || err->code == VL_ERR_NOMEM)
		return err;
	if (err->code == VL_ERR_ARG)
		vl_error_hint(err, "is the file whole? gzip, xz and zstd test it with -t; "
				   "vps --partial shows what is in it");
	err->code = VL_ERR_TARGET;
	return vl_error_prefix(err, "the file is compressed");
}

/* Write the bytes that @b unpacks to @out; @partial: until it can unpack no more. */
static struct vl_error *fetch(struct vl_box *b, int out, const char *dir, bool partial)
{
	unsigned char *piece = malloc(PIECE);
	uint64_t at = 0, written = 0, checked = 0;
	struct vl_error *err = piece ? NULL : vl_error_nomem();

	while (!err) {
		struct vl_message m = { .op = OP_PIECE };
		bool cut;
		size_t n;

		if (written >= checked && !has_space(dir, CHECK_BYTES)) {
			err = no_space(dir);
			break;
		}
		checked = written >= checked ? written + CHECK_BYTES : checked;
		err = vl_box_ask(b, &m, PIECE_NS, NULL, NULL);
		if (err)
			break;
		n = m.value[0] < PIECE ? m.value[0] : PIECE;
		err = vl_message_error(&m);
		cut = err && err->code == VL_ERR_ARG;
		err = not_whole(err);
		/* This piece is the last one. What is in it shows that it is cut short. */
		if (cut && partial && at + n >= PAGE) {
			vl_error_destroy(err);
			err = NULL;
		}
		if (err)
			break;
		if (n && at >= LARGEST)
			err = vl_error_hint(
				vl_error_new(VL_ERR_TARGET,
					     "the file unpacks to more than any memory"),
				"is it a memory dump?");
		/* A copy: it must not change while it is looked at. */
		memcpy(piece, vl_box_wire(b)->window, n);
		if (!err && n && !put_sparse(out, piece, n, at, &written))
			err = errno == ENOSPC || errno == EDQUOT || errno == EFBIG ?
				      no_space(dir) :
				      vl_error_os(errno, "cannot write to %s", dir);
		at += n;
		/* The last piece is shorter. */
		if (n < PIECE)
			break;
	}
	if (!err && ftruncate(out, (off_t)at))
		err = vl_error_os(errno, "cannot write to %s", dir);
	free(piece);
	return err;
}

static struct vl_error *unpack(int fd, uint64_t at, int out, const char *dir, bool partial)
{
	struct spool s = { .fd = fd };
	const struct vl_box_options o = {
		.name = "vlens-unpacker",
		.does = "unpacks the file",
		.memory = UNPACKER_MEMORY,
		.prepare = spool_prepare,
		.work = spool_main,
		.ctx = &s,
	};
	struct vl_box *b;
	struct vl_error *err;

	if (lseek(fd, (off_t)at, SEEK_SET) < 0 || ftruncate(out, 0))
		return vl_error_os(errno, "cannot write to %s", dir);
	err = vl_box_start(&o, &b);
	if (err)
		return err;
	err = fetch(b, out, dir, partial);
	vl_box_stop(b);
	return err;
}

/* An index, or one that is written, be it by a process that has ended since: vl_file_store(). */
static bool is_index(const char *name)
{
	const char *end = strstr(name, VL_SPOOL_INDEX);

	return end && (!end[strlen(VL_SPOOL_INDEX)] || end[strlen(VL_SPOOL_INDEX)] == '.');
}

/*
 * Remove the files that were not used for long. *@total_ret are the bytes of the indexes that are
 * left, and @oldest the name of the one that was unused for the longest time.
 */
static void tidy(DIR *dir, uint64_t *total_ret, char oldest[NAME_MAX + 1])
{
	time_t least = 0;
	struct dirent *de;
	struct stat st;

	*total_ret = 0;
	oldest[0] = '\0';
	rewinddir(dir);
	while ((de = readdir(dir))) {
		const char *end = strrchr(de->d_name, '.');
		bool index = is_index(de->d_name);

		if (strncmp(de->d_name, "dump-", 5) != 0 || !end ||
		    (strcmp(end, SUFFIX) != 0 && strcmp(end, PART) != 0 && !index) ||
		    fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (st.st_mtime <= time(NULL) - UNUSED_SECONDS) {
			unlinkat(dirfd(dir), de->d_name, 0);
			continue;
		}
		if (!index)
			continue;
		*total_ret += (uint64_t)st.st_size;
		if (!oldest[0] || st.st_mtime < least) {
			least = st.st_mtime;
			snprintf(oldest, NAME_MAX + 1, "%s", de->d_name);
		}
	}
}

/* A file that is removed stays usable where it is open. */
bool vl_spool_tidy(const char *path, uint64_t index)
{
	DIR *dir = opendir(path);
	char oldest[NAME_MAX + 1];
	uint64_t total;

	if (!dir)
		return false;
	tidy(dir, &total, oldest);
	while (index && total && index + total > INDEXES_MAX) {
		if (unlinkat(dirfd(dir), oldest, 0))
			break;
		tidy(dir, &total, oldest);
	}
	closedir(dir);
	return index + total <= INDEXES_MAX && has_space(path, index);
}

void vl_spool_used(const char *path)
{
	utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
}

/* Open an unpacked file that is there. */
static bool open_done(const char *path, int *fd_ret)
{
	size_t size;

	if (vl_discard(vl_file_open(path, SIZE_MAX, fd_ret, &size)))
		return false;
	vl_spool_used(path);
	return true;
}

/* The file to write, locked. -1: another tool has written all of it meanwhile, or see errno. */
static int lock_part(const char *part, const char *done)
{
	for (;;) {
		int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
		struct stat here, there;

		if (fd < 0)
			return -1;
		if (!flock(fd, LOCK_EX) && !fstat(fd, &here) && S_ISREG(here.st_mode) &&
		    here.st_uid == geteuid() && !lstat(part, &there) &&
		    here.st_ino == there.st_ino && here.st_dev == there.st_dev)
			return fd;
		close(fd);
		/* It was moved when it was complete, or removed when it was not. */
		if (!access(done, F_OK))
			return -1;
	}
}

static struct vl_error *make(int fd, uint64_t at, const char *dir, bool partial, const char *part,
			     const char *done, int *fd_ret)
{
	_cleanup_close_ int lock = lock_part(part, done), out = -1;
	struct vl_error *err;
	bool named;

	if (open_done(done, fd_ret))
		return NULL;
	if (lock < 0)
		return vl_error_hint(vl_error_os(errno,
						 "the file is compressed, and %s cannot be "
						 "written",
						 dir),
				     "set VLENS_CACHE_DIR to a directory that can be written");
	/*
	 * The unpacked file has no name while it is written: a tool that is ended leaves the empty
	 * file of the lock.
	 */
	out = vl_file_unnamed(dir);
	named = out < 0;
	err = unpack(fd, at, named ? lock : out, dir, partial);
	if (!err && (named ? rename(part, done) : !vl_file_name(out, done)))
		err = vl_error_os(errno, "cannot write to %s", dir);
	if (err || !named)
		unlink(part);
	if (err)
		return err;
	return open_done(done, fd_ret) ?
		       NULL :
		       vl_error_new(VL_ERR_TARGET, "%s was removed at once", done);
}

struct vl_error *vl_spool_unpack(int fd, uint64_t at, const char *run_id, bool partial, int *fd_ret)
{
	/* A part is never taken for the whole. */
	const char *more = partial ? "-partial" : "";
	_cleanup_free_ char *dir = NULL, *done = NULL, *part = NULL;
	struct vl_error *err = vl_cache_dir(&dir);

	if (err)
		return vl_error_prefix(err, "the file is compressed");
	if (asprintf(&done, "%s/%s%s" SUFFIX, dir, run_id, more) < 0) {
		done = NULL;
		return vl_error_nomem();
	}
	if (open_done(done, fd_ret))
		return NULL;
	if (asprintf(&part, "%s/%s%s" PART, dir, run_id, more) < 0) {
		part = NULL;
		return vl_error_nomem();
	}
	vl_spool_tidy(dir, 0);
	return make(fd, at, dir, partial, part, done, fd_ret);
}
