/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gunzip.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../base/array.h"
#include "../base/library.h"

struct api {
	__typeof__(&inflateInit2_) init;
	__typeof__(&inflate) inflate;
	__typeof__(&inflateReset) reset;
	__typeof__(&inflateEnd) end;
};

struct vl_gunzip {
	struct api api;
	vl_gunzip_more_fn *more;
	void *ctx;
	z_stream z;
	bool single;  /* what is behind the first member does not matter */
	bool between; /* a member has ended */
	bool ended;
};

/* RFC 1952, section 2.3.1, and the only method of compression. */
bool vl_is_gzip(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	return len >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == Z_DEFLATED;
}

struct vl_error *vl_gunzip_create(vl_gunzip_more_fn *more, void *ctx, bool single,
				  struct vl_gunzip **ret)
{
	static const struct vl_library library = {
		.file = "libz.so.1",
		.name = "zlib",
		.hint = "install zlib (on Debian: zlib1g)",
	};
	static const char *const names[] = { "inflateInit2_", "inflate", "inflateReset",
					     "inflateEnd" };
	struct vl_gunzip *g = calloc(1, sizeof(*g));
	struct vl_error *err;

	if (!g)
		return vl_error_nomem();
	err = vl_library_load(&library, names, ARRAY_SIZE(names), &g->api);
	/* zlib.h: 16 more than the size of the window is a header of gzip. */
	if (!err && g->api.init(&g->z, MAX_WBITS + 16, ZLIB_VERSION, sizeof(g->z)) != Z_OK)
		err = vl_error_nomem();
	if (err) {
		free(g);
		return err;
	}
	g->more = more;
	g->ctx = ctx;
	g->single = single;
	*ret = g;
	return NULL;
}

void vl_gunzip_destroy(struct vl_gunzip *g)
{
	if (!g)
		return;
	g->api.end(&g->z);
	free(g);
}

static struct vl_error *damaged(const char *why)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "it is damaged: %s", why),
			     "fetch the file again from its distribution");
}

/* zlib's message, when all of a member is there, but is not what was compressed. */
static struct vl_error *damaged_by(const char *why)
{
	if (why && strstr(why, " check") && strncmp(why, "incorrect header", 16))
		return vl_error_hint(vl_error_new(VL_ERR_OS, "its bytes are wrong: %s", why),
				     "copy the file again");
	return damaged(why ? why : "it cannot be unpacked");
}

static struct vl_error *refill(struct vl_gunzip *g)
{
	const unsigned char *p;
	long n = g->more(g->ctx, &p);

	if (n < 0)
		return vl_error_os(errno, "cannot read it");
	if (!n && !g->between)
		return damaged("truncated gzip input");
	g->ended = !n;
	g->z.next_in = (unsigned char *)p;
	g->z.avail_in = (uInt)n;
	return NULL;
}

/* Behind a member: zeros may fill the file up. Anything else is the next member. */
static struct vl_error *next_member(struct vl_gunzip *g)
{
	for (; g->z.avail_in && !*g->z.next_in; g->z.avail_in--)
		g->z.next_in++;
	if (!g->z.avail_in)
		return NULL;
	g->between = false;
	return g->api.reset(&g->z) == Z_OK ? NULL : vl_error_nomem();
}

struct vl_error *vl_gunzip_read(struct vl_gunzip *g, void *buf, size_t len, size_t *len_ret)
{
	struct vl_error *err = NULL;
	int result;

	g->z.next_out = buf;
	g->z.avail_out = (uInt)len;
	while (!err && !g->ended && g->z.avail_out) {
		if (!g->z.avail_in) {
			err = refill(g);
			continue;
		}
		if (g->between) {
			err = next_member(g);
			continue;
		}
		result = g->api.inflate(&g->z, Z_NO_FLUSH);
		g->between = result == Z_STREAM_END;
		g->ended = g->between && g->single;
		if (result == Z_MEM_ERROR)
			err = vl_error_nomem();
		else if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			err = damaged_by(g->z.msg);
	}
	*len_ret = len - g->z.avail_out;
	return err;
}
