/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LiME's format, and AVML's without compression, which is the same: each range of memory follows a
 * header with its first and last address (LiME doc/README.md, "LiME Memory Range Header Version
 * 1").
 */
#include "dump.h"

#include <string.h>

struct lime_header {
	char magic[4]; /* "EMiL" */
	uint32_t version;
	uint64_t first, last, reserved;
};
_Static_assert(sizeof(struct lime_header) == 32, "as LiME writes it");

/* A machine has some tens of ranges; AVML cuts them into pieces of 16 MiB. */
#define RANGES_MAX 1000000

static struct vl_error *bad(const char *what)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the LiME image is damaged: %s", what),
			     "make the image again");
}

struct vl_error *vl_dump_load_lime(struct vl_target *t, struct vl_dump *d)
{
	struct lime_header h;
	size_t nr = 0;

	for (uint64_t at = 0; at < d->size;) {
		struct vl_error *err;
		uint64_t len, skip;

		if (pread(d->fd, &h, sizeof(h), (off_t)at) != (ssize_t)sizeof(h))
			return vl_dump_truncated(at + sizeof(h), d->size);
		if (memcmp(h.magic, "EMiL", sizeof(h.magic)))
			return bad("there is no header behind a range of memory");
		if (h.version != 1)
			return vl_error_hint(vl_error_new(VL_ERR_TARGET,
							  "the file is a LiME image of version %u",
							  h.version),
					     "version 1 is understood");
		if (++nr > RANGES_MAX)
			return bad("it has more ranges of memory than any machine");
		if (h.last < h.first || h.last - h.first >= INT64_MAX)
			return bad("a range of memory ends before it begins");
		at += sizeof(h);
		len = h.last - h.first + 1;
		if (len > d->size - at)
			return vl_dump_truncated(at + len, d->size);
		/* Only whole pages count: /proc/iomem has ranges that end within one. */
		skip = -h.first % VL_PAGE_SIZE;
		if (len >= skip + VL_PAGE_SIZE) {
			err = vl_ram_add(t, &(struct vl_ram){
						    .gpa = h.first + skip,
						    .size = (len - skip) & ~(VL_PAGE_SIZE - 1),
						    .fd = d->fd,
						    .fd_offset = at + skip,
						    .page_size = VL_PAGE_SIZE,
					    });
			if (err)
				return err;
		}
		at += len;
	}
	if (!t->nr_ram)
		return bad("it holds no memory");
	return vl_ram_finish(t);
}
