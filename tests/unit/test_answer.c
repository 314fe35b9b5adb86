/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wrong results of a hostile kernel's calls: vl_sys_call(), and readers that use it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tap.h"
#include "view/diff.h"
#include "syscall/answer.h"
#include "syscall/files.h"

struct liar {
	struct vl_sys sys;
	int64_t ret; /* of all calls but openat, this often */
	int left;
};

static struct vl_error *lie(struct vl_sys *sys, const char *name, const struct vl_arg *args,
			    size_t nr, int64_t *ret)
{
	struct liar *l = (struct liar *)sys;

	(void)args, (void)nr;
	*ret = !strcmp(name, "openat") ? 3 : l->left-- > 0 ? l->ret : 0;
	return NULL;
}

static struct vl_error *begin(struct vl_sys *sys)
{
	sys->open = 1;
	return NULL;
}

static void end(struct vl_sys *sys)
{
	sys->open = 0;
}

static const struct vl_sys_ops ops = { .call = lie, .begin = begin, .end = end };

static int64_t with_buffer(const char *name, size_t len, int64_t ret)
{
	char buf[16];

	return vl_sys_check(name, (struct vl_arg[]){ VL_ARG_INT(3), VL_ARG_OUT(buf, len) }, 2, ret);
}

/* Lengths that no read of 1 << 16 bytes returns. */
static const int64_t lies[] = {
	(1L << 16) + 1, 1L << 24,  INT_MAX,   1L << 31,	   UINT32_MAX,
	1L << 32,	INT64_MAX, INT64_MIN, -(1L << 40), -4096,
};

static void test_check(void)
{
	bool all = true;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		all = all && with_buffer("read", 1 << 16, lies[i]) == -EIO;
	ok(all, "a length beyond the buffer, or no error's number, is EIO");
	ok(with_buffer("read", 10, 10) == 10 && !with_buffer("read", 10, 0), "a length within it");
	ok(with_buffer("read", 10, -4095) == -4095, "the last error");
	ok(with_buffer("newfstat", 0, 1) == -EIO, "a buffer of no bytes");
	ok(with_buffer("times", 10, 1L << 40) == 1L << 40, "clock ticks are no length");
	ok(with_buffer("shmctl", 10, 32768) == 32768 && with_buffer("shmctl", 10, 1L << 31) == -EIO,
	   "an identifier is no length, but an int");
	ok(vl_sys_check("getuid", NULL, 0, UINT32_MAX) == UINT32_MAX &&
		   vl_sys_check("openat", NULL, 0, 1L << 32) == -EIO,
	   "with no buffer: 32 bits");
}

static void test_readers(void)
{
	bool files = true, asks = true;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct liar l = { .sys.ops = &ops, .ret = lies[i], .left = 1000 };
		struct vl_file_piece piece;
		size_t size = 1 << 16, len;
		char *buf = malloc(size), *text;
		struct vl_error *err;

		err = vl_file_read(&l.sys, "/x", 0, NULL, buf, size, &piece);
		files = files && !err && piece.error == EIO && !piece.len;
		vl_error_destroy(err);
		free(buf);
		if (lies[i] < 0 || lies[i] > 1 << 20) { /* it reads pieces of 256 KiB */
			err = vl_diff_ask(&l.sys, "/x", "read", &text, &len);
			asks = asks && err;
			vl_error_destroy(err);
		}
	}
	ok(files, "vl_file_read() keeps to its buffer");
	ok(asks, "vl_diff_ask() keeps to its buffer");
}

/* Entries with these offsets, all named alike if @same; returns vl_listed_add()'s result. */
static int64_t listed(struct vl_listed *l, const int64_t *offs, size_t nr, bool same)
{
	char buf[64 * 32] = { 0 };

	for (size_t i = 0; i < nr; i++) {
		struct vl_dirent64 *d = (void *)(buf + i * 32);

		d->off = offs[i];
		d->reclen = 32;
		snprintf(d->name, 8, "%d", same ? 0 : (int)offs[i]);
	}
	return vl_listed_add(l, buf, nr * 32);
}

static void test_listed(void)
{
	const int64_t up[] = { 1, 2, 300, 1000, INT64_MAX }, zero[] = { 0, 0, 0, 0, 0, 0 };
	const int64_t ring[] = { 1, 2, 3, 7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9 };
	struct vl_listed l = { 0 };
	int64_t got = 0;

	ok(listed(&l, up, 5, false) == INT64_MAX, "where what follows begins");
	l = (struct vl_listed){ 0 };
	for (size_t i = 0; i < 21 && got >= 0; i++)
		got = listed(&l, ring + i, 1, false);
	ok(got == -ELOOP, "a list that leads back to itself, piece by piece");
	l = (struct vl_listed){ 0 };
	ok(listed(&l, ring, 21, false) == -ELOOP, "and in one");
	l = (struct vl_listed){ 0 };
	for (int64_t i = 0; i < 3000 && got != -EIO; i++)
		got = listed(&l, &(int64_t){ i % 1000 + 1 }, 1, false) == -ELOOP ? -EIO : i;
	ok(got == -EIO, "and a long one, before it was gone around three times");
	l = (struct vl_listed){ 0 };
	ok(listed(&l, zero, 6, true) == -ELOOP, "six times the same");
	l = (struct vl_listed){ 0 };
	ok(vl_listed_add(&l, "too short", 9) == -EIO, "no entries");
}

int main(void)
{
	test_check();
	test_readers();
	test_listed();
	return tap_end();
}
