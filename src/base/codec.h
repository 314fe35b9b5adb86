/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unpacks blocks of compressed data, each alone. The libraries are loaded when they are first
 * needed: before a process gives up its rights, as it can open no file after that.
 */
#ifndef VLENS_BASE_CODEC_H
#define VLENS_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "../error.h"

enum vl_codec_kind { VL_CODEC_ZLIB, VL_CODEC_LZO, VL_CODEC_SNAPPY, VL_CODEC_ZSTD, VL_NR_CODECS };

struct vl_codec {
	enum vl_codec_kind kind;
	void (*fn)(void); /* NULL: not loaded */
};

/* The name of @kind, for a user. */
const char *vl_codec_name(enum vl_codec_kind kind);

/* Load the library of @kind. VL_ERR_OS: it is not installed; the hint names its package. */
struct vl_error *vl_codec_load(enum vl_codec_kind kind, struct vl_codec *ret);

/*
 * Unpack @len bytes at @in, which may be anything, to @out. *@out_len is the room there, and
 * becomes the number of bytes. False: they are damaged, or unpack to more than that.
 */
bool vl_codec_unpack(const struct vl_codec *c, const void *in, size_t len, void *out,
		     size_t *out_len);

#endif
