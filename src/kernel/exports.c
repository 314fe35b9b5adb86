/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "exports.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "calls.h"

/* --- records of exported symbols --- */

/*
 * struct kernel_symbol: a value, a name, and since "module: add support for symbol namespaces"
 * (5.4) a namespace. Offsets from their own places since "module: use relative references for
 * __ksymtab entries" (4.19), addresses before.
 */
struct form {
	unsigned int step, name_at; /* in bytes */
	bool relative;
};
static const struct form forms[] = {
	{ 12, 4, true },
	{ 8, 4, true },
	{ 24, 8, false },
	{ 16, 8, false },
};

/* KSYM_NAME_LEN, include/linux/kallsyms.h */
#define NAME_MAX_LEN 512
/* No kernel exports fewer to modules. */
#define RECORDS_MIN 64
/* The tables lie one behind the other, each in the order of its names; older kernels have five. */
#define TABLES_MAX 5
/* Code and data of a kernel lie within so many bytes, and so do the variables of a CPU. */
#define IMAGE_MAX (512UL << 20)
#define PERCPU_MAX (16UL << 20)
/* Forged tables can make any loop long: bytes between two checks of the deadline. */
#define LOOK_AT_CLOCK (1UL << 20)

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The address that the field at @at of @p gives. */
static uint64_t address(const struct vl_export_part *p, size_t at, bool relative)
{
	if (!relative)
		return get64(p->at + at);
	return p->va + at + (uint64_t)(int64_t)(int32_t)get32(p->at + at);
}

static bool is_first(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The name at @va of @names; NULL: none begins there. */
static const char *name_at(const struct vl_export_part *names, uint64_t va)
{
	const unsigned char *p, *end;
	size_t left;

	if (va < names->va || va - names->va >= names->len)
		return NULL;
	p = names->at + (va - names->va);
	left = names->len - (va - names->va);
	if (!is_first(*p))
		return NULL;
	end = memchr(p, 0, left < NAME_MAX_LEN ? left : NAME_MAX_LEN);
	for (const unsigned char *c = p; end && c < end; c++)
		if (!is_first(*c) && (*c < '0' || *c > '9') && *c != '.')
			return NULL;
	return end ? (const char *)p : NULL;
}

struct record {
	const char *name;
	uint64_t value;
};

/* The record at @at of @p, whose name is in @names; false: there is none. */
static bool record_at(const struct vl_export_part *p, const struct vl_export_part *names,
		      const struct form *f, size_t at, uint64_t base, struct record *ret)
{
	if (at > p->len || p->len - at < f->step)
		return false;
	ret->value = address(p, at, f->relative);
	if (ret->value - base >= IMAGE_MAX && ret->value >= PERCPU_MAX)
		return false;
	ret->name = name_at(names, address(p, at + f->name_at, f->relative));
	return ret->name;
}

/* How many records are at @at of the image @all; *@len_ret is their size in bytes. */
static uint32_t records_at(const struct vl_export_part *all, const struct form *f, size_t at,
			   size_t *len_ret)
{
	unsigned int tables = 1;
	const char *last = NULL;
	struct record r;
	uint32_t nr = 0;
	size_t start = at;

	for (; record_at(all, all, f, at, all->va, &r); at += f->step, nr++) {
		if (last && strcmp(last, r.name) >= 0 && ++tables > TABLES_MAX)
			break;
		last = r.name;
	}
	*len_ret = at - start;
	return nr;
}

static bool find_records(const struct vl_export_part *all, struct vl_deadline deadline,
			 struct vl_exports *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *f = &forms[i];
		size_t len = 0;

		for (size_t at = 0; at < all->len; at += len) {
			uint32_t nr = records_at(all, f, at, &len);

			if (!(at % LOOK_AT_CLOCK) && vl_late(deadline))
				return false;
			if (nr >= RECORDS_MIN && len <= VL_EXPORTS_MAX) {
				ret->records =
					(struct vl_export_part){ all->at + at, len, all->va + at };
				return true;
			}
			/* With too many candidates, none is examined again. */
			if (nr < RECORDS_MIN)
				len = 4;
		}
	}
	return false;
}

/* The form of the records, and the number of them; 0: they are malformed. */
static uint32_t form_of(const struct vl_exports *e, const struct vl_export_part *names,
			uint64_t base, const struct form **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct record r;
		size_t at = 0;

		*ret = &forms[i];
		while (record_at(&e->records, names, *ret, at, base, &r))
			at += (*ret)->step;
		if (at && at == e->records.len)
			return (uint32_t)(at / (*ret)->step);
	}
	return 0;
}

/* The names of the records lie together. */
static bool find_names(const struct vl_export_part *all, struct vl_exports *e)
{
	const char *first = NULL, *end = NULL;
	const struct form *f;
	uint32_t nr = form_of(e, all, all->va, &f);
	struct record r;

	for (uint32_t i = 0; i < nr; i++) {
		record_at(&e->records, all, f, i * (size_t)f->step, all->va, &r);
		if (!first || r.name < first)
			first = r.name;
		if (!end || r.name + strlen(r.name) + 1 > end)
			end = r.name + strlen(r.name) + 1;
	}
	if (!nr || end - first > (ptrdiff_t)VL_EXPORT_NAMES_MAX)
		return false;
	e->names.at = (const unsigned char *)first;
	e->names.len = (size_t)(end - first);
	e->names.va = all->va + (uint64_t)(e->names.at - all->at);
	return true;
}

/* --- the table of system calls --- */

/*
 * Numbers of calls, which are ABI: a range that no architecture's table uses, where all entries
 * are sys_ni_syscall; and calls that each kernel has, but not for x32, whose table is like this
 * one. The last, pidfd_send_signal, is behind the range: it tells where the table begins, if what
 * lies before that is a function, too.
 */
enum { FREE_FIRST = 340, FREE_LAST = 423, NR_LEAST = 425 };
static const unsigned int always[] = { 0, 1, 2, 3, 13, 16, 19, 20, 59, 60, NR_LEAST - 1 };

/*
 * The handlers lie in all parts of the code. Jump tables of x64_sys_call() (1e3ad78334a6,
 * "x86/syscall: Don't force use of indirect calls for system calls") have the same form, but lead
 * into that function, which is shorter than so many bytes.
 */
#define SPREAD_MIN (32UL << 10)

static bool in_text(const struct vl_text *text, uint64_t va)
{
	return va - text->va < text->len;
}

static bool is_call_table(const unsigned char *p, const struct vl_text *text)
{
	uint64_t none = get64(p + 8UL * FREE_FIRST), low = none, high = none;

	if (!in_text(text, none))
		return false;
	for (size_t i = FREE_FIRST; i <= FREE_LAST; i++)
		if (get64(p + 8 * i) != none)
			return false;
	for (size_t i = 0; i < NR_LEAST; i++) {
		uint64_t va = get64(p + 8 * i);

		if (!in_text(text, va))
			return false;
		low = va < low ? va : low;
		high = va > high ? va : high;
	}
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (get64(p + 8UL * always[i]) == none)
			return false;
	return high - low >= SPREAD_MIN;
}

static bool find_calls(const struct vl_export_part *all, const struct vl_text *text,
		       struct vl_deadline deadline, struct vl_exports *ret)
{
	const size_t least = 8UL * NR_LEAST;
	size_t found = 0, len = least;

	for (size_t at = 0; all->len >= least && at <= all->len - least; at += 8) {
		const unsigned char *p = all->at + at;

		if (!(at % LOOK_AT_CLOCK) && vl_late(deadline))
			return false;
		if (get64(p + 8UL * FREE_FIRST) != get64(p + 8UL * FREE_LAST) ||
		    !is_call_table(p, text))
			continue;
		if (found)
			return false;
		found = at;
	}
	if (!found)
		return false;
	while (len < VL_CALLS_MAX && all->len - found >= len + 8 &&
	       in_text(text, get64(all->at + found + len)))
		len += 8;
	ret->calls = (struct vl_export_part){ all->at + found, len, all->va + found };
	return true;
}

bool vl_exports_find(const unsigned char *image, size_t len, uint64_t va,
		     const struct vl_text *text, struct vl_deadline deadline,
		     struct vl_exports *ret)
{
	const struct vl_export_part all = { image, len, va };

	*ret = (struct vl_exports){ .bugs = 0 };
	return text->len >= VL_CALLS_MAX && find_records(&all, deadline, ret) &&
	       find_names(&all, ret) && find_calls(&all, text, deadline, ret) && !vl_late(deadline);
}

/* --- symbols --- */

/* No kernel has more functions. */
#define SYMBOLS_MAX VL_SYMBOLS_MAX
#define TEXT_MAX (64UL << 20)

struct builder {
	struct vl_symbols s;
	size_t room, text_room;
	bool failed;
};

static void add(struct builder *b, uint64_t va, const char *prefix, const char *name)
{
	size_t len = strlen(prefix) + strlen(name) + 1;
	void *p;

	if (b->failed || b->s.nr >= SYMBOLS_MAX || b->s.text_len + len > TEXT_MAX) {
		b->failed = true;
		return;
	}
	if (b->s.nr == b->room) {
		b->room = b->room ? 2 * b->room : 4096;
		p = realloc(b->s.addresses, b->room * sizeof(*b->s.addresses));
		b->s.addresses = p ? p : b->s.addresses;
		b->failed |= !p;
		p = realloc(b->s.name_at, b->room * sizeof(*b->s.name_at));
		b->s.name_at = p ? p : b->s.name_at;
		b->failed |= !p;
	}
	if (b->s.text_len + len > b->text_room) {
		b->text_room = 2 * b->text_room + len + 65536;
		p = realloc(b->s.text, b->text_room);
		b->s.text = p ? p : b->s.text;
		b->failed |= !p;
	}
	if (b->failed)
		return;
	b->s.addresses[b->s.nr] = va;
	b->s.name_at[b->s.nr++] = (uint32_t)b->s.text_len;
	sprintf(b->s.text + b->s.text_len, "%s%s", prefix, name);
	b->s.text_len += len;
}

static void add_records(struct builder *b, const struct vl_exports *e, const struct vl_text *text)
{
	const struct form *f;
	uint32_t nr = form_of(e, &e->names, text->va, &f);
	struct record r;

	b->failed |= !nr;
	for (uint32_t i = 0; i < nr; i++)
		if (record_at(&e->records, &e->names, f, i * (size_t)f->step, text->va, &r))
			add(b, r.value, "", r.name);
}

static void add_calls(struct builder *b, const struct vl_exports *e, const struct vl_text *text)
{
	uint64_t none;

	if (e->calls.len / 8 < NR_LEAST || !is_call_table(e->calls.at, text)) {
		b->failed = true;
		return;
	}
	none = get64(e->calls.at + 8UL * FREE_FIRST);
	add(b, none, "__x64_sys_", "ni_syscall");
	for (size_t i = 0; i < e->calls.len / 8; i++) {
		uint64_t va = get64(e->calls.at + 8 * i);
		_cleanup_free_ char *name = NULL;

		if (va == none || !in_text(text, va))
			continue;
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)i);
		if (name)
			add(b, va, "__x64_sys_", vl_call_handler(name));
	}
}

/*
 * entry_SYSCALL_64 (arch/x86/entry/entry_64.S): the one place that pushes the registers which
 * `syscall` saves, with the selector of 64-bit code (0x33), behind its swapgs.
 */
static void add_entry(struct builder *b, const struct vl_text *text)
{
	/* push %r11; push $__USER_CS; push %rcx; push %rax */
	static const unsigned char pushes[] = { 0x41, 0x53, 0x6a, 0x33, 0x51, 0x50 };
	static const unsigned char swapgs[] = { 0x0f, 0x01, 0xf8 };
	static const unsigned char endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	const unsigned char *end = text->bytes + text->len, *p = text->bytes, *start = NULL;
	const size_t reach = 128;

	for (; (p = memmem(p, (size_t)(end - p), pushes, sizeof(pushes))); p++) {
		size_t back = sizeof(swapgs);

		if ((size_t)(p - text->bytes) < reach)
			continue;
		while (back < reach && memcmp(p - back, swapgs, sizeof(swapgs)) != 0)
			back++;
		if (back == reach)
			continue;
		if (start) {
			b->failed = true;
			return;
		}
		start = p - back;
		if ((size_t)(start - text->bytes) >= sizeof(endbr) &&
		    !memcmp(start - sizeof(endbr), endbr, sizeof(endbr)))
			start -= sizeof(endbr);
	}
	if (start)
		add(b, text->va + (uint64_t)(start - text->bytes), "", "entry_SYSCALL_64");
}

/* Do the bytes before @p end a function, or pad it? */
static bool is_behind_end(const unsigned char *p)
{
	/* int3, nop, the end of a long nop; ret; the end of a branch of 4 bytes back or ahead */
	return p[-1] == 0xcc || p[-1] == 0x90 || p[-1] == 0x00 || p[-1] == 0xc3 || p[-1] == 0xff;
}

/*
 * The start of a function is an address that a call leads to, behind the end of another function. A
 * call in other code's bytes is possible, and cuts a function in two.
 */
static bool add_starts(struct builder *b, const struct vl_text *text)
{
	_cleanup_free_ unsigned char *seen = calloc(1, text->len / 8 + 1);

	if (!seen)
		return false;
	for (size_t at = 0; at + 5 <= text->len; at++) {
		uint64_t to;

		if (text->bytes[at] != 0xe8)
			continue;
		to = at + 5 + (uint64_t)(int64_t)(int32_t)get32(text->bytes + at + 1);
		if (to - 1 >= text->len - 1 || seen[to / 8] >> to % 8 & 1 ||
		    !is_behind_end(text->bytes + to))
			continue;
		seen[to / 8] |= (unsigned char)(1U << to % 8);
		add(b, text->va + to, "", VL_NAMELESS);
	}
	return true;
}

struct place {
	uint64_t va;
	uint32_t name_at, nameless;
};

static int by_address(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->va != y->va)
		return x->va < y->va ? -1 : 1;
	if (x->nameless != y->nameless)
		return x->nameless ? 1 : -1;
	return x->name_at < y->name_at ? -1 : x->name_at > y->name_at;
}

/* Sort the symbols by address. Where one of several at an address has a name, drop the nameless. */
static bool sort(struct vl_symbols *s)
{
	_cleanup_free_ struct place *all = malloc(s->nr * sizeof(*all));
	uint32_t nr = 0;

	if (!all)
		return false;
	for (uint32_t i = 0; i < s->nr; i++)
		all[i] = (struct place){ s->addresses[i], s->name_at[i],
					 !strcmp(s->text + s->name_at[i], VL_NAMELESS) };
	qsort(all, s->nr, sizeof(*all), by_address);
	for (uint32_t i = 0; i < s->nr; i++) {
		if (all[i].nameless && i && all[i - 1].va == all[i].va)
			continue;
		s->addresses[nr] = all[i].va;
		s->name_at[nr++] = all[i].name_at;
	}
	s->nr = nr;
	return true;
}

bool vl_exports_decode(const struct vl_exports *e, const struct vl_text *text,
		       struct vl_symbols *ret)
{
	struct builder b = { .s = { .base = text->va } };

	if (text->len < VL_CALLS_MAX)
		return false;
	add(&b, text->va, "", "_text");
	add(&b, text->va + text->len, "", "_etext");
	add_records(&b, e, text);
	add_calls(&b, e, text);
	add(&b, e->calls.va, "", "sys_call_table");
	add_entry(&b, text);
	if (e->bugs_len) {
		add(&b, e->bugs, "", "__start___bug_table");
		add(&b, e->bugs + e->bugs_len, "", "__stop___bug_table");
	}
	if (!add_starts(&b, text) || b.failed || !sort(&b.s)) {
		vl_symbols_deinit(&b.s);
		return false;
	}
	*ret = b.s;
	return true;
}
