/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of exceptions: where the code goes on if an instruction faults
 * (arch/x86/include/asm/extable.h of Linux). An entry is three words. The first two are relative to
 * themselves and lead to the instruction and to its fixup. The third says what else is to be done.
 * Before "x86/extable: Rework the exception table mechanics" (5.16) it led to a function.
 */
#include <elf.h>

#include "internal.h"

#define ENTRY 12

/* The table of @t, which has been placed, in bytes from its start; .len 0: it has none. */
static struct vl_trust_part table_of(const struct vl_trust *t)
{
	uint64_t start, stop;

	if (t->ko) {
		const struct vl_trust_section *s = vl_trust_section(t, "__ex_table");

		return s ? s->part : (struct vl_trust_part){ 0, 0 };
	}
	start = vl_trust_symbol(t, "__start___ex_table");
	stop = vl_trust_symbol(t, "__stop___ex_table");
	if (!start || stop <= start || !vl_trust_has(t, start - t->va, stop - start))
		return (struct vl_trust_part){ 0, 0 };
	return (struct vl_trust_part){ start - t->va, stop - start };
}

/* Where the guest has the table @part of @t. */
static uint64_t place_of(const struct vl_trust *t, const struct vl_trust_part *part)
{
	return t->ko ? t->ko->sections[vl_ko_section(t->ko, "__ex_table")].va : t->va + part->at;
}

static uint64_t leads_to(uint64_t va, const unsigned char *word)
{
	return va + (uint64_t)(int64_t)vl_trust_i32(word);
}

/* The offset in @part of the entry of the instruction at @va; @part->len: there is none. */
static size_t find(const struct vl_trust *t, const struct vl_trust_part *part, uint64_t va)
{
	const uint64_t place = place_of(t, part);

	/* The kernel sorts the table of a module when it loads it. */
	for (size_t at = 0; at + ENTRY <= part->len; at += ENTRY)
		if (leads_to(place + at, t->bytes + part->at + at) == va)
			return at;
	return part->len;
}

uint64_t vl_trust_fixup(const struct vl_trust *t, uint64_t va)
{
	const struct vl_trust_part part = table_of(t);
	size_t at = find(t, &part, va);

	return at == part.len ? 0 :
				leads_to(place_of(t, &part) + at + 4, t->bytes + part.at + at + 4);
}

/* Is the third word of the entries of module @t relative? */
static bool has_functions(const struct vl_ko *ko)
{
	size_t table = vl_ko_section(ko, "__ex_table");

	for (size_t i = 1; i < ko->nr_sections; i++) {
		const struct vl_ko_section *s = &ko->sections[i];
		Elf64_Rela r;

		if (s->type != SHT_RELA || s->info != table)
			continue;
		for (size_t k = 0; k < s->size / sizeof(r); k++) {
			memcpy(&r, ko->file + s->at + k * sizeof(r), sizeof(r));
			if (r.r_offset % ENTRY == 8)
				return true;
		}
	}
	return false;
}

static void put(unsigned char *word, uint64_t target, uint64_t va)
{
	const uint32_t v = (uint32_t)(target - va);

	memcpy(word, &v, sizeof(v));
}

size_t vl_trust_fixup_fill(const struct vl_trust *t, uint64_t va, int32_t mark, unsigned char *buf,
			   size_t size, uint64_t *place_ret)
{
	const struct vl_trust_part part = table_of(t);
	const unsigned char *entry = t->bytes + part.at;
	const uint64_t place = place_of(t, &part);
	size_t at = find(t, &part, va), len = part.len - part.len % ENTRY;
	uint64_t third;
	bool relative;

	if (!t->ko || at == part.len || len > size)
		return 0;
	entry += at;
	relative = has_functions(t->ko);
	third = leads_to(place + at + 8, entry + 8);
	for (size_t i = 0; i < len; i += ENTRY) {
		put(buf + i, va, place + i);
		put(buf + i + 4, place + (uint64_t)(int64_t)mark, place + i + 4);
		if (relative)
			put(buf + i + 8, third, place + i + 8);
		else
			memcpy(buf + i + 8, entry + 8, 4);
	}
	*place_ret = place;
	return len;
}
