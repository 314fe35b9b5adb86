/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's descriptors that stand for files of the guest. Each is a memfd. That of a whole
 * file has the content in it; that of a directory or stream is an empty stand-in.
 * The inode number of the memfd identifies its record, whatever the program did: fork, dup, pass
 * it on, close it without a trap. So no table per process has to keep in step.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "refuse.h"
#include "fds.h"
#include "handlers.h"
#include "memfds.h"
#include "tasks.h"
#include "trap.h"
#include "files.h"

/* linux/pidfd.h of 6.9 */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static void link_of(struct vl_trap *t, int fd, char buf[64])
{
	snprintf(buf, 64, "/proc/%d/fd/%d", (int)t->tid, fd);
}

static const struct vl_error lost_record = {
	.code = VL_ERR_KERNEL,
	.message = (char *)"the record of an open file of the program was dropped",
	.hint = (char *)"no process had it open while it passed through a socket",
};

/*
 * Is descriptor @fd, which has no record, an empty stand-in? The host's kernel knows nothing
 * of the guest's file behind it, so the answer is EIO, which is counted. A memfd with content
 * is a whole file; any other descriptor is of the host.
 */
bool vl_fd_lost(struct vl_trap *t, int fd)
{
	char link[64], name[64];
	struct stat st;
	ssize_t n;

	link_of(t, fd, link);
	n = readlink(link, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	if (!vl_memfd_name(name) || stat(link, &st) || st.st_size)
		return false;
	t->ret = -EIO;
	vl_blame(t, &lost_record);
	return true;
}

void vl_fd_pass(struct vl_trap *t, int fd)
{
	t->pass = !vl_fd_lost(t, fd);
}

/* The pidfd of process @tgid, or -errno. It stays open until another process is asked about. */
static int pidfd_of(struct vl_redirect *r, pid_t tgid)
{
	int fd;

	if (r->pidfd.tgid == tgid)
		return r->pidfd.fd;
	vl_pidfd_close(r);
	fd = (int)syscall(SYS_pidfd_open, tgid, 0);
	if (fd < 0)
		return -errno;
	r->pidfd.tgid = tgid;
	r->pidfd.fd = fd;
	return fd;
}

void vl_pidfd_close(struct vl_redirect *r)
{
	if (r->pidfd.tgid)
		close(r->pidfd.fd);
	r->pidfd.tgid = 0;
}

/* Is number @fd free in the task? It is looked up in /proc unless its pidfd can say so. */
static bool is_free(struct vl_trap *t, int fd)
{
	const struct vl_task *task = vl_task_find(t->r, t->tid);
	char link[64];
	struct stat st;
	int pidfd, copy;

	/* A first thread that has ended has no files, but the other threads still have them. */
	pidfd = task && task->tgid == t->tid ? pidfd_of(t->r, t->tid) : -1;
	if (pidfd >= 0) {
		copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
		if (copy >= 0)
			close(copy);
		else if (errno == EBADF)
			return true;
		else
			vl_pidfd_close(t->r);
		if (copy >= 0)
			return false;
	}
	link_of(t, fd, link);
	return lstat(link, &st) && errno == ENOENT;
}

/* A number in [lo, hi) that is free in the task, or -1. The search starts after the last one. */
static int free_number(struct vl_trap *t, int lo, int hi, unsigned int *next)
{
	for (int i = 0; i < hi - lo; i++) {
		int fd = lo + (*next)++ % (hi - lo);

		if (is_free(t, fd))
			return fd;
	}
	return -1;
}

static int number_for(struct vl_trap *t, int kind)
{
	if (kind == K_WHOLE)
		return free_number(t, VL_FD_LO, VL_FD_STREAM, &t->r->next_whole);
	return free_number(t, VL_FD_STREAM, VL_FD_HI, &t->r->next_stream);
}

void vl_fd_add(struct vl_trap *t, int fd, int number, bool cloexec)
{
	struct seccomp_notif_addfd add = {
		.id = t->id,
		.flags = (number < 0 ? 0 : SECCOMP_ADDFD_FLAG_SETFD) | SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = fd,
		.newfd = number < 0 ? 0 : number,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};
	int ret = ioctl(t->r->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	if (ret < 0 && errno == EINVAL) { /* before 5.14: no SEND */
		add.flags &= ~SECCOMP_ADDFD_FLAG_SEND;
		t->ret = ioctl(t->r->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
		if (t->ret < 0)
			t->ret = -errno;
		return;
	}
	t->sent = ret >= 0 || errno == ENOENT; /* ENOENT: the task is gone */
	if (t->sent)
		t->r->asked = 0;
	t->ret = ret >= 0 ? ret : -errno;
}

struct vl_error *vl_fd_hand_over(struct vl_trap *t, struct vl_addfd *g)
{
	/* What it owns until the record does. */
	_cleanup_free_ char *listing = g->file.listing;
	_cleanup_free_ char *path = NULL;
	struct vl_memfd m;
	struct vl_file *f;
	int number, err;

	number = g->at >= 0 ? g->at : number_for(t, g->file.kind);
	if (number < 0 || !vl_validated(t->r)) {
		t->ret = -EMFILE;
		return NULL;
	}
	/* Copy first: vl_record_new() may free the record that owns @g->path. */
	path = strdup(g->path);
	if (!path) {
		t->ret = -ENOMEM;
		return NULL;
	}
	err = vl_memfd_get(t->r->o->kept, g->data, g->len, &m);
	if (err) {
		t->ret = err;
		return NULL;
	}
	f = vl_record_new(t->r);
	if (!f) {
		vl_memfd_put(&m, g->len);
		t->ret = -ENFILE;
		return NULL;
	}
	*f = g->file;
	f->listing = vl_taken(listing);
	f->dev = m.dev;
	f->ino = m.ino;
	f->epoch = t->r->sys->epoch;
	f->closings = t->r->closings;
	f->path = vl_taken(path);
	if (f->kind == K_WHOLE)
		t->r->stats->whole_files++;
	/* The record comes first: the program may use the descriptor at once. */
	vl_fd_add(t, m.ro, number, g->cloexec);
	vl_memfd_put(&m, g->len);
	if (t->ret < 0)
		vl_record_free(t->r, f);
	return NULL;
}

/*
 * Another thread may have put a file of the host at @fd since the record was found, and the
 * supervisor may be able to write to it. So a descriptor of ours is checked, and opened again.
 */
int vl_fd_rewrite(struct vl_trap *t, int fd, const struct vl_file *f, const void *data, size_t len)
{
	_cleanup_close_ int held = -1, rw = -1;
	struct stat st;
	char link[64];

	if (!vl_validated(t->r))
		return -EAGAIN;
	held = vl_fd_borrow(t, fd);
	if (held < 0)
		return held;
	if (fstat(held, &st) || st.st_dev != f->dev || st.st_ino != f->ino)
		return -EBADF;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", held);
	rw = open(link, O_RDWR | O_CLOEXEC);
	if (rw < 0)
		return -errno;
	/* Write, then cut: a reader in another thread never finds it empty. */
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(rw, (const char *)data + done, len - done, done);

		if (n <= 0)
			return n ? -errno : -EIO;
		done += n;
	}
	return ftruncate(rw, len) ? -errno : 0;
}

/*
 * The same by the thread itself, where the kernel can: a first thread that has ended has no files.
 */
static int borrow_of_thread(const struct vl_trap *t, int fd)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, t->tid, PIDFD_THREAD);
	int ours = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return ours < 0 ? -EBADF : ours;
}

int vl_fd_borrow(struct vl_trap *t, int fd)
{
	struct vl_task *task = vl_task_find(t->r, t->tid);
	pid_t tgid = task ? task->tgid : t->tid;

	for (int tries = 0;; tries++) {
		int pidfd = pidfd_of(t->r, tgid);
		int ours = pidfd < 0 ? pidfd : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

		if (pidfd < 0 || ours >= 0)
			return ours;
		/* ESRCH: that process is gone, and another one has its pid. */
		if (errno == ESRCH && !tries)
			vl_pidfd_close(t->r);
		else if (tgid == t->tid || (errno != ESRCH && errno != EBADF))
			return -errno;
		else
			return borrow_of_thread(t, fd);
	}
}

struct vl_error *vl_fd_duplicate(struct vl_trap *t, int fd, bool cloexec)
{
	struct vl_file *f = vl_fd_find(t, fd);
	int ours, number;

	if (!f) {
		vl_fd_pass(t, fd);
		return NULL;
	}
	number = number_for(t, f->kind);
	ours = number < 0 ? -EMFILE : vl_fd_borrow(t, fd);
	t->ret = ours;
	if (ours < 0)
		return NULL;
	vl_fd_add(t, ours, number, cloexec);
	close(ours);
	return NULL;
}

/* F_DUPFD may choose any number from args[2] on, so one of our range will do. */
struct vl_error *vl_fd_duplicate_from(struct vl_trap *t)
{
	if (!vl_fd_ours(t->args[0]) || t->args[2] >= VL_FD_LO) {
		t->pass = true;
		return NULL;
	}
	return vl_fd_duplicate(t, t->args[0], (int)t->args[1] == F_DUPFD_CLOEXEC);
}

/*
 * dup, and dup2 or dup3 of a directory or stream. We choose the number that dup
 * returns. Reads of a number below our range do not trap. A stream that moves there
 * becomes a whole file of what can be read now (`cat </proc/kmsg`).
 */
struct vl_error *vl_h_dup(struct vl_trap *t)
{
	struct vl_file *f;
	struct vl_addfd g = { .at = (int)t->args[1] };
	struct vl_error *err;
	int64_t fd, ret;
	size_t len = 0;
	char *data = NULL;

	if (t->nr == __NR_dup)
		return vl_fd_duplicate(t, t->args[0], false);
	f = vl_fd_find(t, t->args[0]);
	if (!f) {
		vl_fd_pass(t, t->args[0]);
		return NULL;
	}
	if (f->kind != K_STREAM || vl_fd_ours(t->args[1]) || g.at < 0) {
		t->pass = true;
		return NULL;
	}
	err = VL_GUEST(t->r, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(f->path),
		       VL_ARG_INT(f->flags), VL_ARG_INT(0));
	if (err || fd < 0) {
		t->ret = fd;
		return err;
	}
	err = vl_read_whole(t->r, fd, f->path, false, &data, &len, &ret);
	if (!err)
		err = VL_GUEST(t->r, "close", &fd, VL_ARG_INT(fd));
	if (!err) {
		g.data = data;
		g.len = len;
		g.path = f->path;
		g.file = (struct vl_file){ .kind = K_WHOLE, .row = f->row, .flags = f->flags };
		g.cloexec = t->nr == __NR_dup3 && (t->args[2] & O_CLOEXEC);
		err = vl_fd_hand_over(t, &g);
	}
	free(data);
	return err;
}

/* The stat of a file that we supply in place of the guest: zeros but for these. */
struct stat vl_supplied_stat(const char *text)
{
	return (struct stat){
		.st_mode = S_IFREG | 0444,
		.st_nlink = 1,
		.st_ino = 1,
		.st_size = strlen(text),
		.st_blksize = 4096,
	};
}

/* An empty directory: a listing is the guest's, or empty. */
struct vl_error *vl_give_empty_folder(struct vl_trap *t, uint64_t flags)
{
	struct vl_addfd g = {
		.path = t->where.path,
		.cloexec = flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_DIR,
			  .row = t->where.row,
			  .flags = (int)flags,
			  .has_stat = true },
	};

	g.file.st = vl_supplied_stat("");
	g.file.st.st_mode = S_IFDIR | 0555;
	return vl_fd_hand_over(t, &g);
}
