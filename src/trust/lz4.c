/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lz4.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_MIN 4
/* The format's end conditions: the last 5 bytes are literals, the last match begins 12 before. */
#define LAST_LITERALS 5
#define LAST_MATCH 12
#define DISTANCE_MAX 65535
#define HASH_BITS 16

/* --- packing --- */

static uint32_t word(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Write the rest of a length, of which the token has 15. */
static unsigned char *put_length(unsigned char *out, size_t len)
{
	for (len -= 15; len >= 255; len -= 255)
		*out++ = 255;
	*out++ = (unsigned char)len;
	return out;
}

/* Write @nr literals and, with @len, a match of @len bytes at @distance. */
static unsigned char *put(unsigned char *out, const unsigned char *literals, size_t nr, size_t len,
			  size_t distance)
{
	size_t more = len ? len - MATCH_MIN : 0;

	*out++ = (unsigned char)((nr < 15 ? nr : 15) << 4 | (more < 15 ? more : 15));
	if (nr >= 15)
		out = put_length(out, nr);
	memcpy(out, literals, nr);
	out += nr;
	if (!len)
		return out;
	*out++ = (unsigned char)distance;
	*out++ = (unsigned char)(distance >> 8);
	return more >= 15 ? put_length(out, more) : out;
}

size_t vl_lz4_pack(const unsigned char *bytes, size_t len, unsigned char *out)
{
	uint32_t *last = calloc(1u << HASH_BITS, sizeof(*last)); /* positions + 1 */
	const unsigned char *begin = out;
	size_t at = 0, from = 0;

	if (!last)
		return 0;
	while (len > LAST_MATCH && at < len - LAST_MATCH) {
		uint32_t *slot = &last[word(bytes + at) * 2654435761u >> (32 - HASH_BITS)];
		size_t was = *slot, n = MATCH_MIN;

		*slot = (uint32_t)at + 1;
		if (!was || at + 1 - was > DISTANCE_MAX ||
		    word(bytes + was - 1) != word(bytes + at)) {
			/* Step faster where nothing matches. */
			at += 1 + (at - from) / 64;
			continue;
		}
		was--;
		while (at + n < len - LAST_LITERALS && bytes[was + n] == bytes[at + n])
			n++;
		out = put(out, bytes + from, at - from, n, at - was);
		at += n;
		from = at;
	}
	out = put(out, bytes + from, len - from, 0, 0);
	free(last);
	return (size_t)(out - begin);
}

/* --- unpacking --- */

struct in {
	const unsigned char *at, *end;
};

/* Read the rest of a length whose part in the token is @len; false: the input ends. */
static bool get_length(struct in *in, size_t *len)
{
	unsigned char more = *len == 15 ? 255 : 0;

	while (more == 255) {
		if (in->at == in->end)
			return false;
		more = *in->at++;
		*len += more;
	}
	return true;
}

bool vl_lz4_unpack(const unsigned char *bytes, size_t len, unsigned char *out, size_t out_len)
{
	struct in in = { bytes, bytes + len };
	size_t done = 0;

	while (in.at < in.end) {
		unsigned char token = *in.at++;
		size_t nr = token >> 4, n = token & 15, distance;

		if (!get_length(&in, &nr) || nr > (size_t)(in.end - in.at) || nr > out_len - done)
			return false;
		memcpy(out + done, in.at, nr);
		in.at += nr;
		done += nr;
		if (in.at == in.end)
			return done == out_len;
		if (in.end - in.at < 2)
			return false;
		distance = in.at[0] | (size_t)in.at[1] << 8;
		in.at += 2;
		if (!get_length(&in, &n) || !distance || distance > done)
			return false;
		n += MATCH_MIN;
		if (n > out_len - done)
			return false;
		if (distance >= n) {
			memcpy(out + done, out + done - distance, n);
			done += n;
			continue;
		}
		/* The match overlaps its own copy. */
		for (; n; n--, done++)
			out[done] = out[done - distance];
	}
	return false;
}
