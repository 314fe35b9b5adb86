/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/hash.h"
#include "../base/text.h"

/* ---- text that grows ---- */

static bool room(struct vl_growing *out, size_t len)
{
	size_t want = out->cap ? out->cap : 65536;
	char *more;

	if (out->cap - out->len >= len)
		return true;
	while (want - out->len < len)
		want *= 2;
	more = realloc(out->text, want);
	if (!more) {
		out->full = true;
		return false;
	}
	out->text = more;
	out->cap = want;
	return true;
}

static void put(struct vl_growing *out, const char *text, size_t len)
{
	if (!room(out, len))
		return;
	memcpy(out->text + out->len, text, len);
	out->len += len;
}

static void put_str(struct vl_growing *out, const char *text)
{
	put(out, text, strlen(text));
}

/* The digits of @v, at least @least of them. */
static void put_number(struct vl_growing *out, uint64_t v, int least)
{
	char buf[24], *p = buf + sizeof(buf);

	for (; v || least > 0; least--, v /= 10)
		*--p = (char)('0' + v % 10);
	put(out, p, (size_t)(buf + sizeof(buf) - p));
}

static void put_value(struct vl_growing *out, uint64_t v, enum vl_metric_unit unit)
{
	static const struct {
		uint64_t scale;
		int digits;
	} units[] = {
		[VL_METRIC_ONE] = { 1, 0 },
		[VL_METRIC_NS] = { 1000000000, 9 },
		[VL_METRIC_HUNDREDTHS] = { 100, 2 },
	};

	put_number(out, v / units[unit].scale, 1);
	if (!units[unit].digits)
		return;
	put(out, ".", 1);
	put_number(out, v % units[unit].scale, units[unit].digits);
}

/* Characters that stand for themselves in a label. */
static size_t plain(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] >= ' ' && text[n] < 0x7f && text[n] != '"' && text[n] != '\\')
		n++;
	return n;
}

/* Does @text begin like the escape of a hostile byte? Then its backslash is escaped. */
static bool is_escape(const char *text, size_t len)
{
	return len >= 4 && text[0] == '\\' && text[1] == 'x' && isxdigit((unsigned char)text[2]) &&
	       isxdigit((unsigned char)text[3]);
}

/* Different texts must stay different. */
static void put_escaped(struct vl_growing *out, const char *text, size_t len)
{
	while (len) {
		size_t n = plain(text, len);
		bool hostile = false;
		char escaped[8];

		if (n) {
			put(out, text, n);
		} else if (is_escape(text, len)) {
			put_str(out, "\\\\x5c");
			n = 1;
		} else if (*text == '"' || *text == '\\') {
			put(out, *text == '"' ? "\\\"" : "\\\\", 2);
			n = 1;
		} else {
			n = vl_text_next(text, len, &hostile);
			if (!hostile)
				put(out, text, n);
			/* In the label it reads \xNN, whose backslash is escaped. */
			for (size_t i = 0; hostile && i < n; i++) {
				snprintf(escaped, sizeof(escaped), "\\\\x%02x",
					 (unsigned char)text[i]);
				put(out, escaped, 5);
			}
		}
		text += n;
		len -= n;
	}
}

void vl_export_label(struct vl_growing *out, const char *text, size_t len)
{
	put_escaped(out, text, len < VL_EXPORT_LABEL_MAX ? len : VL_EXPORT_LABEL_MAX);
}

/* ---- the rows of a guest, by metric ---- */

struct sorted {
	const struct vl_table *t;
	char *name; /* the value of the label `guest`, escaped */
	size_t name_len;
	uint32_t *rows; /* those of metric m are from first[m] to first[m + 1] */
	uint32_t first[VL_NR_METRICS + 1];
};

static uint64_t metric_of(const struct vl_table *t, size_t row)
{
	const struct vl_cell *c = vl_table_cell(t, row, VL_ROW_METRIC);

	return c->kind == VL_CELL_UINT ? c->u : UINT64_MAX;
}

static bool is_sample(const struct vl_table *t, size_t row)
{
	return metric_of(t, row) < VL_NR_METRICS &&
	       vl_table_cell(t, row, VL_ROW_VALUE)->kind == VL_CELL_UINT;
}

/* The length of a label's value as far as it is shown. */
static size_t shown(const struct vl_cell *c)
{
	size_t len = c->kind == VL_CELL_TEXT ? c->text.len : 0;

	return len < VL_EXPORT_LABEL_MAX ? len : VL_EXPORT_LABEL_MAX;
}

static bool is_same(const struct vl_table *t, size_t a, size_t b)
{
	if (metric_of(t, a) != metric_of(t, b))
		return false;
	/* A metric shows no more labels than it has. */
	for (size_t i = 0; vl_families[metric_of(t, a)].labels[i]; i++) {
		const struct vl_cell *x = vl_table_cell(t, a, VL_ROW_LABEL + i),
				     *y = vl_table_cell(t, b, VL_ROW_LABEL + i);

		if (shown(x) != shown(y) ||
		    (shown(x) && memcmp(vl_table_bytes(t, x), vl_table_bytes(t, y), shown(x))))
			return false;
	}
	return true;
}

static uint64_t hash_of(const struct vl_table *t, size_t row)
{
	uint64_t metric = metric_of(t, row), hash = vl_hash(VL_HASH, &metric, sizeof(metric));

	for (size_t i = 0; vl_families[metric].labels[i]; i++) {
		const struct vl_cell *c = vl_table_cell(t, row, VL_ROW_LABEL + i);

		hash = shown(c) ? vl_hash(hash, vl_table_bytes(t, c), shown(c)) : hash;
		hash = vl_hash(hash, "", 1);
	}
	return hash;
}

/*
 * Mark in @keep the rows that are shown. A guest that makes all hashes the same makes this slow, so
 * only so many rows are compared.
 */
#define PROBES 64
static bool keep_rows(const struct vl_table *t, unsigned char *keep)
{
	size_t nr = 64, count[VL_NR_METRICS] = { 0 };
	uint32_t *slots;

	while (nr < t->nr_rows * 2)
		nr *= 2;
	slots = calloc(nr, sizeof(*slots));
	if (!slots)
		return false;
	for (size_t i = 0; i < t->nr_rows; i++) {
		size_t slot, probes = 0;

		if (!is_sample(t, i) || count[metric_of(t, i)] >= VL_EXPORT_SAMPLES_MAX)
			continue;
		slot = hash_of(t, i) & (nr - 1);
		while (slots[slot] && probes++ < PROBES && !is_same(t, slots[slot] - 1, i))
			slot = (slot + 1) & (nr - 1);
		if (slots[slot])
			continue;
		slots[slot] = (uint32_t)i + 1;
		count[metric_of(t, i)]++;
		keep[i] = 1;
	}
	free(slots);
	return true;
}

static bool sort(struct sorted *s, const struct vl_exported *guest)
{
	const struct vl_table *t = guest->rows;
	uint32_t at[VL_NR_METRICS + 1] = { 0 };
	struct vl_growing name = { .text = NULL };
	unsigned char *keep = calloc(t->nr_rows + 1, 1);

	s->t = t;
	s->rows = calloc(t->nr_rows + 1, sizeof(*s->rows));
	/* Write it whole, because it differs from those of the other guests. */
	put_escaped(&name, guest->guest, strlen(guest->guest));
	s->name = name.text;
	s->name_len = name.len;
	if (!keep || !s->rows || name.full || t->nr_rows >= UINT32_MAX || !keep_rows(t, keep)) {
		free(keep);
		return false;
	}
	for (size_t i = 0; i < t->nr_rows; i++)
		if (keep[i])
			s->first[metric_of(t, i) + 1]++;
	for (size_t m = 0; m < VL_NR_METRICS; m++)
		s->first[m + 1] += s->first[m];
	memcpy(at, s->first, sizeof(at));
	for (size_t i = 0; i < t->nr_rows; i++)
		if (keep[i])
			s->rows[at[metric_of(t, i)]++] = (uint32_t)i;
	free(keep);
	return true;
}

/* ---- all of it ---- */

static void put_name(struct vl_growing *out, const struct vl_family *f,
		     enum vl_export_format format, bool sample)
{
	if (format == VL_EXPORT_TEXTFILE && strncmp(f->name, "vlens_", 6) != 0)
		put_str(out, "vlens_");
	put_str(out, f->name);
	/* OpenMetrics names the family of a counter without its suffix. */
	if (f->kind == VL_METRIC_COUNTER && (sample || format != VL_EXPORT_OPENMETRICS))
		put_str(out, "_total");
}

static void put_head(struct vl_growing *out, const struct vl_family *f,
		     enum vl_export_format format)
{
	put_str(out, "# HELP ");
	put_name(out, f, format, false);
	put_str(out, " ");
	put_str(out, f->help);
	put_str(out, "\n# TYPE ");
	put_name(out, f, format, false);
	if (f->kind == VL_METRIC_UNTYPED)
		put_str(out, format == VL_EXPORT_OPENMETRICS ? " unknown\n" : " untyped\n");
	else
		put_str(out, f->kind == VL_METRIC_COUNTER ? " counter\n" : " gauge\n");
}

static void put_sample(struct vl_growing *out, const struct vl_family *f, const struct sorted *s,
		       size_t row, enum vl_export_format format)
{
	put_name(out, f, format, true);
	put_str(out, "{guest=\"");
	put(out, s->name, s->name_len);
	for (size_t i = 0; f->labels[i]; i++) {
		const struct vl_cell *c = vl_table_cell(s->t, row, VL_ROW_LABEL + i);

		/* An empty label is the same as none. */
		if (c->kind != VL_CELL_TEXT || !c->text.len)
			continue;
		put_str(out, "\",");
		put_str(out, f->labels[i]);
		put_str(out, "=\"");
		vl_export_label(out, vl_table_bytes(s->t, c), c->text.len);
	}
	put_str(out, "\"} ");
	put_value(out, vl_table_cell(s->t, row, VL_ROW_VALUE)->u, f->unit);
	put(out, "\n", 1);
}

static void put_family(struct vl_growing *out, enum vl_metric m, const struct sorted *all,
		       size_t nr, enum vl_export_format format)
{
	bool headed = false;

	for (size_t g = 0; g < nr; g++)
		for (size_t i = all[g].first[m]; i < all[g].first[m + 1]; i++) {
			if (!headed)
				put_head(out, &vl_families[m], format);
			headed = true;
			put_sample(out, &vl_families[m], &all[g], all[g].rows[i], format);
		}
}

void vl_export_write(struct vl_growing *out, const struct vl_exported *guests, size_t nr,
		     enum vl_export_format format)
{
	struct sorted *all = calloc(nr + 1, sizeof(*all));

	out->full = out->full || !all;
	for (size_t g = 0; all && g < nr; g++)
		out->full = !sort(&all[g], &guests[g]) || out->full;
	for (size_t m = 0; !out->full && m < VL_NR_METRICS; m++)
		put_family(out, (enum vl_metric)m, all, nr, format);
	if (format == VL_EXPORT_OPENMETRICS)
		put_str(out, "# EOF\n");
	for (size_t g = 0; all && g < nr; g++) {
		free(all[g].name);
		free(all[g].rows);
	}
	free(all);
}

const char *vl_export_type(enum vl_export_format format)
{
	return format == VL_EXPORT_OPENMETRICS ?
		       "application/openmetrics-text; version=1.0.0; charset=utf-8" :
		       "text/plain; version=0.0.4; charset=utf-8";
}
