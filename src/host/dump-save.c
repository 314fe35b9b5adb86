/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain that libvirt has saved (virsh save, virsh managedsave): a header, the domain's
 * description, and a migration stream, which may be compressed (libvirt
 * src/qemu/qemu_saveimage.h; save_image_format in its qemu.conf).
 */
#include "dump.h"

#include <byteswap.h>
#include <inttypes.h>
#include <string.h>

#include "../base/array.h"
#include "../base/transfer.h"

struct save_header {
	char magic[16];
	uint32_t version;
	uint32_t data_len; /* what is between header and stream */
	uint32_t was_running;
	uint32_t format;
	uint32_t cookie;
	uint32_t unused[14];
};
_Static_assert(sizeof(struct save_header) == 92, "as libvirt writes it");

/* The last version of this header that is known. */
#define SAVE_LAST 3

#define PARTIAL "LibvirtQemudPart"

/* By the number of the format: the program that compressed the stream. */
static const char *const programs[] = {
	NULL,	"gzip", "bzip2", "xz",
	"lzop", "zstd", NULL, /* "sparse": the stream has a fixed place for each page */
};

/* Take the unpacked stream, which is behind @at, in the place of the file. */
static struct vl_error *unpack(struct vl_target *t, struct vl_dump *d, uint64_t at,
			       const char *program)
{
	struct vl_error *err;

	/* The library that unpacks knows no lzop. */
	if (!t->unpack || !strcmp(program, "lzop"))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "the saved domain is compressed by %s", program),
				     "unpack it: tail -c +%" PRIu64 " FILE | %s -dc >FILE.stream",
				     at + 1, program);
	/* The file may itself have been unpacked from another one. */
	err = vl_dump_unpack(t, d, at, "-save");
	return err ? vl_error_prefix(err, "the saved domain is compressed") : NULL;
}

struct vl_error *vl_dump_load_save(struct vl_target *t, struct vl_dump *d)
{
	struct save_header h;
	struct vl_error *err;
	uint64_t at;

	if (!vl_get_whole(d->fd, &h, sizeof(h), 0))
		return vl_dump_truncated(sizeof(h), d->size);
	if (!memcmp(h.magic, PARTIAL, sizeof(h.magic)))
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the saved domain is not complete"),
			"it is still being saved, or that has failed: save it again");
	/* The header has the byte order of the host that saved it. */
	if (h.version > UINT16_MAX) {
		h.version = bswap_32(h.version);
		h.data_len = bswap_32(h.data_len);
		h.format = bswap_32(h.format);
	}
	if (h.version < 1 || h.version > SAVE_LAST)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the saved domain has version %u", h.version),
			"restore it, then: vlens dump GUEST FILE");
	if (h.format >= ARRAY_SIZE(programs))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "the saved domain has an unknown format: %u",
						  h.format),
				     "restore it, then: vlens dump GUEST FILE");
	at = sizeof(h) + (uint64_t)h.data_len;
	if (at >= d->size)
		return vl_dump_truncated(at, d->size);
	if (programs[h.format]) {
		err = unpack(t, d, at, programs[h.format]);
		if (err)
			return err;
		at = 0;
	}
	return vl_dump_load_stream_at(t, d, at);
}
