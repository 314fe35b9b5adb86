/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "show.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/append.h"
#include "base/clock.h"
#include "base/number.h"
#include "options.h"
#include "report.h"
#include "base/text.h"

#define GUEST_NAME "GUEST"
#define SEPARATORS ", \t\n"

void show_init(struct printer *s, const struct vl_column *columns)
{
	*s = (struct printer){ .columns = columns };
}

void show_deinit(struct printer *s)
{
	for (size_t i = 0; i < s->nr_shown; i++)
		free(s->shown[i].header);
	free(s->shown);
	free(s->keys);
	show_init(s, s->columns);
}

/* ---- the options ---- */

static bool add_column(struct printer *s, int index, char *header, int width)
{
	struct show_column *more = reallocarray(s->shown, s->nr_shown + 1, sizeof(*more));

	if (!more) {
		free(header);
		return false;
	}
	s->shown = more;
	more[s->nr_shown++] =
		(struct show_column){ .index = index, .header = header, .width = width };
	return true;
}

/* The column called @name; -2 when there is none. */
static int find_column(const struct printer *s, const char *name, size_t len)
{
	int i = vl_column_find(s->columns, name, len);

	if (i >= 0)
		return i;
	return len == strlen(GUEST_NAME) && !strncasecmp(name, GUEST_NAME, len) ? SHOW_GUEST : -2;
}

static bool bad(const char *word, size_t len, char **bad_ret)
{
	*bad_ret = strndup(word, len);
	return false;
}

static bool take_columns(struct printer *s, const char *spec, char **bad_ret)
{
	for (spec += strspn(spec, SEPARATORS); *spec; spec += strspn(spec, SEPARATORS)) {
		size_t name = strcspn(spec, SEPARATORS "=:"), len = strcspn(spec, ",");
		const char *equals = spec + name;
		int index = find_column(s, spec, name);
		const char *end = equals + 1;
		char *header = NULL;
		uint64_t width = 0;

		/* A header may contain blanks, a name may not. */
		if (*equals != '=')
			len = strcspn(spec, SEPARATORS);
		if (index < SHOW_GUEST)
			return bad(spec, len, bad_ret);
		if (*equals == ':') {
			if (!vl_take_u64(&end, 10, 4096, &width) || end != spec + len || !width)
				return bad(spec, len, bad_ret);
		} else if (*equals == '=') {
			header = strndup(equals + 1, (size_t)(spec + len - equals - 1));
			if (!header)
				return bad(spec, len, bad_ret);
		}
		if (!add_column(s, index, header, (int)width))
			return bad(spec, len, bad_ret);
		spec += len;
	}
	return true;
}

static bool take_sort(struct printer *s, const char *spec, char **bad_ret)
{
	for (spec += strspn(spec, SEPARATORS); *spec; spec += strspn(spec, SEPARATORS)) {
		size_t len = strcspn(spec, SEPARATORS), sign = *spec == '+' || *spec == '-';
		struct show_key *more = reallocarray(s->keys, s->nr_keys + 1, sizeof(*more));
		int index = find_column(s, spec + sign, len - sign);

		if (more)
			s->keys = more;
		if (index < SHOW_GUEST || !more)
			return bad(spec, len, bad_ret);
		more[s->nr_keys++] = (struct show_key){ .index = index, .down = *spec == '-' };
		spec += len;
	}
	return true;
}

/* All names of columns, in @buf; those that have no room are left out. */
static const char *name_columns(const struct printer *s, char *buf, size_t size)
{
	vl_append(buf, size, "guest");
	for (const struct vl_column *c = s->columns; c->name; c++)
		if (strlen(buf) + strlen(c->name) + 3 < size)
			vl_append(buf, size, ", %s", c->name);
	/* As they are written on a command line. */
	for (char *p = buf; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return buf;
}

void show_report_unknown(const struct printer *s, const char *applet, int key, const char *word)
{
	char names[1024] = "";

	usage_report(applet, "error: unknown %s specifier \"%s\"; the columns are %s",
		     key == 'o' ? "user-defined format" : "sort", word,
		     name_columns(s, names, sizeof(names)));
}

bool show_option(struct printer *s, const char *applet, int key, const char *arg)
{
	char *word = NULL;
	bool ok = true;

	if (key == OPT_NO_HEADERS)
		s->no_headers = true;
	else
		ok = key == 'o' ? take_columns(s, arg, &word) : take_sort(s, arg, &word);
	if (!ok)
		show_report_unknown(s, applet, key, word ? word : "");
	free(word);
	return ok;
}

bool show_default_columns(struct printer *s, bool guests)
{
	if (s->nr_shown)
		return true;
	if (guests && !add_column(s, SHOW_GUEST, NULL, 0))
		return false;
	for (int i = 0; s->columns[i].name; i++)
		if ((s->columns[i].shown || (s->trusted && s->columns[i].trusted) ||
		     (s->json && s->columns[i].json)) &&
		    !add_column(s, i, NULL, 0))
			return false;
	return true;
}

static size_t place_of(const struct printer *s, int index)
{
	size_t i = 0;

	while (i < s->nr_shown && s->shown[i].index != index)
		i++;
	return i;
}

bool show_has_guest(const struct printer *s)
{
	bool found = false;

	for (size_t i = 0; i < s->nr_keys; i++)
		found = found || s->keys[i].index == SHOW_GUEST;
	return found || place_of(s, SHOW_GUEST) < s->nr_shown;
}

bool show_insert(struct printer *s, size_t at, int index)
{
	struct show_column added;

	if (place_of(s, index) < s->nr_shown || !add_column(s, index, NULL, 0))
		return false;
	added = s->shown[s->nr_shown - 1];
	memmove(&s->shown[at + 1], &s->shown[at], (s->nr_shown - 1 - at) * sizeof(added));
	s->shown[at] = added;
	return true;
}

void show_remove(struct printer *s, int index)
{
	size_t at = place_of(s, index);

	if (at == s->nr_shown)
		return;
	free(s->shown[at].header);
	s->nr_shown--;
	memmove(&s->shown[at], &s->shown[at + 1], (s->nr_shown - at) * sizeof(*s->shown));
}

/* ---- rows ---- */

struct row {
	const struct show_part *part;
	size_t index; /* in its table */
	size_t order; /* in the input: keeps the sort stable */
};

static int compare_rows(const void *a, const void *b, void *ctx)
{
	const struct row *x = a, *y = b;
	const struct printer *s = ctx;

	for (size_t i = 0; i < s->nr_keys; i++) {
		const struct show_key *k = &s->keys[i];
		const struct vl_table *tx = x->part->table, *ty = y->part->table;
		int r;

		if (k->index == SHOW_GUEST)
			r = strcmp(x->part->guest, y->part->guest);
		else
			r = vl_cell_compare(tx, vl_table_cell(tx, x->index, (size_t)k->index), ty,
					    vl_table_cell(ty, y->index, (size_t)k->index));
		if (r)
			return k->down ? -r : r;
	}
	return (x->order > y->order) - (x->order < y->order);
}

static struct row *all_rows(const struct printer *s, const struct show_part *parts, size_t nr,
			    size_t *nr_ret)
{
	struct row *rows;
	size_t n = 0;

	for (size_t i = 0; i < nr; i++)
		n += parts[i].table->nr_rows;
	rows = calloc(n + 1, sizeof(*rows));
	*nr_ret = 0;
	if (!rows)
		return NULL;
	for (size_t i = 0; i < nr; i++)
		for (size_t k = 0; k < parts[i].table->nr_rows; k++, ++*nr_ret)
			rows[*nr_ret] = (struct row){ &parts[i], k, *nr_ret };
	if (s->nr_keys)
		qsort_r(rows, n, sizeof(*rows), compare_rows, (void *)s);
	return rows;
}

/* ---- JSON ---- */

static void print_json(const struct printer *s, const char *plural, const struct row *rows,
		       size_t nr)
{
	json_object *top = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(top, plural, list);
	for (size_t i = 0; i < nr; i++) {
		json_object *o = json_object_new_object();

		show_json_head(o, rows[i].part);
		show_json_row(s, rows[i].part, rows[i].index, o);
		json_object_array_add(list, o);
	}
	show_json_print(top);
}

/* ---- text ---- */

/* The most columns of a line; 0: no limit. */
static size_t line_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;
	long n;

	if (columns && vl_number(columns, 1, LONG_MAX, &n))
		return (size_t)n;
	return isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) ? ws.ws_col : 0;
}

/* Bytes at the front of @text that are printable ASCII: a column each, in all locales. */
static size_t plain(const char *text)
{
	size_t n = 0;

	while (text[n] >= ' ' && text[n] < 0x7f)
		n++;
	return n;
}

size_t text_width(const char *text)
{
	size_t width = plain(text), len = strlen(text + width);
	mbstate_t mb = { 0 };
	wchar_t wc;

	text += width;
	while (len) {
		size_t n = mbrtowc(&wc, text, len, &mb);

		if (n == (size_t)-1 || n == (size_t)-2 || !n)
			return width + len;
		width += wcwidth(wc) > 0 ? (size_t)wcwidth(wc) : 0;
		text += n;
		len -= n;
	}
	return width;
}

size_t text_fitting(const char *text, size_t room)
{
	size_t at = plain(text), len = strlen(text);
	mbstate_t mb = { 0 };
	wchar_t wc;

	if (at > room)
		return room;
	room -= at;
	while (at < len) {
		size_t n = mbrtowc(&wc, text + at, len - at, &mb), w;

		if (n == (size_t)-1 || n == (size_t)-2 || !n) {
			n = w = 1;
			mb = (mbstate_t){ 0 };
		} else {
			w = wcwidth(wc) > 0 ? (size_t)wcwidth(wc) : 0;
		}
		if (w > room)
			break;
		room -= w;
		at += n;
	}
	return at;
}

static char *clean_text(const char *text, size_t len)
{
	char *buf = NULL;
	size_t size;
	FILE *f = open_memstream(&buf, &size);

	if (!f)
		return NULL;
	print_clean(f, text, len, false, NULL);
	return fclose(f) ? NULL : buf;
}

/* The items with commas between; "-": there are none. */
static char *list_text(const char *items, size_t len)
{
	char *joined, *clean;

	if (!len)
		return strdup("-");
	joined = malloc(len);
	if (!joined)
		return NULL;
	for (size_t i = 0; i < len; i++)
		joined[i] = items[i] ? items[i] : ',';
	/* The last item has a NUL, too. */
	clean = clean_text(joined, items[len - 1] ? len : len - 1);
	free(joined);
	return clean;
}

static char *cell_text(const struct printer *s, const struct row *r, size_t i)
{
	const struct vl_table *t = r->part->table;
	char buf[VL_CELL_TEXT_MAX];
	const struct vl_cell *c;

	if (s->shown[i].index == SHOW_GUEST)
		return clean_text(r->part->guest, strlen(r->part->guest));
	c = vl_table_cell(t, r->index, (size_t)s->shown[i].index);
	if (c->kind == VL_CELL_TEXT && s->columns[s->shown[i].index].list)
		return list_text(vl_table_bytes(t, c), c->text.len);
	if (c->kind == VL_CELL_TEXT)
		return clean_text(vl_table_bytes(t, c), c->text.len);
	vl_cell_format(c, buf);
	return strdup(buf);
}

static const char *header_of(const struct printer *s, size_t i)
{
	const struct show_column *c = &s->shown[i];

	return c->header	      ? c->header :
	       c->index == SHOW_GUEST ? GUEST_NAME :
					s->columns[c->index].name;
}

/* Print one line: @texts, each padded to its width in @widths except the last. */
static void print_line(const struct printer *s, const char *const *texts, const size_t *widths,
		       size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < s->nr_shown; i++) {
		const char *text = texts[i] ? texts[i] : "";
		int index = s->shown[i].index;
		bool last = i + 1 == s->nr_shown;
		bool right = index != SHOW_GUEST && s->columns[index].kind != VL_CELL_TEXT;
		size_t width = text_width(text), pad = widths[i] > width ? widths[i] - width : 0;

		if (right)
			printf("%*s", (int)pad, "");
		if (last && room && !right && room > used)
			fwrite(text, 1, text_fitting(text, room - used), stdout);
		else
			fputs(text, stdout);
		if (!last)
			printf("%*s", (int)(right ? 0 : pad) + 1, "");
		used += (width > widths[i] ? width : widths[i]) + 1;
	}
	putchar('\n');
}

static void print_text(const struct printer *s, const struct row *rows, size_t nr)
{
	char **texts = calloc(nr * s->nr_shown + 1, sizeof(*texts));
	size_t *widths = calloc(s->nr_shown + 1, sizeof(*widths)), room = line_width();
	const char **headers = calloc(s->nr_shown + 1, sizeof(*headers));
	bool headed = false;

	if (!texts || !widths || !headers) {
		fputs("out of memory\n", stderr);
		goto out;
	}
	for (size_t i = 0; i < s->nr_shown; i++) {
		headers[i] = header_of(s, i);
		headed = headed || *headers[i];
		widths[i] = (size_t)s->shown[i].width;
		if (!s->no_headers && text_width(headers[i]) > widths[i])
			widths[i] = text_width(headers[i]);
		for (size_t k = 0; k < nr; k++) {
			char *text = cell_text(s, &rows[k], i);

			texts[k * s->nr_shown + i] = text;
			if (text && text_width(text) > widths[i])
				widths[i] = text_width(text);
		}
	}
	if (headed && (nr || s->always_headed) && !s->no_headers)
		print_line(s, headers, widths, room);
	for (size_t k = 0; k < nr; k++)
		print_line(s, (const char *const *)texts + k * s->nr_shown, widths, room);
out:
	for (size_t k = 0; texts && k < nr * s->nr_shown; k++)
		free(texts[k]);
	free(texts);
	free(widths);
	free(headers);
}

void show_print(const struct printer *s, const char *plural, const struct show_part *parts,
		size_t nr)
{
	size_t nr_rows;
	struct row *rows = all_rows(s, parts, nr, &nr_rows);

	if (!rows)
		fputs("out of memory\n", stderr);
	else if (s->json)
		print_json(s, plural, rows, nr_rows);
	else
		print_text(s, rows, nr_rows);
	free(rows);
}
