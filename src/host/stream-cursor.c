/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/bisect.h"
#include "stream-pass.h"

/*
 * Headers of pages lie 4 KiB apart, so a pass touches each page of the file, and needs few bytes of
 * it: a mapping costs a third of reads. If the file is cut short meanwhile, the process ends.
 */
#define WINDOW (64UL << 20)

struct vl_error *vl_cut_off(struct vl_cursor *c)
{
	c->cut = true;
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET,
			     "the stream is truncated: it ends at %" PRIu64
			     " bytes, within the guest's memory",
			     c->s->bytes.size),
		"is it still being written? else was the disk full? make it again: vlens "
		"dump GUEST FILE; vps --partial shows what is in it");
}

struct vl_error *vl_damaged_at(const struct vl_cursor *c, const char *what)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the stream is damaged: %s, at byte %" PRIu64, what,
					  c->at),
			     "make it again");
}

/* The mapped bytes at @at of the file, @n of them; NULL: they cannot be mapped. */
static const unsigned char *mapped_at(struct vl_cursor *c, uint64_t at, size_t n)
{
	const uint64_t from = at & ~(VL_PAGE_SIZE - 1);
	uint64_t len;
	void *p;

	if (c->map && at >= c->map_at && at + n <= c->map_at + c->map_len)
		return c->map + (at - c->map_at);
	if (at > c->file_size || n > c->file_size - at)
		return NULL;
	if (c->map)
		munmap((void *)c->map, c->map_len);
	len = c->file_size - from < WINDOW ? c->file_size - from : WINDOW;
	p = mmap(NULL, len, PROT_READ, MAP_SHARED, c->s->bytes.fd, (off_t)from);
	c->map = p == MAP_FAILED ? NULL : p;
	c->map_at = from;
	c->map_len = len;
	return c->map ? c->map + (at - from) : NULL;
}

const unsigned char *vl_mapped(const struct vl_cursor *c, size_t *n_ret)
{
	const uint64_t off = c->at - c->piece.at;
	uint64_t in_piece, at, in_map;

	*n_ret = 0;
	if (!c->map || off >= c->piece.size || c->piece.file == VL_HOLE)
		return NULL;
	in_piece = c->piece.size - off;
	at = c->piece.file + off;
	if (at < c->map_at || at - c->map_at >= c->map_len)
		return NULL;
	in_map = c->map_len - (at - c->map_at);
	*n_ret = in_piece < in_map ? in_piece : in_map;
	return c->map + (at - c->map_at);
}

struct vl_error *vl_take(struct vl_cursor *c, size_t n, const unsigned char **ret)
{
	const struct vl_bytes *b = &c->s->bytes;
	int64_t got;

	if (c->at - c->piece.at >= c->piece.size) {
		size_t i = vl_bisect(k, b->nr, b->pieces[k].at <= c->at);

		c->piece = i ? b->pieces[i - 1] : (struct vl_span){ 0 };
	}
	*ret = NULL;
	if (c->piece.file != VL_HOLE && c->at - c->piece.at < c->piece.size &&
	    c->piece.size - (c->at - c->piece.at) >= n)
		*ret = mapped_at(c, c->piece.file + (c->at - c->piece.at), n);
	if (!*ret) {
		got = vl_bytes_read(b, c->at, c->buf, n);
		if (got < 0)
			return vl_error_hint(vl_error_new(VL_ERR_TARGET,
							  "cannot read the stream: %s",
							  strerror(errno)),
					     "is the disk in order?");
		if ((size_t)got < n)
			return vl_cut_off(c);
		*ret = c->buf;
	}
	c->at += n;
	return NULL;
}

struct vl_error *vl_take32(struct vl_cursor *c, uint32_t *ret)
{
	const unsigned char *p;
	struct vl_error *err = vl_take(c, 4, &p);

	if (!err)
		*ret = vl_be32(p);
	return err;
}

struct vl_error *vl_take64(struct vl_cursor *c, uint64_t *ret)
{
	const unsigned char *p;
	struct vl_error *err = vl_take(c, 8, &p);

	if (!err)
		*ret = vl_be64(p);
	return err;
}

struct vl_error *vl_take_name(struct vl_cursor *c, char ret[256])
{
	const unsigned char *p;
	struct vl_error *err = vl_take(c, 1, &p);
	size_t len;

	if (err)
		return err;
	len = *p;
	err = vl_take(c, len, &p);
	if (err)
		return err;
	memcpy(ret, p, len);
	ret[len] = '\0';
	return NULL;
}

struct vl_error *vl_skip(struct vl_cursor *c, uint64_t n)
{
	if (n > c->s->bytes.size || c->at > c->s->bytes.size - n)
		return vl_cut_off(c);
	c->at += n;
	return NULL;
}

void vl_cursor_deinit(struct vl_cursor *c)
{
	if (c->map)
		munmap((void *)c->map, c->map_len);
	for (uint64_t i = 0; i < c->nr_leaves; i++)
		free(c->leaves[i]);
	free(c->leaves);
}

struct vl_error *vl_stream_not_read(const char *what, const char *hint)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "the stream has %s, which is not read", what), "%s",
		hint);
}
