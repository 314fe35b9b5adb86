/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LiME's format, and AVML's without compression, which is the same: each range of memory follows a
 * header with its first and last address (LiME doc/README.md, "LiME Memory Range Header Version
 * 1"). What AVML compresses has such headers, too, with its own magic and version 2 (image.rs).
 */
#include "avml.h"

#include <string.h>

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

/* Add the whole pages of a range: /proc/iomem has ranges that end within one. */
static struct vl_error *add(struct vl_target *t, const struct lime_header *h, int fd, uint64_t at)
{
	uint64_t len = h->last - h->first + 1, skip = -h->first % VL_PAGE_SIZE;

	if (len < skip + VL_PAGE_SIZE)
		return NULL;
	return vl_ram_add(t, &(struct vl_ram){
				     .gpa = h->first + skip,
				     .size = (len - skip) & ~(VL_PAGE_SIZE - 1),
				     .fd = fd,
				     .fd_offset = fd < 0 ? 0 : at + skip,
				     .page_size = VL_PAGE_SIZE,
			     });
}

/* Add the range with header @h, whose bytes begin at *@at; *@at becomes their end. */
static struct vl_error *add_range(struct vl_target *t, struct vl_dump *d, struct vl_avml **avml,
				  const struct lime_header *h, uint64_t *at)
{
	uint64_t len = h->last - h->first + 1;
	struct vl_error *err;
	bool packed;

	err = check(h, &packed);
	if (err)
		return err;
	if (!packed) {
		if (len > d->size - *at)
			return vl_dump_truncated(*at + len, d->size);
		err = add(t, h, d->fd, *at);
		*at += len;
		return err;
	}
	err = *avml ? NULL : vl_avml_create(d, avml);
	if (!err)
		err = vl_avml_add(*avml, h->first, len, at);
	return err ? err : add(t, h, -1, 0);
}

static struct vl_error *add_ranges(struct vl_target *t, struct vl_dump *d, struct vl_avml **avml)
{
	struct vl_error *err;
	struct lime_header h;
	size_t nr = 0;

	for (uint64_t at = 0; at < d->size;) {
		if (pread(d->fd, &h, sizeof(h), (off_t)at) != (ssize_t)sizeof(h))
			return vl_dump_truncated(at + sizeof(h), d->size);
		if (++nr > RANGES_MAX)
			return vl_dump_damaged("it has more ranges of memory than any machine");
		at += sizeof(h);
		err = add_range(t, d, avml, &h, &at);
		if (err)
			return err;
	}
	return t->nr_ram ? NULL : vl_dump_damaged("it holds no memory");
}

struct vl_error *vl_dump_load_lime(struct vl_target *t, struct vl_dump *d)
{
	struct vl_avml *avml = NULL;
	struct vl_error *err = add_ranges(t, d, &avml);

	if (err) {
		vl_avml_destroy(avml);
		return err;
	}
	if (avml)
		err = vl_avml_set(t, avml);
	return err ? err : vl_ram_finish(t);
}
