/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kernel that lies can return from a call: vl_sys_call(), and who reads by it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "view/diff.h"
#include "vmst/answer.h"
#include "vmst/files.h"

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

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
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

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
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

int main(void)
{
	test_check();
	test_readers();
	return tap_end();
}
