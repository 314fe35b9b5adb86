/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls on open directories and streams, positions in files, and the working directory. The
 * record (struct vl_file) holds the position. The guest's descriptor lives for one epoch, and
 * the next one opens it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../base/clock.h"
#include "refuse.h"
#include "fds.h"
#include "handlers.h"
#include "files.h"
#include "own.h"
#include "pathname.h"
#include "trap.h"
#include "sanitize.h"
#include "tasks.h"

/*
 * A program that reads a file again from its start after this long wants its present content,
 * so the read gets a new epoch. With both reads in one epoch, `top -n1` would find that no CPU
 * did anything between them. At least two of the guest's ticks (CONFIG_HZ=100).
 */
#define REREAD_NS 20000000

/* The largest log of a kernel (CONFIG_LOG_BUF_SHIFT=25) has fewer records. */
#define RECORDS_MAX (1u << 20)

static bool fresh(const struct vl_redirect *r, const struct vl_file *f)
{
	return r->sys->open && f->epoch == r->sys->epoch;
}

static bool is_records(const struct vl_file *f)
{
	return f->row->how == H_RECORDS;
}

/* *@ret is the guest's descriptor of stream @f, at @f->off, or -errno. */
static struct vl_error *reopen(struct vl_redirect *r, struct vl_file *f, int64_t *ret)
{
	struct vl_error *err;
	int64_t fd, at;

	*ret = f->guest_fd;
	if (fresh(r, f) && f->closings == r->closings)
		return NULL;
	err = VL_GUEST(r, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(f->path),
		       VL_ARG_INT(f->flags), VL_ARG_INT(0));
	if (err || fd < 0) {
		*ret = fd;
		return err;
	}
	if (is_records(f) ? f->whence : f->off) {
		/* A log can be sought to its ends only; read_piece() finds the next record. */
		err = VL_GUEST(r, "lseek", &at, VL_ARG_INT(fd),
			       VL_ARG_INT(is_records(f) ? 0 : f->off), VL_ARG_INT(f->whence));
		if (err)
			return err;
	}
	f->guest_fd = *ret = fd;
	f->epoch = r->sys->epoch;
	f->closings = r->closings;
	return NULL;
}

/*
 * The number of @text, a record of /dev/kmsg: "priority,number,time,...;"
 * (Documentation/ABI/testing/dev-kmsg); -1 if it has none.
 */
static int64_t record_number(const char *text, size_t len)
{
	char head[64];
	long long n;

	snprintf(head, sizeof(head), "%.*s", (int)(len < 63 ? len : 63), text);
	return sscanf(head, "%*u,%lld", &n) == 1 && n >= 0 ? n : -1;
}

/* Read one piece of a stream into the program at @addr; sets t->ret. */
static struct vl_error *read_piece(struct vl_trap *t, struct vl_file *f, uint64_t addr, size_t len,
				   const int64_t *at)
{
	struct vl_redirect *r = t->r;
	int64_t fd, n, took, number = -1;
	unsigned passed = 0;
	struct vl_error *err;

	if (len > VL_CHUNK)
		len = VL_CHUNK;
	err = reopen(r, f, &fd);
	if (err)
		return err;
	if (fd < 0) {
		t->ret = fd;
		return NULL;
	}
	if (at)
		err = VL_GUEST(r, "pread64", &n, VL_ARG_INT(fd), VL_ARG_OUT(r->chunk, len),
			       VL_ARG_INT(len), VL_ARG_INT(*at));
	else
		do { /* a descriptor of a new epoch starts over: skip the records that were read */
			err = VL_GUEST(r, "read", &n, VL_ARG_INT(fd), VL_ARG_OUT(r->chunk, len),
				       VL_ARG_INT(len));
			number = !err && n > 0 && is_records(f) ? record_number(r->chunk, n) : -1;
		} while (number >= 0 && number < f->off && passed++ < RECORDS_MAX);
	if (err)
		return err;
	if (passed > RECORDS_MAX)
		n = -EIO;
	took = n;
	if (n > 0)
		n = vl_sanitize_piece(r, f->path, r->chunk, n, len);
	t->ret = n > 0 ? vl_mem_write(t, addr, r->chunk, n) : 0;
	if (t->ret)
		return NULL;
	if (!vl_validated(t->r))
		return NULL;
	t->ret = n;
	if (number >= 0)
		f->off = number + 1;
	else if (n > 0 && !at && !is_records(f))
		f->off += took;
	return NULL;
}

/* The fallback for a file that an empty text stands for: it stays empty. */
static struct vl_error *stays_empty(struct vl_trap *t)
{
	t->pass = true;
	return NULL;
}

/* Read a whole file again, as the program starts over at a later time. */
static struct vl_error *refresh(struct vl_trap *t, struct vl_file *f)
{
	struct vl_error *err;
	size_t len = 0;
	char *data = NULL;
	int64_t fd, ret;

	t->pass = true; /* the call itself is native */
	if (!f->row || f->row->open != P_GUEST)
		return NULL;
	if (fresh(t->r, f)) {
		if (vl_now_ns() - f->taken_ns < REREAD_NS)
			return NULL;
		vl_epoch_end(t->r);
	}
	t->tries = f->row->tries;
	if (f->row->on_fail == F_EMPTY)
		t->fallback = stays_empty;
	if (vl_absent(t->r, f->path)) {
		t->pass = t->fallback != NULL;
		t->ret = -t->fail_errno;
		return NULL;
	}
	err = vl_open_whole(t->r, f->path, O_RDONLY | O_NONBLOCK | (f->flags & O_NOFOLLOW),
			    f->row->how == H_ONCE, &fd, &data, &len, &ret);
	if (!err && fd >= 0)
		err = VL_GUEST(t->r, "close", &ret, VL_ARG_INT(fd));
	/* A file that is gone becomes empty. */
	if (!err && !vl_fd_rewrite(t, t->args[0], f, data, len)) {
		f->epoch = t->r->sys->epoch;
		f->taken_ns = vl_now_ns();
		f->has_stat = false;
	}
	free(data);
	return err;
}

static struct vl_error *gone(struct vl_trap *t)
{
	vl_fd_pass(t, t->args[0]);
	return NULL;
}

/* read, pread64 */
struct vl_error *vl_h_read(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_find(t, t->args[0]);
	int64_t at = t->args[3];

	t->fail_errno = EIO;
	if (!f)
		return gone(t);
	if (f->kind == K_WHOLE)
		return refresh(t, f);
	if (f->kind == K_SOCKET && t->nr == __NR_read)
		return vl_h_recv(t);
	if (f->kind == K_STREAM)
		return read_piece(t, f, t->args[1], t->args[2], t->nr == __NR_pread64 ? &at : NULL);
	t->ret = -EISDIR;
	return NULL;
}

/* readv, preadv: fill the first piece that has room; a short answer is allowed */
struct vl_error *vl_h_readv(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_find(t, t->args[0]);
	int64_t at = t->args[3];

	t->fail_errno = EIO;
	if (!f)
		return gone(t);
	if (f->kind != K_STREAM) {
		t->ret = -EISDIR;
		return NULL;
	}
	for (uint64_t i = 0; i < t->args[2] && i < IOV_MAX; i++) {
		struct iovec v;

		t->ret = vl_mem_read(t, t->args[1] + i * sizeof(v), &v, sizeof(v));
		if (t->ret)
			return NULL;
		if (v.iov_len)
			return read_piece(t, f, (uintptr_t)v.iov_base, v.iov_len,
					  t->nr == __NR_preadv ? &at : NULL);
	}
	return NULL;
}

static const struct vl_dirent64 *entry(const struct vl_file *f, size_t at)
{
	const struct vl_dirent64 *d = (const void *)(f->listing + at);

	/* The listing is the guest's and may be hostile. */
	if (f->listing_len - at < sizeof(*d) || d->reclen < sizeof(*d) ||
	    d->reclen > f->listing_len - at || !memchr(d->name, 0, d->reclen - sizeof(*d)))
		return NULL;
	return d;
}

static struct vl_error *list_again(struct vl_trap *t, struct vl_file *f)
{
	struct vl_error *err;
	int64_t fd, end = 0, n;
	char *new = NULL;
	size_t len = 0;

	err = VL_GUEST(t->r, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(f->path),
		       VL_ARG_INT(O_RDONLY | O_DIRECTORY), VL_ARG_INT(0));
	if (!err && fd >= 0)
		err = vl_list_whole(t, &fd, f->path, &new, &len, &end);
	if (!err && fd >= 0)
		err = VL_GUEST(t->r, "close", &n, VL_ARG_INT(fd));
	if (err || !vl_validated(t->r)) {
		free(new);
		return err;
	}
	free(f->listing);
	f->listing = new;
	f->listing_len = len;
	f->listing_end = vl_listing_end(fd < 0 ? fd : end);
	f->epoch = t->r->sys->epoch;
	return NULL;
}

/* getdents64: from the listing made at open; after a rewind it is made again */
struct vl_error *vl_h_getdents(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_find(t, t->args[0]);
	size_t room = (uint32_t)t->args[2], len = 0, at;
	struct vl_error *err;

	if (!f)
		return gone(t);
	t->ret = f->kind != K_DIR ? -ENOTDIR : f->flags & O_PATH ? -EBADF : 0;
	if (t->ret)
		return NULL;
	if (!f->pos && f->off && !fresh(t->r, f)) {
		err = list_again(t, f);
		if (err)
			return err;
	}
	f->off = 1;					    /* has been read from */
	for (at = 0; at < f->pos && at < f->listing_len;) { /* the next whole entry */
		const struct vl_dirent64 *d = entry(f, at);

		at = d ? at + d->reclen : f->listing_len;
	}
	f->pos = at;
	if (room > VL_CHUNK)
		room = VL_CHUNK;
	for (at = f->pos; at < f->listing_len;) {
		const struct vl_dirent64 *d = entry(f, at);
		struct vl_dirent64 *to = (void *)(t->r->chunk + len);

		if (!d || d->reclen > room - len)
			break;
		memcpy(to, d, d->reclen);
		at += d->reclen;
		len += d->reclen;
		to->off = at; /* our own position, for seekdir */
	}
	if (!len && at < f->listing_len && entry(f, at)) {
		t->ret = -EINVAL; /* not even one fits */
		return NULL;
	}
	if (!len && f->listing_end) {
		t->ret = f->listing_end;
		return NULL;
	}
	t->ret = vl_mem_write(t, t->args[1], t->r->chunk, len);
	if (!t->ret) {
		f->pos = at;
		t->ret = len;
	}
	return NULL;
}

static struct vl_error *seek_stream(struct vl_trap *t, struct vl_file *f)
{
	struct vl_error *err;
	int64_t fd, ret;

	err = reopen(t->r, f, &fd);
	if (err || fd < 0) {
		t->ret = fd;
		return err;
	}
	err = VL_GUEST(t->r, "lseek", &ret, VL_ARG_INT(fd), VL_ARG_INT(t->args[1]),
		       VL_ARG_INT(t->args[2]));
	t->ret = ret;
	if (!err && ret >= 0 && vl_validated(t->r)) {
		f->off = ret;
		f->whence = is_records(f) ? (int)t->args[2] : SEEK_SET;
	}
	return err;
}

/* lseek */
struct vl_error *vl_h_lseek(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_find(t, t->args[0]);
	int64_t to = t->args[1];

	t->fail_errno = EIO;
	if (!f)
		return gone(t);
	if (f->kind == K_STREAM)
		return seek_stream(t, f);
	if (f->kind == K_WHOLE) {
		if ((int)t->args[2] == SEEK_SET && !to)
			return refresh(t, f);
		t->pass = true;
		return NULL;
	}
	if ((int)t->args[2] == SEEK_CUR)
		to += f->pos;
	else if ((int)t->args[2] != SEEK_SET)
		to = -1;
	if (to < 0) {
		t->ret = -EINVAL;
		return NULL;
	}
	f->pos = t->ret = to;
	return NULL;
}

static struct vl_error *set_cwd(struct vl_trap *t, const char *path)
{
	struct vl_task *task = vl_task_find(t->r, t->tid);
	pid_t tgid = task ? task->tgid : 0;
	char norm[PATH_MAX];

	snprintf(norm, sizeof(norm), "%s", path);
	vl_path_normalise(norm);
	for (size_t i = 0; tgid && i < t->r->nr_tasks; i++) {
		task = &t->r->tasks[i];
		if (task->tgid != tgid)
			continue;
		free(task->cwd);
		task->cwd = strdup(norm);
		if (!task->cwd)
			return vl_error_nomem();
	}
	return NULL;
}

/* chdir: the supervisor keeps the directory; that of the process does not change */
struct vl_error *vl_h_chdir(struct vl_trap *t)
{
	struct vl_error *err;
	struct stat st;
	int64_t ret;

	t->ret = vl_resolve(t, AT_FDCWD, t->args[0], &t->where);
	if (t->ret)
		return NULL;
	if (t->where.file || t->where.empty) {
		t->ret = -ENOENT;
		return NULL;
	}
	if (t->where.row->open == P_HOST) {
		t->ret = vl_host_is_dir(t);
		return t->ret ? NULL : set_cwd(t, t->where.path);
	}
	t->tries = t->where.row->tries;
	err = VL_GUEST(t->r, "newfstatat", &ret, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(t->where.path),
		       VL_ARG_OUT(&st, sizeof(st)), VL_ARG_INT(0));
	if (err)
		return err;
	t->ret = ret ? ret : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	return t->ret ? NULL : set_cwd(t, t->where.path);
}

/* fchdir */
struct vl_error *vl_h_fchdir(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_ours(t->args[0]) ? vl_fd_find(t, t->args[0]) : NULL;
	char link[64], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (!f) { /* a directory of the host: by its name */
		if (vl_fd_lost(t, t->args[0]))
			return NULL;
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, (int)t->args[0]);
		n = readlink(link, path, sizeof(path) - 1);
		t->ret = n < 0 || stat(link, &st) ? -EBADF : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
		if (t->ret)
			return NULL;
		path[n] = 0;
		return set_cwd(t, path);
	}
	t->ret = f->kind == K_DIR ? 0 : -ENOTDIR;
	return t->ret ? NULL : set_cwd(t, f->path);
}

/* getcwd(buf, size): the length with the NUL */
struct vl_error *vl_h_getcwd(struct vl_trap *t)
{
	char cwd[PATH_MAX];
	size_t len;

	vl_cwd(t, cwd);
	len = vl_sanitize_string(t->r, cwd, strlen(cwd), sizeof(cwd) - 1);
	cwd[len++] = 0;
	t->ret = len > t->args[1] ? -ERANGE : vl_mem_write(t, t->args[0], cwd, len);
	if (!t->ret)
		t->ret = len;
	return NULL;
}
