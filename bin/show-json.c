/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows of tables in JSON. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "show.h"

json_object *show_json_text(const char *text, size_t len)
{
	char *clean = malloc(4 * len + 1), *out = clean;
	json_object *o;

	if (!clean)
		return NULL;
	while (len) {
		uint32_t c;
		size_t n = vl_text_utf8(text, len, &c);

		if (n) {
			memcpy(out, text, n);
			out += n;
		} else {
			out += sprintf(out, "\\x%02x", (unsigned char)*text);
			n = 1;
		}
		text += n;
		len -= n;
	}
	o = json_object_new_string_len(clean, (int)(out - clean));
	free(clean);
	return o;
}

/* Numbers beyond that are strings: many readers of JSON keep a number as a double. */
#define EXACT (1LL << 53)

static json_object *list_json(const char *items, size_t len)
{
	json_object *list = json_object_new_array();

	while (len) {
		size_t n = strnlen(items, len), taken = n < len ? n + 1 : n;

		json_object_array_add(list, show_json_text(items, n));
		items += taken;
		len -= taken;
	}
	return list;
}

static json_object *cell_json(const struct vl_table *t, const struct vl_column *column,
			      const struct vl_cell *c)
{
	char buf[VL_CELL_TEXT_MAX];

	switch (c->kind) {
	case VL_CELL_TEXT:
		return column->list ? list_json(vl_table_bytes(t, c), c->text.len) :
				      show_json_text(vl_table_bytes(t, c), c->text.len);
	case VL_CELL_INT:
		if (c->i >= -EXACT && c->i <= EXACT)
			return json_object_new_int64(c->i);
		vl_cell_format(c, buf);
		return json_object_new_string(buf);
	case VL_CELL_UINT:
		if (c->u <= EXACT)
			return json_object_new_uint64(c->u);
		vl_cell_format(c, buf);
		return json_object_new_string(buf);
	case VL_CELL_TENTHS:
		vl_cell_format(c, buf);
		return json_object_new_double_s((double)c->i / 10, buf);
	case VL_CELL_MICROSECONDS:
		vl_cell_format(c, buf);
		return json_object_new_double_s((double)c->u / VL_NSEC_PER_SEC, buf);
	case VL_CELL_HUNDREDTHS:
		vl_cell_format(c, buf);
		return json_object_new_double_s((double)c->u / 100, buf);
	case VL_CELL_BOOL:
		return json_object_new_boolean(c->u != 0);
	case VL_CELL_SECONDS:
		vl_cell_format(c, buf);
		return json_object_new_double_s((double)c->i / VL_NSEC_PER_SEC, buf);
	case VL_CELL_HEX:
		vl_cell_format(c, buf);
		return json_object_new_string(buf);
	default:
		return NULL;
	}
}

void show_json_head(json_object *o, const struct show_part *part)
{
	const struct vl_cell at = { .kind = VL_CELL_SECONDS, .u = part->at_ns };

	if (*part->guest) {
		json_object_object_add(o, "guest",
				       show_json_text(part->guest, strlen(part->guest)));
		json_object_object_add(o, "timestamp",
				       part->at_ns ? cell_json(NULL, NULL, &at) : NULL);
	}
	json_object_object_add(o, "schema", json_object_new_int(SHOW_SCHEMA));
}

void show_json_row(const struct printer *s, const struct show_part *part, size_t row,
		   json_object *o)
{
	const struct vl_table *t = part->table;

	for (size_t i = 0; i < s->nr_shown; i++) {
		int index = s->shown[i].index;
		const char *name = index == SHOW_GUEST ? "guest" : s->columns[index].name;
		char key[64];
		size_t n = 0;

		for (; name[n] && n + 1 < sizeof(key); n++)
			key[n] = (char)tolower((unsigned char)name[n]);
		key[n] = '\0';
		json_object_object_add(o, key,
				       index == SHOW_GUEST ?
					       show_json_text(part->guest, strlen(part->guest)) :
					       cell_json(t, &s->columns[index],
							 vl_table_cell(t, row, (size_t)index)));
	}
}

/*
 * Characters that JSON allows unescaped, but that drive a terminal or deceive its reader:
 * DEL, the C1 controls, invisible characters.
 */
static bool is_escaped(uint32_t c)
{
	return (c >= 0x7f && c <= 0x9f) || vl_text_unseen(c);
}

/* RFC 8259, section 7: a character above 16 bits is two surrogates. */
static void print_escaped(uint32_t c)
{
	if (c > 0xffff)
		printf("\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
		       0xdc00 + ((c - 0x10000) & 0x3ff));
	else
		printf("\\u%04x", c);
}

/* Print @o in the form of @flags (JSON_C_TO_STRING_…) and a newline, and free @o. */
static void put_json(json_object *o, int flags)
{
	const char *text =
		json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE);

	for (size_t n; text && *text; text += n) {
		uint32_t c = 0;

		for (n = 0; text[n] && (unsigned char)text[n] < 0x7f;)
			n++;
		if (!n) {
			/* The NUL at the end is not part of a character. */
			n = vl_text_utf8(text, 4, &c);
			n = n ? n : 1;
		}
		if (is_escaped(c))
			print_escaped(c);
		else
			fwrite(text, 1, n, stdout);
	}
	putchar('\n');
	json_object_put(o);
}

void show_json_print(json_object *o)
{
	put_json(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

void show_json_line(json_object *o)
{
	put_json(o, JSON_C_TO_STRING_PLAIN);
}
