/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block is a stream of chunks (snappy's framing_format.txt), each with a type and a length, and
 * behind them the bytes of all of them (AVML's io/snappy.rs). A chunk of data has at most 64 KiB of
 * memory and is compressed alone. So a page is found by the places of the chunks.
 */
#include "avml.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "../base/bisect.h"
#include "../base/codec.h"
#include "pages.h"

enum { CHUNK_SNAPPY = 0x00, CHUNK_PLAIN = 0x01, CHUNK_SKIPPED = 0x80, CHUNK_BEGIN = 0xff };

#define CHUNK_HEAD 4
#define CHECKSUM 4
#define CHUNK_DATA 65536U
/* snappy's MaxCompressedLength() of that, and more. */
#define CHUNK_MAX (CHECKSUM + 2 * CHUNK_DATA)
/* A TiB of memory. */
#define FRAMES_MAX (16UL << 20)
/* Chunks that are held: 0.5 MiB. */
#define HELD 8

struct frame {
	uint64_t gpa, at; /* its first byte, and the place of its data in the file */
	uint32_t len;	  /* bytes of memory */
	uint32_t packed;  /* bytes in the file; 0: as many, as they are */
};

struct vl_avml {
	int fd;
	uint64_t size;
	struct vl_codec snappy;
	struct frame *frames;
	size_t nr, room;
	bool sorted;

	/* In the box. */
	struct {
		const struct frame *frame; /* NULL: none */
		unsigned char data[CHUNK_DATA];
	} held[HELD];
	unsigned int next;
	unsigned char packed[CHUNK_MAX];
};

struct vl_error *vl_avml_create(const struct vl_dump *d, struct vl_avml **ret)
{
	struct vl_avml *a = calloc(1, sizeof(*a));
	struct vl_error *err;

	if (!a)
		return vl_error_nomem();
	a->fd = d->fd;
	a->size = d->size;
	a->sorted = true;
	err = vl_codec_load(VL_CODEC_SNAPPY, &a->snappy);
	if (err) {
		vl_avml_destroy(a);
		return vl_error_prefix(err, "the image of AVML is compressed");
	}
	*ret = a;
	return NULL;
}

void vl_avml_destroy(struct vl_avml *a)
{
	if (!a)
		return;
	free(a->frames);
	free(a);
}

static struct vl_error *add_frame(struct vl_avml *a, const struct frame *f)
{
	struct frame *more;

	if (a->nr == FRAMES_MAX)
		return vl_dump_damaged("it has more memory than any machine");
	if (a->nr == a->room) {
		a->room += a->room / 2 + 256;
		more = reallocarray(a->frames, a->room, sizeof(*more));
		if (!more)
			return vl_error_nomem();
		a->frames = more;
	}
	a->sorted &= !a->nr || a->frames[a->nr - 1].gpa < f->gpa;
	a->frames[a->nr++] = *f;
	return NULL;
}

/* The length that snappy's data begin with, seven bits in a byte. 0: there is none. */
static uint32_t unpacked_length(const unsigned char *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len && i < 5; i++) {
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80))
			return v <= CHUNK_DATA ? (uint32_t)v : 0;
	}
	return 0;
}

/* A chunk of @len bytes at @at, of which @head are the first 9. Returns its bytes of memory. */
static uint32_t chunk_data(unsigned type, uint32_t len, const unsigned char *head)
{
	if (len <= CHECKSUM || len > CHUNK_MAX)
		return 0;
	if (type == CHUNK_PLAIN)
		return len - CHECKSUM <= CHUNK_DATA ? len - CHECKSUM : 0;
	return unpacked_length(head + CHECKSUM, len - CHECKSUM);
}

struct vl_error *vl_avml_add(struct vl_avml *a, uint64_t gpa, uint64_t len, uint64_t *at)
{
	uint64_t first = *at, done = 0, total;

	while (done < len) {
		unsigned char head[CHUNK_HEAD + CHECKSUM + 5] = "";
		uint32_t size, data;
		struct frame f;
		struct vl_error *err;

		if (pread(a->fd, head, sizeof(head), (off_t)*at) < CHUNK_HEAD)
			return vl_dump_truncated(0, a->size);
		size = head[1] | (uint32_t)head[2] << 8 | (uint32_t)head[3] << 16;
		*at += CHUNK_HEAD;
		if (size > a->size - *at)
			return vl_dump_truncated(*at + size, a->size);
		if (head[0] <= CHUNK_PLAIN) {
			data = chunk_data(head[0], size, head + CHUNK_HEAD);
			if (!data || data > len - done)
				return vl_dump_damaged("a piece of AVML's has more memory than its "
						       "block");
			f = (struct frame){ gpa + done, *at + CHECKSUM, data,
					    head[0] == CHUNK_PLAIN ? 0 : size - CHECKSUM };
			err = add_frame(a, &f);
			if (err)
				return err;
			done += data;
		} else if (head[0] < CHUNK_SKIPPED) {
			return vl_dump_damaged("a piece of AVML's is of an unknown kind");
		}
		*at += size;
	}
	if (pread(a->fd, &total, sizeof(total), (off_t)*at) != (ssize_t)sizeof(total))
		return vl_dump_truncated(*at + sizeof(total), a->size);
	if (le64toh(total) != *at - first)
		return vl_dump_damaged("a block of AVML's has another length than it says");
	*at += sizeof(total);
	return NULL;
}

/* ---- in the box ---- */

static bool fill(struct vl_avml *a, const struct frame *f, unsigned char *buf)
{
	size_t len = f->packed ? f->packed : f->len, n = CHUNK_DATA;

	if (pread(a->fd, f->packed ? a->packed : buf, len, (off_t)f->at) != (ssize_t)len)
		return false;
	return !f->packed || (vl_codec_unpack(&a->snappy, a->packed, len, buf, &n) && n == f->len);
}

/* The memory of @f; NULL: it is damaged. */
static const unsigned char *hold(struct vl_avml *a, const struct frame *f)
{
	unsigned int i = 0;

	while (i < HELD && a->held[i].frame != f)
		i++;
	if (i < HELD)
		return a->held[i].data;
	i = a->next++ % HELD;
	a->held[i].frame = NULL;
	if (!fill(a, f, a->held[i].data))
		return NULL;
	a->held[i].frame = f;
	return a->held[i].data;
}

static struct vl_error *read_page(void *ctx, uint64_t gpa, void *buf)
{
	struct vl_avml *a = ctx;
	size_t i = vl_bisect(k, a->nr, a->frames[k].gpa <= gpa);
	uint64_t at = gpa, end = gpa + VL_PAGE_SIZE;
	unsigned char *out = buf;

	for (; at < end; i++) {
		const struct frame *f = i ? &a->frames[i - 1] : NULL;
		const unsigned char *data = NULL;
		uint64_t n;

		if (f && at >= f->gpa && at - f->gpa < f->len)
			data = hold(a, f);
		if (!data)
			return vl_error_fault(
				gpa, "the page at 0x%" PRIx64 " is damaged in the image of AVML",
				gpa);
		n = f->len - (at - f->gpa);
		n = n < end - at ? n : end - at;
		memcpy(out, data + (at - f->gpa), n);
		out += n;
		at += n;
		if (i == a->nr && at < end)
			return vl_error_fault(gpa, "the page at 0x%" PRIx64 " is cut off", gpa);
	}
	return NULL;
}

static void close_avml(void *ctx)
{
	vl_avml_destroy(ctx);
}

static const struct vl_pages_ops avml_ops = {
	.what = "compressed",
	.read = read_page,
	.close = close_avml,
};

static int by_gpa(const void *x, const void *y)
{
	const struct frame *a = x, *b = y;

	return a->gpa < b->gpa ? -1 : a->gpa > b->gpa;
}

struct vl_error *vl_avml_set(struct vl_target *t, struct vl_avml *a)
{
	if (!a->sorted)
		qsort(a->frames, a->nr, sizeof(*a->frames), by_gpa);
	return vl_pages_set(t, &avml_ops, a, a->fd);
}
