/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/library.h"
#include "gunzip.h"
#include "lzop.h"

/* The functions we use, by libarchive's names without "archive_". */
#define FUNCTIONS(F) \
	F(read_new) \
	F(read_free) \
	F(read_support_filter_gzip) \
	F(read_support_filter_bzip2) \
	F(read_support_filter_xz) \
	F(read_support_filter_lzma) \
	F(read_support_filter_zstd) \
	F(read_support_filter_lz4) \
	F(read_support_filter_rpm) \
	F(read_support_format_raw) \
	F(read_support_format_ar) \
	F(read_support_format_tar) \
	F(read_support_format_cpio) \
	F(read_open_memory) \
	F(read_open) \
	F(read_next_header) \
	F(read_data) \
	F(error_string) \
	F(entry_pathname) \
	F(entry_filetype) \
	F(entry_size)

struct api {
#define F(name) __typeof__(&archive_##name) name;
	FUNCTIONS(F)
#undef F
};

#define BLOCK (64u << 10)

struct vl_archive {
	struct api api;
	struct archive *in;
	struct vl_archive *outer; /* the archive of which this one is a member, or NULL */
	unsigned char *block;	  /* buffer for that member's data */
	int fd;			  /* of a stream */
	size_t begun;		  /* bytes of it that are in @block and were not taken */
	struct vl_gunzip *gunzip; /* it is gzip: libarchive does not compare checksums */
	uint64_t size;		  /* of the current member, as the archive says; 0: unknown */
};

static struct vl_error *load(struct api *ret)
{
	static const struct vl_library library = {
		.file = "libarchive.so.13",
		.name = "libarchive",
		.hint = "install libarchive (on Debian: libarchive13)",
	};
#define F(name) "archive_" #name,
	static const char *const names[] = { FUNCTIONS(F) };
#undef F

	return vl_library_load(&library, names, ARRAY_SIZE(names), ret);
}

/* The error for data that libarchive could not read. */
static struct vl_error *damaged(struct vl_archive *a)
{
	const char *why = a->api.error_string(a->in);

	return vl_error_hint(
		vl_error_new(VL_ERR_ARG, "it is damaged: %s", why ? why : "it cannot be unpacked"),
		"fetch the file again from its distribution");
}

/* Enable only filters that are built into libarchive. For others it would start a program. */
static bool prepare(struct vl_archive *a, bool raw)
{
	const struct api *f = &a->api;

	a->in = f->read_new();
	if (!a->in)
		return false;
	f->read_support_filter_gzip(a->in);
	f->read_support_filter_bzip2(a->in);
	f->read_support_filter_xz(a->in);
	f->read_support_filter_lzma(a->in);
	f->read_support_filter_zstd(a->in);
	f->read_support_filter_lz4(a->in);
	if (raw)
		return f->read_support_format_raw(a->in) == ARCHIVE_OK;
	f->read_support_filter_rpm(a->in);
	f->read_support_format_ar(a->in);
	f->read_support_format_tar(a->in);
	f->read_support_format_cpio(a->in);
	return true;
}

static struct vl_error *create(bool raw, struct vl_archive **ret)
{
	struct vl_archive *a = calloc(1, sizeof(*a));
	struct vl_error *err;

	if (!a)
		return vl_error_nomem();
	err = load(&a->api);
	if (!err && !prepare(a, raw))
		err = vl_error_nomem();
	if (err)
		vl_archive_close(a);
	else
		*ret = a;
	return err;
}

struct vl_error *vl_archive_open(const void *file, size_t len, struct vl_archive **ret)
{
	_cleanup_archive_ struct vl_archive *a = NULL;
	struct vl_error *err = create(false, &a);

	if (err)
		return err;
	if (a->api.read_open_memory(a->in, file, len) != ARCHIVE_OK)
		return damaged(a);
	*ret = vl_taken(a);
	return NULL;
}

static la_ssize_t read_outer(struct archive *in, void *ctx, const void **ret)
{
	struct vl_archive *a = ctx;

	(void)in;
	*ret = a->block;
	return a->outer->api.read_data(a->outer->in, a->block, BLOCK);
}

struct vl_error *vl_archive_open_member(struct vl_archive *outer, struct vl_archive **ret)
{
	_cleanup_archive_ struct vl_archive *a = NULL;
	struct vl_error *err = create(false, &a);

	if (err)
		return err;
	a->outer = outer;
	a->block = malloc(BLOCK);
	if (!a->block)
		return vl_error_nomem();
	if (a->api.read_open(a->in, a, NULL, read_outer, NULL) != ARCHIVE_OK)
		return damaged(a);
	*ret = vl_taken(a);
	return NULL;
}

static long read_block(void *archive, const unsigned char **ret)
{
	struct vl_archive *a = archive;
	long n = (long)a->begun;

	*ret = a->block;
	a->begun = 0;
	while (!n) {
		n = read(a->fd, a->block, BLOCK);
		if (n >= 0 || errno != EINTR)
			break;
		n = 0;
	}
	return n;
}

static la_ssize_t read_stream(struct archive *in, void *ctx, const void **ret)
{
	const unsigned char *block;
	long n = read_block(ctx, &block);

	(void)in;
	*ret = block;
	return n;
}

struct vl_error *vl_archive_ready_stream(struct vl_archive **ret)
{
	_cleanup_archive_ struct vl_archive *a = NULL;
	struct vl_error *err = create(true, &a);

	if (err)
		return err;
	a->block = malloc(BLOCK);
	if (!a->block)
		return vl_error_nomem();
	err = vl_gunzip_create(read_block, a, false, &a->gunzip);
	if (err)
		return err;
	*ret = vl_taken(a);
	return NULL;
}

struct vl_error *vl_archive_begin_stream(struct vl_archive *a, int fd)
{
	const unsigned char *block;
	struct vl_error *err;
	const char *path;
	uint64_t size;
	long n;

	a->fd = fd;
	n = read_block(a, &block);
	if (n < 0)
		return vl_error_os(errno, "cannot read it");
	a->begun = (size_t)n;
	if (vl_is_gzip(block, a->begun))
		return NULL;
	vl_gunzip_destroy(vl_taken(a->gunzip));
	if (a->api.read_open(a->in, a, NULL, read_stream, NULL) != ARCHIVE_OK)
		return damaged(a);
	err = vl_archive_next(a, &path, &size);
	return err || path ? err : damaged(a);
}

struct vl_error *vl_archive_read_some(struct vl_archive *a, void *buf, size_t len, size_t *len_ret)
{
	la_ssize_t n = 1;

	if (a->gunzip)
		return vl_gunzip_read(a->gunzip, buf, len, len_ret);
	for (*len_ret = 0; *len_ret < len && n > 0; *len_ret += (size_t)n) {
		n = a->api.read_data(a->in, (char *)buf + *len_ret, len - *len_ret);
		if (n < 0)
			return damaged(a);
	}
	return NULL;
}

void vl_archive_close(struct vl_archive *a)
{
	if (!a)
		return;
	if (a->in)
		a->api.read_free(a->in);
	vl_gunzip_destroy(a->gunzip);
	free(a->block);
	free(a);
}

struct vl_error *vl_archive_next(struct vl_archive *a, const char **path_ret, uint64_t *size_ret)
{
	struct archive_entry *e;

	for (;;) {
		int result = a->api.read_next_header(a->in, &e);

		*path_ret = NULL;
		if (result == ARCHIVE_EOF)
			return NULL;
		if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
			return damaged(a);
		if (a->api.entry_filetype(e) != AE_IFREG)
			continue;
		*path_ret = a->api.entry_pathname(e);
		*size_ret = a->size = (uint64_t)a->api.entry_size(e);
		if (*path_ret)
			return NULL;
	}
}

struct vl_error *vl_archive_read(struct vl_archive *a, size_t max, unsigned char **ret,
				 size_t *len_ret)
{
	_cleanup_free_ unsigned char *buf = NULL;
	size_t len = 0, cap = 0;

	/* The archive's size of the member saves copies to ever larger buffers. */
	if (a->size && a->size <= max) {
		cap = a->size + BLOCK;
		buf = malloc(cap + 1);
		if (!buf)
			return vl_error_nomem();
	}
	for (;;) {
		la_ssize_t n;

		if (cap - len < BLOCK) {
			unsigned char *more;

			cap = cap ? 2 * cap : 4 * BLOCK;
			more = realloc(buf, cap + 1);
			if (!more)
				return vl_error_nomem();
			buf = more;
		}
		n = a->api.read_data(a->in, buf + len, BLOCK);
		if (n < 0)
			return damaged(a);
		if (!n)
			break;
		len += (size_t)n;
		if (len > max)
			return vl_error_new(VL_ERR_ARG, "it is longer than %zu MiB", max >> 20);
	}
	buf[len] = '\0';
	*len_ret = len;
	*ret = vl_taken(buf);
	return NULL;
}

/* Bytes in memory, which are taken once. */
struct bytes {
	const void *at;
	size_t len;
};

static long take_bytes(void *ctx, const unsigned char **ret)
{
	struct bytes *b = ctx;
	size_t n = b->len < BLOCK ? b->len : BLOCK;

	*ret = b->at;
	b->at = (const char *)b->at + n;
	b->len -= n;
	return (long)n;
}

/* An image has more behind its payload. */
static struct vl_error *gunzip(const void *bytes, size_t len, size_t max, unsigned char **ret,
			       size_t *len_ret)
{
	_cleanup_free_ unsigned char *buf = NULL;
	struct bytes b = { bytes, len };
	struct vl_gunzip *g;
	size_t cap = 0, n = 0, at = 0;
	struct vl_error *err = vl_gunzip_create(take_bytes, &b, true, &g);

	if (err)
		return err;
	do {
		at += n;
		if (!vl_grow(buf, cap, at + BLOCK, 4 * BLOCK))
			err = vl_error_nomem();
		else
			err = vl_gunzip_read(g, buf + at, BLOCK, &n);
	} while (!err && n == BLOCK && at + n <= max);
	at += n;
	vl_gunzip_destroy(g);
	if (!err && at > max)
		err = vl_error_new(VL_ERR_ARG, "it is longer than %zu MiB", max >> 20);
	if (err)
		return err;
	buf[at] = '\0';
	*len_ret = at;
	*ret = vl_taken(buf);
	return NULL;
}

struct vl_error *vl_uncompress(const void *bytes, size_t len, size_t max, unsigned char **ret,
			       size_t *len_ret)
{
	struct vl_archive *a;
	struct vl_error *err;
	const char *path;
	uint64_t size;

	if (vl_is_lzop(bytes, len))
		return vl_lzop(bytes, len, max, ret, len_ret);
	if (vl_is_gzip(bytes, len))
		return gunzip(bytes, len, max, ret, len_ret);
	err = create(true, &a);
	if (err)
		return err;
	if (a->api.read_open_memory(a->in, bytes, len) != ARCHIVE_OK)
		err = damaged(a);
	else
		err = vl_archive_next(a, &path, &size);
	if (!err)
		err = path ? vl_archive_read(a, max, ret, len_ret) : damaged(a);
	vl_archive_close(a);
	return err;
}
