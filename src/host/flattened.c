/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format: a header of 4096 bytes, then for each piece its offset and its length, 8 bytes each,
 * big endian, and its bytes. An offset of -1 is the end (makedumpfile's IMPLEMENTATION, QEMU's
 * struct MakedumpfileDataHeader).
 */
#include "flattened.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "../base/bisect.h"
#include "../base/transfer.h"
#include "dump.h"
#include "index.h"

#define HEAD_SIZE 4096
/* What an index can hold. QEMU writes pieces of 16 KiB and less: a file of some 170 GiB. */
#define PIECES_MAX (VL_INDEX_MAX / sizeof(struct vl_flattened_piece))
/* Small pieces are read many at a time: a system call for each takes longer than to copy them. */
#define WINDOW (64UL << 10)
#define SMALL 2048

struct piece_header {
	int64_t at, len;
};

bool vl_is_flattened(const void *head, size_t len)
{
	static const char magic[16] = "makedumpfile";

	return len >= sizeof(magic) && !memcmp(head, magic, sizeof(magic));
}

static int by_place(const void *a, const void *b)
{
	const struct vl_flattened_piece *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static struct vl_error *add(struct vl_flattened *f, size_t *room, const struct piece_header *h,
			    uint64_t place)
{
	struct vl_flattened_piece *more;

	if (f->nr == *room) {
		*room += *room / 2 + 64;
		more = reallocarray(f->pieces, *room, sizeof(*more));
		if (!more)
			return vl_error_nomem();
		f->pieces = more;
	}
	f->pieces[f->nr++] =
		(struct vl_flattened_piece){ (uint64_t)h->at, (uint64_t)h->len, place };
	if ((uint64_t)h->at + (uint64_t)h->len > f->size)
		f->size = (uint64_t)h->at + (uint64_t)h->len;
	return NULL;
}

/* Bytes of the file. */
struct window {
	uint64_t at;
	size_t len;
	unsigned char bytes[WINDOW];
};

/* The header at @at, behind a piece of @before bytes. */
static bool get_header(int fd, uint64_t at, uint64_t before, struct window *w,
		       struct piece_header *ret)
{
	if (at < w->at || at - w->at > w->len || w->len - (at - w->at) < sizeof(*ret)) {
		w->at = at;
		w->len = vl_get_at(fd, w->bytes, before < SMALL ? WINDOW : sizeof(*ret), at);
		if (w->len < sizeof(*ret))
			return false;
	}
	memcpy(ret, w->bytes + (at - w->at), sizeof(*ret));
	return true;
}

static struct vl_error *index_pieces(struct vl_flattened *f, uint64_t size, bool partial)
{
	struct window w;
	struct piece_header h = { 0 };
	uint64_t at = HEAD_SIZE;
	size_t room = 0;

	w.at = w.len = 0;
	for (;;) {
		struct vl_error *err;

		/* The file may have grown since. */
		if (at > size || size - at < sizeof(h) ||
		    !get_header(f->fd, at, (uint64_t)h.len, &w, &h))
			return partial ? NULL : vl_dump_cut_off(at + sizeof(h), size);
		at += sizeof(h);
		h.at = (int64_t)be64toh((uint64_t)h.at);
		h.len = (int64_t)be64toh((uint64_t)h.len);
		if (h.at == -1)
			return NULL;
		if (f->nr == PIECES_MAX)
			return vl_index_full();
		if (h.at < 0 || h.len <= 0 || h.at > INT64_MAX - h.len)
			return vl_dump_damaged("a piece of the flattened file has no place");
		if ((uint64_t)h.len > size - at && !partial)
			return vl_dump_cut_off(at + (uint64_t)h.len, size);
		if ((uint64_t)h.len > size - at)
			h.len = (int64_t)(size - at);
		if (!h.len)
			return NULL;
		err = add(f, &room, &h, at);
		if (err)
			return err;
		at += (uint64_t)h.len;
	}
}

/*
 * If pieces overlap, each ends where the next one begins, because the later one was written over
 * it.
 */
static void put_in_order(struct vl_flattened *f)
{
	bool sorted = true;

	for (size_t i = 1; i < f->nr && sorted; i++)
		sorted = by_place(&f->pieces[i - 1], &f->pieces[i]) <= 0;
	if (!sorted)
		qsort(f->pieces, f->nr, sizeof(*f->pieces), by_place);
	for (size_t i = 0; i + 1 < f->nr; i++)
		if (f->pieces[i].len > f->pieces[i + 1].at - f->pieces[i].at)
			f->pieces[i].len = f->pieces[i + 1].at - f->pieces[i].at;
}

struct vl_error *vl_flattened_init(int fd, uint64_t size, bool partial, struct vl_flattened *ret)
{
	struct vl_error *err;
	char head[16] = "";

	*ret = (struct vl_flattened){ .fd = fd };
	if (!vl_get_whole(fd, head, sizeof(head), 0) || !vl_is_flattened(head, sizeof(head))) {
		ret->size = size;
		return NULL;
	}
	err = index_pieces(ret, size, partial);
	if (!err && !ret->nr)
		err = vl_dump_truncated(0, size);
	if (err)
		vl_flattened_deinit(ret);
	else
		put_in_order(ret);
	return err;
}

struct vl_error *vl_flattened_put(const struct vl_flattened *f, struct vl_index *ix)
{
	return vl_index_put_array(ix, f->pieces, f->nr, sizeof(*f->pieces));
}

struct vl_error *vl_flattened_take(struct vl_index *ix, int fd, uint64_t size,
				   struct vl_flattened *ret)
{
	struct vl_error *err;
	uint64_t end = 0;

	*ret = (struct vl_flattened){ .fd = fd };
	err = vl_index_take_array(ix, sizeof(*ret->pieces), PIECES_MAX, &ret->pieces, &ret->nr);
	if (err)
		return err;
	for (size_t i = 0; !err && i < ret->nr; i++) {
		const struct vl_flattened_piece *p = &ret->pieces[i];

		if (p->at < end || p->at > INT64_MAX || p->len > INT64_MAX - p->at ||
		    p->place > size || p->len > size - p->place)
			err = vl_index_bad();
		end = p->at + p->len;
	}
	ret->size = ret->nr ? end : size;
	/* A file that is not flattened has no pieces. */
	if (err || !ret->nr)
		vl_flattened_deinit(ret);
	return err;
}

void vl_flattened_deinit(struct vl_flattened *f)
{
	free(f->pieces);
	f->pieces = NULL;
}

bool vl_flattened_has(const struct vl_flattened *f, uint64_t at, uint64_t len)
{
	size_t i = vl_bisect(k, f->nr, f->pieces[k].at <= at);
	const uint64_t end = at + len;

	if (!f->pieces)
		return at <= f->size && len <= f->size - at;
	if (!len || end < at)
		return !len;
	for (i -= !!i; at < end; i++) {
		if (i == f->nr || f->pieces[i].at > at)
			return false;
		if (f->pieces[i].at + f->pieces[i].len > at)
			at = f->pieces[i].at + f->pieces[i].len;
	}
	return true;
}

bool vl_flattened_read(const struct vl_flattened *f, uint64_t at, void *buf, size_t len)
{
	size_t i = vl_bisect(k, f->nr, f->pieces[k].at <= at);
	char *out = buf;

	if (!f->pieces)
		return at <= f->size && len <= f->size - at && vl_get_whole(f->fd, buf, len, at);
	while (len) {
		const struct vl_flattened_piece *p = i ? &f->pieces[i - 1] : NULL;
		uint64_t n;

		if (!p || at - p->at >= p->len)
			return false;
		n = p->len - (at - p->at);
		n = n < len ? n : len;
		if (!vl_get_whole(f->fd, out, n, p->place + (at - p->at)))
			return false;
		out += n;
		at += n;
		len -= n;
		/* If several pieces start at one offset, only the last has content. */
		while (i < f->nr && f->pieces[i].at <= at)
			i++;
	}
	return true;
}
