/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream.h"

#include <errno.h>
#include <string.h>

#include "../base/bisect.h"
#include "../base/transfer.h"
#include "internal.h"

/* ---- bytes ---- */

struct vl_error *vl_bytes_add(struct vl_bytes *b, uint64_t file, uint64_t size)
{
	struct vl_span *last = b->nr ? &b->pieces[b->nr - 1] : NULL, *more;

	if (last && (file == VL_HOLE ? last->file == VL_HOLE :
				       last->file != VL_HOLE && last->file + last->size == file)) {
		last->size += size;
		b->size += size;
		return NULL;
	}
	/* The sizes at which the array grows are the powers of two. */
	if (!(b->nr & (b->nr - 1))) {
		more = reallocarray(b->pieces, b->nr ? 2 * b->nr : 1, sizeof(*more));
		if (!more)
			return vl_error_nomem();
		b->pieces = more;
	}
	b->pieces[b->nr++] = (struct vl_span){ b->size, size, file };
	b->size += size;
	return NULL;
}

struct vl_error *vl_bytes_whole(struct vl_bytes *b, int fd, uint64_t at, uint64_t end)
{
	*b = (struct vl_bytes){ .fd = fd };
	return end > at ? vl_bytes_add(b, at, end - at) : NULL;
}

int64_t vl_bytes_read(const struct vl_bytes *b, uint64_t at, void *buf, size_t len)
{
	size_t done = 0, i = vl_bisect(k, b->nr, b->pieces[k].at <= at);

	for (i -= !!i; i < b->nr && done < len; i++) {
		const struct vl_span *p = &b->pieces[i];
		uint64_t off = at + done - p->at;
		size_t n, got;

		if (off >= p->size)
			break;
		n = len - done < p->size - off ? len - done : p->size - off;
		if (p->file == VL_HOLE) {
			memset((char *)buf + done, 0, n);
			done += n;
			continue;
		}
		got = vl_get_at(b->fd, (char *)buf + done, n, p->file + off);
		done += got;
		if (got < n)
			return errno ? -1 : (int64_t)done;
	}
	return (int64_t)done;
}

void vl_bytes_deinit(struct vl_bytes *b)
{
	free(b->pieces);
	*b = (struct vl_bytes){ .fd = -1 };
}

/* ---- the index ---- */

struct vl_error *vl_stream_put(const struct vl_stream *s, struct vl_index *ret)
{
	const uint64_t sizes[] = { s->low, s->high, s->cut };
	struct vl_error *err = vl_index_put(ret, sizes, sizeof(sizes));

	if (!err)
		err = vl_index_put_array(ret, s->bytes.pieces, s->bytes.nr, sizeof(struct vl_span));
	if (!err)
		err = vl_index_put_array(ret, s->blocks, s->nr_blocks, sizeof(*s->blocks));
	if (!err)
		err = vl_index_put_array(ret, s->runs, s->nr_runs, sizeof(*s->runs));
	if (!err)
		err = vl_index_put_array(ret, s->vcpus, s->nr_vcpus, sizeof(*s->vcpus));
	if (!err)
		err = vl_index_put_array(ret, s->registers, s->nr_vcpus, sizeof(*s->registers));
	return err;
}

/* The pass has checked this, but the process that made it may have been taken over by the file. */
static bool is_sound(const struct vl_stream *s, const uint64_t *sizes)
{
	uint64_t end = 0, total = 0;

	if (!s->nr_blocks || sizes[0] > 1ULL << 32 || sizes[1] > 1ULL << 56)
		return false;
	for (size_t i = 0; i < s->bytes.nr; i++) {
		const struct vl_span *p = &s->bytes.pieces[i];

		if (p->at != end || !p->size || p->size > INT64_MAX - end)
			return false;
		end += p->size;
	}
	for (size_t i = 0; i < s->nr_blocks; i++) {
		const struct vl_block *b = &s->blocks[i];

		if (!memchr(b->name, '\0', sizeof(b->name)) || !b->size || b->size % VL_PAGE_SIZE ||
		    b->size / VL_PAGE_SIZE > VL_STREAM_PAGES_MAX - total)
			return false;
		total += b->size / VL_PAGE_SIZE;
	}
	end = 0;
	for (size_t i = 0; i < s->nr_runs; i++) {
		const struct vl_page_run *r = &s->runs[i];

		if (r->page < end || r->page >= total || !r->nr || r->nr > total - r->page)
			return false;
		end = r->page + r->nr;
	}
	return true;
}

struct vl_error *vl_stream_open(struct vl_index *ix, int fd, struct vl_stream *ret)
{
	struct vl_error *err = NULL;
	uint64_t sizes[3];
	size_t nr;

	*ret = (struct vl_stream){ .bytes.fd = fd };
	if (!vl_index_take(ix, sizes, sizeof(sizes)))
		return vl_index_bad();
	err = vl_index_take_array(ix, sizeof(*ret->bytes.pieces), SIZE_MAX, &ret->bytes.pieces,
				  &ret->bytes.nr);
	if (!err)
		err = vl_index_take_array(ix, sizeof(*ret->blocks), VL_BLOCKS_MAX, &ret->blocks,
					  &ret->nr_blocks);
	if (!err)
		err = vl_index_take_array(ix, sizeof(*ret->runs), SIZE_MAX, &ret->runs,
					  &ret->nr_runs);
	if (!err)
		err = vl_index_take_array(ix, sizeof(*ret->vcpus), SIZE_MAX, &ret->vcpus, &nr);
	if (!err)
		err = vl_index_take_array(ix, sizeof(*ret->registers), nr, &ret->registers,
					  &ret->nr_vcpus);
	if (!err && (nr != ret->nr_vcpus || !is_sound(ret, sizes)))
		err = vl_index_bad();
	ret->low = sizes[0];
	ret->high = sizes[1];
	ret->cut = sizes[2];
	for (size_t i = 0; i < ret->bytes.nr; i++)
		ret->bytes.size += ret->bytes.pieces[i].size;
	return err;
}

/* The run that @page is in, or the first behind it; its number is nr_runs if there is none. */
static size_t run_at(const struct vl_stream *s, uint64_t page)
{
	return vl_bisect(i, s->nr_runs, s->runs[i].page + s->runs[i].nr <= page);
}

bool vl_stream_has_page(const struct vl_stream *s, uint64_t page)
{
	const size_t i = run_at(s, page);

	return !s->cut || (i < s->nr_runs && page >= s->runs[i].page);
}

uint64_t vl_stream_count_pages(const struct vl_stream *s, uint64_t first, uint64_t nr)
{
	const uint64_t end = first + nr;
	uint64_t found = 0;

	if (!s->cut)
		return nr;
	for (size_t i = run_at(s, first); i < s->nr_runs && s->runs[i].page < end; i++) {
		uint64_t from = s->runs[i].page > first ? s->runs[i].page : first;
		uint64_t to = s->runs[i].page + s->runs[i].nr;

		found += (to < end ? to : end) - from;
	}
	return found;
}

bool vl_stream_read_page(const struct vl_stream *s, uint64_t page, void *buf)
{
	const size_t i = run_at(s, page);
	const struct vl_page_run *r = i < s->nr_runs ? &s->runs[i] : NULL;

	if (!r || page < r->page || r->at & VL_FILLED) {
		memset(buf, r && page >= r->page ? (unsigned char)r->at : 0, VL_PAGE_SIZE);
		return true;
	}
	errno = 0;
	return vl_bytes_read(&s->bytes, r->at + (page - r->page) * r->step, buf, VL_PAGE_SIZE) ==
	       (int64_t)VL_PAGE_SIZE;
}

uint64_t vl_stream_next_page(const struct vl_stream *s, uint64_t page)
{
	const size_t i = run_at(s, page);

	if (i == s->nr_runs)
		return UINT64_MAX;
	return s->runs[i].page > page ? s->runs[i].page : page;
}

void vl_stream_deinit(struct vl_stream *s)
{
	free(s->blocks);
	free(s->runs);
	free(s->vcpus);
	free(s->registers);
	vl_bytes_deinit(&s->bytes);
	*s = (struct vl_stream){ .bytes.fd = -1 };
}
