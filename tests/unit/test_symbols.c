/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of symbols that are decoded without an image: the smallest, the largest, one too many. */
#include <stdlib.h>
#include <string.h>

#include "../../src/kernel/kallsyms.h"
#include "tap.h"

#define VA 0xffffffff81000000UL
#define SMALL_TOKENS (VL_TOKENS_MAX + 1)

/* Tables of a few symbols. Token 0 looks like a name, 1 has @wide characters, 2 has none. */
struct small {
	unsigned char names[2048], tokens[SMALL_TOKENS], offsets[16];
	struct vl_kallsyms_tables t;
};

/* @nr names, each of @len tokens @token; token 255 begins at @last, or right behind the others. */
static void fill_small(struct small *s, uint32_t nr, size_t len, unsigned char token, size_t wide,
		       size_t last)
{
	unsigned char *n = s->names, *t = s->tokens;

	memset(s, 0, sizeof(*s));
	for (uint32_t i = 0; i < nr; i++) {
		if (len > 127)
			*n++ = (unsigned char)(0x80 | (len & 0x7f));
		*n++ = (unsigned char)(len > 127 ? len >> 7 : len);
		memset(n, token, len);
		n += len;
	}
	memset(t, 1, 2);
	memset(t + 3, 'a', wide);
	t += 3 + wide + 1 + 252; /* 2 to 253 are empty */
	if (last) {
		memset(t, 'b', (size_t)(s->tokens + last - 1 - t));
		t = s->tokens + last - 1;
	}
	t += 2;
	s->t = (struct vl_kallsyms_tables){ .form = VL_KALLSYMS_BASE,
					    .nr = nr,
					    .names = { s->names, (size_t)(n - s->names) },
					    .tokens = { s->tokens, (size_t)(t - s->tokens) },
					    .offsets = { s->offsets, 4 * (size_t)nr } };
}

static bool refused(const struct vl_kallsyms_tables *t)
{
	struct vl_symbols d;
	bool decoded = vl_kallsyms_decode(t, VA, &d);

	if (decoded)
		vl_symbols_deinit(&d);
	return !decoded;
}

/* Does each name decode to @len characters? */
static bool decodes(const struct small *s, size_t len)
{
	struct vl_symbols d;
	bool good = vl_kallsyms_decode(&s->t, VA, &d);

	if (!good)
		return false;
	good = d.text_len == d.nr * (len + 1);
	for (uint32_t i = 0; good && i < d.nr; i++)
		good = strspn(d.text + d.name_at[i], "a") == len && !d.text[d.name_at[i] + len];
	vl_symbols_deinit(&d);
	return good;
}

static void test_small(void)
{
	struct small *s = malloc(sizeof(*s));

	if (!s)
		exit(99);
	fill_small(s, 2, 1, 1, 2, 0);
	ok(decodes(s, 1), "the shortest name");
	s->t.nr = 3;
	s->t.offsets.len = 12;
	ok(refused(&s->t), "more symbols than names");
	s->t.nr = 2;
	ok(refused(&s->t), "more offsets than symbols");
	fill_small(s, 0, 1, 1, 2, 0);
	ok(refused(&s->t), "no symbols");
	fill_small(s, 2, 1, 1, 1, 0);
	ok(refused(&s->t), "a type without a name");
	fill_small(s, 2, 512, 1, 1, 0);
	ok(decodes(s, 511), "the longest name");
	fill_small(s, 2, 257, 1, 2, 0);
	ok(refused(&s->t), "a longer one");
	fill_small(s, 2, 513, 2, 1, 0);
	memset(s->names + 2, 1, 2);
	memset(s->names + s->t.names.len / 2 + 2, 1, 2);
	ok(refused(&s->t), "one of too many tokens");
	fill_small(s, 2, 1, 1, 2, UINT16_MAX);
	ok(decodes(s, 1), "the last token begins where an index can just say it");
	fill_small(s, 2, 1, 1, 2, UINT16_MAX + 1);
	ok(refused(&s->t), "one byte further on");
	fill_small(s, 2, 1, 1, 2, 0);
	s->t.tokens.len = VL_TOKENS_MAX;
	ok(decodes(s, 1), "the most bytes of tokens");
	s->t.tokens.len++;
	ok(refused(&s->t), "one more");
	free(s);
}

/* @nr names, each of @len tokens: all are token 1, but the first one of each is @first. */
static size_t put_names(unsigned char *names, uint32_t nr, size_t len, unsigned char first)
{
	unsigned char *n = names;

	for (uint32_t i = 0; i < nr; i++) {
		n[0] = (unsigned char)len;
		n[1] = first;
		memset(n + 2, 1, len - 1);
		n += 1 + len;
	}
	return (size_t)(n - names);
}

static bool fits(const struct vl_kallsyms_tables *t, size_t text)
{
	struct vl_symbols d;
	bool good = vl_kallsyms_decode(t, VA, &d);

	if (good) {
		good = d.nr == t->nr && d.text_len == text;
		vl_symbols_deinit(&d);
	}
	return good;
}

/* As many symbols as are allowed, of as many bytes, with as much text: and one too many of each. */
static void test_largest(void)
{
	const uint32_t nr = VL_SYMBOLS_MAX;
	const size_t len = VL_NAMES_MAX / nr - 1, text = 2 * VL_NAMES_MAX;
	unsigned char *names = malloc(VL_NAMES_MAX + 1), *offsets = calloc(nr + 1, 4);
	unsigned char tokens[600] = "\1\1\0aa\0aaaa\0aaaaa";
	struct vl_kallsyms_tables t = { .form = VL_KALLSYMS_BASE,
					.nr = nr,
					.tokens = { tokens, sizeof(tokens) },
					.offsets = { offsets, 4 * (size_t)nr } };

	if (!names || !offsets)
		exit(99);
	/* 14 tokens of 2 characters and one of 4. */
	t.names = (struct vl_kallsyms_bytes){ names, put_names(names, nr, len, 2) };
	ok(t.names.len == VL_NAMES_MAX && fits(&t, text), "the largest tables");
	names[1] = 3;
	ok(refused(&t), "a character more");
	t.names.len = put_names(names, 1, len + 1, 1);
	t.names.len += put_names(names + t.names.len, nr - 1, len, 2);
	ok(t.names.len == VL_NAMES_MAX + 1 && refused(&t), "a byte of a name more");
	t.nr = nr + 1;
	t.offsets.len += 4;
	t.names.len = put_names(names, t.nr, 2, 1);
	ok(refused(&t), "a symbol more");
	free(names);
	free(offsets);
}

int main(void)
{
	test_small();
	test_largest();
	return tap_end();
}
