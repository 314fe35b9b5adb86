/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of symbols that were found are decoded, looked up and moved; damaged ones are refused. */
#include <stdlib.h>
#include <string.h>

#include "kallsyms-image.h"
#include "tap.h"

/* Wrong lengths: nothing beyond the tables is read, and no symbol is invented. */
static void test_tables(struct image *m)
{
	struct vl_kallsyms_tables t, bad;
	struct vl_symbols d;
	struct vl_kallsyms k;
	unsigned char *offset, was[4];
	unsigned made = 0;
	bool shared;

	build(m, VL_KALLSYMS_BASE, false, true);
	if (!ok(find(m, &k), "tables"))
		return;
	t = copy_tables(m, &k);
	for (unsigned i = 0; i < 9; i++) {
		bad = t;
		switch (i) {
		case 0:
			bad.nr++;
			break;
		case 1:
			bad.nr = 0;
			break;
		case 2:
			bad.nr = UINT32_MAX;
			break;
		case 3:
			bad.form = (enum vl_kallsyms_form)7;
			break;
		case 4:
			bad.names.len--;
			break;
		case 5:
			bad.tokens.len = 100;
			break;
		case 6:
			bad.offsets.len -= 4;
			break;
		case 7:
			bad.names.len = 1;
			break;
		case 8:
			bad.tokens.len = 0;
			break;
		}
		made += vl_kallsyms_decode(&bad, VA, &d);
	}
	ok(!made, "tables that do not fit each other");
	/* Symbols may share an address, but none is below the one before. */
	offset = (unsigned char *)t.offsets.at + 4 * 20;
	memcpy(was, offset, 4);
	memcpy(offset, offset - 4, 4);
	shared = vl_kallsyms_decode(&t, VA, &d);
	if (shared)
		vl_symbols_deinit(&d);
	memcpy(offset, offset - 8, 4);
	ok(shared && !vl_kallsyms_decode(&t, VA, &d), "addresses that do not ascend");
	memcpy(offset, was, 4);
	/* Damage bytes that lengths and tokens depend on. */
	for (size_t at = 0; at < t.names.len; at += 61) {
		unsigned char *p = (unsigned char *)t.names.at + at, byte = *p;

		for (unsigned v = 0; v < 256; v += 51) {
			*p = (unsigned char)v;
			if (vl_kallsyms_decode(&t, VA, &d))
				vl_symbols_deinit(&d);
		}
		*p = byte;
	}
	for (size_t at = 0; at < t.tokens.len; at++) {
		unsigned char *p = (unsigned char *)t.tokens.at + at, byte = *p;

		*p = byte ? 0 : 'x';
		if (vl_kallsyms_decode(&t, VA, &d))
			vl_symbols_deinit(&d);
		*p = byte;
	}
	ok(vl_kallsyms_decode(&t, VA, &d), "damaged ones end within themselves");
	vl_symbols_deinit(&d);
	free_tables(&t);
}

/* Only what is asked for is written, and only symbols of the tables are found. */
static void test_asked(struct image *m)
{
	static const char *const names[] = { "sym_4999.part.0", "sym_1.part.0" };
	uint64_t at[2] = { 1, 0 };
	struct vl_kallsyms k;

	build(m, VL_KALLSYMS_BASE, false, true);
	if (!ok(find(m, &k), "tables"))
		return;
	vl_kallsyms_addresses(m->bytes, &k, names, 1, at);
	ok(at[0] == VA + 16 * 4999UL && !at[1], "one name of two");
	k.nr--;
	vl_kallsyms_addresses(m->bytes, &k, names, 2, at);
	ok(!at[0] && at[1] == VA + 16, "the last symbol is not one any more");
}

/* Symbols that are moved are those that are decoded at the new place. */
static void test_moved(struct image *m, enum vl_kallsyms_form form)
{
	const uint64_t delta = 0x1e00000;
	struct vl_symbols d, there;
	struct vl_kallsyms_tables t;
	struct vl_kallsyms k;
	bool good;

	build(m, form, false, true);
	if (!ok(find(m, &k), "tables"))
		return;
	t = copy_tables(m, &k);
	good = vl_kallsyms_decode(&t, k.base, &d) && vl_kallsyms_decode(&t, k.base + delta, &there);
	free_tables(&t);
	if (!ok(good, "they are decoded at two places"))
		return;
	ok(vl_symbols_move(&d, form, delta) && d.base == there.base &&
		   !memcmp(d.addresses, there.addresses, d.nr * sizeof(*d.addresses)),
	   "moved there they are the same");
	ok(!vl_symbols_move(&d, form, -d.addresses[d.nr / 2]), "they do not go around the end");
	vl_symbols_deinit(&d);
	vl_symbols_deinit(&there);
}

int main(void)
{
	struct image m = make_image();

	test_tables(&m);
	test_asked(&m);
	for (unsigned form = 0; form < 3; form++)
		test_moved(&m, (enum vl_kallsyms_form)form);
	free(m.bytes);
	return tap_end();
}
