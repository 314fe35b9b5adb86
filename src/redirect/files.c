/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening. A file of the guest is read whole and handed over, a directory is
 * listed whole, both in one transaction with no state left in the guest's
 * kernel; so the next epoch may begin at any time. What cannot be read whole
 * becomes a stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* The first read: most files of /proc are below a page. */
#define FIRST 16384

/*
 * Reads of one file or directory. What the kernel makes up it gives by the page,
 * so this is four times VL_SNAPSHOT_MAX; a kernel that gives a byte at a time has an end.
 */
#define PIECES_MAX 65536

/* How open(2) and its kin were meant, whichever was called. */
struct how {
	int dirfd;
	uint64_t path; /* in the program */
	uint64_t flags, mode;
};

/* Above this number of open files all are closed: no limit is below 1,024. */
#define GUEST_FILES 400

/*
 * Done with @fd. The epoch's end closes it, too, and nobody sees it until then:
 * what matters is only that the table of files does not fill.
 */
static struct vl_error *guest_close(struct vl_redirect *r, int64_t fd)
{
	int64_t ret;

	if (!r->sys->own_files)
		return VL_GUEST(r, "close", &ret, VL_ARG_INT(fd));
	if (fd < GUEST_FILES)
		return NULL;
	return VL_GUEST(r, "close_range", &ret, VL_ARG_INT(3), VL_ARG_INT(~0U), VL_ARG_INT(0));
}

static bool room(char **data, size_t *max, size_t need)
{
	size_t more = *max ? *max : FIRST;
	char *new;

	while (more < need)
		more *= 2;
	if (more == *max)
		return true;
	new = realloc(*data, more);
	if (!new)
		return false;
	*data = new;
	*max = more;
	return true;
}

/*
 * Read from guest descriptor @fd of @path to its end, or to VL_SNAPSHOT_MAX + 1 bytes.
 * @once: a short read is the end. *@err is 0 or the -errno that ended it; *@data is
 * malloc'ed.
 */
struct vl_error *vl_read_whole(struct vl_redirect *r, int64_t fd, const char *path, bool once,
			       char **data, size_t *len, int64_t *err)
{
	size_t want = FIRST, max = 0;
	struct vl_error *error;
	int64_t n;

	*data = NULL;
	*len = 0;
	*err = 0;
	for (unsigned pieces = 0;; pieces++) {
		if (!room(data, &max, *len + want))
			return vl_error_nomem();
		error = VL_GUEST(r, "read", &n, VL_ARG_INT(fd), VL_ARG_OUT(*data + *len, want),
				 VL_ARG_INT(want));
		if (error)
			goto fail;
		if (pieces == PIECES_MAX)
			n = -EIO;
		if (n < 0)
			*err = n;
		if (n > 0)
			*len += n;
		if (n <= 0 || (once && (size_t)n < want) || *len > VL_SNAPSHOT_MAX)
			break;
		want = VL_CHUNK;
	}
	error = vl_tame_file(r, path, data, len);
	if (!error)
		return NULL;
fail:
	free(*data);
	*data = NULL;
	return error;
}

/* What getdents64 gives at once: some 300 processes. */
#define PIECE 8192
/* linux/limits.h: NAME_MAX, and what is before the name and behind it. */
#define ENTRY_MAX 280

/* Where what follows the entries in @data begins (d_off of the last one); -1: they are none. */
static int64_t behind(const char *data, size_t len)
{
	int64_t ret = 0;

	for (size_t at = 0; at < len;) {
		const struct vl_dirent64 *d = (const void *)(data + at);

		if (len - at < sizeof(*d) || d->reclen <= sizeof(*d) || d->reclen > len - at)
			return -1;
		ret = d->off;
		at += d->reclen;
	}
	return ret;
}

/* Descriptor *@fd is directory @path in a new epoch, or -errno. */
static struct vl_error *open_dir(struct vl_redirect *r, const char *path, int64_t *fd)
{
	return VL_GUEST(r, "openat", fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path),
			VL_ARG_INT(O_RDONLY | O_DIRECTORY | O_NONBLOCK), VL_ARG_INT(0));
}

/* Let descriptor *@fd go on behind what is settled of the listing. */
static struct vl_error *seek_dir(struct vl_trap *t, int64_t *fd)
{
	const struct vl_listing *l = &t->listing;
	struct vl_error *err;
	int64_t at;

	if (*fd < 0 || !l->settled)
		return NULL;
	err = VL_GUEST(t->r, "lseek", &at, VL_ARG_INT(*fd), VL_ARG_INT(l->behind),
		       VL_ARG_INT(SEEK_SET));
	if (!err && at < 0)
		*fd = at;
	return err;
}

/* The next piece of @fd; *@n is what the kernel said, *@next where the one behind it begins. */
static struct vl_error *list_piece(struct vl_trap *t, int64_t fd, int64_t *n, int64_t *next)
{
	struct vl_listing *l = &t->listing;
	struct vl_error *err;

	if (!room(&l->data, &l->max, l->len + PIECE))
		return vl_error_nomem();
	err = VL_GUEST(t->r, "getdents64", n, VL_ARG_INT(fd), VL_ARG_OUT(l->data + l->len, PIECE),
		       VL_ARG_INT(PIECE));
	if (err || *n <= 0)
		return err;
	*next = behind(l->data + l->len, (size_t)*n);
	if (*next < 0 || l->pieces++ == PIECES_MAX)
		*n = -EIO;
	else
		l->len += (size_t)*n;
	return NULL;
}

/*
 * All entries of directory *@fd of the guest, which is @path, as getdents64 gives them;
 * malloc'ed. A full piece is an answer of its own, as it is to a program that lists the
 * directory there: the next may be of a later epoch, with another *@fd, and what is tried
 * again begins behind it.
 */
struct vl_error *vl_list_whole(struct vl_trap *t, int64_t *fd, const char *path, char **data,
			       size_t *len, int64_t *err)
{
	struct vl_listing *l = &t->listing;
	struct vl_error *error = seek_dir(t, fd);
	int64_t n = 0, next;

	*data = NULL;
	*len = 0;
	l->len = l->settled;
	while (!error && *fd >= 0) {
		error = list_piece(t, *fd, &n, &next);
		if (error || n <= 0 || l->len > VL_SNAPSHOT_MAX)
			break;
		if (n + ENTRY_MAX <= PIECE)
			continue;
		if (!vl_settled(t->r))
			return vl_error_new(VL_ERR_BLOCKED, "%s changed while it was listed", path);
		l->settled = l->len;
		l->behind = next;
		if (!t->r->sys->brief)
			continue;
		vl_epoch_end(t->r);
		error = open_dir(t->r, path, fd);
		if (!error)
			error = seek_dir(t, fd);
	}
	if (error)
		return error;
	*err = *fd < 0 ? *fd : n < 0 ? n : 0;
	*data = malloc(l->len + 1);
	if (!*data)
		return vl_error_nomem();
	*len = l->len;
	if (l->len)
		memcpy(*data, l->data, l->len);
	return vl_tame_listing(t->r, data, len);
}

static struct vl_error *give_text(struct vl_trap *t, const struct how *h, const char *text,
				  size_t len)
{
	struct vl_gift g = {
		.data = text,
		.len = len,
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_SNAPSHOT, .row = t->where.row, .flags = O_RDONLY },
	};

	if (t->where.row->open == P_SUPPLY || !len) {
		g.file.has_stat = true;
		g.file.st = vl_supplied_stat(text);
	}
	return vl_fd_give(t, &g);
}

/* Data of the zone that the guest's /etc/localtime names, from the host. */
static struct vl_error *give_zone(struct vl_trap *t, const struct how *h)
{
	char link[PATH_MAX], path[PATH_MAX + 32], data[16384];
	struct vl_error *err;
	const char *name;
	int64_t n;
	int fd;

	t->ret = -ENOENT; /* libc then takes UTC */
	err = VL_GUEST(t->r, "readlinkat", &n, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(t->where.path),
		       VL_ARG_OUT(link, sizeof(link) - 1), VL_ARG_INT(sizeof(link) - 1));
	if (err || n <= 0 || n >= (int64_t)sizeof(link))
		return err;
	link[n] = 0;
	name = strstr(link, "zoneinfo/");
	if (!name || strstr(name, ".."))
		return NULL;
	snprintf(path, sizeof(path), "/usr/share/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, data, sizeof(data));
	close(fd);
	return n > 0 ? give_text(t, h, data, n) : NULL;
}

/* 0, or -errno for the program. */
static int decode(struct vl_trap *t, struct how *h)
{
	const uint64_t *a = t->args;
	int err = 0;

	*h = t->nr == __NR_open ? (struct how){ AT_FDCWD, a[0], a[1], a[2] } :
				  (struct how){ (int)a[0], a[1], a[2], a[3] };
	if (t->nr == __NR_openat2) {
		uint64_t open_how[2] = { 0 }; /* struct open_how: flags, mode, resolve */

		err = vl_mem_read(t, a[2], open_how, sizeof(open_how));
		h->flags = open_how[0];
		h->mode = open_how[1];
	} else if (t->nr == __NR_creat) {
		*h = (struct how){ AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1] };
	}
	h->flags &= UINT32_MAX;
	return err;
}

/* The guest does not open it, with t->ret. */
static struct vl_error *open_failed(struct vl_trap *t, const struct how *h)
{
	switch (t->where.row->on_fail) {
	case F_EMPTY:
		return give_text(t, h, "", 0);
	case F_ZONE:
		return give_zone(t, h);
	default:
		return NULL;
	}
}

/* The retries are used up. */
static struct vl_error *open_fallback(struct vl_trap *t)
{
	struct how h;

	(void)decode(t, &h); /* it could be read before */
	if (t->where.row->on_fail == F_HOST)
		return vl_host_open(t, h.flags, h.mode);
	return open_failed(t, &h);
}

/*
 * We read the listing of the identity's descriptors by a descriptor of the
 * identity: take that one entry out. No process but the observer has it.
 */
static void hide_own_fd(struct vl_trap *t, char *listing, size_t *len, int64_t fd)
{
	char norm[PATH_MAX], number[24];
	size_t at = 0;
	int pid = 0, end = 0;

	snprintf(norm, sizeof(norm), "%s", t->where.path);
	vl_path_normalise(norm);
	sscanf(norm, "/proc/%d/fd%n", &pid, &end);
	if (!end || pid != t->r->self.pid || (norm[end] && strcmp(norm + end, "info")))
		return;
	snprintf(number, sizeof(number), "%d", (int)fd);
	while (*len - at > offsetof(struct vl_dirent64, name)) {
		struct vl_dirent64 *d = (void *)(listing + at);

		if (d->reclen < sizeof(*d) || d->reclen > *len - at)
			return;
		if (!strncmp(d->name, number, d->reclen - sizeof(*d))) {
			*len -= d->reclen;
			memmove(d, listing + at + d->reclen, *len - at);
			return;
		}
		at += d->reclen;
	}
}

static struct vl_error *give_dir(struct vl_trap *t, const struct how *h, int64_t fd)
{
	struct vl_gift g = {
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_DIR, .row = t->where.row, .flags = h->flags },
	};
	struct vl_error *err;
	int64_t ret = 0;

	err = VL_GUEST(t->r, "newfstat", &ret, VL_ARG_INT(fd),
		       VL_ARG_OUT(&g.file.st, sizeof(g.file.st)));
	g.file.has_stat = !ret;
	if (!err && !(h->flags & O_PATH))
		err = vl_list_whole(t, &fd, t->where.path, &g.file.listing, &g.file.listing_len,
				    &ret);
	if (!err && fd >= 0)
		err = guest_close(t->r, fd);
	if (err) {
		free(g.file.listing);
		return err;
	}
	hide_own_fd(t, g.file.listing, &g.file.listing_len, fd);
	return vl_fd_give(t, &g);
}

/* A folder with nothing in it: a listing is the guest's, or none. */
struct vl_error *vl_give_empty_folder(struct vl_trap *t, uint64_t flags)
{
	struct vl_gift g = {
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
	return vl_fd_give(t, &g);
}

static struct vl_error *give_stream(struct vl_trap *t, const struct how *h, int64_t fd)
{
	struct vl_gift g = {
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_STREAM,
			  .row = t->where.row,
			  .flags = (h->flags & ~(uint64_t)O_CLOEXEC) | O_NONBLOCK,
			  .guest_fd = fd },
	};

	return vl_fd_give(t, &g);
}

static struct vl_error *give_file(struct vl_trap *t, const struct how *h, int64_t fd)
{
	struct vl_gift g = {
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_SNAPSHOT, .row = t->where.row, .flags = h->flags },
	};
	struct vl_error *err;
	int64_t ret;
	char *data;

	err = vl_read_whole(t->r, fd, t->where.path, t->where.row->how == H_ONCE, &data, &g.len,
			    &ret);
	if (err)
		return err;
	if (ret == -EISDIR) {
		free(data);
		return give_dir(t, h, fd);
	}
	if (ret || g.len > VL_SNAPSHOT_MAX) { /* as a stream it shows the same error */
		free(data);
		err = guest_close(t->r, fd);
		if (!err)
			err = VL_GUEST(t->r, "openat", &fd, VL_ARG_INT(AT_FDCWD),
				       VL_ARG_STR(t->where.path), VL_ARG_INT(O_RDONLY | O_NONBLOCK),
				       VL_ARG_INT(0));
		return err ? err : give_stream(t, h, fd);
	}
	err = guest_close(t->r, fd);
	if (!err) {
		g.data = data;
		g.file.taken_ns = vl_now_ns();
		err = vl_fd_give(t, &g);
	}
	free(data);
	return err;
}

/*
 * lsof tries out what /proc tells of positions on a descriptor of its own, in
 * /proc/PID/fdinfo/FD. Behind the number may be a stand-in, whose position says
 * nothing. True: done, with *@err.
 */
static bool give_own_info(struct vl_trap *t, const struct how *h, struct vl_error **err)
{
	struct vl_file *f;
	char text[128];
	bool info;
	int fd;

	f = vl_self_fd(t, &info, &fd);
	if (!f || !info)
		return false;
	snprintf(text, sizeof(text), "pos:\t%lld\nflags:\t0%o\nmnt_id:\t0\n",
		 (long long)(f->kind == K_DIR ? (int64_t)f->pos : f->off), f->flags);
	*err = give_text(t, h, text, strlen(text));
	return true;
}

static struct vl_error *open_guest(struct vl_trap *t, const struct how *h)
{
	const int keep = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_NOATIME;
	enum vl_how how = t->where.row->how;
	struct vl_error *err;
	struct stat st;
	int64_t fd, ret;

	/* Never block on a FIFO or a device. */
	err = VL_GUEST(t->r, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(t->where.path),
		       VL_ARG_INT((h->flags & keep) | O_RDONLY | O_NONBLOCK), VL_ARG_INT(0));
	if (err)
		return err;
	if (fd < 0) {
		t->ret = fd;
		return fd == -ENOENT && give_own_info(t, h, &err) ? err : open_failed(t, h);
	}
	if (h->flags & (O_DIRECTORY | O_PATH)) /* O_PATH: only its name and stat count */
		return give_dir(t, h, fd);
	if (how == H_SNAPSHOT || how == H_ONCE)
		return give_file(t, h, fd);
	err = VL_GUEST(t->r, "newfstat", &ret, VL_ARG_INT(fd), VL_ARG_OUT(&st, sizeof(st)));
	if (err)
		return err;
	if (!ret && S_ISDIR(st.st_mode))
		return give_dir(t, h, fd);
	if (how >= H_STREAM || ret || !S_ISREG(st.st_mode) || st.st_size > VL_SNAPSHOT_MAX)
		return give_stream(t, h, fd);
	return give_file(t, h, fd);
}

/* open, openat, openat2, creat */
struct vl_error *vl_h_open(struct vl_trap *t)
{
	const uint64_t change = O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
	struct how h;
	int err;

	err = decode(t, &h);
	if (!err)
		err = vl_resolve(t, h.dirfd, h.path, &t->where);
	if (err) {
		t->ret = err;
		return NULL;
	}
	if (t->where.file || t->where.empty) { /* "" opens nothing */
		t->ret = -ENOENT;
		return NULL;
	}
	if ((h.flags & O_ACCMODE) != O_RDONLY || (h.flags & change)) {
		if (!t->where.row->writable) {
			vl_deny_as(t, EROFS);
			if (vl_path_below(t->where.path, "/dev/ptmx"))
				vl_refused(t, VL_REFUSED_TERMINAL, "");
			return NULL;
		}
	}
	if (t->where.row->open == P_HOST)
		return vl_host_open(t, h.flags, h.mode);
	if (t->where.row->open == P_SUPPLY)
		return give_text(t, &h, t->where.row->text, strlen(t->where.row->text));
	t->tries = t->where.row->tries;
	t->fail_errno = EIO;
	t->fallback = open_fallback;
	if (vl_absent(t->r, t->where.path)) {
		t->ret = -t->fail_errno;
		return open_fallback(t);
	}
	return open_guest(t, &h);
}
