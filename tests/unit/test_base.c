/* SPDX-License-Identifier: GPL-2.0-or-later */
/* src/base/: the clock, cleanup attributes, arrays, libraries, numbers, text. */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/append.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/library.h"
#include "base/number.h"
#include "base/process.h"
#include "base/suggest.h"
#include "tap.h"

static void test_clock(void)
{
	static const uint64_t some[] = { 0, 1, 999999999, 1000000000, 1000000001, 86400000000000 };
	uint64_t before = vl_now_ns();
	bool same = true;

	for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
		struct timespec ts = vl_ns_timespec(some[i]);

		same = same && ts.tv_nsec < VL_NSEC_PER_SEC && vl_timespec_ns(ts) == some[i];
	}
	ok(same, "nanoseconds and a struct timespec are one and the same");
	ok(vl_ns_timespec(1500000000).tv_sec == 1 &&
		   vl_ns_timespec(1500000000).tv_nsec == 500000000,
	   "1.5 s are a second and a half");
	ok(before && vl_now_ns() >= before, "the clock does not go back");
	ok(vl_clock_ns(CLOCK_REALTIME) > 1000000000 * (uint64_t)VL_NSEC_PER_SEC,
	   "the time of day counts from 1970");
}

/* A wait of @ns, as of a slow file. */
static void wait_for(struct vl_waits *w, long ns)
{
	const struct timespec ts = vl_ns_timespec((uint64_t)ns);
	const uint64_t begun = vl_wait_begin(w);

	if (ns)
		nanosleep(&ts, NULL);
	vl_wait_end(w, begun);
}

static void test_waits(void)
{
	const struct timespec ts = { .tv_nsec = 30 * VL_NSEC_PER_MSEC };
	struct vl_waits w = { 0 };
	struct vl_deadline all, besides;
	uint64_t ns, begun;

	wait_for(&w, 0);
	ok(!vl_waited_ns(&w) && !vl_waited_ns(NULL), "what ends at once is no wait");
	wait_for(&w, 20 * VL_NSEC_PER_MSEC);
	ns = vl_waited_ns(&w);
	ok(ns >= 20 * VL_NSEC_PER_MSEC && ns == vl_waited_ns(&w),
	   "a wait counts when it has ended");
	all = vl_deadline_in(10 * VL_NSEC_PER_MSEC);
	besides = vl_deadline_besides(all, &w);
	begun = vl_wait_begin(&w);
	nanosleep(&ts, NULL);
	ok(vl_waited_ns(&w) >= ns + 30 * VL_NSEC_PER_MSEC, "and while it lasts");
	ok(vl_late(all) && !vl_late(besides) && vl_left_ns(besides) && !vl_left_ns(all),
	   "a deadline besides these waits is later by them");
	vl_wait_end(&w, begun);
	ok(!vl_late(besides), "also when they have ended");
	nanosleep(&ts, NULL);
	ok(vl_late(besides) && !vl_left_ns(besides), "and is late after other time");
}

/* Open /dev/null and copy a string in a scope of their own; @keep: hand both on. */
static int own(bool keep, char **text_ret)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), none = -1;
	_cleanup_free_ char *text = strdup("text");
	_cleanup_error_ struct vl_error *err = vl_error_new(VL_ERR_ARG, "an error");

	if (!keep)
		return fd;
	*text_ret = vl_taken(text);
	return text || none >= 0 || !err ? -1 : vl_taken_fd(&fd);
}

static void test_cleanup(void)
{
	_cleanup_free_ char *text = NULL;
	int fd = own(false, &text);

	ok(fd >= 0 && fcntl(fd, F_GETFD) < 0 && !text, "a descriptor is closed with its scope");
	fd = own(true, &text);
	ok(fd >= 0 && !fcntl(fd, F_SETFD, 0) && text && !strcmp(text, "text"),
	   "what is handed on stays");
	close(fd);
}

/* ASan ends a program that asks for more memory than there can be. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void test_grow(void)
{
	_cleanup_free_ uint16_t *v = NULL;
	/* Volatile: gcc warns of a constant that is too large. */
	const volatile size_t huge = SIZE_MAX / 4;
	size_t nr = 0, cap = 0, grown = 0;
	bool same = true;

	while (nr < 100) {
		size_t was = cap;

		if (!vl_grow(v, cap, nr, 4))
			break;
		grown += cap != was;
		v[nr] = (uint16_t)nr;
		nr++;
	}
	for (size_t i = 0; i < nr; i++)
		same = same && v[i] == i;
	ok(same && nr == 100 && cap == 128 && grown == 6, "an array doubles, from 4 to 128");
	nr = cap = huge;
	ok(!vl_grow(v, cap, nr, 4) && cap == huge && v[99] == 99,
	   "what does not fit into memory leaves it as it was");
}

static void test_proc_number(void)
{
	int fd = open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC);

	ok(vl_proc_number("Pid", 10, 0, "/proc/self/status") == (uint64_t)getpid() &&
		   vl_proc_number("PPid", 10, 0, "/proc/%d/status", getpid()) ==
			   (uint64_t)getppid(),
	   "a number of a process, and of one of a longer name");
	ok((vl_proc_number("flags", 8, 0, "/proc/self/fdinfo/%d", fd) & (O_ACCMODE | O_APPEND)) ==
		   (O_WRONLY | O_APPEND),
	   "one of another base");
	ok(vl_proc_number("Pi", 10, 7, "/proc/self/status") == 7 &&
		   vl_proc_number("Name", 10, 7, "/proc/self/status") == 7 &&
		   vl_proc_number("Pid", 10, 7, "/proc/self/none") == 7,
	   "no such line, no number in it, no such file");
	close(fd);
}

static void test_number(void)
{
	static const char *const none[] = { "",	  " ",	"x",   "1x", "1 ",
					    "-6", "10", "0x1", "1.", "99999999999999999999" };
	bool taken = false;
	long n;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		taken = taken || vl_number(none[i], -5, 9, &n);
	ok(!taken, "what is no number, or too small or large, is not taken");
	ok(vl_number("-5", -5, 9, &n) && n == -5 && vl_number("9", -5, 9, &n) && n == 9,
	   "both ends are");
}

/* "hello" packed by hand: stored blocks of each format. */
static void test_codec(void)
{
	static const struct {
		const char *in;
		size_t len;
	} packed[VL_NR_CODECS] = {
		/* RFC 1950, 1951: the sum is Adler-32. */
		[VL_CODEC_ZLIB] = { "\x78\x01\x01\x05\x00\xfa\xffhello\x06\x2c\x02\x15", 16 },
		/* 17 + 5 letters; the end. */
		[VL_CODEC_LZO] = { "\x16hello\x11\x00\x00", 9 },
		/* The length; a literal of 5 bytes. */
		[VL_CODEC_SNAPPY] = { "\x05\x10hello", 7 },
		/* RFC 8878: the magic, one segment of 5 bytes, its last block, which is raw. */
		[VL_CODEC_ZSTD] = { "\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello", 14 },
	};

	for (enum vl_codec_kind kind = 0; kind < VL_NR_CODECS; kind++) {
		struct vl_codec c = { .fn = NULL };
		char out[8] = "", damaged[16];
		size_t n = sizeof(out), small = 4, none = sizeof(out);

		ok(!vl_codec_unpack(&(struct vl_codec){ .kind = kind }, packed[kind].in,
				    packed[kind].len, out, &none),
		   "%s: not loaded", vl_codec_name(kind));
		if (!ok(!vl_discard(vl_codec_load(kind, &c)), "it is loaded"))
			continue;
		ok(vl_codec_unpack(&c, packed[kind].in, packed[kind].len, out, &n) && n == 5 &&
			   !memcmp(out, "hello", 5),
		   "it is unpacked");
		ok(!vl_codec_unpack(&c, packed[kind].in, packed[kind].len, out, &small),
		   "there is no room");
		n = 5;
		ok(vl_codec_unpack(&c, packed[kind].in, packed[kind].len, out, &n) && n == 5,
		   "it just fits");
		memcpy(damaged, packed[kind].in, packed[kind].len);
		n = sizeof(out);
		ok(!vl_codec_unpack(&c, damaged, packed[kind].len - 5, out, &n), "it is cut short");
	}
}

/* Offers @candidates, which end in NULL, for @name; the text must be @want. */
static bool suggests(const char *name, const char *const *candidates, const char *want)
{
	_cleanup_free_ char *text = NULL;
	struct vl_suggest n;

	vl_suggest_init(&n, name, strlen(name));
	for (; *candidates; candidates++)
		vl_suggest_try(&n, *candidates);
	text = vl_suggest_text(&n);
	if (want ? text && !strcmp(text, want) : !text)
		return true;
	printf("# %s: %s\n", name, text ? text : "none");
	return false;
}
#define SUGGESTS(name, want, ...) suggests(name, (const char *const[]){ __VA_ARGS__, NULL }, want)

static void test_suggest(void)
{
	char name[66], longer[67];

	ok(SUGGESTS("mm", "did you mean mn, nm, m?", "mn", "nm", "m", "abc", "mmmm"),
	   "one edit of each kind: replace, swap, delete");
	ok(SUGGESTS("abcde", "did you mean xabcde, abcxe, xbcdy?", "xbcdy", "xabcde", "abcxe",
		    "abxye", "xyzde"),
	   "the nearest is first, and three are kept");
	ok(SUGGESTS("abcde", "did you mean bacde, abced?", "bacde", "abced", "bacde"),
	   "each one once");
	ok(SUGGESTS("ab", NULL, "cd", "", "abcd") && SUGGESTS("a", NULL, "b") &&
		   SUGGESTS("", NULL, "a"),
	   "what is not near, and names without neighbours");
	ok(SUGGESTS("abcd", "did you mean abcx?", "abcx", "abxy") &&
		   SUGGESTS("abcdefgh", "did you mean xycdefgh?", "xycdefgh", "xyzdefgh") &&
		   SUGGESTS("abcdefghi", "did you mean xyzdefghi?", "xyzdefghi", "wxyzefghi"),
	   "a longer name may have more edits");
	ok(SUGGESTS("list", "did you mean my_list, list_head?", "list_head", "my_list",
		    "a_list_b") &&
		   SUGGESTS("lis", NULL, "listing"),
	   "candidates that begin or end with a name of four letters");
	ok(SUGGESTS("abcdef", "did you mean abdcef, bacdef, abcdfe?", "abdcef", "bacdef", "abcdfe"),
	   "neighbours at any place");
	memset(name, 'a', sizeof(name));
	memset(longer, 'a', sizeof(longer));
	name[64] = longer[63] = longer[64] = '\0';
	ok(SUGGESTS(name,
		    "did you mean aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?",
		    longer),
	   "the longest name");
	name[64] = 'a';
	name[65] = '\0';
	ok(SUGGESTS(name, NULL, longer) && SUGGESTS(longer, NULL, name),
	   "longer ones have no neighbours");
}

static void test_u64(void)
{
	static const char *const none[] = {
		"",    " ",  " 1",  "-1", "+1", "x",
		"0x1", "1 ", "101", "1.", "0x", "18446744073709551616"
	};
	const char *at = "12,0x1f;";
	uint64_t n = 5;
	bool taken = false;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		taken = taken || vl_u64(none[i], 10, 100, &n);
	ok(!taken && n == 5, "what is no number of digits, or is too large, changes nothing");
	ok(vl_u64("100", 10, 100, &n) && n == 100 && vl_u64("0", 10, 100, &n) && !n &&
		   vl_u64("18446744073709551615", 10, UINT64_MAX, &n) && n == UINT64_MAX,
	   "both ends are numbers");
	ok(!vl_u64("f", 10, 99, &n) && vl_u64("f", 16, 99, &n) && n == 15 &&
		   vl_u64("0xF", 16, 99, &n) && n == 15 && vl_u64("010", 0, 99, &n) && n == 8 &&
		   !vl_u64("0xg", 16, 99, &n) && !vl_u64("18", 8, 99, &n),
	   "digits of the base");
	ok(vl_take_u64(&at, 10, 12, &n) && n == 12 && !strcmp(at, ",0x1f;") &&
		   !vl_take_u64(&at, 10, 12, &n) && *at == ',' && n == 12,
	   "a number in front of text, and text that has none");
	at++;
	ok(!vl_take_u64(&at, 0, 30, &n) && *at == '0' && vl_take_u64(&at, 0, 31, &n) && n == 31 &&
		   !strcmp(at, ";"),
	   "a number that is too large is not passed over");
	ok(vl_front_u64("\t 77 kB", 10) == 77 && !vl_front_u64("kB", 10) && !vl_front_u64("", 10) &&
		   !vl_front_u64("-1", 10) && vl_front_u64("ff]", 16) == 255,
	   "the number that a line begins with");
}

static void test_decimal(void)
{
	static const char *const none[] = { "",	  ".",	  "nan", "inf",	  "-1",	 "+1",
					    " 1", "0x10", "1e3", "1.2.3", "1..", "x" };
	const char *at = "2.5,.5s3.";
	double v = 7;
	bool taken = false;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		const char *p = none[i];

		/* What is behind the number is for the caller. */
		if (vl_take_decimal(&p, &v) && !*p)
			taken = true;
		v = 7;
	}
	ok(!taken, "what is no decimal fraction is not taken");
	ok(vl_take_decimal(&at, &v) && v == 2.5 && !strcmp(at, ",.5s3.") &&
		   !vl_take_decimal(&at, &v) && v == 2.5 && *at == ',',
	   "a fraction in front of text, and text that has none");
	at++;
	ok(vl_take_decimal(&at, &v) && v == 0.5 && *at++ == 's' && vl_take_decimal(&at, &v) &&
		   v == 3 && !*at,
	   "a point at either end");
}

/* RFC 3720, B.4. */
static void test_crc32c(void)
{
	unsigned char zeros[32] = { 0 }, ones[32], up[32];

	for (unsigned i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = (unsigned char)i;
	}
	ok(vl_crc32c(zeros, 32) == 0x8a9136aa && vl_crc32c(ones, 32) == 0x62a8ab43 &&
		   vl_crc32c(up, 32) == 0x46dd794e && vl_crc32c("123456789", 9) == 0xe3069283,
	   "CRC-32C");
}

static void test_append(void)
{
	char buf[8] = "";

	ok(vl_append(buf, sizeof(buf), "%d", 12) && vl_append(buf, sizeof(buf), ", %d", 345) &&
		   !strcmp(buf, "12, 345"),
	   "text is put behind text, up to the last byte");
	ok(vl_append(buf, sizeof(buf), "%s", "") && !vl_append(buf, sizeof(buf), "6") &&
		   !strcmp(buf, "12, 345"),
	   "nothing goes further");
	*buf = '\0';
	ok(vl_append_hex(buf, sizeof(buf), "\x00\xa9", 2) &&
		   vl_append_hex(buf, sizeof(buf), "\xff", 1) && !strcmp(buf, "00a9ff"),
	   "bytes in hexadecimal");
	ok(!vl_append_hex(buf, sizeof(buf), "\x01", 1) && !strcmp(buf, "00a9ff"),
	   "no half of a byte, and nothing goes further");
	buf[4] = '\0';
	ok(!vl_append_hex(buf, sizeof(buf), "\x12\x34", 2) && !strcmp(buf, "00a912"),
	   "bytes that are cut off");
}

static void test_reaper(void)
{
	struct stat st;
	bool first = !stat("/proc/self/ns/pid", &st) && st.st_ino == 0xeffffffc;
	int status = -1;
	pid_t pid;

	ok(vl_process_has_reaper() == first, "init reaps: %s", first ? "yes" : "not known");
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWPID))
			_exit(77);
		pid = fork();
		if (!pid)
			_exit(vl_process_has_reaper());
		_exit(pid < 0 || waitpid(pid, &status, 0) != pid ? 9 : WEXITSTATUS(status));
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !(WEXITSTATUS(status) % 77), "in a PID namespace of its own: no%s",
	   WEXITSTATUS(status) ? " # SKIP no right to make one" : "");
}

static void test_library(void)
{
	static const struct vl_library libc = { "libc.so.6", "libc", "" };
	static const struct vl_library none = { "libnone.so.1", "libnone", "install it" };
	static const char *const names[] = { "getpid", "strlen" }, *const lacks = "no_such_name";
	struct {
		pid_t (*getpid)(void);
		size_t (*strlen)(const char *);
	} f = { 0 };
	struct vl_error *err = vl_library_load(&libc, names, 2, &f);

	ok(!err && f.getpid() == getpid() && f.strlen("four") == 4, "two functions of a library");
	vl_error_destroy(err);
	err = vl_library_load(&libc, &lacks, 1, &f);
	ok(err && err->code == VL_ERR_OS && strstr(err->message, "no_such_name"),
	   "one that it lacks");
	vl_error_destroy(err);
	err = vl_library_load(&none, names, 2, &f);
	ok(err && strstr(err->message, "cannot load libnone") && !strcmp(err->hint, "install it"),
	   "a library that is not installed");
	vl_error_destroy(err);
}

int main(void)
{
	test_number();
	test_codec();
	test_suggest();
	test_u64();
	test_decimal();
	test_append();
	test_crc32c();
	test_proc_number();
	test_grow();
	test_cleanup();
	test_clock();
	test_waits();
	test_reaper();
	test_library();
	return tap_end();
}
