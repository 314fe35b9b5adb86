/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <string.h>

#include "array.h"

/* \xNN */
#define ESCAPE_LEN 4

/*
 * Unicode 15: categories Cf, Zl and Zp without the visible ones (Arabic number signs and the
 * like), fillers, and noncharacters.
 */
static const struct {
	uint32_t first, last;
} unseen[] = {
	{ 0xad, 0xad },	      { 0x34f, 0x34f },	    { 0x61c, 0x61c },	  { 0x115f, 0x1160 },
	{ 0x17b4, 0x17b5 },   { 0x180b, 0x180f },   { 0x200b, 0x200f },	  { 0x2028, 0x202e },
	{ 0x2060, 0x206f },   { 0x3164, 0x3164 },   { 0xfdd0, 0xfdef },	  { 0xfeff, 0xfeff },
	{ 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb },   { 0xfffe, 0xffff },	  { 0x13430, 0x1343f },
	{ 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff },
};

bool vl_text_unseen(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_SIZE(unseen); i++)
		if (c >= unseen[i].first && c <= unseen[i].last)
			return true;
	return false;
}

size_t vl_text_utf8(const char *text, size_t len, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80 ? 1 :
		   s[0] < 0xc2 ? 0 :
		   s[0] < 0xe0 ? 2 :
		   s[0] < 0xf0 ? 3 :
		   s[0] < 0xf5 ? 4 :
				 0;
	uint32_t c;

	if (!n || n > len)
		return 0;
	c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	*ret = c;
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

size_t vl_text_next(const char *text, size_t len, bool *hostile_ret)
{
	uint32_t c;
	size_t n = vl_text_utf8(text, len, &c);

	*hostile_ret = !n || c < ' ' || (c >= 0x7f && c < 0xa0) || vl_text_unseen(c);
	return n ? n : 1;
}

static bool passes(const char *text, size_t len, enum vl_text_kept kept)
{
	uint32_t c;

	if (kept == VL_TEXT_BYTES)
		return !vl_text_utf8(text, len, &c) || !vl_text_unseen(c);
	return !*text || (kept == VL_TEXT_LINES && (*text == '\n' || *text == '\t'));
}

/*
 * The number of bytes at the front of @text that are printable ASCII without a backslash. Nearly
 * all text is, so the slow path is rare.
 */
static size_t plain(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] >= ' ' && text[n] <= '~' && text[n] != '\\')
		n++;
	return n;
}

void vl_text_mask(char *text, size_t len, enum vl_text_kept kept)
{
	for (size_t i = 0, n; i < len; i += n) {
		bool hostile;

		n = plain(text + i, len - i);
		if (n)
			continue;
		n = vl_text_next(text + i, len - i, &hostile);
		if (hostile && !passes(text + i, n, kept))
			memset(text + i, '?', n);
	}
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that \xNN at the front of @text means, or -1. */
static int escaped(const char *text, size_t len)
{
	if (len < ESCAPE_LEN || text[0] != '\\' || text[1] != 'x' || digit(text[2]) < 0 ||
	    digit(text[3]) < 0)
		return -1;
	return digit(text[2]) << 4 | digit(text[3]);
}

/*
 * The number of consecutive \xNN at the front of @text that make up one character; @raw gets its
 * bytes. 0: @text does not begin with an escape.
 */
static size_t escaped_next(const char *text, size_t len, char raw[4], bool *hostile_ret)
{
	size_t nr = 0;
	int byte;

	while (nr < 4 && nr * ESCAPE_LEN < len &&
	       (byte = escaped(text + nr * ESCAPE_LEN, len - nr * ESCAPE_LEN)) > 0)
		raw[nr++] = (char)byte;
	return nr ? vl_text_next(raw, nr, hostile_ret) : 0;
}

/* Does \x5c at the front of @text form an escape with the letters behind it? */
static bool guards(const char *text, size_t len)
{
	return escaped(text, len) == '\\' && len >= 2 * ESCAPE_LEN - 1 && text[ESCAPE_LEN] == 'x' &&
	       digit(text[ESCAPE_LEN + 1]) >= 0 && digit(text[ESCAPE_LEN + 2]) >= 0;
}

struct out {
	char *at; /* NULL: count only */
	size_t len;
};

static void put(struct out *o, const char *text, size_t len)
{
	if (o->at)
		memcpy(o->at + o->len, text, len);
	o->len += len;
}

static void put_escape(struct out *o, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";
	const char text[ESCAPE_LEN] = { '\\', 'x', digits[byte >> 4], digits[byte & 15] };

	put(o, text, sizeof(text));
}

size_t vl_text_escape(const char *text, size_t len, enum vl_text_kept kept, char *out)
{
	struct out o = { .at = out };

	for (size_t i = 0, n; i < len; i += n) {
		char raw[4];
		bool hostile;

		n = plain(text + i, len - i);
		if (n) {
			put(&o, text + i, n);
			continue;
		}
		n = vl_text_next(text + i, len - i, &hostile);
		if (hostile && !passes(text + i, n, kept)) {
			for (size_t k = 0; k < n; k++)
				put_escape(&o, (unsigned char)text[i + k]);
			continue;
		}
		if (text[i] == '\\')
			n = escaped_next(text + i, len - i, raw, &hostile);
		if (text[i] != '\\' || !n) {
			n = n ? n : 1;
			put(&o, text + i, n);
		} else if (hostile || guards(text + i, len - i)) {
			n = ESCAPE_LEN;
			put_escape(&o, '\\');
			put(&o, text + i + 1, n - 1);
		} else {
			n *= ESCAPE_LEN;
			put(&o, text + i, n);
		}
	}
	return o.len;
}

void vl_text_unescape(char *text)
{
	size_t len = strlen(text), out = 0;

	for (size_t i = 0, n; i < len; i += n) {
		bool hostile;
		char raw[4];

		if (guards(text + i, len - i)) {
			/* The letters after \x5c are text, no escape. */
			n = 2 * ESCAPE_LEN - 1;
			text[out++] = '\\';
			memmove(text + out, text + i + ESCAPE_LEN, ESCAPE_LEN - 1);
			out += ESCAPE_LEN - 1;
			continue;
		}
		n = escaped_next(text + i, len - i, raw, &hostile);
		if (n && hostile) {
			memcpy(text + out, raw, n);
			out += n;
			n *= ESCAPE_LEN;
			continue;
		}
		n = n ? n * ESCAPE_LEN : 1;
		memmove(text + out, text + i, n);
		out += n;
	}
	text[out] = 0;
}

size_t vl_text_guard(const char *text, size_t len, char *out)
{
	struct out o = { .at = out };

	for (size_t i = 0, n; i < len; i += n) {
		bool hostile;
		char raw[4];

		n = escaped_next(text + i, len - i, raw, &hostile);
		if (!n || !hostile || passes(raw, n, VL_TEXT_LINES)) {
			n = n ? n * ESCAPE_LEN : 1;
			put(&o, text + i, n);
			continue;
		}
		n *= ESCAPE_LEN;
		for (size_t k = 0; k < n; k += ESCAPE_LEN) {
			put_escape(&o, '\\');
			put(&o, text + i + k + 1, ESCAPE_LEN - 1);
		}
	}
	return o.len;
}
