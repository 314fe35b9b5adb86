/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frames.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/library.h"

/* Bytes of a frame without compression: what a reader of one page unpacks. */
#define FRAME (1UL << 20)
/* The quickest level but one: memory is zeros and text for the most part. */
#define LEVEL 1

/* RFC 8878, 3.1.1. */
#define FRAME_MAGIC 0xfd2fb528U
#define SINGLE_SEGMENT 0xa0 /* with a content size of 4 bytes, and no checksum */
#define BLOCK_MAX (128UL << 10)
/* The format of the table. */
#define SKIP_MAGIC 0x184d2a5eU
#define TABLE_MAGIC 0x8f92eab1U

struct api {
	ZSTD_CCtx *(*create)(void);
	size_t (*destroy)(ZSTD_CCtx *);
	size_t (*set)(ZSTD_CCtx *, ZSTD_cParameter, int);
	size_t (*compress)(ZSTD_CCtx *, void *, size_t, const void *, size_t);
	size_t (*bound)(size_t);
	unsigned (*is_error)(size_t);
	const char *(*error_name)(size_t);
};

static const char *const functions[] = {
	"ZSTD_createCCtx",    "ZSTD_freeCCtx", "ZSTD_CCtx_setParameter", "ZSTD_compress2",
	"ZSTD_compressBound", "ZSTD_isError",  "ZSTD_getErrorName",
};
_Static_assert(sizeof(struct api) == sizeof(functions), "one pointer for each name");

/* A row of the table. */
struct row {
	uint32_t packed, unpacked;
};

struct vl_frames {
	struct api api;
	ZSTD_CCtx *ctx;
	unsigned char *in, *out, *blank; /* `blank`: a frame of zeros, compressed */
	size_t filled, out_size, blank_len;
	bool is_blank; /* all that was filled in are zeros */
	struct row *rows;
	size_t nr_rows, cap_rows;
};

static struct vl_error *failed(const struct vl_frames *p, size_t code)
{
	return vl_error_new(VL_ERR_OS, "zstd does not compress: %s", p->api.error_name(code));
}

static struct vl_error *prepare(struct vl_frames *p)
{
	static const struct vl_library lib = {
		.file = "libzstd.so.1",
		.name = "libzstd, which compresses",
		.hint = "install it (on Debian: apt install libzstd1), or leave --zstd away",
	};
	struct vl_error *err = vl_library_load(&lib, functions, ARRAY_SIZE(functions), &p->api);
	size_t n;

	if (err)
		return err;
	p->ctx = p->api.create();
	p->out_size = p->api.bound(FRAME);
	p->in = calloc(1, FRAME);
	p->out = malloc(p->out_size);
	p->blank = malloc(p->out_size);
	if (!p->ctx || !p->in || !p->out || !p->blank)
		return vl_error_nomem();
	n = p->api.set(p->ctx, ZSTD_c_compressionLevel, LEVEL);
	if (!p->api.is_error(n))
		n = p->api.set(p->ctx, ZSTD_c_checksumFlag, 1);
	if (!p->api.is_error(n))
		n = p->api.compress(p->ctx, p->blank, p->out_size, p->in, FRAME);
	p->blank_len = n;
	p->is_blank = true;
	return p->api.is_error(n) ? failed(p, n) : NULL;
}

struct vl_error *vl_frames_create(struct vl_frames **ret)
{
	struct vl_frames *p = calloc(1, sizeof(*p));
	struct vl_error *err;

	if (!p)
		return vl_error_nomem();
	err = prepare(p);
	if (err) {
		vl_frames_destroy(p);
		return err;
	}
	*ret = p;
	return NULL;
}

void vl_frames_destroy(struct vl_frames *p)
{
	if (!p)
		return;
	if (p->ctx)
		p->api.destroy(p->ctx);
	free(p->in);
	free(p->out);
	free(p->blank);
	free(p->rows);
	free(p);
}

static struct vl_error *add_row(struct vl_frames *p, size_t packed, size_t unpacked)
{
	if (p->nr_rows == p->cap_rows) {
		size_t cap = p->cap_rows + p->cap_rows / 2 + 64;
		struct row *more = reallocarray(p->rows, cap, sizeof(*more));

		if (!more)
			return vl_error_nomem();
		p->rows = more;
		p->cap_rows = cap;
	}
	p->rows[p->nr_rows++] = (struct row){ (uint32_t)packed, (uint32_t)unpacked };
	return NULL;
}

/* Numbers are little endian, as those of every x86 host. */
static unsigned char *put(unsigned char *at, uint32_t v, size_t len)
{
	memcpy(at, &v, len);
	return at + len;
}

struct vl_error *vl_frames_head(struct vl_frames *p, struct vl_output *o, const void *buf,
				size_t len, bool again)
{
	size_t blocks = (len + BLOCK_MAX - 1) / BLOCK_MAX;
	_cleanup_free_ unsigned char *frame = malloc(len + 9 + 3 * blocks);
	const unsigned char *from = buf;
	unsigned char *at = frame;
	struct vl_error *err;

	if (!frame)
		return vl_error_nomem();
	at = put(at, FRAME_MAGIC, 4);
	at = put(at, SINGLE_SEGMENT, 1);
	at = put(at, (uint32_t)len, 4);
	for (size_t i = 0; i < blocks; i++) {
		size_t n = len - i * BLOCK_MAX < BLOCK_MAX ? len - i * BLOCK_MAX : BLOCK_MAX;

		/* A raw block; bit 0: it is the last. */
		at = put(at, (uint32_t)(n << 3 | (i + 1 == blocks)), 3);
		memcpy(at, from + i * BLOCK_MAX, n);
		at += n;
	}
	if (again)
		return vl_output_raw_at(o, 0, frame, (size_t)(at - frame));
	err = add_row(p, (size_t)(at - frame), len);
	return err ? err : vl_output_raw(o, frame, (size_t)(at - frame));
}

/* Write the frame that is filled. */
static struct vl_error *flush(struct vl_frames *p, struct vl_output *o)
{
	const unsigned char *frame = p->blank;
	struct vl_error *err;
	size_t n = p->blank_len;

	if (!p->filled)
		return NULL;
	if (!p->is_blank || p->filled < FRAME) {
		n = p->api.compress(p->ctx, p->out, p->out_size, p->in, p->filled);
		frame = p->out;
	}
	if (p->api.is_error(n))
		return failed(p, n);
	err = add_row(p, n, p->filled);
	p->filled = 0;
	p->is_blank = true;
	return err ? err : vl_output_raw(o, frame, n);
}

struct vl_error *vl_frames_add(struct vl_frames *p, struct vl_output *o, const void *buf,
			       size_t len)
{
	const unsigned char *from = buf;
	struct vl_error *err = NULL;

	while (!err && len) {
		size_t n = len < FRAME - p->filled ? len : FRAME - p->filled;

		memcpy(p->in + p->filled, from, n);
		p->is_blank = false;
		p->filled += n;
		from += n;
		len -= n;
		if (p->filled == FRAME)
			err = flush(p, o);
	}
	return err;
}

struct vl_error *vl_frames_skip(struct vl_frames *p, struct vl_output *o, uint64_t len)
{
	struct vl_error *err = NULL;

	while (!err && len) {
		size_t n = len < FRAME - p->filled ? (size_t)len : FRAME - p->filled;

		/* A frame of zeros is not looked at, if it is whole. */
		if (!p->is_blank || n < FRAME)
			memset(p->in + p->filled, 0, n);
		p->filled += n;
		len -= n;
		if (p->filled == FRAME)
			err = flush(p, o);
	}
	return err;
}

struct vl_error *vl_frames_finish(struct vl_frames *p, struct vl_output *o)
{
	struct vl_error *err = flush(p, o);
	size_t len = p->nr_rows * sizeof(*p->rows) + 9;
	unsigned char head[8], foot[9], *at;

	if (err)
		return err;
	put(put(head, SKIP_MAGIC, 4), (uint32_t)len, 4);
	at = put(foot, (uint32_t)p->nr_rows, 4);
	at = put(at, 0, 1); /* no checksums: the frames have their own */
	put(at, TABLE_MAGIC, 4);
	err = vl_output_raw(o, head, sizeof(head));
	if (!err)
		err = vl_output_raw(o, p->rows, p->nr_rows * sizeof(*p->rows));
	return err ? err : vl_output_raw(o, foot, sizeof(foot));
}
