/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "codec.h"

#include <lzo/lzo1x.h>
#include <string.h>
#include <zlib.h>

#include "library.h"

/* snappy-c.h and zstd.h: a build needs no headers for two functions. */
typedef int snappy_fn(const char *in, size_t len, char *out, size_t *out_len);
typedef size_t zstd_fn(void *out, size_t out_len, const void *in, size_t len);

static const struct {
	struct vl_library library;
	const char *function;
} libraries[VL_NR_CODECS] = {
	[VL_CODEC_ZLIB] = { { "libz.so.1", "zlib", "install zlib (on Debian: zlib1g)" },
			    "uncompress" },
	[VL_CODEC_LZO] = { { "liblzo2.so.2", "liblzo2", "install liblzo2 (on Debian: liblzo2-2)" },
			   "lzo1x_decompress_safe" },
	[VL_CODEC_SNAPPY] = { { "libsnappy.so.1", "libsnappy",
				"install libsnappy (on Debian: libsnappy1v5)" },
			      "snappy_uncompress" },
	[VL_CODEC_ZSTD] = { { "libzstd.so.1", "libzstd", "install libzstd (on Debian: libzstd1)" },
			    "ZSTD_decompress" },
};

const char *vl_codec_name(enum vl_codec_kind kind)
{
	static const char *const names[VL_NR_CODECS] = {
		[VL_CODEC_ZLIB] = "zlib",
		[VL_CODEC_LZO] = "LZO",
		[VL_CODEC_SNAPPY] = "snappy",
		[VL_CODEC_ZSTD] = "zstd",
	};

	return names[kind];
}

struct vl_error *vl_codec_load(enum vl_codec_kind kind, struct vl_codec *ret)
{
	ret->kind = kind;
	return vl_library_load(&libraries[kind].library, &libraries[kind].function, 1, &ret->fn);
}

static bool unpack_zlib(const struct vl_codec *c, const void *in, size_t len, void *out,
			size_t *out_len)
{
	__typeof__(&uncompress) fn = (__typeof__(&uncompress))c->fn;
	uLongf n = *out_len;
	bool ok = fn(out, &n, in, len) == Z_OK;

	*out_len = n;
	return ok;
}

static bool unpack_lzo(const struct vl_codec *c, const void *in, size_t len, void *out,
		       size_t *out_len)
{
	__typeof__(&lzo1x_decompress_safe) fn = (__typeof__(&lzo1x_decompress_safe))c->fn;
	lzo_uint n = *out_len;
	bool ok = fn(in, len, out, &n, NULL) == LZO_E_OK;

	*out_len = n;
	return ok;
}

/* ZSTD_decompress() returns its errors as numbers near SIZE_MAX, above any length. */
static bool unpack_zstd(const struct vl_codec *c, const void *in, size_t len, void *out,
			size_t *out_len)
{
	size_t n = ((zstd_fn *)c->fn)(out, *out_len, in, len);
	bool ok = n <= *out_len;

	*out_len = n;
	return ok;
}

bool vl_codec_unpack(const struct vl_codec *c, const void *in, size_t len, void *out,
		     size_t *out_len)
{
	if (!c->fn)
		return false;
	switch (c->kind) {
	case VL_CODEC_ZLIB:
		return unpack_zlib(c, in, len, out, out_len);
	case VL_CODEC_LZO:
		return unpack_lzo(c, in, len, out, out_len);
	case VL_CODEC_SNAPPY:
		return !((snappy_fn *)c->fn)(in, len, out, out_len);
	case VL_CODEC_ZSTD:
		return unpack_zstd(c, in, len, out, out_len);
	case VL_NR_CODECS:
		break;
	}
	return false;
}
