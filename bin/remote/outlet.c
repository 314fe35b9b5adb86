/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "outlet.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

/* More memory than that is not kept. */
#define KEPT_MAX (256UL << 10)

void outlet_put(struct outlet *o, const char *text, size_t len)
{
	if (o->error || o->is_full)
		return;
	/* What has been written makes room: a slow reader may never take all. */
	if (o->from && o->cap - o->len < len && o->from >= o->len - o->from) {
		memmove(o->text, o->text + o->from, o->len - o->from);
		o->len -= o->from;
		o->from = 0;
	}
	if (o->cap - o->len < len) {
		size_t cap = o->cap ? o->cap : 512;
		char *more;

		while (cap - o->len < len)
			cap *= 2;
		more = realloc(o->text, cap);
		if (!more) {
			o->is_full = true;
			return;
		}
		o->text = more;
		o->cap = cap;
	}
	memcpy(o->text + o->len, text, len);
	o->len += len;
}

void outlet_put_number(struct outlet *o, unsigned long long number)
{
	char buf[24];

	outlet_put(o, buf, (size_t)snprintf(buf, sizeof(buf), "%llu", number));
}

/* Characters that JSON allows as they are, but that drive a terminal or deceive its reader. */
static bool is_hostile(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || vl_text_unseen(c);
}

void outlet_put_character(struct outlet *o, unsigned c)
{
	static const char named[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
				      ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
	char buf[16];
	size_t n;

	if (c < sizeof(named) && named[c])
		n = (size_t)snprintf(buf, sizeof(buf), "\\%c", named[c]);
	else if (is_hostile(c) && c > 0xffff) /* RFC 8259, section 7 */
		n = (size_t)snprintf(buf, sizeof(buf), "\\u%04x\\u%04x",
				     0xd800 + ((c - 0x10000) >> 10),
				     0xdc00 + ((c - 0x10000) & 0x3ff));
	else if (is_hostile(c))
		n = (size_t)snprintf(buf, sizeof(buf), "\\u%04x", c);
	else if (c < 0x80)
		n = (size_t)snprintf(buf, sizeof(buf), "%c", (char)c);
	else if (c < 0x800)
		n = (size_t)snprintf(buf, sizeof(buf), "%c%c", (char)(0xc0 | c >> 6),
				     (char)(0x80 | (c & 0x3f)));
	else if (c < 0x10000)
		n = (size_t)snprintf(buf, sizeof(buf), "%c%c%c", (char)(0xe0 | c >> 12),
				     (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f)));
	else
		n = (size_t)snprintf(buf, sizeof(buf), "%c%c%c%c", (char)(0xf0 | c >> 18),
				     (char)(0x80 | (c >> 12 & 0x3f)),
				     (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f)));
	outlet_put(o, buf, n);
}

void outlet_put_byte(struct outlet *o, unsigned char byte)
{
	char buf[8];

	outlet_put(o, buf, (size_t)snprintf(buf, sizeof(buf), "\\\\x%02x", byte));
}

void outlet_put_text(struct outlet *o, const char *text, size_t len)
{
	outlet_put(o, "\"", 1);
	while (len) {
		uint32_t c;
		size_t n = vl_text_utf8(text, len, &c);

		if (n)
			outlet_put_character(o, c);
		else
			outlet_put_byte(o, (unsigned char)*text);
		n = n ? n : 1;
		text += n;
		len -= n;
	}
	outlet_put(o, "\"", 1);
}

void outlet_flush(struct outlet *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	while (!o->error && outlet_pending(o)) {
		size_t len = outlet_pending(o);
		ssize_t n;

		/* A pipe that can be written to has room for so much. */
		if (poll(&p, 1, 0) <= 0)
			return;
		n = write(o->fd, o->text + o->from, len < PIPE_BUF ? len : PIPE_BUF);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n < 0) {
			o->error = errno;
			break;
		}
		o->from += (size_t)n;
		o->in_line = n && o->text[o->from - 1] != '\n';
	}
	if (o->error || !outlet_pending(o))
		outlet_clear(o);
}

void outlet_clear(struct outlet *o)
{
	o->from = o->len = 0;
	if (o->cap <= KEPT_MAX)
		return;
	free(o->text);
	o->text = NULL;
	o->cap = 0;
}

void outlet_deinit(struct outlet *o)
{
	free(o->text);
	o->text = NULL;
	o->from = o->len = o->cap = 0;
}
