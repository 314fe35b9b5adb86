/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Items: that each member has its column, and what becomes of values that do not fit. */
#include "view/itemize.h"

#include <string.h>

#include "base/array.h"
#include "tap.h"

static const enum vl_item_kind kinds[] = { VL_ITEM_PROCESS, VL_ITEM_SOCKET, VL_ITEM_MODULE,
					   VL_ITEM_FILE,    VL_ITEM_MEMORY, VL_ITEM_CONTAINER };

/* Is there a column for the member, with values that it can hold? */
static bool has_column(const struct vl_item_form *form, const struct vl_item_member *m)
{
	int at = m->column ? vl_column_find(form->scan->columns, m->column, strlen(m->column)) : -1;
	enum vl_cell_kind kind = at < 0 ? VL_CELL_NONE : form->scan->columns[at].kind;

	switch (kind) {
	case VL_CELL_TEXT:
		return m->is_text && m->size == sizeof(struct vl_item_text);
	case VL_CELL_INT:
	case VL_CELL_TENTHS:
		return !m->is_text && m->is_signed;
	case VL_CELL_BOOL:
		return !m->is_text && m->size == sizeof(bool);
	case VL_CELL_NONE:
		return false;
	default:
		return !m->is_text && !m->is_signed;
	}
}

static void test_forms(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct vl_item_form *form = vl_item_form(kinds[i]);
		const struct vl_column *c = form->scan->columns;

		ok(form->nr_members <= 64, "%s: each member has a bit", form->scan->name);
		for (size_t k = 0; k < form->nr_members; k++)
			ok(has_column(form, &form->members[k]) &&
				   (!k || form->members[k].at > form->members[k - 1].at),
			   "%s: member %zu has a column, and its place", form->scan->name, k);
		for (; c->name; c++) {
			bool is_there = !strcmp(c->name, "ID"); /* a part of FULL_ID */

			for (size_t k = 0; k < form->nr_members; k++)
				is_there |= !strcmp(form->members[k].column, c->name);
			ok(is_there, "%s: column %s has a member", form->scan->name, c->name);
		}
	}
	ok(!vl_item_form(0) && !vl_item_form((enum vl_item_kind)99), "no other kind");
}

static size_t column(const struct vl_table *t, const char *name)
{
	return (size_t)vl_column_find(t->columns, name, strlen(name));
}

static void test_values(void)
{
	const struct vl_process_info *p;
	struct vl_items *items;
	struct vl_table t;

	vl_table_init(&t, vl_scan_ps.columns);
	vl_table_row(&t);
	vl_table_int(&t, column(&t, "PID"), INT32_MAX);
	vl_table_int(&t, column(&t, "PPID"), (int64_t)INT32_MAX + 1);
	vl_table_uint(&t, column(&t, "UID"), UINT32_MAX);
	vl_table_uint(&t, column(&t, "EUID"), 1UL << 32);
	vl_table_int(&t, column(&t, "NICE"), -20);
	vl_table_int(&t, column(&t, "PRI"), (int64_t)INT32_MIN - 1);
	vl_table_uint(&t, column(&t, "RSS_BYTES"), UINT64_MAX);
	vl_table_uint(&t, column(&t, "KTHREAD"), 256);
	vl_table_text(&t, column(&t, "COMM"), "a\0b", 3);
	vl_table_text(&t, column(&t, "ARGS"), "", 0);
	vl_table_row(&t);
	vl_table_text(&t, column(&t, "COMM"), "second", 6);
	ok(!vl_items_make(VL_ITEM_PROCESS, &t, &items), "items are made");
	/* They do not need the table. */
	vl_table_deinit(&t);

	ok(vl_items_count(items) == 2, "both rows");
	p = vl_items_process(items, 0);
	ok(p && p->item.size == sizeof(*p) && p->item.kind == VL_ITEM_PROCESS, "its size and kind");
	ok(p->pid == INT32_MAX && vl_process_has(p, VL_PROCESS_INFO_PID), "largest number");
	ok(!p->ppid && !vl_process_has(p, VL_PROCESS_INFO_PPID), "one more is not known");
	ok(p->uid == UINT32_MAX && vl_process_has(p, VL_PROCESS_INFO_UID), "unsigned");
	ok(!p->euid && !vl_process_has(p, VL_PROCESS_INFO_EUID), "one more is not known");
	ok(p->nice == -20 && vl_process_has(p, VL_PROCESS_INFO_NICE), "negative");
	ok(!p->priority && !vl_process_has(p, VL_PROCESS_INFO_PRIORITY), "less is not known");
	ok(p->rss == UINT64_MAX, "64 bits");
	ok(*(const unsigned char *)&p->kernel == 1, "a bool of the guest's is 0 or 1");
	ok(p->comm.len == 3 && !memcmp(p->comm.text, "a\0b", 4), "a text with a NUL in it");
	ok(!p->args.len && !*p->args.text && vl_process_has(p, VL_PROCESS_INFO_ARGS),
	   "an empty text is known");
	ok(p->unit.text && !*p->unit.text && !vl_process_has(p, VL_PROCESS_INFO_UNIT),
	   "a text without a value");
	p = vl_items_process(items, 1);
	ok(p && !strcmp(p->comm.text, "second") && !p->pid, "the second row");
	ok(p && p->item.known == (uint64_t)1 << VL_PROCESS_INFO_COMM, "only its name is known");
	ok(!vl_process_has(p, 64), "no member beyond the bits");

	ok(!vl_items_process(items, 2), "nothing behind the last one");
	ok(!vl_items_socket(items, 0) && !vl_items_module(items, 0) && !vl_items_file(items, 0) &&
		   !vl_items_memory(items, 0) && !vl_items_container(items, 0),
	   "items of one kind are not those of another");
	vl_items_close(items);
	vl_items_close(NULL);
	ok(!vl_items_count(NULL) && !vl_items_process(NULL, 0), "NULL has no items");
}

static void test_refused(void)
{
	struct vl_items *items = (void *)1;
	struct vl_error *err = vl_items_make((enum vl_item_kind)99, NULL, &items);

	ok(err && err->code == VL_ERR_ARG && !items, "another kind is refused");
	vl_error_destroy(err);
}

int main(void)
{
	test_forms();
	test_values();
	test_refused();
	return tap_end();
}
