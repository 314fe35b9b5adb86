/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rows.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../show.h"

/* Limits of one value of JSON, and of one line. */
#define VALUE_MAX (256UL << 20)
#define LINE_MAX_BYTES (1UL << 20)

static json_object *new_row(const struct rows *r)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "host", show_json_text(r->host, strlen(r->host)));
	return o;
}

static void print_row(struct rows *r, json_object *o)
{
	show_json_line(o);
	r->nr++;
}

/* Print @from, a row of list @list (NULL: of none). */
static void put_row(struct rows *r, const char *list, json_object *from)
{
	json_object *o = new_row(r);

	if (list)
		json_object_object_add(o, "list", json_object_new_string(list));
	json_object_object_foreach(from, key, value)
	{
		/* The far side's tools have no such columns. */
		if (strcmp(key, "host") != 0 && strcmp(key, "list") != 0)
			json_object_object_add(o, key, json_object_get(value));
	}
	print_row(r, o);
}

/* Print the rows of a whole value: those of its lists, or itself. */
static void put_value(struct rows *r, json_object *value)
{
	bool has_list = false;

	if (!json_object_is_type(value, json_type_object)) {
		json_object *o = new_row(r);

		json_object_object_add(o, "value", json_object_get(value));
		print_row(r, o);
		return;
	}
	/* A document has lists of rows, and nothing else. */
	json_object_object_foreach(value, key, list)
	{
		has_list = json_object_is_type(list, json_type_array);
		if (!has_list)
			break;
		(void)key;
	}
	if (!has_list) {
		put_row(r, NULL, value);
		return;
	}
	json_object_object_foreach(value, name, rows)
	{
		for (size_t i = 0; i < json_object_array_length(rows); i++) {
			json_object *row = json_object_array_get_idx(rows, i);

			if (json_object_is_type(row, json_type_object))
				put_row(r, name, row);
		}
	}
}

static void put_line(struct rows *r)
{
	json_object *o = new_row(r);

	json_object_object_add(o, "line", show_json_text(r->line ? r->line : "", r->len));
	print_row(r, o);
	r->len = 0;
}

static void take_text(struct rows *r, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' || r->len == LINE_MAX_BYTES)
			put_line(r);
		if (text[i] == '\n')
			continue;
		if (r->len == r->cap) {
			size_t cap = r->cap ? 2 * r->cap : 256;
			char *more = realloc(r->line, cap);

			if (!more) {
				r->full = true;
				return;
			}
			r->line = more;
			r->cap = cap;
		}
		r->line[r->len++] = text[i];
	}
}

/* Take a part of a value, or a whole one. Returns how many bytes it was; 0: that is no JSON. */
static size_t take_value(struct rows *r, const char *text, size_t len)
{
	json_object *value;
	enum json_tokener_error error;
	size_t n;

	if (!r->tokener) {
		r->tokener = json_tokener_new();
		r->taken = 0;
	}
	if (!r->tokener) {
		r->full = true;
		return len;
	}
	value = json_tokener_parse_ex(r->tokener, text, (int)len);
	error = json_tokener_get_error(r->tokener);
	n = json_tokener_get_parse_end(r->tokener);
	r->taken += n;
	if (error == json_tokener_continue && r->taken <= VALUE_MAX)
		return len;
	json_tokener_free(r->tokener);
	r->tokener = NULL;
	if (error != json_tokener_success) {
		/* What came of it before is lost. */
		r->full = r->full || r->taken > n;
		return 0;
	}
	put_value(r, value);
	json_object_put(value);
	return n ? n : 1;
}

void rows_take(struct rows *r, const char *text, size_t len)
{
	while (r->is_json && len) {
		size_t n = r->tokener ? 0 : strspn(text, " \t\r\n");

		/* strspn() ends at a NUL, as in a copy of the bytes that ends with one. */
		n = n < len ? n : len;
		text += n;
		len -= n;
		if (!len)
			return;
		n = take_value(r, text, len);
		if (!n) {
			r->is_json = false;
			break;
		}
		text += n;
		len -= n;
	}
	take_text(r, text, len);
}

void rows_end(struct rows *r)
{
	if (r->tokener) {
		/* Its output is cut short. */
		json_tokener_free(r->tokener);
		r->tokener = NULL;
		r->full = true;
	}
	if (r->len)
		put_line(r);
	free(r->line);
	r->line = NULL;
}

void rows_print_end(const struct rows *r, int status, const char *why, double seconds)
{
	json_object *o = new_row(r);
	char text[32];

	snprintf(text, sizeof(text), "%.2f", seconds);
	json_object_object_add(o, "exit", json_object_new_int(status));
	json_object_object_add(o, "error", why ? show_json_text(why, strlen(why)) : NULL);
	json_object_object_add(o, "rows", json_object_new_uint64(r->nr));
	json_object_object_add(o, "seconds", json_object_new_double_s(seconds, text));
	show_json_line(o);
}
