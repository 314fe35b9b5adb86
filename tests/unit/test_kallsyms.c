/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of symbols are found: in the layouts of all kernels, and forged ones. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kallsyms-image.h"
#include "tap.h"

static bool found_all(const struct image *m)
{
	static const char *const names[] = { "sym_4999.part.0", "sym_", "sym_4999.part.00",
					     "asm_exc_page_fault" };
	struct vl_kallsyms_tables t;
	struct vl_symbols d;
	struct vl_kallsyms k;
	uint64_t at[4];
	bool all;

	if (!find(m, &k))
		return false;
	vl_kallsyms_addresses(m->bytes, &k, names, 4, at);
	t = copy_tables(m, &k);
	all = at[0] == VA + 16 * 4999UL && !at[1] && !at[2] && at[3] == VA + 16 * HANDLER &&
	      k.nr == m->nr && k.form == m->form && vl_kallsyms_decode(&t, k.base, &d);
	free_tables(&t);
	for (unsigned i = 0; all && i < m->nr; i++) {
		char name[600];

		name_of(m, i, name, sizeof(name));
		all = d.addresses[i] == address_of(m, i) && !strcmp(d.text + d.name_at[i], name);
	}
	if (all)
		vl_symbols_deinit(&d);
	return all;
}

/* With @v at @at no tables are found, and nothing beyond the image is touched. */
static bool refused(struct image *m, size_t at, uint32_t v)
{
	struct vl_kallsyms k;
	uint32_t was;
	bool found;

	memcpy(&was, m->bytes + at, sizeof(was));
	memcpy(m->bytes + at, &v, sizeof(v));
	found = find(m, &k);
	memcpy(m->bytes + at, &was, sizeof(was));
	return !found;
}

static void test_forged(struct image *m)
{
	struct vl_kallsyms k;
	int64_t start;
	int outside = 0;
	uint32_t marker;

	build(m, VL_KALLSYMS_BASE, false, true);
	ok(refused(m, m->names - 8, NR + 1) && refused(m, m->names - 8, NR - 1) &&
		   refused(m, m->names - 8, UINT32_MAX) && refused(m, m->names - 8, 0),
	   "another number of symbols");
	ok(refused(m, m->markers + 8, 1) && refused(m, m->markers, 1) &&
		   refused(m, m->markers + 8, 0x7fffffff),
	   "a marker that is off");
	memcpy(&marker, m->bytes + m->markers + 8, sizeof(marker));
	ok(refused(m, m->markers + 8, marker + 1) && refused(m, m->markers + 8, marker - 1),
	   "also by one");
	ok(refused(m, m->names, 0xffffffff), "a name without end");
	ok(refused(m, m->offsets + 4 * HANDLER, 0), "offsets out of order");
	ok(refused(m, m->offsets + 4 * NR, 0), "a base outside of the image");
	ok(refused(m, m->index + 100, 0xffffffff), "an index that does not fit its tokens");
	ok(!vl_kallsyms_find(m->bytes, SIZE, VA, VA + 16 * HANDLER + 1, (struct vl_deadline){ 0 },
			     &k) &&
		   !vl_kallsyms_find(m->bytes, SIZE, VA, VA + 16 * 99, (struct vl_deadline){ 0 },
				     &k),
	   "another page-fault handler");
	for (size_t len = m->index; len < m->at; len += 997)
		outside += vl_kallsyms_find(m->bytes, len, VA, VA + 16 * HANDLER,
					    (struct vl_deadline){ 0 }, &k) &&
			   (k.names.at + k.names.len > len || k.tokens.at + k.tokens.len > len ||
			    k.offsets.at + k.offsets.len > len || k.index.at + k.index.len > len);
	ok(!outside, "an image that ends within them");

	/* Tables of tokens everywhere, and markers that lead nowhere. */
	for (size_t at = 0; at + 4096 <= SIZE; at += 4)
		if (at < m->names || at > m->index + 512)
			memcpy(m->bytes + at, &(uint32_t){ (uint32_t)(at % 8192) * 128 }, 4);
	for (size_t at = m->at; at + 2048 < SIZE; at += 2048)
		memcpy(m->bytes + at, m->bytes + m->index - 1200, 1200 + 512);
	m->bytes[m->names + 5] ^= 0x40;
	start = vl_now_ns();
	ok(!vl_kallsyms_find(m->bytes, SIZE, VA, VA + 16 * HANDLER, vl_deadline_in(200000000),
			     &k) &&
		   vl_now_ns() - start < 5000000000L,
	   "made to take long: it ends");
}

/* The last marker may be of any number of names, from one on. */
static void test_last_marker(struct image *m)
{
	unsigned found = 0;

	for (unsigned more = 0; more < 256; more++) {
		m->nr = NR + more;
		build(m, VL_KALLSYMS_BASE, false, more & 1);
		found += found_all(m);
	}
	ok(found == 256, "each number of names behind the last marker: %u of 256", found);
	m->nr = NR;
	for (m->chance = 1; m->chance <= 2; m->chance++) {
		build(m, VL_KALLSYMS_BASE, false, true);
		ok(found_all(m), "behind the markers what looks like %u more", m->chance);
	}
	m->chance = 0;
}

/* As much of the image as @len bytes. Nothing is mapped behind them. */
static bool find_in(const struct image *m, size_t len, struct vl_kallsyms *ret)
{
	size_t whole = ((len + 4095) & ~(size_t)4095) + 4096;
	unsigned char *map =
		mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *bytes = map + whole - 4096 - len;
	bool found;

	if (map == MAP_FAILED || mprotect(map + whole - 4096, 4096, PROT_NONE))
		exit(99);
	memcpy(bytes, m->bytes, len);
	found = vl_kallsyms_find(bytes, len, VA, VA + 16 * HANDLER, vl_deadline_in(5000000000L),
				 ret);
	munmap(map, whole);
	return found;
}

static void test_edges(struct image *m)
{
	char longest[500] = "asm_exc_page_fault";
	struct vl_kallsyms k;
	unsigned found = 0;

	for (m->more = 0; m->more < 8; m->more++) {
		build(m, VL_KALLSYMS_BASE, m->more & 1, false);
		found += find(m, &k) && k.index.at == m->index;
	}
	m->more = 0;
	ok(found == 8, "each number of bytes between tokens and index: %u of 8", found);
	build(m, VL_KALLSYMS_BASE, true, false);
	ok(find_in(m, m->at, &k) && !find_in(m, m->at - 1, &k),
	   "an image that ends with the index");
	found = 0;
	for (size_t len = m->index - 600; len < m->at; len += 7)
		found += find_in(m, len, &k);
	ok(!found, "and one that ends within it, or within the tokens");
	m->width = 506;
	build(m, VL_KALLSYMS_BASE, false, false);
	ok(found_all(m), "a name of 512 tokens");
	m->width = 507;
	build(m, VL_KALLSYMS_BASE, false, false);
	ok(!find(m, &k), "one of 513");
	m->width = 200;
	m->nr = 16 * 256;
	build(m, VL_KALLSYMS_BASE, false, false);
	found = find(m, &k) && k.nr == m->nr;
	m->nr = 15 * 256;
	build(m, VL_KALLSYMS_BASE, false, false);
	ok(found && !find(m, &k), "the fewest symbols");
	m->nr = NR;
	m->handler = "page_fault";
	build(m, VL_KALLSYMS_BASE, false, false);
	ok(find(m, &k), "the handler's name of before 5.8");
	memset(longest + 18, 2, sizeof(longest) - 19); /* each two characters */
	m->handler = longest;
	build(m, VL_KALLSYMS_BASE, false, false);
	ok(find(m, &k), "a handler's name that is longer than any");
	m->handler = "asm_exc_page_fault";
}

/* What lies behind a table is no part of it. */
static void test_behind(struct image *m)
{
	char next['t'] = "";
	struct vl_kallsyms k;

	build(m, VL_KALLSYMS_BASE, true, false);
	memcpy(m->bytes + m->names - 8, &(uint32_t){ (NR + 255) / 256 * 256 }, 4);
	ok(!find_in(m, m->at, &k), "more names than fit before the markers, and the image ends");

	/* The first characters are numbers that ascend like markers. */
	m->plain = true;
	build(m, VL_KALLSYMS_PLACE, true, false);
	ok(found_all(m), "tokens that look like more markers");
	m->plain = false;

	/* Tokens of the next name begin with its length, which is the token "t". */
	memset(next, 'n', sizeof(next) - 1);
	m->next = next;
	m->handler = "asm_exc_page_faul";
	build(m, VL_KALLSYMS_BASE, false, false);
	ok(!find(m, &k), "the handler's name ends with its tokens");
	m->next = NULL;

	m->handler = "asm_exc_other";
	m->token = "Tpage_fault";
	m->behind = true;
	build(m, VL_KALLSYMS_PLACE, false, false);
	put32(m, (uint32_t)(16 * HANDLER - (m->offsets + 4 * (size_t)NR)));
	ok(!find(m, &k), "a handler behind the last symbol is not its name");
	m->handler = "asm_exc_page_fault";
	m->token = "__";
	build(m, VL_KALLSYMS_PLACE, false, false);
	ok(found_all(m), "and the symbols end there");
	m->behind = false;
}

/* Move the symbols from @from on out of the image. */
static bool mostly_inside(struct image *m, unsigned from)
{
	struct vl_kallsyms k;

	build(m, VL_KALLSYMS_BASE, false, false);
	for (unsigned i = from; i < m->nr; i++)
		memcpy(m->bytes + m->offsets + 4 * (size_t)i, &(uint32_t){ 0x70000000 + 16 * i },
		       4);
	return vl_kallsyms_find(m->bytes, SIZE, VA, 0, vl_deadline_in(5000000000L), &k);
}

static void test_no_handler(struct image *m)
{
	struct vl_kallsyms k;

	ok(mostly_inside(m, NR) && mostly_inside(m, NR / 2 + 1) && !mostly_inside(m, NR / 2) &&
		   !mostly_inside(m, 1),
	   "where the handler is not known, most symbols lie in the image");
	m->bytes[m->markers + 8] ^= 1;
	ok(!vl_kallsyms_find(m->bytes, SIZE, VA, 0, vl_deadline_in(5000000000L), &k),
	   "and the markers fit");
}

int main(void)
{
	static const char *const forms[] = { "per-CPU ones absolute", "above a base",
					     "from their place" };
	struct image m = make_image();

	for (unsigned form = 0; form < 3; form++)
		for (unsigned i = 0; i < 4; i++) {
			build(&m, (enum vl_kallsyms_form)form, i & 1, i & 2);
			ok(found_all(&m), "%s, offsets %s%s", forms[form],
			   i & 1 ? "before the names" : "behind the tokens",
			   i & 2 ? ", with the order of the names" : "");
		}
	test_last_marker(&m);
	test_forged(&m);
	test_edges(&m);
	test_behind(&m);
	test_no_handler(&m);
	free(m.bytes);
	return tap_end();
}
