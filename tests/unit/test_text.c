/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text of a guest: nothing hostile passes, and what was escaped can be had back. */
#include <stdlib.h>
#include <string.h>

#include "../../src/base/text.h"
#include "../../src/view/users.h"
#include "base/array.h"
#include "tap.h"

#define ROUNDS 200000

static bool escapes_to(const char *text, const char *want)
{
	char out[256];
	size_t n = vl_text_escape(text, strlen(text), VL_TEXT_WORD, out);

	return n == strlen(want) && !memcmp(out, want, n);
}

static bool masks_to(const char *text, enum vl_text_kept kept, const char *want)
{
	char buf[256];

	strcpy(buf, text);
	vl_text_mask(buf, strlen(buf), kept);
	return !strcmp(buf, want);
}

static bool has_hostile(const char *text, size_t len)
{
	bool hostile = false;

	for (size_t i = 0; i < len && !hostile;)
		i += vl_text_next(text + i, len - i, &hostile);
	return hostile;
}

/* Text out of pieces that could be taken for each other. */
static size_t make(char *text)
{
	static const char *const pieces[] = { "\\",   "x",    "5c",    "1b",	"\x1b",
					      "\xe2", "\x80", "\xae",  "e2",	"80",
					      "ae",   "c3",   "a9",    "\xc3",	"\xa9",
					      "a",    "\\x",  "\\x5c", "\\x1b", "\\xc3\\xa9" };
	size_t len = 0, nr = 1 + (size_t)rand() % 9;

	while (nr--) {
		const char *p = pieces[(size_t)rand() % ARRAY_SIZE(pieces)];

		memcpy(text + len, p, strlen(p));
		len += strlen(p);
	}
	text[len] = 0;
	return len;
}

static bool round_trips(void)
{
	char text[128], out[512];

	for (int i = 0; i < ROUNDS; i++) {
		size_t len = make(text), n = vl_text_escape(text, len, VL_TEXT_WORD, out);

		if (n > 4 * len || n != vl_text_escape(text, len, VL_TEXT_WORD, NULL) ||
		    has_hostile(out, n)) {
			printf("# %s\n", text);
			return false;
		}
		out[n] = 0;
		vl_text_unescape(out);
		if (strcmp(out, text)) {
			printf("# '%s' came back as '%s'\n", text, out);
			return false;
		}
	}
	return true;
}

static bool is_hostile(const char *text)
{
	bool hostile;

	return vl_text_next(text, strlen(text), &hostile) == strlen(text) && hostile;
}

static bool is_utf8(const char *text, size_t len, uint32_t want)
{
	uint32_t c;

	return vl_text_utf8(text, strlen(text), &c) == len && c == want;
}

static bool guards_to(const char *text, const char *want)
{
	char out[64];
	size_t n = vl_text_guard(text, strlen(text), out);

	return n == strlen(want) && !memcmp(out, want, n);
}

static bool unescapes_to(const char *text, const char *want)
{
	char buf[64];

	strcpy(buf, text);
	vl_text_unescape(buf);
	return !strcmp(buf, want);
}

static void limits(void)
{
	uint32_t c;

	ok(is_utf8("\xc2\x80", 2, 0x80) && is_utf8("\xdf\xbf", 2, 0x7ff) &&
		   is_utf8("\xe0\xa0\x80", 3, 0x800) && is_utf8("\xef\xbf\xbf", 3, 0xffff) &&
		   is_utf8("\xf0\x90\x80\x80", 4, 0x10000) &&
		   is_utf8("\xf4\x8f\xbf\xbf", 4, 0x10ffff) && is_utf8("\x7f", 1, 0x7f),
	   "the first and the last character of each length");
	ok(!vl_text_utf8("\xe0\x9f\xbf", 3, &c) && !vl_text_utf8("\xf0\x8f\xbf\xbf", 4, &c) &&
		   !vl_text_utf8("\xf4\x90\x80\x80", 4, &c) && !vl_text_utf8("\xed\xa0\x80", 3, &c),
	   "one that is too long, too large, a surrogate");
	ok(guards_to("a\\x1bz", "a\\x5cx1bz") &&
		   guards_to("\\xe2\\x80\\xae", "\\x5cxe2\\x5cx80\\x5cxae") &&
		   guards_to("\\x0a\\xc3\\xa9\\x", "\\x0a\\xc3\\xa9\\x") && guards_to("", ""),
	   "escapes of what is hostile are escaped once more");
	ok(unescapes_to("\\x5cxg1", "\\x5cxg1") && unescapes_to("\\x5cx1g", "\\x5cx1g") &&
		   unescapes_to("\\x5cx1ba", "\\x1ba"),
	   "a backslash is escaped in front of an escape only");
}

static bool is_named(const struct vl_users *u, uint32_t uid, const char *want)
{
	const char *name = vl_users_name(u, uid);

	return want ? name && !strcmp(name, want) : !name;
}

static bool has_id(const struct vl_users *u, const char *name, uint32_t want)
{
	uint32_t id;

	return vl_users_id(u, name, &id) && id == want;
}

static void users(void)
{
	static const char text[] = "root:x:0:0::/root:/bin/sh\n\n:x:7::\nalice:x:4242:1::\n"
				   "toor:x:0:0\nsp ace:x:1:1\nesc\x1b[1m:x:2:2\nshort:3\n"
				   "neg:x:-1:1\nbig:x:4294967296:1\nlast:x:4294967294:1\n"
				   "verylongnameverylongnameverylongna:x:5:5\nend:x:9";
	struct vl_users *u = vl_users_parse(text, sizeof(text) - 1);
	uint32_t id;

	ok(is_named(u, 0, "root"), "the first of two users with one id");
	ok(is_named(u, 4242, "alice") && is_named(u, 4294967294, "last"), "users");
	ok(is_named(u, 9, "end"), "a line without an end");
	ok(is_named(u, 1, NULL) && is_named(u, 2, NULL) && is_named(u, 5, NULL),
	   "names that nobody has");
	ok(is_named(u, 7, NULL) && is_named(u, 3, NULL) && is_named(u, 4294967295, NULL),
	   "lines that are none");
	ok(has_id(u, "alice", 4242) && has_id(u, "toor", 0) && has_id(u, "end", 9),
	   "ids by names, also the second of an id");
	ok(!vl_users_id(u, "esc", &id) && !vl_users_id(u, "", &id) &&
		   !vl_users_id(NULL, "root", &id),
	   "names without an id");
	vl_users_destroy(u);
	ok(!vl_users_parse("", 0) && !vl_users_parse("\n\n", 2) && is_named(NULL, 0, NULL),
	   "no user at all");
}

int main(void)
{
	static const char *const bad[] = {
		"\x1b",		"\x7f",		"\n",		"\xc2\x9b",	"\xff",
		"\xc0",		"\xd8",		"\xe2\x80\x8e", "\xe2\x80\x8f", "\xd8\x9c",
		"\xe2\x80\xaa", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9", "\xe2\x80\x8b",
		"\xe2\x80\x8d", "\xef\xbb\xbf", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xf3\xa0\x81\x81"
	};
	static const char *const good[] = {
		"a", " ", "~", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80", "\xd7\x90"
	};
	char text[] = "a\0\x1b\0b";

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(is_hostile(bad[i]), "hostile %zu", i);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ok(!is_hostile(good[i]), "not hostile %zu", i);
	limits();
	ok(escapes_to("a\x1b[31mb", "a\\x1b[31mb"), "a control character");
	ok(escapes_to("x\xe2\x80\xaetxt", "x\\xe2\\x80\\xaetxt"), "a mark of direction");
	ok(escapes_to("\xc3\xa9\xff", "\xc3\xa9\\xff"), "a byte that is no UTF-8");
	ok(escapes_to("lit\\x1b", "lit\\x5cx1b"), "a name with an escape in it");
	ok(escapes_to("dev-disk\\x2dby\\x5cx2", "dev-disk\\x2dby\\x5cx2"),
	   "names of systemd's units stay");
	ok(escapes_to("\\xc3\\xa9", "\\xc3\\xa9"), "an escaped letter stays");
	ok(masks_to("a\x1b\n\t\xe2\x80\xae\xc3\xa9", VL_TEXT_WORD, "a??\?\?\?\?\xc3\xa9"),
	   "one '?' a byte");
	ok(masks_to("a\x1b\n\t", VL_TEXT_LINES, "a?\n\t"), "lines pass where they may");
	ok(masks_to("a\x1b\xff\xe2\x80\xae", VL_TEXT_BYTES, "a\x1b\xff??\?"),
	   "what iswprint() denies passes where it is asked");
	vl_text_mask(text, sizeof(text) - 1, VL_TEXT_WORD);
	ok(!memcmp(text, "a\0?\0b", sizeof(text)), "NUL passes");
	ok(round_trips(), "what was escaped comes back");
	users();
	return tap_end();
}
