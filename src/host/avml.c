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

#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/codec.h"
#include "../base/crc32c.h"
#include "../base/transfer.h"
#include "index.h"
#include "pages.h"

enum { CHUNK_SNAPPY = 0x00, CHUNK_PLAIN = 0x01, CHUNK_SKIPPED = 0x80, CHUNK_BEGIN = 0xff };

#define CHUNK_HEAD 4
#define CHECKSUM 4
#define CHUNK_DATA 65536U
/* snappy's MaxCompressedLength() of that, and more. */
#define CHUNK_MAX (CHECKSUM + 2 * CHUNK_DATA)
/*
 * Unpacked chunks that are kept: 4 MiB. Page tables and structures of a kernel lie in many chunks.
 */
#define HELD 64

struct avml {
	int fd;
	struct vl_codec snappy;
	struct vl_frame *frames;
	size_t nr;
	bool partial;

	/* In the box. */
	struct {
		const struct vl_frame *frame; /* NULL: none */
		unsigned char data[CHUNK_DATA];
	} held[HELD];
	unsigned int next;
	unsigned char packed[CHUNK_MAX];
};

/* ---- the pass, in a box ---- */

static struct vl_error *add_frame(struct vl_frames_of *all, const struct vl_frame *f)
{
	if (all->nr == VL_INDEX_MAX / sizeof(*f))
		return vl_index_full();
	if (!vl_grow(all->frames, all->room, all->nr, 256))
		return vl_error_nomem();
	all->frames[all->nr++] = *f;
	return NULL;
}

/* The unpacked length, with which snappy's data begin: seven bits in a byte. 0: there is none. */
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

struct vl_error *vl_avml_add(struct vl_frames_of *all, int fd, uint64_t file_size, uint64_t gpa,
			     uint64_t len, uint64_t *at)
{
	uint64_t first = *at, done = 0, total;

	while (done < len) {
		unsigned char head[CHUNK_HEAD + CHECKSUM + 5] = "";
		uint32_t size, data;
		struct vl_frame f;
		struct vl_error *err;

		if (vl_get_at(fd, head, sizeof(head), *at) < CHUNK_HEAD)
			return vl_dump_truncated(0, file_size);
		size = head[1] | (uint32_t)head[2] << 8 | (uint32_t)head[3] << 16;
		*at += CHUNK_HEAD;
		if (size > file_size - *at)
			return vl_dump_cut_off(*at + size, file_size);
		if (head[0] <= CHUNK_PLAIN) {
			data = chunk_data(head[0], size, head + CHUNK_HEAD);
			if (!data || data > len - done)
				return vl_dump_damaged(
					"a piece of the AVML image has more memory than its "
					"block");
			f = (struct vl_frame){ gpa + done, *at, data,
					       head[0] == CHUNK_PLAIN ? 0 : size - CHECKSUM };
			err = add_frame(all, &f);
			if (err)
				return err;
			done += data;
		} else if (head[0] < CHUNK_SKIPPED) {
			return vl_dump_damaged("a piece of the AVML image has an unknown kind");
		}
		*at += size;
	}
	if (!vl_get_whole(fd, &total, sizeof(total), *at))
		return vl_dump_truncated(*at + sizeof(total), file_size);
	if (le64toh(total) != *at - first)
		return vl_dump_damaged("an AVML block's length does not match its header");
	*at += sizeof(total);
	return NULL;
}

static int by_gpa(const void *x, const void *y)
{
	const struct vl_frame *a = x, *b = y;

	return a->gpa < b->gpa ? -1 : a->gpa > b->gpa;
}

void vl_avml_sort(struct vl_frames_of *all)
{
	if (all->nr)
		qsort(all->frames, all->nr, sizeof(*all->frames), by_gpa);
}

/* ---- in the box ---- */

static bool fill(struct avml *a, const struct vl_frame *f, unsigned char *buf)
{
	const size_t len = f->packed ? f->packed : f->len;
	size_t n = CHUNK_DATA;
	uint32_t sum;

	if (!vl_get_whole(a->fd, a->packed, CHECKSUM + len, f->at))
		return false;
	if (!f->packed)
		memcpy(buf, a->packed + CHECKSUM, len);
	else if (!vl_codec_unpack(&a->snappy, a->packed + CHECKSUM, len, buf, &n) || n != f->len)
		return false;
	/* framing_format.txt, 3: "Checksum format". */
	sum = vl_crc32c(buf, f->len);
	sum = htole32((sum >> 15 | sum << 17) + 0xa282ead8);
	return !memcmp(a->packed, &sum, sizeof(sum));
}

/* The memory of @f; NULL: it is damaged. */
static const unsigned char *hold(struct avml *a, const struct vl_frame *f)
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
	struct avml *a = ctx;
	size_t i = vl_bisect(k, a->nr, a->frames[k].gpa <= gpa);
	uint64_t at = gpa, end = gpa + VL_PAGE_SIZE;
	unsigned char *out = buf;

	for (; at < end; i++) {
		const struct vl_frame *f = i ? &a->frames[i - 1] : NULL;
		const unsigned char *data = NULL;
		uint64_t n;

		if (f && at >= f->gpa && at - f->gpa < f->len)
			data = hold(a, f);
		else if (a->partial)
			return vl_page_lacking(gpa);
		if (!data)
			return vl_error_fault(gpa,
					      "the page at 0x%" PRIx64
					      " is damaged in the image of AVML: its "
					      "checksum is wrong, or it cannot be unpacked",
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
	struct avml *a = ctx;

	free(a->frames);
	free(a);
}

static uint64_t cut_off(void *ctx, uint64_t all)
{
	const struct avml *a = ctx;
	uint64_t bytes = 0;

	for (size_t i = 0; i < a->nr; i++)
		bytes += a->frames[i].len;
	return all - (bytes / VL_PAGE_SIZE < all ? bytes / VL_PAGE_SIZE : all);
}

/* The last range of a file that is cut short may have almost no data. */
static uint64_t next_page(void *ctx, uint64_t gpa)
{
	const struct avml *a = ctx;
	size_t i = vl_bisect(k, a->nr, a->frames[k].gpa <= gpa);

	if (i && gpa - a->frames[i - 1].gpa < a->frames[i - 1].len)
		return gpa;
	return i < a->nr ? a->frames[i].gpa - a->frames[i].gpa % VL_PAGE_SIZE : UINT64_MAX;
}

static const struct vl_pages_ops avml_ops = {
	.what = "compressed",
	.read = read_page,
	.next = next_page,
	.cut_off = cut_off,
	.close = close_avml,
};

/* ---- with rights ---- */

static bool is_sound(const struct vl_frame *f, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (!f[i].len || f[i].len > CHUNK_DATA || f[i].packed > CHUNK_MAX - CHECKSUM ||
		    f[i].gpa > INT64_MAX || (i && f[i].gpa < f[i - 1].gpa))
			return false;
	return true;
}

struct vl_error *vl_avml_set(struct vl_target *t, int fd, struct vl_frame *frames, size_t nr,
			     bool partial)
{
	struct avml *a = calloc(1, sizeof(*a));
	struct vl_error *err;

	if (!a) {
		free(frames);
		return vl_error_nomem();
	}
	a->fd = fd;
	a->frames = frames;
	a->nr = nr;
	a->partial = partial;
	err = is_sound(frames, nr) ? NULL : vl_index_bad();
	if (!err) {
		err = vl_codec_load(VL_CODEC_SNAPPY, &a->snappy);
		err = err ? vl_error_prefix(err, "the image of AVML is compressed") : NULL;
	}
	if (err) {
		close_avml(a);
		return err;
	}
	return vl_pages_set(t, &avml_ops, a, fd);
}
