/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result of a view on its way out of the worker (view/parcel.h): it arrives unchanged.
 * Anything else is refused, and is not read beyond its end, which the sanitizers check.
 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tap.h"
#include "view/parcel.h"
#include "view/watching.h"

enum { NAME, NUMBER, FLAG };

static const struct vl_column columns[] = {
	[NAME] = { "NAME", VL_CELL_TEXT, true, .doc = "text" },
	[NUMBER] = { "NUMBER", VL_CELL_UINT, true, .doc = "number" },
	[FLAG] = { "FLAG", VL_CELL_BOOL, true, .doc = "flag" },
	{ 0 },
};

static void make(struct vl_table *t, size_t nr)
{
	vl_table_init(t, columns);
	for (size_t i = 0; i < nr; i++) {
		vl_table_row(t);
		vl_table_printf(t, NAME, "row %zu", i);
		vl_table_uint(t, NUMBER, i * 3);
		if (i % 2)
			vl_table_uint(t, FLAG, 1);
	}
	t->nr_marked = nr / 2;
	t->nr_unsure = nr / 3;
}

static bool same(const struct vl_table *a, const struct vl_table *b)
{
	if (a->nr_rows != b->nr_rows || a->nr_marked != b->nr_marked ||
	    a->nr_unsure != b->nr_unsure)
		return false;
	for (size_t i = 0; i < a->nr_rows; i++)
		for (size_t k = 0; k < a->nr_columns; k++)
			if (vl_cell_compare(a, vl_table_cell(a, i, k), b, vl_table_cell(b, i, k)))
				return false;
	return true;
}

/* Take a table out of a copy of @len bytes on the heap: the sanitizers see reads beyond it. */
static bool take(const void *bytes, size_t len, struct vl_table *t)
{
	struct vl_parcel p = { .bytes = malloc(len ? len : 1), .len = len };
	bool ok;

	memcpy(p.bytes, bytes, len);
	vl_table_init(t, columns);
	ok = vl_parcel_take_table(&p, t) && !vl_parcel_left(&p);
	vl_parcel_deinit(&p);
	return ok;
}

static void arrives(size_t nr)
{
	struct vl_parcel p = { .bytes = NULL };
	struct vl_table t, back;

	make(&t, nr);
	vl_parcel_put_table(&p, &t);
	ok(!p.bad && take(p.bytes, p.len, &back) && same(&t, &back), "%zu rows arrive", nr);
	vl_table_deinit(&t);
	vl_table_deinit(&back);
	vl_parcel_deinit(&p);
}

/* A table that is cut anywhere is refused. */
static void truncated(void)
{
	struct vl_parcel p = { .bytes = NULL };
	struct vl_table t, back;
	size_t taken = 0;

	make(&t, 20);
	vl_parcel_put_table(&p, &t);
	for (size_t len = 0; len < p.len; len++) {
		taken += take(p.bytes, len, &back);
		vl_table_deinit(&back);
	}
	ok(!taken, "no part of a table is accepted");
	vl_table_deinit(&t);
	vl_parcel_deinit(&p);
}

/* A word of the table that is replaced: its offset, its size and the new value. */
static const struct lie {
	const char *what;
	size_t at, size;
	uint64_t value;
} lies[] = {
	{ "other columns", 0, 8, 4 },
	{ "no columns", 0, 8, 0 },
	{ "a row too many", 8, 8, 3 },
	{ "2^64 - 1 rows", 8, 8, UINT64_MAX },
	{ "rows whose size wraps", 8, 8, UINT64_MAX / 48 + 2 },
	{ "a row less", 8, 8, 1 },
	{ "more text", 16, 8, 1000 },
	{ "2^64 - 1 bytes of text", 16, 8, UINT64_MAX },
	{ "2^32 bytes of text", 16, 8, 1UL << 32 },
	{ "an unknown kind", 48, 4, 99 },
	{ "a negative kind", 48, 4, UINT32_MAX },
	{ "a number in a column of text", 48, 4, VL_CELL_UINT },
	{ "text in a column of numbers", 64, 4, VL_CELL_TEXT },
	{ "text that begins behind the end", 56, 4, 500 },
	{ "text that ends behind the end", 60, 4, 500 },
	{ "text whose end wraps", 60, 4, UINT32_MAX },
};

static void lied(void)
{
	struct vl_parcel p = { .bytes = NULL };
	struct vl_table t, back;

	make(&t, 2);
	vl_parcel_put_table(&p, &t);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		const struct lie *l = &lies[i];
		unsigned char was[8];

		memcpy(was, p.bytes + l->at, l->size);
		memcpy(p.bytes + l->at, &l->value, l->size);
		ok(!take(p.bytes, p.len, &back), "refused: %s", l->what);
		vl_table_deinit(&back);
		memcpy(p.bytes + l->at, was, l->size);
	}
	vl_table_deinit(&t);
	vl_parcel_deinit(&p);
}

/* All cells of a table that is accepted can be read. */
static void fuzzed(void)
{
	struct vl_parcel p = { .bytes = NULL };
	struct vl_table t, back;
	size_t refused = 0, sum = 0;
	unsigned char *copy;
	char buf[VL_CELL_TEXT_MAX];

	srand(1);
	make(&t, 30);
	vl_parcel_put_table(&p, &t);
	copy = malloc(p.len);
	for (unsigned round = 0; round < 20000; round++) {
		memcpy(copy, p.bytes, p.len);
		for (int n = rand() % 4; n >= 0; n--)
			copy[(size_t)rand() % (rand() % 2 ? 64 : p.len)] = (unsigned char)rand();
		refused += !take(copy, p.len, &back);
		for (size_t i = 0; i < back.nr_rows * back.nr_columns; i++) {
			const struct vl_cell *c = &back.cells[i];

			vl_cell_format(c, buf);
			for (uint32_t k = 0; c->kind == VL_CELL_TEXT && k < c->text.len; k++)
				sum += (unsigned char)vl_table_bytes(&back, c)[k];
		}
		vl_table_deinit(&back);
	}
	ok(refused > 1000 && sum, "20000 tables with wrong bytes, %s", "most of them refused");
	free(copy);
	vl_table_deinit(&t);
	vl_parcel_deinit(&p);
}

static void too_long(void)
{
	struct vl_parcel p = { .bytes = NULL, .len = VL_PARCEL_MAX - 10 };
	uint64_t v;

	vl_parcel_put(&p, "more than ten bytes", 19);
	ok(p.bad && p.len == VL_PARCEL_MAX - 10, "a parcel has a largest size");
	p = (struct vl_parcel){ .bytes = NULL };
	vl_parcel_take(&p, &v, sizeof(v));
	ok(p.bad && !v && !vl_parcel_take_bytes(&p, 0), "nothing is taken from an empty parcel");
}

/* --- values of vpeek --- */

/* Counts what is shown, and reads all texts. */
struct shown {
	size_t values, opens, closes, bytes;
	long level;
};

static void count_text(struct shown *c, const char *text)
{
	c->bytes += text ? strlen(text) : 0;
}

static void see_value(void *ctx, const char *name, const struct vl_value *v)
{
	struct shown *c = ctx;

	c->values++;
	count_text(c, name);
	count_text(c, v->text);
}

static void see_open(void *ctx, const char *name, const char *type, bool array,
		     const struct vl_value *at)
{
	struct shown *c = ctx;

	(void)array;
	c->opens++;
	c->level++;
	count_text(c, name);
	count_text(c, type);
	if (at)
		count_text(c, at->text);
}

static void see_close(void *ctx, bool array)
{
	struct shown *c = ctx;

	(void)array;
	c->closes++;
	c->level--;
}

static void see_more(void *ctx, uint64_t left)
{
	struct shown *c = ctx;

	c->bytes += left != 0;
}

static const struct vl_peek_ops seer = { see_value, see_open, see_close, see_more };

static void put32(struct vl_parcel *p, uint32_t v)
{
	vl_parcel_put(p, &v, sizeof(v));
}

static void put_string(struct vl_parcel *p, const char *text)
{
	put32(p, text ? (uint32_t)strlen(text) + 1 : 0);
	if (text)
		vl_parcel_put(p, text, strlen(text) + 1);
}

/* A value named @name, of @kind, as view/peekbox.c puts it. */
static void put_value(struct vl_parcel *p, const char *name, uint32_t kind, const char *text)
{
	put32(p, 0);
	put_string(p, name);
	put32(p, kind);
	vl_parcel_put_u64(p, 7);
	vl_parcel_put_u64(p, 0);
	put_string(p, text);
}

static void put_open(struct vl_parcel *p, const char *name)
{
	put32(p, 1);
	put_string(p, name);
	put_string(p, "struct x");
	put32(p, 0);
	put32(p, 0);
}

static void put_close(struct vl_parcel *p, uint32_t array)
{
	put32(p, 2);
	put32(p, array);
}

static void make_values(struct vl_parcel *p)
{
	put_open(p, NULL);
	put_value(p, "number", VL_VALUE_UINT, NULL);
	put_open(p, "inner");
	put_value(p, "text", VL_VALUE_STRING, "of a guest");
	put_close(p, 0);
	put32(p, 3);
	vl_parcel_put_u64(p, 12);
	put_close(p, 0);
}

/* Replay a copy of @len bytes on the heap: the sanitizers see reads beyond it. */
static bool replay(const struct vl_parcel *from, size_t len, struct shown *c)
{
	struct vl_parcel p = { .bytes = malloc(len ? len : 1), .len = len };
	bool fine;

	*c = (struct shown){ 0 };
	memcpy(p.bytes, from->bytes, len);
	fine = vl_peek_replay(&p, &seer, c);
	vl_parcel_deinit(&p);
	return fine;
}

static void values(void)
{
	struct vl_parcel p = { .bytes = NULL }, deep = { .bytes = NULL };
	unsigned char *was;
	struct shown c;
	size_t taken = 0, open = 0, refused = 0;

	make_values(&p);
	ok(replay(&p, p.len, &c) && c.values == 2 && c.opens == 2 && c.closes == 2,
	   "values arrive");
	for (size_t len = 0; len < p.len; len++) {
		taken += replay(&p, len, &c);
		open += c.level != 0;
	}
	ok(!taken && !open, "a part of them is refused, and nothing is left open");
	was = malloc(p.len);
	memcpy(was, p.bytes, p.len);
	for (unsigned round = 0; round < 20000; round++) {
		for (int n = rand() % 3; n >= 0; n--)
			p.bytes[(size_t)rand() % p.len] = (unsigned char)rand();
		refused += !replay(&p, p.len, &c);
		open += c.level != 0;
		memcpy(p.bytes, was, p.len);
	}
	ok(refused > 1000 && !open, "20000 values with wrong bytes, most of them refused");
	free(was);
	vl_parcel_deinit(&p);

	put_value(&p, NULL, VL_VALUE_FAULT, NULL);
	ok(!replay(&p, p.len, &c), "refused: a value that consists of text, without text");
	vl_parcel_deinit(&p);
	put_value(&p, NULL, VL_VALUE_UINT, NULL);
	put_value(&p, NULL, VL_VALUE_UINT, NULL);
	ok(!replay(&p, p.len, &c) && c.values == 1, "refused: two values for one");
	vl_parcel_deinit(&p);
	put_open(&p, NULL);
	put_close(&p, 1);
	ok(!replay(&p, p.len, &c), "refused: a structure that ends as an array");
	vl_parcel_deinit(&p);
	for (unsigned i = 0; i < 100000; i++)
		put_open(&deep, NULL);
	ok(!replay(&deep, deep.len, &c) && c.opens < 10000 && !c.level,
	   "refused: structures within structures without end");
	vl_parcel_deinit(&deep);
}

/* Does a round arrive whose one event has the ids @pid and @ppid, put there with @checked? */
static bool round_arrives(int32_t pid, int32_t ppid, bool checked, struct vl_watch_event *ret)
{
	struct vl_watch_event e = { .kind = VL_WATCH_START };
	struct vl_watch_round put = { .events = &e, .nr = 1 }, taken = { .events = NULL };
	struct vl_parcel p = { .bytes = NULL };
	bool arrived;

	if (checked)
		vl_watch_pids(&e, pid, ppid);
	else
		e.pid = pid, e.ppid = ppid;
	vl_watch_name(&e, memset(ret->text, 'n', sizeof(ret->text)), sizeof(ret->text));
	vl_watch_text(&e, ret->text, sizeof(ret->text));
	vl_parcel_put_watch(&p, &put);
	arrived = vl_parcel_take_watch(&p, &taken) && taken.nr == 1;
	if (arrived)
		*ret = taken.events[0];
	free(taken.events);
	vl_parcel_deinit(&p);
	return arrived;
}

/* A bad number of the guest spoils one field of an event, and not the round. */
static void watched(void)
{
	struct vl_watch_event e;

	ok(round_arrives(4 << 20, 7, true, &e) && e.pid == 4 << 20 && e.ppid == 7,
	   "an event arrives with its ids");
	ok(round_arrives(5, INT32_MIN, true, &e) && e.pid == 5 && !e.ppid,
	   "a parent's id that is negative is 0");
	ok(round_arrives(5, (4 << 20) + 1, true, &e) && e.pid == 5 && !e.ppid,
	   "and so is one that is too large");
	ok(round_arrives(-1, 5, true, &e) && !e.pid && e.ppid == 5, "and a process's");
	ok(!round_arrives(5, -1, false, &e) && !round_arrives(INT32_MAX, 1, false, &e),
	   "refused: a round with such ids");
}

int main(void)
{
	arrives(0);
	arrives(1);
	arrives(100000);
	truncated();
	lied();
	fuzzed();
	too_long();
	values();
	watched();
	return tap_end();
}
