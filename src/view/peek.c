/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "peek.h"

#include <bpf/btf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/cleanup.h"
#include "../kernel/btf.h"
#include "collect.h"

/* Nesting of structures; deeper is a type that a guest made up. */
#define MAX_LEVELS 48
/* Values of one peek: pointers can lead anywhere, again and again. */
#define MAX_VALUES (1U << 20)
#define STRING_MAX 256

struct show {
	struct vl_types *t;
	const struct vl_peek_ops *ops;
	void *ctx;
	unsigned level, depth;
	uint64_t values;
	uint64_t text_start, text_end; /* of the kernel's image */
};

/* A value in a buffer: @left bytes are valid from @p on. */
struct spot {
	const unsigned char *p;
	uint64_t left;
	uint32_t bit, bits;
};

static void show(struct show *s, const char *name, uint32_t id, const struct spot *at);
static void show_members(struct show *s, const char *name, const struct btf_type *type,
			 const struct spot *at, bool inner);

static uint64_t raw_value(const struct spot *at, uint64_t size)
{
	uint64_t v = 0;
	unsigned __int128 wide = 0;

	if (!at->bits) {
		memcpy(&v, at->p, size < 8 ? size : 8);
		return v;
	}
	/* A bitfield of 64 bits may lie across nine bytes. */
	memcpy(&wide, at->p, at->left < 9 ? at->left : 9);
	v = (uint64_t)(wide >> at->bit);
	return at->bits < 64 ? v & ((1UL << at->bits) - 1) : v;
}

static int64_t sign_extend(uint64_t v, uint64_t bits)
{
	return bits && bits < 64 ? (int64_t)(v << (64 - bits)) >> (64 - bits) : (int64_t)v;
}

static void emit(struct show *s, const char *name, struct vl_value v)
{
	s->values++;
	s->ops->value(s->ctx, name, &v);
}

static void other(struct show *s, const char *name, const char *text)
{
	emit(s, name, (struct vl_value){ .kind = VL_VALUE_OTHER, .text = text });
}

static void show_int(struct show *s, const char *name, const struct btf_type *type,
		     const struct spot *at)
{
	unsigned encoding = btf_int_encoding(type);
	uint64_t size = type->size, v = raw_value(at, size);
	/* Older BTF has a bitfield's offset in the integer type itself. */
	uint64_t bits = at->bits ? at->bits : btf_int_bits(type);

	if (size > 8 || size > at->left) {
		other(s, name, "(a number of more than 64 bits)");
		return;
	}
	if (!at->bits && bits < 8 * size)
		v = v >> btf_int_offset(type) & ((1UL << bits) - 1);
	if (encoding & BTF_INT_BOOL)
		emit(s, name, (struct vl_value){ .kind = VL_VALUE_BOOL, .u = v });
	else if (encoding & BTF_INT_SIGNED)
		emit(s, name, (struct vl_value){ .kind = VL_VALUE_INT, .i = sign_extend(v, bits) });
	else
		emit(s, name, (struct vl_value){ .kind = VL_VALUE_UINT, .u = v });
}

static void show_enum(struct show *s, const char *name, const struct btf_type *type,
		      const struct spot *at)
{
	struct vl_value v = { .kind = VL_VALUE_ENUM };
	uint64_t raw = raw_value(at, type->size);
	struct vl_btf_value e;

	v.i = sign_extend(raw, at->bits ? 0 : 8UL * type->size);
	for (unsigned i = 0; !v.text && vl_btf_value(s->t->btf, type, i, &e); i++)
		if (e.value == v.i || e.value == (int64_t)raw)
			v.text = e.name;
	emit(s, name, v);
}

/* ---- pointers ---- */

static struct vl_value fault(enum vl_read_status status, uint64_t va)
{
	return (struct vl_value){ .kind = VL_VALUE_FAULT,
				  .u = va,
				  .text = vl_read_strstatus(status) };
}

static void show_target(struct show *s, const char *name, uint32_t id, uint64_t size,
			const struct vl_value *at)
{
	char type[VL_TYPE_NAME];
	enum vl_read_status status;
	unsigned char *buf;

	buf = malloc(size);
	if (!buf)
		return;
	vl_types_name(s->t, id, type);
	status = vl_read(s->t->g->reader, &s->t->space, at->u, buf, size);
	s->ops->open(s->ctx, name, type, false, at);
	if (status) {
		emit(s, NULL, fault(status, vl_reader_fault(s->t->g->reader)));
	} else {
		const struct btf_type *type_to = vl_types_resolve(s->t, id, &id);

		/* open() was called with the pointer. */
		s->depth++;
		if (type_to && btf_is_composite(type_to))
			show_members(s, NULL, type_to, &(struct spot){ .p = buf, .left = size },
				     true);
		else
			show(s, NULL, id, &(struct spot){ .p = buf, .left = size });
		s->depth--;
	}
	s->ops->close(s->ctx, false);
	free(buf);
}

static bool is_char(const struct btf_type *type)
{
	return type && btf_is_int(type) && type->size == 1 &&
	       !(btf_int_encoding(type) & BTF_INT_BOOL);
}

static void show_pointer(struct show *s, const char *name, const struct btf_type *type,
			 const struct spot *at)
{
	struct vl_value v = { .kind = VL_VALUE_POINTER, .u = raw_value(at, 8) };
	uint32_t id = 0;
	const struct btf_type *to = vl_types_resolve(s->t, type->type, &id);
	uint64_t size = to ? vl_types_size(s->t, id) : 0;
	char text[STRING_MAX];

	if (v.u >= s->text_start && v.u < s->text_end)
		v.text = vl_symbol_at(s->t->g->attach->kernel, v.u, &v.offset);
	if (!v.u || s->depth >= s->t->depth) {
		emit(s, name, v);
	} else if (is_char(to)) {
		enum vl_read_status status =
			vl_read_string(s->t->g->reader, &s->t->space, v.u, text, sizeof(text));

		if (status && status != VL_READ_UNENDED)
			emit(s, name, v);
		else
			emit(s, name,
			     (struct vl_value){
				     .kind = VL_VALUE_STRING, .text = text, .len = strlen(text) });
	} else if (to && size && size <= VL_PEEK_MAX &&
		   (btf_is_composite(to) || btf_is_ptr(to) || btf_is_int(to))) {
		show_target(s, name, id, size, &v);
	} else {
		emit(s, name, v);
	}
}

/* ---- arrays and structures ---- */

/* Is it text up to a NUL? */
static bool is_text(const unsigned char *p, uint64_t len)
{
	const unsigned char *nul = memchr(p, 0, len);

	for (uint64_t i = 0; i < (nul ? (uint64_t)(nul - p) : len); i++)
		if ((p[i] < ' ' && p[i] != '\t' && p[i] != '\n') || p[i] == 0x7f)
			return false;
	return nul;
}

static void show_row(struct show *s, const char *name, uint32_t id, uint64_t nr,
		     const struct spot *at)
{
	const struct btf_type *type = vl_types_resolve(s->t, id, NULL);
	uint64_t size = vl_types_size(s->t, id), shown = nr;
	char type_name[VL_TYPE_NAME];

	if (size && nr > at->left / size)
		nr = shown = at->left / size;
	if (is_char(type) && nr && is_text(at->p, nr)) {
		emit(s, name,
		     (struct vl_value){ .kind = VL_VALUE_STRING,
					.text = (const char *)at->p,
					.len = strnlen((const char *)at->p, nr) });
		return;
	}
	if (s->t->elements && shown > s->t->elements)
		shown = s->t->elements;
	if (!size)
		shown = 0;
	vl_types_name(s->t, id, type_name);
	s->ops->open(s->ctx, name, type_name, true, NULL);
	for (uint64_t i = 0; i < shown && s->values < MAX_VALUES; i++)
		show(s, NULL, id,
		     &(struct spot){ .p = at->p + i * size, .left = at->left - i * size });
	if (shown < nr)
		s->ops->more(s->ctx, nr - shown);
	s->ops->close(s->ctx, true);
}

static void show_members(struct show *s, const char *name, const struct btf_type *type,
			 const struct spot *at, bool inner)
{
	char type_name[VL_TYPE_NAME];
	struct vl_btf_member m;

	if (!inner) {
		const char *n = vl_types_string(s->t, type->name_off);

		memset(type_name, 0, sizeof(type_name));
		strncpy(type_name, n, sizeof(type_name) - 1);
		s->ops->open(s->ctx, name, type_name, false, NULL);
	}
	for (unsigned i = 0; s->values < MAX_VALUES && vl_btf_member(s->t->btf, type, i, &m); i++) {
		struct spot spot = { .p = at->p + m.bit / 8,
				     .bit = m.bits ? m.bit % 8 : 0,
				     .bits = m.bits };

		if (m.bit / 8 > at->left)
			continue;
		spot.left = at->left - m.bit / 8;
		show(s, *m.name ? m.name : NULL, m.type, &spot);
	}
	if (!inner)
		s->ops->close(s->ctx, false);
}

static void show(struct show *s, const char *name, uint32_t id, const struct spot *at)
{
	const struct btf_type *type = vl_types_resolve(s->t, id, &id);
	uint64_t size = type ? vl_types_size(s->t, id) : 0;

	if (s->level == MAX_LEVELS || s->values >= MAX_VALUES)
		return;
	if (!type || (!at->bits && size > at->left)) {
		other(s, name, "(beyond the end)");
		return;
	}
	s->level++;
	switch (btf_kind(type)) {
	case BTF_KIND_INT:
		show_int(s, name, type, at);
		break;
	case BTF_KIND_PTR:
		show_pointer(s, name, type, at);
		break;
	case BTF_KIND_ENUM:
	case 19: /* BTF_KIND_ENUM64 */
		show_enum(s, name, type, at);
		break;
	case BTF_KIND_ARRAY:
		show_row(s, name, btf_array(type)->type, btf_array(type)->nelems, at);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		show_members(s, name, type, at, false);
		break;
	default:
		other(s, name, "(no value)");
		break;
	}
	s->level--;
}

struct vl_error *vl_peek_show(struct vl_types *t, const struct vl_lvalue *place,
			      const struct vl_peek_ops *ops, void *ctx)
{
	struct show s = { .t = t, .ops = ops, .ctx = ctx };
	uint64_t size = vl_types_size(t, place->type), nr = place->nr ? place->nr : 1;
	struct spot at = { .bit = place->bit, .bits = place->bits };
	_cleanup_free_ unsigned char *buf = NULL;
	enum vl_read_status status;

	if (!size)
		return vl_error_new(VL_ERR_ARG, "the type has no size");
	if (nr > VL_PEEK_MAX / size)
		return vl_error_new(VL_ERR_ARG, "more than %u MiB of a type are too many",
				    VL_PEEK_MAX >> 20);
	at.left = nr * size;
	buf = malloc(at.left);
	if (!buf)
		return vl_error_nomem();
	at.p = buf;
	status = vl_read(t->g->reader, &t->space, place->va, buf, at.left);
	if (status)
		return vl_read_error(status, vl_reader_fault(t->g->reader));
	s.text_start = vl_symbol(t->g->attach->kernel, "_stext");
	s.text_end = vl_symbol(t->g->attach->kernel, "_end");
	if (place->nr)
		show_row(&s, NULL, place->type, nr, &at);
	else
		show(&s, NULL, place->type, &at);
	return NULL;
}
