/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening. A file of the guest is read whole and handed over, a directory is
 * listed whole. Both are one transaction that leaves no state in the guest's
 * kernel, so the next epoch may begin at any time. A file that cannot be read
 * whole becomes a stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "refuse.h"
#include "fds.h"
#include "handlers.h"
#include "files.h"
#include "own.h"
#include "pathname.h"
#include "sanitize.h"
#include "trap.h"

/* The arguments of open(2) and its kin, in one form. */
struct how {
	int dirfd;
	uint64_t path; /* in the program */
	uint64_t flags, mode;
};

/* When a descriptor reaches this number all are closed: no limit of them is below 1,024. */
#define GUEST_FILES 400

/*
 * Release @fd of the guest. Where the table of files is ours alone, the epoch's end
 * closes it, and it is closed earlier only so that the table does not fill.
 */
static struct vl_error *guest_close(struct vl_redirect *r, int64_t fd)
{
	int64_t ret;

	if (!r->sys->own_files)
		return VL_GUEST(r, "close", &ret, VL_ARG_INT(fd));
	if (fd < GUEST_FILES)
		return NULL;
	r->closings++;
	return VL_GUEST(r, "close_range", &ret, VL_ARG_INT(3), VL_ARG_INT(~0U), VL_ARG_INT(0));
}

static struct vl_error *give_text(struct vl_trap *t, const struct how *h, const char *text,
				  size_t len)
{
	struct vl_addfd g = {
		.data = text,
		.len = len,
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_WHOLE, .row = t->where.row, .flags = O_RDONLY },
	};

	if (t->where.row->open == P_SUPPLY || !len) {
		g.file.has_stat = true;
		g.file.st = vl_supplied_stat(text);
	}
	return vl_fd_hand_over(t, &g);
}

/* Hand over the host's data of the time zone that the guest's /etc/localtime names. */
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

/* Read the arguments of the call into @h. 0, or -errno for the program. */
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

/* The guest's open failed with t->ret: do what the row has for that. */
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

	(void)decode(t, &h); /* it succeeded before */
	if (t->where.row->on_fail == F_HOST)
		return vl_host_open(t, h.flags, h.mode);
	return open_failed(t, &h);
}

/*
 * The listing of the identity's descriptors was read by a descriptor of the
 * identity. Remove its entry: the identity's process does not have it.
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
	struct vl_addfd g = {
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
	if (!(h->flags & O_PATH))
		g.file.listing_end = vl_listing_end(ret);
	hide_own_fd(t, g.file.listing, &g.file.listing_len, fd);
	return vl_fd_hand_over(t, &g);
}

static struct vl_error *give_stream(struct vl_trap *t, const struct how *h, int64_t fd)
{
	struct vl_addfd g = {
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_STREAM,
			  .row = t->where.row,
			  .flags = (h->flags & ~(uint64_t)O_CLOEXEC) | O_NONBLOCK,
			  .guest_fd = fd },
	};

	return vl_fd_hand_over(t, &g);
}

/* Hand over @data, which was read from @fd, and free it. @ret ended the reading: 0 or -errno. */
static struct vl_error *give_read(struct vl_trap *t, const struct how *h, int64_t fd, char *data,
				  size_t len, int64_t ret)
{
	struct vl_addfd g = {
		.data = data,
		.len = len,
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_WHOLE, .row = t->where.row, .flags = h->flags },
	};
	struct vl_error *err;

	if (ret == -EISDIR) {
		free(data);
		return give_dir(t, h, fd);
	}
	if (ret || g.len > VL_WHOLE_MAX) { /* as a stream it shows the same error */
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
		g.file.taken_ns = vl_now_ns();
		err = vl_fd_hand_over(t, &g);
	}
	free(data);
	return err;
}

static struct vl_error *give_file(struct vl_trap *t, const struct how *h, int64_t fd)
{
	struct vl_error *err;
	int64_t ret;
	size_t len;
	char *data;

	err = vl_read_whole(t->r, fd, t->where.path, t->where.row->how == H_ONCE, &data, &len,
			    &ret);
	return err ? err : give_read(t, h, fd, data, len, ret);
}

/*
 * lsof tests whether /proc shows positions by fdinfo of a descriptor of its own. The
 * position of a stand-in means nothing, so the text is made from the record. True: the
 * trap is answered, and *@err is the result.
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

static struct vl_error *not_opened(struct vl_trap *t, const struct how *h, int64_t fd)
{
	struct vl_error *err;

	t->ret = fd;
	return fd == -ENOENT && give_own_info(t, h, &err) ? err : open_failed(t, h);
}

/* Bytes for a folder's stat and its entries: some 300 processes. */
#define FOLDER_MAX 8192

/*
 * Open the folder and list it in one step, as most are small. Another one is listed in pieces
 * (vl_list_whole()), from its beginning.
 */
static struct vl_error *open_folder(struct vl_trap *t, const struct how *h, int flags)
{
	struct vl_addfd g = {
		.path = t->where.path,
		.cloexec = h->flags & O_CLOEXEC,
		.at = -1,
		.file = { .kind = K_DIR, .row = t->where.row, .flags = h->flags, .has_stat = true },
	};
	struct vl_listed seen = { 0 };
	char data[FOLDER_MAX];
	const char *entries = data + sizeof(g.file.st);
	struct vl_error *err;
	int64_t fd, n;

	err = vl_guest_open_read(t->r, t->where.path, flags, VL_READS_LIST, data, sizeof(data), &fd,
				 &n);
	if (err)
		return err;
	if (fd < 0)
		return not_opened(t, h, fd);
	n -= (int64_t)sizeof(g.file.st);
	if (n < 0 || vl_listed_add(&seen, entries, (size_t)n) < 0) {
		t->listing.large = true;
		err = VL_GUEST(t->r, "lseek", &n, VL_ARG_INT(fd), VL_ARG_INT(0),
			       VL_ARG_INT(SEEK_SET));
		return err ? err : give_dir(t, h, fd);
	}
	memcpy(&g.file.st, data, sizeof(g.file.st));
	g.file.listing_len = (size_t)n;
	g.file.listing = malloc((size_t)n + 1);
	if (!g.file.listing)
		return vl_error_nomem();
	memcpy(g.file.listing, entries, (size_t)n);
	err = vl_sanitize_listing(t->r, &g.file.listing, &g.file.listing_len);
	if (!err)
		err = guest_close(t->r, fd);
	if (err) {
		free(g.file.listing);
		return err;
	}
	hide_own_fd(t, g.file.listing, &g.file.listing_len, fd);
	return vl_fd_hand_over(t, &g);
}

static struct vl_error *open_guest(struct vl_trap *t, const struct how *h)
{
	const int keep = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_NOATIME;
	/* Never block on a FIFO or a device. */
	int flags = (int)(h->flags & keep) | O_RDONLY | O_NONBLOCK;
	bool folder = h->flags & (O_DIRECTORY | O_PATH); /* O_PATH: name and stat only */
	enum vl_how how = t->where.row->how;
	struct vl_error *err;
	struct stat st;
	int64_t fd, ret;

	if (!folder && (how == H_WHOLE || how == H_ONCE)) {
		size_t len;
		char *data;

		err = vl_open_whole(t->r, t->where.path, flags, how == H_ONCE, &fd, &data, &len,
				    &ret);
		if (err)
			return err;
		return fd < 0 ? not_opened(t, h, fd) : give_read(t, h, fd, data, len, ret);
	}
	if (h->flags & O_DIRECTORY && !(h->flags & O_PATH) && !t->listing.large)
		return open_folder(t, h, flags);
	err = VL_GUEST(t->r, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(t->where.path),
		       VL_ARG_INT(flags), VL_ARG_INT(0));
	if (err)
		return err;
	if (fd < 0)
		return not_opened(t, h, fd);
	if (folder)
		return give_dir(t, h, fd);
	err = VL_GUEST(t->r, "newfstat", &ret, VL_ARG_INT(fd), VL_ARG_OUT(&st, sizeof(st)));
	if (err)
		return err;
	if (!ret && S_ISDIR(st.st_mode))
		return give_dir(t, h, fd);
	if (how >= H_STREAM || ret || !S_ISREG(st.st_mode) || st.st_size > VL_WHOLE_MAX)
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
			else
				vl_refused_write(t);
			return NULL;
		}
	}
	if (t->where.row->open == P_HOST)
		return vl_host_open(t, h.flags, h.mode);
	if (t->where.row->open == P_SUPPLY)
		return give_text(t, &h, t->where.row->text, strlen(t->where.row->text));
	/* The answer for a user without the right to read it. */
	if (t->where.row->how == H_ONCE && vl_unshown(t, t->where.path)) {
		t->ret = -EACCES;
		return NULL;
	}
	t->tries = t->where.row->tries;
	t->fail_errno = t->where.row->on_fail == F_ABSENT ? ENOENT : EIO;
	t->fallback = open_fallback;
	if (vl_absent(t->r, t->where.path)) {
		t->ret = -t->fail_errno;
		return open_fallback(t);
	}
	return open_guest(t, &h);
}
