/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LiME's format, and AVML's without compression, which is the same: each range of memory follows a
 * header with its first and last address (LiME doc/README.md, "LiME Memory Range Header Version
 * 1"). What AVML compresses has such headers, too, with its own magic and version 2 (image.rs).
 */
#include "avml.h"

#include <string.h>

#include "../base/array.h"
#include "../base/transfer.h"
#include "index.h"

struct lime_header {
	char magic[4]; /* "EMiL" */
	uint32_t version;
	uint64_t first, last, reserved;
};
_Static_assert(sizeof(struct lime_header) == 32, "as LiME writes it");

/* A machine has some tens of ranges; AVML cuts them into pieces of 16 MiB. */
#define RANGES_MAX 1000000

/* NULL: a header of a kind that is read. */
static struct vl_error *check(const struct lime_header *h, bool *packed_ret)
{
	bool avml = !memcmp(h->magic, "AVML", sizeof(h->magic));

	if (!avml && memcmp(h->magic, "EMiL", sizeof(h->magic)))
		return vl_dump_damaged("there is no header behind a range of memory");
	if (h->version != (avml ? 2 : 1))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "the file is %s image of version %u",
						  avml ? "an AVML" : "a LiME", h->version),
				     "version %d is understood", avml ? 2 : 1);
	if (h->last < h->first || h->last - h->first >= INT64_MAX || h->last == UINT64_MAX)
		return vl_dump_damaged("a range of memory ends before it begins");
	*packed_ret = avml;
	return NULL;
}

/* Whole pages of memory. */
struct range {
	uint64_t gpa, size;
	uint64_t at; /* where they lie in the file; PACKED: in frames of AVML */
};
#define PACKED UINT64_MAX

/* ---- the pass, in a box ---- */

struct pass {
	int fd;
	uint64_t size;
	bool partial;
	struct range *ranges;
	size_t nr, room;
	struct vl_frames_of frames;
};

/* Add the whole pages of a range: /proc/iomem has ranges that end within one. */
static struct vl_error *add(struct pass *p, const struct lime_header *h, uint64_t at)
{
	uint64_t len = h->last - h->first + 1, skip = -h->first % VL_PAGE_SIZE;

	if (len < skip + VL_PAGE_SIZE)
		return NULL;
	if (p->nr == RANGES_MAX)
		return vl_dump_damaged("it has more ranges of memory than any machine");
	if (!vl_grow(p->ranges, p->room, p->nr, 64))
		return vl_error_nomem();
	p->ranges[p->nr++] = (struct range){ h->first + skip, (len - skip) & ~(VL_PAGE_SIZE - 1),
					     at == PACKED ? at : at + skip };
	return NULL;
}

/* Add the range with header @h, whose bytes begin at *@at; *@at becomes their end. */
static struct vl_error *add_range(struct pass *p, const struct lime_header *h, uint64_t *at)
{
	uint64_t len = h->last - h->first + 1;
	struct vl_error *err;
	bool packed;

	err = check(h, &packed);
	if (err)
		return err;
	if (packed) {
		err = vl_avml_add(&p->frames, p->fd, p->size, h->first, len, at);
		if (err && p->partial && p->frames.nr) {
			vl_error_destroy(err);
			*at = p->size;
			err = NULL;
		}
		return err ? err : add(p, h, PACKED);
	}
	if (len > p->size - *at && !p->partial)
		return vl_dump_cut_off(*at + len, p->size);
	err = add(p, h, *at);
	*at = len > p->size - *at ? p->size : *at + len;
	return err;
}

static struct vl_error *add_ranges(struct pass *p)
{
	struct vl_error *err;
	struct lime_header h;
	size_t nr = 0;

	for (uint64_t at = 0; at < p->size;) {
		if (!vl_get_whole(p->fd, &h, sizeof(h), at)) {
			if (!p->nr)
				return vl_dump_truncated(at + sizeof(h), p->size);
			return p->partial ? NULL : vl_dump_cut_off(at + sizeof(h), p->size);
		}
		/* Leave out a range without a whole page. */
		if (++nr > RANGES_MAX)
			return vl_dump_damaged("it has more ranges of memory than any machine");
		at += sizeof(h);
		err = add_range(p, &h, &at);
		if (err)
			return err;
	}
	return p->nr ? NULL : vl_dump_damaged("it holds no memory");
}

static struct vl_error *index_ranges(const struct vl_index_job *job, struct vl_index *ret)
{
	struct pass p = { .fd = job->fd, .size = job->size, .partial = job->partial };
	struct vl_error *err = add_ranges(&p);

	vl_avml_sort(&p.frames);
	if (!err)
		err = vl_index_put_array(ret, p.ranges, p.nr, sizeof(*p.ranges));
	if (!err)
		err = vl_index_put_array(ret, p.frames.frames, p.frames.nr,
					 sizeof(*p.frames.frames));
	free(p.ranges);
	free(p.frames.frames);
	return err;
}

/* ---- with rights ---- */

static struct vl_error *take_ranges(struct vl_target *t, struct vl_dump *d, struct vl_index *ix)
{
	_cleanup_free_ struct vl_frame *frames = NULL;
	_cleanup_free_ struct range *ranges = NULL;
	size_t nr = 0, nr_frames = 0;
	/* In a file that is cut short, a range may end behind the file's end. */
	const uint64_t size = t->partial ? INT64_MAX : d->size;
	uint64_t in_frames = 0;
	struct vl_error *err;

	err = vl_index_take_array(ix, sizeof(*ranges), RANGES_MAX, &ranges, &nr);
	if (!err)
		err = vl_index_take_array(ix, sizeof(*frames), SIZE_MAX, &frames, &nr_frames);
	for (size_t i = 0; !err && i < nr_frames; i++)
		in_frames += frames[i].len;
	for (size_t i = 0; !err && i < nr; i++) {
		const struct range *r = &ranges[i];

		if (!r->size || (r->gpa | r->size) % VL_PAGE_SIZE || r->gpa > INT64_MAX ||
		    r->size > INT64_MAX - r->gpa ||
		    (r->at != PACKED && (r->at > size || r->size > size - r->at)))
			return vl_index_bad();
		/* Otherwise a small file could claim a memory of any size. */
		if (r->at == PACKED && !t->partial && r->size > in_frames)
			return vl_index_bad();
		in_frames -= r->at == PACKED && r->size < in_frames ? r->size : 0;
		err = vl_ram_add(t, &(struct vl_ram){
					    .gpa = r->gpa,
					    .size = r->size,
					    .fd = r->at == PACKED ? -1 : d->fd,
					    .fd_offset = r->at == PACKED ? 0 : r->at,
					    .page_size = VL_PAGE_SIZE,
				    });
	}
	if (!err && !nr)
		err = vl_index_bad();
	if (!err && nr_frames)
		err = vl_avml_set(t, d->fd, vl_taken(frames), nr_frames, t->partial);
	return err ? err : vl_ram_finish(t);
}

struct vl_error *vl_dump_load_lime(struct vl_target *t, struct vl_dump *d)
{
	const struct vl_index_job job = { "lime1", index_ranges, d->fd, 0, d->size, NULL, false };
	struct vl_index ix;
	struct vl_error *err = vl_index_open(t, &job, &ix);

	if (err)
		return err;
	d->open_end = true;
	err = take_ranges(t, d, &ix);
	vl_index_deinit(&ix);
	return err;
}
