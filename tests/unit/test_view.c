/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Views: tables, near names, the switch over system calls, entries of functions. */
#include "view/dispatch.h"
#include "base/suggest.h"
#include "view/collect.h"
#include "view/table.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

/* ---- tables ---- */

enum { NAME, NUMBER, ADDRESS, FLAG, TIME };

static const struct vl_column columns[] = {
	{ "NAME", VL_CELL_TEXT, true, .doc = "" },    { "NUMBER", VL_CELL_INT, true, .doc = "" },
	{ "ADDRESS", VL_CELL_HEX, true, .doc = "" },  { "FLAG", VL_CELL_BOOL, true, .doc = "" },
	{ "TIME", VL_CELL_SECONDS, true, .doc = "" }, { 0 },
};

static bool formats(const struct vl_cell *c, const char *want)
{
	char buf[VL_CELL_TEXT_MAX];

	vl_cell_format(c, buf);
	return !strcmp(buf, want);
}

/* Rows of equal ranks keep their order, and more rows can follow. */
static bool ordered(struct vl_table *t)
{
	static const unsigned char ranks[] = { 2, 0, 1, 0, 2 };
	static const int64_t want[] = { 1, 3, 2, 0, 4, 5 };
	bool right = true;

	for (int i = 0; i < 5; i++) {
		vl_table_row(t);
		vl_table_int(t, NUMBER, i);
	}
	vl_table_order(t, ranks, 3);
	vl_table_row(t);
	vl_table_int(t, NUMBER, 5);
	for (size_t i = 0; i < 6; i++)
		right = right && vl_table_cell(t, i, NUMBER)->i == want[i];
	return right && t->nr_rows == 6;
}

static void test_table(void)
{
	const struct vl_cell *a, *b;
	struct vl_table t;

	vl_table_init(&t, columns);
	ok(t.nr_columns == 5 && !t.nr_rows, "a new table is empty");
	vl_table_int(&t, NUMBER, 1);
	ok(!t.nr_rows && vl_table_cell(&t, 0, NUMBER)->kind == VL_CELL_NONE, "a cell of no row");
	vl_table_row(&t);
	vl_table_text(&t, NAME, "a\0b", 3);
	vl_table_int(&t, NUMBER, -5);
	vl_table_uint(&t, ADDRESS, 0xffffffff81000000);
	vl_table_uint(&t, FLAG, 1);
	vl_table_int(&t, TIME, 12345678901);
	vl_table_row(&t);
	vl_table_printf(&t, NAME, "%s%d", "a", 1);
	vl_table_int(&t, TIME, -5000000000);
	a = vl_table_cell(&t, 0, NAME);
	ok(a->kind == VL_CELL_TEXT && a->text.len == 3 && !memcmp(vl_table_bytes(&t, a), "a\0b", 3),
	   "text is bytes");
	ok(formats(vl_table_cell(&t, 0, NUMBER), "-5"), "a negative number");
	ok(formats(vl_table_cell(&t, 0, ADDRESS), "0xffffffff81000000"), "an address");
	ok(formats(vl_table_cell(&t, 0, FLAG), "1"), "a flag");
	ok(formats(vl_table_cell(&t, 0, TIME), "12.34"), "a time");
	ok(formats(vl_table_cell(&t, 1, TIME), "-5.00"), "a time before");
	ok(formats(vl_table_cell(&t, 1, NUMBER), "-"), "what is not known");
	b = vl_table_cell(&t, 1, NAME);
	ok(vl_cell_compare(&t, a, &t, b) < 0 && vl_cell_compare(&t, b, &t, a) > 0 &&
		   !vl_cell_compare(&t, a, &t, a),
	   "order of text");
	ok(vl_cell_compare(&t, vl_table_cell(&t, 0, NUMBER), &t, vl_table_cell(&t, 1, NUMBER)) > 0,
	   "nothing comes first");
	ok(vl_column_find(columns, "flag", 4) == FLAG && vl_column_find(columns, "fla", 3) == -1,
	   "columns by name");
	for (int i = 0; i < 5000; i++) {
		vl_table_row(&t);
		vl_table_str(&t, NAME, "many");
	}
	ok(t.nr_rows == 5002 && !vl_table_end(&t), "many rows");
	vl_table_clear(&t);
	ok(ordered(&t), "rows in the order of ranks");
	vl_table_clear(&t);
	ok(!t.nr_rows && vl_table_cell(&t, 0, NAME)->kind == VL_CELL_NONE, "cleared");
	vl_table_deinit(&t);
}

/* ---- near names ---- */

static bool suggests(const char *name, const char *const *candidates, const char *want)
{
	struct vl_suggest n;
	char *text;
	bool same;

	vl_suggest_init(&n, name, strlen(name));
	for (; *candidates; candidates++)
		vl_suggest_try(&n, *candidates);
	text = vl_suggest_text(&n);
	same = text && want ? !strcmp(text, want) : !text && !want;
	if (!same)
		printf("# %s\n", text ? text : "nothing");
	free(text);
	return same;
}

static void test_suggest(void)
{
	static const char *const names[] = { "init_task",   "init_mm",	 "",  "task_struct",
					     "task_struct", "mm_struct", NULL };
	static const char *const longer[] = { "do_exit_group", NULL };
	char huge[1000];

	ok(suggests("init_tsk", names, "did you mean init_task?"), "a letter is missing");
	ok(suggests("tsak_struct", names, "did you mean task_struct?"), "two are swapped");
	ok(suggests("zzz", names, NULL), "nothing is near");
	ok(suggests("", names, NULL), "no name");
	ok(suggests(".", (const char *const[]){ "a", "ab", NULL }, NULL), "a name of one letter");
	ok(suggests("exit_group", longer, "did you mean do_exit_group?"), "the end of one");
	memset(huge, 'a', sizeof(huge));
	huge[sizeof(huge) - 1] = '\0';
	ok(suggests(huge, names, NULL), "a name that is too long");
}

/* ---- the switch ---- */

#define BASE 0xffffffff81000000UL

static bool leads(const char *code, size_t len, uint32_t number, uint64_t want)
{
	uint64_t to = 0;

	return vl_switch_target((const unsigned char *)code, len, BASE, number, &to) == !!want &&
	       (!want || to == want);
}

/* endbr64; a tracer's place; cmp $2,%esi; je +0x1000; ja 1f; test %esi,%esi; je +0x2000;
 * jmp +0x3000; 1: cmp $0x100,%esi; jne 2f; jmp +0x4000; 2: jmp +0x5000 */
static const char code[] = "\xf3\x0f\x1e\xfa"
			   "\x0f\x1f\x44\x00\x00"
			   "\x83\xfe\x02"	      /* 9 */
			   "\x0f\x84\xee\x0f\x00\x00" /* 12: to 0x1000 */
			   "\x77\x0d"		      /* 18: to 33 */
			   "\x85\xf6"		      /* 20 */
			   "\x0f\x84\xe4\x1f\x00\x00" /* 22: to 0x2000 */
			   "\xe9\xdf\x2f\x00\x00"     /* 28: to 0x3000 */
			   "\x81\xfe\x00\x01\x00\x00" /* 33 */
			   "\x75\x05"		      /* 39: to 46 */
			   "\xe9\xd2\x3f\x00\x00"     /* 41: to 0x4000 */
			   "\xe9\xcd\x4f\x00\x00";    /* 46: to 0x5000 */

static void test_switch(void)
{
	static const char traced[] = "\xe8\x00\x10\x00\x00"
				     "\x83\xfe\x02"
				     "\x74\x05"
				     "\xe9\xf1\x1f\x00\x00"
				     "\xe8\xec\x2f\x00\x00";
	static const char loop[] = "\x83\xfe\x02\xeb\xfb";
	static const char table[] = "\x48\x8b\x04\xf5\x00\x00\x00\x00\xff\xe0";
	static const char blind[] = "\x74\x05\xe9\x00\x10\x00\x00";
	size_t len = sizeof(code) - 1;

	ok(leads(code, len, 2, BASE + 0x1000), "switch: equal, straight out");
	ok(leads(code, len, 0, BASE + 0x2000), "switch: zero");
	ok(leads(code, len, 1, BASE + 0x3000), "switch: below");
	ok(leads(code, len, 256, BASE + 0x4000), "switch: above");
	ok(leads(code, len, 999, BASE + 0x5000), "switch: the default");
	ok(leads(code, 20, 2, BASE + 0x1000) && leads(code, 20, 1, 0), "switch: cut off");
	ok(leads(traced, sizeof(traced) - 1, 2, BASE + 0x3000) &&
		   leads(traced, sizeof(traced) - 1, 3, BASE + 0x2000),
	   "switch: traced, and by calls");
	ok(leads(loop, sizeof(loop) - 1, 2, 0), "switch: a loop ends");
	ok(leads(table, sizeof(table) - 1, 2, 0), "switch: something else");
	ok(leads(blind, sizeof(blind) - 1, 2, 0), "switch: a jump before any comparison");
	ok(leads(code, 0, 2, 0), "switch: nothing");
}

static bool entry_is(const char *bytes, size_t len, enum vl_entry_kind kind, uint64_t to)
{
	unsigned char buf[32];
	uint64_t at;

	memset(buf, 0x31, sizeof(buf));
	memcpy(buf, bytes, len);
	return vl_entry_kind(buf, sizeof(buf), BASE, &at) == kind && at == to;
}
#define ENTRY(bytes, kind, to) entry_is(bytes, sizeof(bytes) - 1, kind, to)

static void test_entry(void)
{
	ok(ENTRY("\xf3\x0f\x1e\xfa\x0f\x1f\x44\x00\x00\x55\x48\x89\xe5", VL_ENTRY_PLAIN, 0),
	   "entry: as compiled");
	ok(ENTRY("\x66\x0f\x1f\x00\x0f\x1f\x44\x00\x00\xe9\x00\x01\x00\x00", VL_ENTRY_JUMP,
		 BASE + 14 + 0x100),
	   "entry: a jump");
	ok(ENTRY("\xe9\xfb\xff\xff\x7f", VL_ENTRY_JUMP, BASE + 0x80000000), "entry: far away");
	ok(ENTRY("\xf3\x0f\x1e\xfa\xe8\x00\x00\x00\x10", VL_ENTRY_CALL, BASE + 9 + 0x10000000),
	   "entry: a tracer's call");
	ok(ENTRY("\xeb\x10", VL_ENTRY_JUMP, BASE + 0x12), "entry: a short jump");
	ok(ENTRY("\xcc", VL_ENTRY_BREAK, 0), "entry: a breakpoint");
	ok(ENTRY("\xff\x25\x00\x00\x00\x00", VL_ENTRY_FAR, 0), "entry: through memory");
	ok(ENTRY("\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08\xff\xe0", VL_ENTRY_FAR, 0),
	   "entry: through a register");
	ok(ENTRY("\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08\x50\xc3", VL_ENTRY_FAR, 0),
	   "entry: by push and ret");
	ok(ENTRY("\x68\x01\x02\x03\x04\xc3", VL_ENTRY_FAR, 0), "entry: by push and ret, 32 bits");
}

/* ---- fields that a kernel lacks ---- */

struct record {
	uint64_t address;
	int32_t pid, threads;
	uint64_t start;
};

#define IN(member) VL_IN(struct record, member)
#define OUT(member) offsetof(struct record, member), sizeof(((struct record *)0)->member)

static const struct vl_column record_columns[] = {
	{ "ADDRESS", VL_CELL_HEX, true, "", IN(address) },
	{ "PID", VL_CELL_INT, true, "", IN(pid) },
	{ "THREADS", VL_CELL_INT, true, "", IN(threads) },
	{ "START", VL_CELL_SECONDS, true, "", IN(start) },
	{ 0 },
};

/* Which cells of a row have a value? The kernel has the fields @known; all numbers are 0. */
static unsigned filled(const enum vl_field *known, size_t nr)
{
	static struct vl_layout l;
	struct vl_fields fs = { .layout = &l };
	struct record r = { 0 };
	unsigned cells = 0;
	struct vl_table t;

	for (size_t i = 0; i < VL_NR_FIELDS; i++)
		l.offset[i] = VL_NO_FIELD;
	for (size_t i = 0; i < nr; i++)
		l.offset[known[i]] = 8;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct record, address));
	vl_fields_add(&fs, VL_F_TASK_TGID, OUT(pid));
	vl_fields_add_through(&fs, VL_F_TASK_SIGNAL, VL_F_SIGNAL_THREADS, OUT(threads));
	if (vl_fields_add(&fs, VL_F_TASK_START, OUT(start)) < 0)
		vl_fields_add(&fs, VL_F_TASK_REAL_START, OUT(start));
	vl_table_init(&t, record_columns);
	vl_table_record(&t, &fs, &r);
	for (size_t i = 0; i < t.nr_columns; i++)
		cells |= (unsigned)(vl_table_cell(&t, 0, i)->kind != VL_CELL_NONE) << i;
	vl_table_deinit(&t);
	return cells;
}

static void test_lacking(void)
{
	const enum vl_field all[] = { VL_F_TASK_TGID, VL_F_TASK_SIGNAL, VL_F_SIGNAL_THREADS,
				      VL_F_TASK_START };
	const enum vl_field old[] = { VL_F_TASK_REAL_START };

	ok(filled(all, 4) == 15, "a field that is 0 has its value");
	ok(filled(all, 3) == 7, "a column is empty whose field the kernel lacks");
	ok(filled(all, 2) == 3, "also a field behind a pointer");
	ok(filled(all + 1, 3) == 13, "and only that one");
	ok(filled(old, 1) == 9, "but not if the field has another name");
	ok(filled(NULL, 0) == 1, "without types only the address has a value");
}

int main(void)
{
	test_table();
	test_lacking();
	test_suggest();
	test_switch();
	test_entry();
	return tap_end();
}
