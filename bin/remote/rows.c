/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rows.h"

#include <string.h>

/* The limit of one line of text. */
#define LINE_MAX_BYTES (1UL << 20)

static void put(const struct rows *r, const char *text)
{
	outlet_put(r->to, text, strlen(text));
}

static void begin(const struct rows *r)
{
	put(r, "{\"host\":");
	outlet_put_text(r->to, r->host, strlen(r->host));
}

static void put_row(struct scan *s, const char *list, bool members)
{
	struct rows *r = s->ctx;

	begin(r);
	if (list) {
		put(r, ",\"list\":");
		put(r, list);
	}
	if (!members)
		put(r, ",\"value\":");
	outlet_put(r->to, s->text.text, s->text.len);
	put(r, "}\n");
	r->nr++;
}

static void put_line(struct rows *r)
{
	begin(r);
	put(r, ",\"line\":");
	outlet_put_text(r->to, r->line.text, r->line.len);
	put(r, "}\n");
	r->nr++;
	outlet_clear(&r->line);
}

static void take_text(struct rows *r, const char *text, size_t len)
{
	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		if (n > LINE_MAX_BYTES - r->line.len)
			n = LINE_MAX_BYTES - r->line.len;
		outlet_put(&r->line, text, n);
		if (n < len)
			put_line(r);
		/* Else a line that is too long goes on in a row of its own. */
		n += n < len && text[n] == '\n';
		text += n;
		len -= n;
	}
}

/* The output is no JSON: take the rest as text. */
static void leave_json(struct rows *r)
{
	r->is_json = false;
	/* A word of text looks like one of JSON at first. */
	if (r->scan.at == SCAN_WORD && !r->scan.depth)
		take_text(r, r->scan.word, r->scan.letters);
	else if (r->scan.at != SCAN_VALUE || r->scan.depth)
		r->has_fault = true;
}

void rows_take(struct rows *r, const char *text, size_t len)
{
	size_t n = 0;

	if (r->is_json) {
		r->scan.row = put_row;
		r->scan.ctx = r;
		n = scan_take(&r->scan, text, len);
		if (n < len)
			leave_json(r);
	}
	take_text(r, text + n, len - n);
}

const char *rows_end(struct rows *r)
{
	const bool is_full = r->to->is_full || r->scan.text.is_full || r->line.is_full;

	if (r->is_json && !scan_end(&r->scan)) {
		leave_json(r);
	}
	if (r->line.len)
		put_line(r);
	scan_deinit(&r->scan);
	outlet_deinit(&r->line);
	if (is_full)
		return "its output is too much for the memory here";
	if (r->has_fault)
		return "its output is cut short, or no JSON";
	return r->scan.has_long ? "a row of its output is too long: it is left out" : NULL;
}

void rows_print_end(const struct rows *r, int status, const char *why, double seconds)
{
	const unsigned long long hundredths = (unsigned long long)(seconds * 100 + 0.5);

	begin(r);
	put(r, ",\"exit\":");
	outlet_put_number(r->to, (unsigned)status);
	put(r, ",\"error\":");
	if (why)
		outlet_put_text(r->to, why, strlen(why));
	else
		put(r, "null");
	put(r, ",\"rows\":");
	outlet_put_number(r->to, r->nr);
	put(r, ",\"seconds\":");
	outlet_put_number(r->to, hundredths / 100);
	put(r, hundredths % 100 < 10 ? ".0" : ".");
	outlet_put_number(r->to, hundredths % 100);
	put(r, "}\n");
}
