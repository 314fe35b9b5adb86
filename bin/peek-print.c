/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "peek.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "report.h"
#include "show.h"

#define LINE 16
/* The most bytes in JSON, where they are one string. */
#define JSON_MAX (64U << 20)

/* ---- bytes ---- */

/* The state of a hex dump between two chunks. */
struct dump {
	FILE *f;
	unsigned char last[LINE];
	bool have_last, starred;
};

static void dump_line(FILE *f, uint64_t va, const unsigned char *p, size_t len)
{
	fprintf(f, "%016" PRIx64 " ", va);
	for (size_t i = 0; i < LINE; i++) {
		if (i < len)
			fprintf(f, "%s%02x", i == LINE / 2 ? "  " : " ", p[i]);
		else
			fputs(i == LINE / 2 ? "    " : "   ", f);
	}
	fputs("  |", f);
	for (size_t i = 0; i < len; i++)
		putc(p[i] < ' ' || p[i] > '~' ? '.' : p[i], f);
	fputs("|\n", f);
}

/* Bytes of one request. */
#define CHUNK (1UL << 20)

/*
 * Print the @n bytes that end before @va: whole lines, at the @end also a short one. Returns
 * the number of bytes printed.
 */
static size_t dump_lines(struct dump *d, uint64_t va, const unsigned char *p, size_t n, bool end)
{
	size_t at = 0;

	while (n - at >= LINE || (n > at && end)) {
		size_t len = n - at < LINE ? n - at : LINE;
		bool same = d->have_last && len == LINE && !memcmp(d->last, p + at, LINE);

		if (!same)
			dump_line(d->f, va - (n - at), p + at, len);
		else if (!d->starred)
			fputs("*\n", d->f);
		d->starred = same;
		memcpy(d->last, p + at, len);
		d->have_last = len == LINE;
		at += len;
	}
	return at;
}

/* As in hexdump -C, lines that repeat the one before become one star. */
struct vl_error *peek_dump(struct vl_guest *g, uint64_t va, uint64_t length, FILE *f)
{
	_cleanup_free_ unsigned char *buf = malloc(CHUNK + LINE);
	struct dump d = { .f = f };
	struct vl_error *err = buf ? NULL : vl_error_nomem();
	size_t kept = 0; /* bytes of an unfinished line, at the front of buf */

	while (length && !err) {
		size_t n = length < CHUNK ? length : CHUNK, at;

		err = vl_guest_peek_bytes(g, va, buf + kept, n, false, &n);
		va += n;
		length -= n;
		n += kept;
		/* The last line may be short, also where an error ends the dump. */
		at = dump_lines(&d, va, buf, n, err || !length);
		kept = n - at;
		memmove(buf, buf + at, kept);
	}
	if (!err)
		fprintf(f, "%016" PRIx64 "\n", va);
	return err;
}

struct vl_error *peek_dump_json(struct vl_guest *g, uint64_t va, uint64_t length, json_object *o)
{
	_cleanup_free_ unsigned char *buf = NULL;
	_cleanup_free_ char *hex = NULL;
	struct vl_error *err;
	size_t done;

	if (length > JSON_MAX)
		return vl_error_new(VL_ERR_ARG, "more than %u MiB are too many for JSON",
				    JSON_MAX >> 20);
	buf = malloc(length + 1);
	hex = malloc(2 * length + 1);
	if (!buf || !hex)
		return vl_error_nomem();
	err = vl_guest_peek_bytes(g, va, buf, length, true, &done);
	for (uint64_t i = 0; !err && i < length; i++)
		sprintf(hex + 2 * i, "%02x", buf[i]);
	if (!err)
		json_object_object_add(o, "bytes",
				       json_object_new_string_len(hex, (int)(2 * length)));
	return err;
}

/* ---- values as text ---- */

static void begin(struct peek_text *x, const char *name)
{
	if (x->head) {
		print_clean(x->f, x->head, strlen(x->head), false, NULL);
		putc('\n', x->f);
		free(x->head);
		x->head = NULL;
	}
	fprintf(x->f, "%*s", (int)(4 * x->level), "");
	if (name) {
		putc('.', x->f);
		print_clean(x->f, name, strlen(name), false, NULL);
		fputs(" = ", x->f);
	}
}

static void end(struct peek_text *x)
{
	fputs(x->level ? ",\n" : "\n", x->f);
}

static void quote(FILE *f, const char *text, size_t len)
{
	putc('"', f);
	print_clean(f, text, len, false, NULL);
	putc('"', f);
}

static void print_value(FILE *f, const struct vl_value *v)
{
	switch (v->kind) {
	case VL_VALUE_INT:
		fprintf(f, "%" PRId64, v->i);
		break;
	case VL_VALUE_UINT:
		fprintf(f, "%" PRIu64, v->u);
		break;
	case VL_VALUE_BOOL:
		fputs(v->u ? "true" : "false", f);
		break;
	case VL_VALUE_POINTER:
		fprintf(f, "0x%" PRIx64, v->u);
		if (v->text) {
			fputs(" <", f);
			print_clean(f, v->text, strlen(v->text), false, NULL);
			fprintf(f, v->offset ? "+0x%" PRIx64 ">" : ">", v->offset);
		}
		break;
	case VL_VALUE_ENUM:
		if (v->text)
			print_clean(f, v->text, strlen(v->text), false, NULL);
		fprintf(f, v->text ? " (%" PRId64 ")" : "%" PRId64, v->i);
		break;
	case VL_VALUE_STRING:
		quote(f, v->text, v->len);
		break;
	case VL_VALUE_FAULT:
		fprintf(f, "(cannot be read at 0x%" PRIx64 ": ", v->u);
		print_clean(f, v->text, strlen(v->text), false, NULL);
		putc(')', f);
		break;
	default:
		print_clean(f, v->text, strlen(v->text), false, NULL);
		break;
	}
}

static void text_value(void *ctx, const char *name, const struct vl_value *v)
{
	struct peek_text *x = ctx;

	begin(x, name);
	print_value(x->f, v);
	end(x);
}

static void text_open(void *ctx, const char *name, const char *type, bool array,
		      const struct vl_value *at)
{
	struct peek_text *x = ctx;

	begin(x, name);
	if (at) {
		print_value(x->f, at);
		fprintf(x->f, " -> ");
		print_clean(x->f, type, strlen(type), false, NULL);
		putc(' ', x->f);
	}
	fputs(array ? "[\n" : "{\n", x->f);
	x->level++;
}

static void text_close(void *ctx, bool array)
{
	struct peek_text *x = ctx;

	if (x->level)
		x->level--;
	fprintf(x->f, "%*s%c", (int)(4 * x->level), "", array ? ']' : '}');
	end(x);
}

static void text_more(void *ctx, uint64_t left)
{
	struct peek_text *x = ctx;

	fprintf(x->f, "%*s(%" PRIu64 " more)\n", (int)(4 * x->level), "", left);
}

const struct vl_peek_ops peek_text_ops = { text_value, text_open, text_close, text_more };

/* ---- values as JSON ---- */

static void put(struct peek_tree *x, const char *name, json_object *o)
{
	json_object *parent = x->level ? x->stack[x->level - 1] : NULL;

	if (!parent)
		x->top = o;
	else if (json_object_is_type(parent, json_type_array))
		json_object_array_add(parent, o);
	else
		json_object_object_add(parent, name ? name : "value", o);
}

static json_object *value_json(const struct vl_value *v)
{
	char buf[32];

	switch (v->kind) {
	case VL_VALUE_INT:
		return json_object_new_int64(v->i);
	case VL_VALUE_UINT:
		return json_object_new_uint64(v->u);
	case VL_VALUE_BOOL:
		return json_object_new_boolean(v->u != 0);
	case VL_VALUE_POINTER:
		snprintf(buf, sizeof(buf), "0x%" PRIx64, v->u);
		return json_object_new_string(buf);
	case VL_VALUE_ENUM:
		return v->text ? show_json_text(v->text, strlen(v->text)) :
				 json_object_new_int64(v->i);
	case VL_VALUE_STRING:
		return show_json_text(v->text, v->len);
	default:
		return NULL;
	}
}

static void tree_value(void *ctx, const char *name, const struct vl_value *v)
{
	put(ctx, name, value_json(v));
}

static void tree_open(void *ctx, const char *name, const char *type, bool array,
		      const struct vl_value *at)
{
	struct peek_tree *x = ctx;
	json_object *parent = x->level ? x->stack[x->level - 1] : NULL;
	json_object *o;

	(void)type, (void)at;
	if (x->level == ARRAY_SIZE(x->stack)) {
		x->beyond++;
		return;
	}
	/* Members of an anonymous struct or union are those of the object around it. */
	if (parent && !name && !array && json_object_is_type(parent, json_type_object)) {
		x->stack[x->level++] = parent;
		return;
	}
	o = array ? json_object_new_array() : json_object_new_object();
	put(x, name, o);
	x->stack[x->level++] = o;
}

static void tree_close(void *ctx, bool array)
{
	struct peek_tree *x = ctx;

	(void)array;
	if (x->beyond)
		x->beyond--;
	else if (x->level)
		x->level--;
}

static void tree_more(void *ctx, uint64_t left)
{
	(void)ctx, (void)left;
}

const struct vl_peek_ops peek_tree_ops = { tree_value, tree_open, tree_close, tree_more };
