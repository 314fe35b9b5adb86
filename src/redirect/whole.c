/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a file of the guest, or the listing of a directory, in one piece.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sanitize.h"
#include "trap.h"
#include "files.h"

/* Bytes of the first read. Nearly all files that are made in one piece are below a page. */
#define FIRST 16384
#define FIRST_ONCE 4096

/*
 * The most reads of one file or directory. The kernel gives a generated file by the page, so this
 * is four times VL_WHOLE_MAX. The limit stops a file that returns a byte for each read.
 */
#define PIECES_MAX 65536

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

/* A file of the guest that is read whole. */
struct whole {
	struct vl_redirect *r;
	int64_t fd;
	const char *path;
	bool once; /* a short read is the end */
	char *data;
	size_t len, max;
};

/*
 * Read @w to its end, or to VL_WHOLE_MAX + 1 bytes. @n is the result of the first read, of
 * @want bytes. *@err is 0 or the -errno that ended it.
 */
static struct vl_error *read_on(struct whole *w, int64_t n, size_t want, int64_t *err)
{
	struct vl_error *error;

	for (unsigned pieces = 0;; pieces++) {
		if (pieces == PIECES_MAX)
			n = -EIO;
		if (n < 0)
			*err = n;
		if (n > 0)
			w->len += (size_t)n;
		if (n <= 0 || (w->once && (size_t)n < want) || w->len > VL_WHOLE_MAX)
			return NULL;
		want = VL_CHUNK;
		if (!room(&w->data, &w->max, w->len + want))
			return vl_error_nomem();
		error = VL_GUEST(w->r, "read", &n, VL_ARG_INT(w->fd),
				 VL_ARG_OUT(w->data + w->len, want), VL_ARG_INT(want));
		if (error)
			return error;
	}
}

/* Sanitize @w and hand out its data, unless there is @error. */
static struct vl_error *end_whole(struct whole *w, struct vl_error *error, char **data, size_t *len)
{
	if (!error)
		error = vl_sanitize_file(w->r, w->path, &w->data, &w->len);
	if (error) {
		free(w->data);
		return error;
	}
	*data = w->data;
	*len = w->len;
	return NULL;
}

/*
 * Read from guest descriptor @fd of @path to its end, or to VL_WHOLE_MAX + 1 bytes.
 * @once: a short read is the end. *@err is 0 or the -errno that ended it; *@data is
 * malloc'ed.
 */
struct vl_error *vl_read_whole(struct vl_redirect *r, int64_t fd, const char *path, bool once,
			       char **data, size_t *len, int64_t *err)
{
	struct whole w = { .r = r, .fd = fd, .path = path, .once = once };
	struct vl_error *error;
	int64_t n;

	*data = NULL;
	*len = 0;
	*err = 0;
	if (!room(&w.data, &w.max, FIRST))
		return vl_error_nomem();
	error = VL_GUEST(r, "read", &n, VL_ARG_INT(fd), VL_ARG_OUT(w.data, FIRST),
			 VL_ARG_INT(FIRST));
	if (!error)
		error = read_on(&w, n, FIRST, err);
	return end_whole(&w, error, data, len);
}

/*
 * Open @path and read it likewise: *@fd is the result of openat. *@data is NULL if that failed.
 */
struct vl_error *vl_open_whole(struct vl_redirect *r, const char *path, int flags, bool once,
			       int64_t *fd, char **data, size_t *len, int64_t *err)
{
	struct whole w = { .r = r, .path = path, .once = once };
	/* The whole buffer is cleared and copied, three times: a small one is quicker. */
	size_t want = once ? FIRST_ONCE : FIRST;
	struct vl_error *error;
	int64_t n;

	*data = NULL;
	*len = 0;
	*err = 0;
	if (!room(&w.data, &w.max, want))
		return vl_error_nomem();
	error = vl_guest_open_read(r, path, flags, once ? VL_READS_ONCE : VL_READS_WHOLE, w.data,
				   want, fd, &n);
	if (!error && *fd < 0) {
		free(w.data);
		return NULL;
	}
	w.fd = *fd;
	if (!error && n < (int64_t)want) { /* the end, or an error */
		*err = n < 0 ? n : 0;
		w.len = n < 0 ? 0 : (size_t)n;
	} else if (!error) {
		error = read_on(&w, n, want, err);
	}
	return end_whole(&w, error, data, len);
}

int vl_listing_end(int64_t err)
{
	/* A directory that went away meanwhile is empty. */
	return err >= 0 || err == -ENOENT || err == -ESRCH ? 0 : (int)err;
}

/* Bytes of one getdents64: some 300 processes. */
#define PIECE 8192
/* NAME_MAX (linux/limits.h), and the bytes before and after the name. */
#define ENTRY_MAX 280

/* Open directory @path in a new epoch: *@fd is the descriptor or -errno. */
static struct vl_error *open_dir(struct vl_redirect *r, const char *path, int64_t *fd)
{
	return VL_GUEST(r, "openat", fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path),
			VL_ARG_INT(O_RDONLY | O_DIRECTORY | O_NONBLOCK), VL_ARG_INT(0));
}

/* Move descriptor *@fd to the end of the validated part of the listing. */
static struct vl_error *seek_dir(struct vl_trap *t, int64_t *fd)
{
	const struct vl_listing *l = &t->listing;
	struct vl_error *err;
	int64_t at;

	if (*fd < 0 || !l->validated)
		return NULL;
	err = VL_GUEST(t->r, "lseek", &at, VL_ARG_INT(*fd), VL_ARG_INT(l->behind),
		       VL_ARG_INT(SEEK_SET));
	if (!err && at < 0)
		*fd = at;
	return err;
}

/* Read the next piece of @fd: *@n is the result, *@next the position of the piece after it. */
static struct vl_error *list_piece(struct vl_trap *t, int64_t fd, const char *path, int64_t *n,
				   int64_t *next)
{
	struct vl_listing *l = &t->listing;
	struct vl_error *err;

	if (!room(&l->data, &l->max, l->len + PIECE))
		return vl_error_nomem();
	err = VL_GUEST(t->r, "getdents64", n, VL_ARG_INT(fd), VL_ARG_OUT(l->data + l->len, PIECE),
		       VL_ARG_INT(PIECE));
	if (err || *n <= 0)
		return err;
	*next = vl_listed_add(&l->seen, l->data + l->len, (size_t)*n);
	if (*next == -ELOOP) {
		/* If it was read from pages of different points in time, the call is retried. */
		if (!vl_validated(t->r))
			return vl_error_new(VL_ERR_BLOCKED, "%s changed while it was listed", path);
		l->validated = 0; /* all of it is in doubt */
		return vl_error_hint(vl_error_new(VL_ERR_CRASHED,
						  "the guest's list of %s leads back to itself",
						  path),
				     "see what the raw views show, as 'vpslist'");
	}
	if (*next < 0 || l->pieces++ == PIECES_MAX)
		*n = -EIO;
	else
		l->len += (size_t)*n;
	return NULL;
}

/*
 * List all entries of the guest's directory *@fd, which is @path, as getdents64 gives them;
 * *@data is malloc'ed. A full piece is an answer of its own, as for a program that lists the
 * directory in the guest: the next piece may be of a later epoch, with another *@fd, and a
 * retry begins after the last full piece.
 */
struct vl_error *vl_list_whole(struct vl_trap *t, int64_t *fd, const char *path, char **data,
			       size_t *len, int64_t *err)
{
	struct vl_listing *l = &t->listing;
	struct vl_error *error = seek_dir(t, fd);
	int64_t n = 0, next;

	*data = NULL;
	*len = 0;
	l->len = l->validated;
	l->seen = (struct vl_listed){ 0 };
	while (!error && *fd >= 0) {
		error = list_piece(t, *fd, path, &n, &next);
		if (!error && l->len > VL_WHOLE_MAX)
			n = -EOVERFLOW;
		if (error || n <= 0)
			break;
		if (n + ENTRY_MAX <= PIECE)
			continue;
		if (!vl_validated(t->r))
			return vl_error_new(VL_ERR_BLOCKED, "%s changed while it was listed", path);
		l->validated = l->len;
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
	return vl_sanitize_listing(t->r, data, len);
}
