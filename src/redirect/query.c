/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that ask about files: stat, access, readlink, extended attributes. Also calls that
 * change a file, which are refused for the guest's files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "refuse.h"
#include "fds.h"
#include "handlers.h"
#include "files.h"
#include "trap.h"
#include "tasks.h"

/* fstat(2) of an open file of the host, as C libraries make it: with newfstatat(2). */
static int stat_open(struct vl_trap *t)
{
	struct stat st;
	char link[64];

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, t->where.fd);
	if (stat(link, &st))
		return errno == ENOENT ? -EBADF : -errno;
	return vl_mem_write(t, t->args[2], &st, sizeof(st));
}

/* The fallback if the guest's kernel gives no answer. */
static struct vl_error *ask_host(struct vl_trap *t)
{
	vl_host_query(t);
	return NULL;
}

/*
 * Resolve @path for a question. True: the caller asks the guest about t->where.path. False
 * with *@answered: t->ret is the answer. False without: the file is the text of the row.
 */
static bool ask_guest(struct vl_trap *t, int dirfd, uint64_t path, bool *answered)
{
	int err = vl_resolve(t, dirfd, path, &t->where);

	*answered = err;
	if (err) {
		t->ret = err;
		return false;
	}
	t->tries = t->where.row->tries;
	t->fail_errno = t->where.row->on_fail == F_ABSENT ? ENOENT : EIO;
	if (!t->where.file && !t->where.empty && t->where.row->query == P_NOBODY) {
		t->ret = -ENOENT;
		*answered = true;
		return false;
	}
	if (!t->where.file && !t->where.empty && t->where.row->on_fail == F_HOST)
		t->fallback = ask_host;
	if (!t->where.empty && (t->where.file || t->where.row->query == P_GUEST ||
				t->where.row->query == P_GUEST_THEN_HOST))
		return true;
	if (t->where.empty || t->where.row->query == P_HOST) {
		if (t->where.empty && t->nr == __NR_newfstatat && t->args[3] & AT_EMPTY_PATH)
			t->ret = stat_open(t);
		else
			vl_host_query(t);
		*answered = true;
	}
	return false;
}

/* Is the host asked next, after the guest answered @ret? */
static bool then_host(const struct vl_trap *t, int64_t ret)
{
	return ret < 0 && !t->where.file && t->where.row->query == P_GUEST_THEN_HOST;
}

/*
 * The file if t->where is /proc/PID/fd/N or /proc/PID/fdinfo/N, PID is how the program sees
 * itself, and N is a descriptor of ours; else NULL.
 */
struct vl_file *vl_self_fd(struct vl_trap *t, bool *info_ret, int *fd_ret)
{
	int pid, end = 0;

	*info_ret = false;
	if (!strstr(t->where.path, "/fd"))
		return NULL;
	*info_ret = sscanf(t->where.path, "/proc/%d/fdinfo/%d%n", &pid, fd_ret, &end) == 2;
	if (!*info_ret)
		sscanf(t->where.path, "/proc/%d/fd/%d%n", &pid, fd_ret, &end);
	if (!end || t->where.path[end] || !vl_pid_own(pid) || !vl_fd_ours(*fd_ret))
		return NULL;
	return vl_fd_find(t, *fd_ret);
}

static struct vl_error *answer_stat(struct vl_trap *t, const struct stat *st, uint64_t addr)
{
	t->ret = vl_mem_write(t, addr, st, sizeof(*st));
	return NULL;
}

/* The stat of an open file. If the guest has the file no longer, the memfd answers. */
static struct vl_error *stat_file(struct vl_trap *t, struct vl_file *f, uint64_t addr)
{
	struct vl_error *err;
	int64_t ret;

	if (!f->has_stat) {
		err = VL_GUEST(t->r, "newfstatat", &ret, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(f->path),
			       VL_ARG_OUT(&f->st, sizeof(f->st)),
			       VL_ARG_INT(f->flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0));
		if (err)
			return err;
		if (ret < 0) {
			char link[64];

			snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid,
				 (int)t->args[0]);
			t->ret = stat(link, &f->st) ? -errno : 0;
			return t->ret ? NULL : answer_stat(t, &f->st, addr);
		}
		f->has_stat = true;
	}
	return answer_stat(t, &f->st, addr);
}

/* stat, lstat, newfstatat */
struct vl_error *vl_h_stat(struct vl_trap *t)
{
	bool at = t->nr == __NR_newfstatat;
	uint64_t addr = t->args[at ? 2 : 1];
	int flags = at ? (int)t->args[3] : t->nr == __NR_lstat ? AT_SYMLINK_NOFOLLOW : 0;
	struct vl_error *err;
	struct stat st;
	int64_t ret;
	bool info, answered;
	int fd;

	if (!ask_guest(t, at ? (int)t->args[0] : AT_FDCWD, t->args[at ? 1 : 0], &answered)) {
		if (!answered) {
			st = vl_supplied_stat(t->where.row->text);
			return answer_stat(t, &st, addr);
		}
		return NULL;
	}
	if (t->where.file)
		return stat_file(t, t->where.file, addr);
	err = VL_GUEST(t->r, "newfstatat", &ret, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(t->where.path),
		       VL_ARG_OUT(&st, sizeof(st)), VL_ARG_INT(flags & ~AT_EMPTY_PATH));
	if (err)
		return err;
	if (!ret)
		return answer_stat(t, &st, addr);
	t->ret = ret;
	if (ret == -ENOENT && vl_self_fd(t, &info, &fd) && !info) {
		char link[48];

		snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, fd);
		if (!fstatat(AT_FDCWD, link, &st, flags & AT_SYMLINK_NOFOLLOW))
			return answer_stat(t, &st, addr);
	}
	if (then_host(t, ret)) {
		vl_host_query(t);
	} else if (t->where.row->on_fail == F_EMPTY) {
		st = vl_supplied_stat("");
		return answer_stat(t, &st, addr);
	}
	return NULL;
}

/* fstat of a descriptor of ours */
struct vl_error *vl_h_fstat(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_find(t, t->args[0]);

	if (f)
		return stat_file(t, f, t->args[1]);
	vl_fd_pass(t, t->args[0]);
	return NULL;
}

static void stat_to_statx(const struct stat *st, struct statx *x)
{
	*x = (struct statx){
		.stx_mask = STATX_BASIC_STATS,
		.stx_blksize = st->st_blksize,
		.stx_nlink = st->st_nlink,
		.stx_mode = st->st_mode,
		.stx_ino = st->st_ino,
		.stx_size = st->st_size,
		.stx_dev_major = major(st->st_dev),
		.stx_dev_minor = minor(st->st_dev),
	};
}

/* Has @f no path in the guest? */
static bool has_no_path(const struct vl_file *f)
{
	return f->kind == K_SOCKET || f->row->open == P_SUPPLY;
}

/* statx(dirfd, path, flags, mask, buf) */
struct vl_error *vl_h_statx(struct vl_trap *t)
{
	struct vl_error *err;
	struct statx x;
	struct stat st;
	bool answered;
	int64_t ret;

	if (!ask_guest(t, (int)t->args[0], t->args[1], &answered)) {
		if (answered)
			return NULL;
		st = vl_supplied_stat(t->where.row->text);
		stat_to_statx(&st, &x);
	} else if (t->where.file && t->where.file->has_stat && has_no_path(t->where.file)) {
		stat_to_statx(&t->where.file->st, &x);
	} else {
		const char *path = t->where.file ? t->where.file->path : t->where.path;

		err = VL_GUEST(t->r, "statx", &ret, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path),
			       VL_ARG_INT(t->args[2] & ~(uint64_t)AT_EMPTY_PATH),
			       VL_ARG_INT(t->args[3]), VL_ARG_OUT(&x, sizeof(x)));
		if (err)
			return err;
		t->ret = ret;
		if (then_host(t, ret))
			vl_host_query(t);
		if (ret < 0)
			return NULL;
	}
	t->ret = vl_mem_write(t, t->args[4], &x, sizeof(x));
	return NULL;
}

/* A question about a path that is forwarded as its row describes: access, readlink, … */
struct vl_error *vl_h_query(struct vl_trap *t)
{
	const struct vl_argspec *a = t->row->args;
	int dirfd = AT_FDCWD, at = 0;
	struct vl_error *err;
	bool answered;

	if (a[0].kind == A_DIRFD) {
		dirfd = (int)t->args[0];
		at = 1;
	}
	if (!ask_guest(t, dirfd, t->args[at], &answered)) /* the row's text is not a link */
		return NULL;
	if (t->where.file)
		snprintf(t->where.path, sizeof(t->where.path), "%s", t->where.file->path);
	err = vl_h_forward(t);
	if (!err && then_host(t, t->ret))
		vl_host_query(t);
	return err;
}

/* A question about a descriptor of ours, asked about its path. */
struct vl_error *vl_h_fquery(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_find(t, t->args[0]);

	if (!f) {
		vl_fd_pass(t, t->args[0]);
		return NULL;
	}
	snprintf(t->where.path, sizeof(t->where.path), "%s", f->path);
	t->where.row = f->row;
	t->where.file = f;
	return vl_h_forward(t);
}

/* A call that changes a file is allowed only in the folder of --host-files. */
struct vl_error *vl_h_change_path(struct vl_trap *t)
{
	struct vl_where first;
	int dirfd = AT_FDCWD, nr = 0;

	/* utimensat(fd, NULL, …) */
	if (t->nr == __NR_utimensat && !t->args[1])
		return vl_h_change_fd(t);
	for (size_t i = 0; i < 6; i++) {
		const struct vl_argspec *a = &t->row->args[i];
		int err;

		if (a->kind == A_DIRFD)
			dirfd = (int)t->args[i];
		if (a->kind != A_PATH)
			continue;
		if (nr++)
			first = t->where;
		err = vl_resolve(t, dirfd, t->args[i], &t->where);
		if (err) {
			t->ret = err;
			return NULL;
		}
		if (t->where.file || t->where.empty || t->where.row->host != W_TREE ||
		    !t->where.row->writable) {
			vl_deny_as(t, EROFS);
			vl_refused_write(t);
			return NULL;
		}
	}
	t->ret = vl_folder_change(t, nr > 1 ? &first : NULL);
	return NULL;
}
