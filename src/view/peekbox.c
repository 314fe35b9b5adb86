/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parcel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"

#define PAGE 4096UL
/* Nesting of structures and followed pointers; deeper than peek.c goes. */
#define MAX_OPEN 2048

/* --- finding a place --- */

/* A guest whose kernel is not known still has page tables: use a vCPU's. */
static struct vl_error *use_vcpu(struct vl_raw_guest *g, const char *engine)
{
	struct vl_reader_options o = { .engine = engine };
	struct vl_error *err;
	struct vl_vcpu *v;
	size_t nr;

	if (g->reader)
		return NULL;
	err = vl_target_vcpus(g->target, &v, &nr);
	if (err)
		return err;
	if (nr)
		g->space = vl_space_of(v[0].cr3, v[0].cr4);
	free(v);
	return vl_reader_open(g->target, NULL, &o, &g->reader);
}

/* Get the address space of process @pid. */
static struct vl_error *use_process(struct vl_raw_guest *g, int64_t pid, struct vl_space *ret)
{
	enum { PID, TASK };
	struct vl_error *err;
	struct vl_table t;
	uint64_t task = 0;

	vl_table_init(&t, vl_scan_pidlist.columns);
	err = vl_scan_pidlist.run(g, &t);
	for (size_t i = 0; !err && i < t.nr_rows; i++)
		if (vl_table_cell(&t, i, PID)->i == pid)
			task = vl_table_cell(&t, i, TASK)->u;
	vl_table_deinit(&t);
	if (!err && !task)
		err = vl_error_hint(
			vl_error_new(VL_ERR_ARG, "the guest has no process %d", (int)pid),
			"see vpslist GUEST for those it has");
	return err ? err : vl_read_error(vl_reader_task(g->reader, task, ret), task);
}

/*
 * Begin anew, but for the types of the same kernel: to take them from the cache is most of the
 * time of a request.
 */
static void renew(struct vl_peeker *p, struct vl_raw_guest *g)
{
	const char *key = g->attach ? g->attach->key : "";
	struct btf *kept = NULL;

	if (p->is_found && *key && !strcmp(p->key, key)) {
		kept = p->types.btf;
		p->types.btf = NULL;
	}
	vl_peeker_deinit(p);
	vl_types_init(&p->types, g);
	p->types.btf = kept;
	snprintf(p->key, sizeof(p->key), "%s", key);
	p->is_found = true;
}

static struct vl_error *find(struct vl_peeker *p, struct vl_raw_guest *g, const char *engine,
			     const struct vl_peek_ask *ask)
{
	struct vl_error *err = use_vcpu(g, engine);

	if (err) {
		vl_peeker_deinit(p);
		return err;
	}
	renew(p, g);
	p->types.elements = ask->elements;
	p->types.depth = (unsigned)ask->depth;
	err = vl_types_find(&p->types, ask->what, &p->place);
	/* The reason why its kernel is not known explains any error here. */
	if (err && g->why) {
		vl_error_destroy(err);
		err = g->why;
		g->why = NULL;
	}
	if (!err && ask->as)
		err = g->attach ? use_process(g, ask->as, &p->types.space) :
				  vl_error_new(VL_ERR_KERNEL, "its processes are not known");
	return err;
}

void vl_peeker_deinit(struct vl_peeker *p)
{
	if (p->is_found)
		vl_types_deinit(&p->types);
	p->is_found = false;
}

struct vl_error *vl_peeker_find(struct vl_peeker *p, struct vl_raw_guest *g, const char *engine,
				const struct vl_peek_ask *ask, struct vl_parcel *out)
{
	struct vl_peek_found found = { .va = 0 };
	struct vl_error *err;

	err = find(p, g, engine, ask);
	if (err)
		return err;
	found.va = p->place.va;
	found.typed = p->place.type;
	if (p->place.type) {
		found.size = vl_types_size(&p->types, p->place.type);
		vl_types_name(&p->types, p->place.type, found.type);
	}
	vl_parcel_put(out, &found, sizeof(found));
	return NULL;
}

/* --- bytes --- */

struct vl_error *vl_peeker_bytes(struct vl_peeker *p, uint64_t va, uint64_t len, bool whole,
				 struct vl_parcel *out)
{
	struct vl_reader *r = p->types.g->reader;
	struct vl_error *err = NULL;
	unsigned char *buf;
	uint64_t done = 0;

	if (len > VL_PEEK_MAX)
		return vl_error_new(VL_ERR_ARG, "too much at once");
	buf = malloc(len + 1);
	if (!buf)
		return vl_error_nomem();
	while (!err && done < len) {
		enum vl_read_status status;
		uint64_t n = whole ? len : PAGE - ((va + done) & (PAGE - 1));

		n = n < len - done ? n : len - done;
		status = vl_read(r, &p->types.space, va + done, buf + done, n);
		err = vl_read_error(status, vl_reader_fault(r));
		done += err ? 0 : n;
	}
	vl_parcel_put(out, buf, done);
	free(buf);
	return err;
}

/* --- values, on their way out --- */

enum event { EVENT_VALUE, EVENT_OPEN, EVENT_CLOSE, EVENT_MORE };

/* Put text with its NUL, or none. */
static void put_text(struct vl_parcel *p, const char *text, size_t len)
{
	const uint32_t size = text ? (uint32_t)len + 1 : 0;

	vl_parcel_put(p, &size, sizeof(size));
	if (!text)
		return;
	vl_parcel_put(p, text, len);
	vl_parcel_put(p, "", 1);
}

static void put_string(struct vl_parcel *p, const char *text)
{
	put_text(p, text, text ? strlen(text) : 0);
}

static void put_kind(struct vl_parcel *p, uint32_t kind)
{
	vl_parcel_put(p, &kind, sizeof(kind));
}

static void put_value(struct vl_parcel *p, const struct vl_value *v)
{
	put_kind(p, v->kind);
	vl_parcel_put_u64(p, v->u);
	vl_parcel_put_u64(p, v->offset);
	if (v->kind == VL_VALUE_STRING)
		put_text(p, v->text, v->len);
	else
		put_string(p, v->text);
}

static void on_value(void *ctx, const char *name, const struct vl_value *v)
{
	put_kind(ctx, EVENT_VALUE);
	put_string(ctx, name);
	put_value(ctx, v);
}

static void on_open(void *ctx, const char *name, const char *type, bool array,
		    const struct vl_value *at)
{
	put_kind(ctx, EVENT_OPEN);
	put_string(ctx, name);
	put_string(ctx, type);
	put_kind(ctx, array);
	put_kind(ctx, at != NULL);
	if (at)
		put_value(ctx, at);
}

static void on_close(void *ctx, bool array)
{
	put_kind(ctx, EVENT_CLOSE);
	put_kind(ctx, array);
}

static void on_more(void *ctx, uint64_t left)
{
	put_kind(ctx, EVENT_MORE);
	vl_parcel_put_u64(ctx, left);
}

struct vl_error *vl_peeker_values(struct vl_peeker *p, uint64_t nr, struct vl_parcel *out)
{
	static const struct vl_peek_ops ops = { on_value, on_open, on_close, on_more };

	if (!p->place.type)
		return vl_error_new(VL_ERR_ARG, "that place has no type");
	p->place.nr = nr;
	return vl_peek_show(&p->types, &p->place, &ops, out);
}

/* --- and back --- */

/* Take text; NULL: there is none, or it lacks its NUL. */
static const char *take_text(struct vl_parcel *p, size_t *len_ret)
{
	const char *text;
	uint32_t size;

	vl_parcel_take(p, &size, sizeof(size));
	*len_ret = 0;
	if (!size)
		return NULL;
	text = vl_parcel_take_bytes(p, size);
	if (!text || text[size - 1]) {
		p->bad = true;
		return NULL;
	}
	*len_ret = size - 1;
	return text;
}

static uint32_t take_kind(struct vl_parcel *p, uint32_t most)
{
	uint32_t kind;

	vl_parcel_take(p, &kind, sizeof(kind));
	p->bad |= kind > most;
	return kind;
}

static void take_value(struct vl_parcel *p, struct vl_value *v)
{
	*v = (struct vl_value){ .kind = take_kind(p, VL_VALUE_OTHER) };
	v->u = vl_parcel_take_u64(p);
	v->offset = vl_parcel_take_u64(p);
	v->text = take_text(p, &v->len);
	/* Values of these kinds must have text. */
	p->bad |= !v->text && (v->kind == VL_VALUE_STRING || v->kind == VL_VALUE_FAULT ||
			       v->kind == VL_VALUE_OTHER);
}

/* The open levels: 'a' for an array, 's' for a structure. */
struct nest {
	char is[MAX_OPEN];
	unsigned nr;
};

static void replay_value(struct vl_parcel *in, const struct vl_peek_ops *ops, void *ctx)
{
	struct vl_value v;
	size_t len;
	const char *name = take_text(in, &len);

	take_value(in, &v);
	if (!in->bad)
		ops->value(ctx, name, &v);
}

static void replay_open(struct vl_parcel *in, struct nest *n, const struct vl_peek_ops *ops,
			void *ctx)
{
	struct vl_value at;
	size_t len;
	const char *name = take_text(in, &len), *type = take_text(in, &len);
	bool array = take_kind(in, 1), has_at = take_kind(in, 1);

	if (has_at)
		take_value(in, &at);
	in->bad |= !type || n->nr == MAX_OPEN;
	if (in->bad)
		return;
	n->is[n->nr++] = array ? 'a' : 's';
	ops->open(ctx, name, type, array, has_at ? &at : NULL);
}

static void replay_close(struct vl_parcel *in, struct nest *n, const struct vl_peek_ops *ops,
			 void *ctx)
{
	bool array = take_kind(in, 1);

	in->bad |= !n->nr || n->is[n->nr - 1] != (array ? 'a' : 's');
	if (in->bad)
		return;
	n->nr--;
	ops->close(ctx, array);
}

static void replay_more(struct vl_parcel *in, const struct nest *n, const struct vl_peek_ops *ops,
			void *ctx)
{
	uint64_t left = vl_parcel_take_u64(in);

	in->bad |= !n->nr;
	if (!in->bad)
		ops->more(ctx, left);
}

bool vl_peek_replay(struct vl_parcel *in, const struct vl_peek_ops *ops, void *ctx)
{
	struct nest n = { .nr = 0 };

	/* One value, perhaps with parts. */
	do {
		switch (take_kind(in, EVENT_MORE)) {
		case EVENT_VALUE:
			replay_value(in, ops, ctx);
			break;
		case EVENT_OPEN:
			replay_open(in, &n, ops, ctx);
			break;
		case EVENT_CLOSE:
			replay_close(in, &n, ops, ctx);
			break;
		default:
			replay_more(in, &n, ops, ctx);
			break;
		}
	} while (!in->bad && n.nr);
	/* Close whatever is still open. */
	while (n.nr)
		ops->close(ctx, n.is[--n.nr] == 'a');
	return !in->bad && !vl_parcel_left(in);
}
