/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kernel without a table of symbols shows: images made by hand, right and broken. */
#include <stdlib.h>
#include <string.h>

#include "../../src/kernel/exports.h"
#include "tap.h"

#define VA 0xffffffff81000000UL
#define TEXT_LEN 0x20000UL
#define RECORDS 0x21004UL
#define NAMES 0x24000UL
#define CALLS 0x28008UL
#define NR_CALLS 450UL
#define BUGS 0x30004UL
#define LEN 0x40000UL
#define NR 300U		  /* exported symbols; half of them in the second table */
#define NONE (VA + 0x500) /* sys_ni_syscall */

static unsigned char image[LEN];
static const struct vl_text text = { image, TEXT_LEN, VA };

static void put(size_t at, uint64_t v, size_t len)
{
	memcpy(image + at, &v, len);
}

static uint64_t value_of(unsigned int i)
{
	/* Some are per-CPU variables, or variables. */
	return i % 10 == 3 ? 0x1000UL + i : i % 10 == 7 ? VA + 0x38000 + i : VA + 0x1000 + 16UL * i;
}

static void put_record(size_t step, unsigned int i, uint64_t value, uint64_t name)
{
	size_t at = RECORDS + step * i;

	if (step == 8 || step == 12) {
		put(at, value - (VA + at), 4);
		put(at + 4, name - (VA + at + 4), 4);
		/* An offset to an empty name of a namespace, or none. */
		if (step == 12)
			put(at + 8, i % 2 ? 0 : VA + NAMES - (VA + at + 8), 4);
	} else {
		put(at, value, 8);
		put(at + 8, name, 8);
	}
}

static void put_names(size_t step)
{
	size_t at = NAMES + 1;

	for (unsigned int i = 0; i < NR; i++) {
		snprintf((char *)image + at, 16, "name_%03u", i % (NR / 2) * 2 + i / (NR / 2));
		put_record(step, i, value_of(i), VA + at);
		at += strlen((char *)image + at) + 1;
	}
}

/* A table of calls at @from, whose handlers are @step bytes one behind the other, or @none. */
static void put_calls(size_t from, size_t step, uint64_t none)
{
	for (unsigned int i = 0; i < NR_CALLS; i++)
		put(from + 8 * i, (i >= 337 && i < 424) || i == 156 ? none : VA + 0x8000 + step * i,
		    8);
}

/* A table of @nr warnings at @from. */
static void put_bugs(size_t from, size_t step, unsigned int nr)
{
	/* The instructions: ud2; ud1 with prefixes. */
	for (unsigned int i = 0; i < nr; i++) {
		size_t at = from + step * i, insn = 0x10000 + 16UL * i;

		memcpy(image + insn, i % 2 ? "\x0f\x0b" : "\x67\x48\x0f\xb9\x3a", i % 2 ? 2 : 5);
		/* One is of the kernel's start, behind the data. */
		put(at, (i == 50 ? VA + LEN - 8 : VA + insn) - (VA + at), 4);
		/* A file, behind no text; a line and flags. */
		put(at + step - 4, 0x10009, 4);
		if (step > 8)
			put(at + step - 8, VA + NAMES - (VA + at + step - 8), 4);
	}
}

/* mov $VA+start,%rdi; cmp $VA+end,%rdi; or lea, and cmp with %rax. */
static void put_ends(size_t at, size_t start, size_t end, bool relative)
{
	memcpy(image + at, relative ? "\x48\x8d\x3d" : "\x48\xc7\xc7", 3);
	put(at + 3, relative ? start - (at + 7) : VA + start, 4);
	memcpy(image + at + 7, relative ? "\x90\x48\x3d" : "\x48\x81\xff", 3);
	put(at + 10, VA + end, 4);
}

static void build(size_t step, size_t bug_step)
{
	memset(image, 0, sizeof(image));
	memset(image, 0xcc, TEXT_LEN);
	put_names(step);
	put_calls(CALLS, 96, NONE);
	put_bugs(BUGS, bug_step, 100);
	put_ends(0x17000, BUGS, BUGS + 100 * bug_step, bug_step == 16);
	/* entry_SYSCALL_64, behind endbr64, and a function that is called. */
	memcpy(image + 0x18000, "\xf3\x0f\x1e\xfa\x0f\x01\xf8\x90\x41\x53\x6a\x33\x51\x50", 14);
	memcpy(image + 0x19000, "\xe8\xfb\x0f\x00\x00\xc3", 6); /* call 0x1a000 */
}

static bool find(struct vl_exports *e)
{
	const struct vl_deadline deadline = vl_deadline_in(60000000000UL);

	if (!vl_exports_find(image, LEN, VA, &text, deadline, e))
		return false;
	vl_exports_find_bugs(image, LEN, VA, &text, deadline, e);
	return true;
}

/* Is there a symbol @name at @va? */
static bool has(const struct vl_symbols *s, const char *name, uint64_t va)
{
	for (uint32_t i = 0; i < s->nr; i++)
		if (s->addresses[i] == va && !strcmp(s->text + s->name_at[i], name))
			return true;
	return false;
}

static bool ascend(const struct vl_symbols *s)
{
	for (uint32_t i = 1; i < s->nr; i++)
		if (s->addresses[i] < s->addresses[i - 1])
			return false;
	return true;
}

static void test_form(size_t step, size_t bug_step)
{
	struct vl_symbols s;
	struct vl_exports e;
	unsigned int right = 0;

	build(step, bug_step);
	if (!ok(find(&e), "records of %zu bytes: found", step))
		return;
	ok(e.records.va == VA + RECORDS && e.records.len == step * NR, "all records");
	ok(e.calls.va == VA + CALLS && e.calls.len == 8 * NR_CALLS, "the table of calls");
	ok(e.bugs == VA + BUGS && e.bugs_len == 100 * bug_step, "the table of warnings");
	if (!ok(vl_exports_decode(&e, &text, &s), "symbols are made"))
		return;
	for (unsigned int i = 0; i < NR; i++) {
		char name[16];

		snprintf(name, sizeof(name), "name_%03u", i % (NR / 2) * 2 + i / (NR / 2));
		right += has(&s, name, value_of(i));
	}
	ok(right == NR, "each exported symbol: %u of %u", right, NR);
	ok(ascend(&s), "in the order of the addresses");
	ok(has(&s, "__x64_sys_read", VA + 0x8000) && has(&s, "__x64_sys_newuname", VA + 0x97a0) &&
		   has(&s, "__x64_sys_ni_syscall", NONE) && has(&s, "sys_call_table", VA + CALLS),
	   "system calls by their numbers");
	ok(has(&s, "entry_SYSCALL_64", VA + 0x18000), "the entry");
	ok(has(&s, VL_NAMELESS, VA + 0x1a000), "a function that is called");
	ok(has(&s, "_text", VA) && has(&s, "_etext", VA + TEXT_LEN), "the ends of the code");
	vl_symbols_deinit(&s);
}

/* Decode what was found after a change of the image. */
static bool decodes(const struct vl_exports *e)
{
	struct vl_symbols s;
	bool good = vl_exports_decode(e, &text, &s);

	if (good)
		vl_symbols_deinit(&s);
	return good;
}

static void test_broken(void)
{
	struct vl_exports e, cut;

	build(12, 12);
	put(CALLS + 8 * 380, VA + 0x9000, 8);
	ok(!find(&e), "a table of calls that has one where none can be");
	build(12, 12);
	put(CALLS + 8 * 100, VA + LEN, 8);
	ok(!find(&e), "a call that leads out of the code");
	build(12, 12);
	put(CALLS + 8 * 16, NONE, 8);
	ok(!find(&e), "the table of x32");
	build(12, 12);
	put(CALLS - 8, VA + 0x9000, 8);
	put(CALLS - 16, VA + 0x9000, 8);
	ok(find(&e) && e.calls.va == VA + CALLS && e.calls.len == 8 * NR_CALLS,
	   "a table of calls behind functions");
	build(12, 12);
	memcpy(image + 0x34000 + 8, image + CALLS, 8 * NR_CALLS);
	ok(!find(&e), "two tables of calls");
	build(12, 12);
	put_calls(0x34008, 16, VA + 0x8008);
	ok(find(&e) && e.calls.va == VA + CALLS, "a jump table of the same form");
	build(12, 12);
	memset(image + NAMES, 'a', 0x3000);
	ok(!find(&e), "names without an end");
	build(12, 12);
	memset(image + BUGS, 0, 1600);
	ok(find(&e) && !e.bugs_len && decodes(&e), "no table of warnings");
	build(12, 12);
	put_bugs(0x34004, 12, 200);
	ok(find(&e) && e.bugs == VA + BUGS && e.bugs_len == 1200,
	   "a longer table of warnings, which the code does not know");
	put_ends(0x17100, 0x34004, 0x34004, false);
	ok(find(&e) && e.bugs == VA + BUGS, "one of which it knows the start");
	put_ends(0x17100, 0x34000, 0x34004 + 200 * 12, false);
	ok(find(&e) && e.bugs == VA + BUGS, "one of which it knows the end");
	memset(image + 0x17000, 0xcc, 16);
	ok(find(&e) && !e.bugs_len, "tables of which the code does not know both ends");
	build(12, 12);
	ok(find(&e), "found");
	cut = e;
	cut.records.len -= 4;
	ok(!decodes(&cut), "records that are cut short");
	cut = e;
	cut.names.len /= 2;
	ok(!decodes(&cut), "names that are cut short");
	cut = e;
	cut.calls.len = 8 * 400;
	ok(!decodes(&cut), "calls that are cut short");
	memcpy(image + 0x1c000, image + 0x18000, 16);
	ok(!decodes(&e), "two entries");
	ok(!vl_exports_find(image, LEN, VA, &text, vl_deadline_in(0), &e), "no time is left");
}

/* Whatever the bytes are, nothing beyond them is read (with a sanitizer, that shows). */
static void test_random(void)
{
	unsigned int found = 0;
	struct vl_exports e;

	srandom(1);
	for (unsigned int i = 0; i < 240; i++) {
		build(i % 2 ? 12 : 16, i % 3 ? 12 : 16);
		/* A few bytes leave tables to decode, 4096 leave none. */
		for (unsigned int n = 0; n < 2U << i % 12; n++)
			image[TEXT_LEN + (unsigned long)random() % (LEN - TEXT_LEN)] =
				(unsigned char)random();
		if (find(&e)) {
			found++;
			decodes(&e);
		}
	}
	ok(found >= 20 && found <= 220, "of 240 tables with random bytes %u are found", found);
}

int main(void)
{
	test_form(12, 12);
	test_form(8, 8);
	test_form(24, 16);
	test_form(16, 12);
	test_broken();
	test_random();
	return tap_end();
}
