/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lzop.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/codec.h"

/* lzop's format (its conf.h). A block has at most 64 MiB. */
#define BLOCK_MAX (64u << 20)
#define WITH_LEVEL 0x0940
#define FLAG_FILTER 0x800
#define FLAGS_SUM_OUT (0x1 | 0x100) /* Adler-32 or CRC-32 of a block's data */
#define FLAGS_SUM_IN (0x2 | 0x200)  /* likewise of the compressed data */

static const unsigned char magic[9] = { 0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n' };

struct in {
	const unsigned char *at;
	size_t left;
	bool bad;
};

bool vl_is_lzop(const unsigned char *bytes, size_t len)
{
	return len >= sizeof(magic) && !memcmp(bytes, magic, sizeof(magic));
}

static const unsigned char *take(struct in *in, size_t len)
{
	const unsigned char *p = in->at;

	if (len > in->left) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	in->left -= len;
	return p;
}

/* Read a big-endian number of @len bytes. */
static uint32_t number(struct in *in, size_t len)
{
	const unsigned char *p = take(in, len);
	uint32_t v = 0;

	for (size_t i = 0; p && i < len; i++)
		v = v << 8 | p[i];
	return v;
}

static size_t nr_sums(uint32_t flags, uint32_t of)
{
	return (size_t)__builtin_popcount(flags & of);
}

/* Skip the file's header. Returns its flags. */
static uint32_t head(struct in *in)
{
	uint32_t version, flags;

	take(in, sizeof(magic));
	version = number(in, 2);
	take(in, 2);
	if (version >= WITH_LEVEL)
		take(in, 2);
	take(in, 1);
	if (version >= WITH_LEVEL)
		take(in, 1);
	flags = number(in, 4);
	if (flags & FLAG_FILTER)
		take(in, 4);
	take(in, version >= WITH_LEVEL ? 12 : 8);
	take(in, number(in, 1));
	take(in, 4);
	return flags;
}

static struct vl_error *damaged(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "it is damaged: not lzop's format"),
			     "fetch the file again from its distribution");
}

struct vl_error *vl_lzop(const unsigned char *bytes, size_t len, size_t max, unsigned char **ret,
			 size_t *len_ret)
{
	struct vl_codec lzo;
	struct vl_error *err = vl_codec_load(VL_CODEC_LZO, &lzo);
	struct in in = { bytes, len, false };
	_cleanup_free_ unsigned char *buf = NULL;
	size_t done = 0;
	uint32_t flags;

	if (err)
		return err;
	flags = head(&in);
	while (!in.bad) {
		uint32_t out = number(&in, 4), packed = out ? number(&in, 4) : 0;
		const unsigned char *p;
		unsigned char *more;
		size_t n = out;

		if (!out)
			break;
		take(&in, 4 * nr_sums(flags, FLAGS_SUM_OUT));
		if (packed < out)
			take(&in, 4 * nr_sums(flags, FLAGS_SUM_IN));
		p = take(&in, packed);
		if (in.bad || out > BLOCK_MAX || packed > out || out > max - done)
			return damaged();
		more = realloc(buf, done + out + 1);
		if (!more)
			return vl_error_nomem();
		buf = more;
		if (packed == out)
			memcpy(buf + done, p, out);
		else if (!vl_codec_unpack(&lzo, p, packed, buf + done, &n) || n != out)
			return damaged();
		done += out;
	}
	if (in.bad || !done)
		return damaged();
	*len_ret = done;
	*ret = vl_taken(buf);
	return NULL;
}
