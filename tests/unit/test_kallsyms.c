/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of symbols: in the layouts of all kernels, and damaged ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../src/kernel/kallsyms.h"
#include "tap.h"

#define VA 0xffffffff81000000UL
#define SIZE (4u << 20)
#define NR 5000u
#define NR_MOST (NR + 256)
#define HANDLER 1234u /* index of the page-fault handler */
#define LONG 77u      /* index of a name of more than 127 tokens */

struct image {
	unsigned char *bytes;
	size_t at; /* where the next table goes */
	enum vl_kallsyms_form form;
	unsigned align, nr;
	unsigned chance; /* numbers behind the markers that look like more of them */
	unsigned more;	 /* bytes that a token is longer */
	int width;	 /* digits of the long name */
	bool plain;	 /* each token is one character */
	bool behind;	 /* behind the last name there is what looks like one more, of token 2 */
	const char *handler, *next; /* name of the handler; of the symbol behind it, or NULL */
	const char *token;	    /* token 2 */
	size_t markers, names, offsets, index; /* where they went */
};

static void name_of(const struct image *m, unsigned i, char *buf, size_t size)
{
	if (i == HANDLER)
		snprintf(buf, size, "%s", m->handler);
	else if (i == HANDLER + 1 && m->next)
		snprintf(buf, size, "%s", m->next);
	else if (i == LONG)
		snprintf(buf, size, "long_%0*u", m->width, i);
	else
		snprintf(buf, size, "sym_%u.part.0", i);
}

static uint64_t address_of(const struct image *m, unsigned i)
{
	if (m->form == VL_KALLSYMS_PERCPU && i < 10)
		return i * 64; /* per-CPU */
	return VA + 16 * (uint64_t)i;
}

static void align(struct image *m)
{
	m->at = (m->at + m->align - 1) & ~(size_t)(m->align - 1);
}

static void put(struct image *m, const void *p, size_t n)
{
	memcpy(m->bytes + m->at, p, n);
	m->at += n;
}

static void put32(struct image *m, uint32_t v)
{
	put(m, &v, sizeof(v));
}

static void put_offsets(struct image *m)
{
	align(m);
	m->offsets = m->at;
	for (unsigned i = 0; i < m->nr; i++) {
		uint64_t a = address_of(m, i);

		put32(m, m->form == VL_KALLSYMS_PERCPU && a < VA ? (uint32_t)a :
			 m->form == VL_KALLSYMS_PERCPU		 ? (uint32_t)(VA - 1 - a) :
			 m->form == VL_KALLSYMS_BASE		 ? (uint32_t)(a - VA) :
								   (uint32_t)(a - (VA + m->at)));
	}
	if (m->form != VL_KALLSYMS_PLACE) {
		uint64_t base = VA;

		align(m);
		put(m, &base, sizeof(base));
	}
}

/* The number of symbols, their names, the markers. */
static void put_names(struct image *m)
{
	uint32_t markers[NR_MOST / 256 + 1], nr = (m->nr + 255) / 256;
	char name[600];

	align(m);
	put32(m, m->nr);
	align(m);
	m->names = m->at;
	for (unsigned i = 0; i < m->nr; i++) {
		bool shorter;
		size_t len;

		if (!(i % 256))
			markers[i / 256] = (uint32_t)(m->at - m->names);
		name_of(m, i, name, sizeof(name));
		shorter = !m->plain && !strncmp(name, "sym_", 4);
		/* "sym_" is one token. */
		len = strlen(name) + 1 - (shorter ? 3 : 0);
		if (len > 127)
			m->bytes[m->at++] = 0x80 | (len & 0x7f);
		m->bytes[m->at++] = (unsigned char)(len > 127 ? len >> 7 : len);
		m->bytes[m->at++] = 'T';
		if (shorter) {
			m->bytes[m->at++] = 1;
			put(m, name + 4, strlen(name + 4));
		} else {
			put(m, name, strlen(name));
		}
	}
	put(m, "\1\2", m->behind ? 2 : 0);
	align(m);
	m->markers = m->at;
	put(m, markers, nr * sizeof(*markers));
	for (unsigned i = 1; i <= m->chance; i++)
		put32(m, markers[nr - 1] + 4096 * i);
}

static const char *token(const struct image *m, unsigned i, char one[2])
{
	one[0] = (char)(i < ' ' ? i + 2 : i);
	one[1] = '\0';
	if (m->plain || (i >= ' ' && i < 127))
		return one;
	if (i == 2)
		return m->token;
	return i == 1 ? "sym_" : i & 1 ? "" : "__";
}

static void put_tokens(struct image *m)
{
	uint16_t index[256];
	size_t start;

	align(m);
	start = m->at;
	for (unsigned i = 0; i < 256; i++) {
		char one[2];
		const char *t = token(m, i, one);

		index[i] = (uint16_t)(m->at - start);
		put(m, t, strlen(t));
		put(m, "........", i == 255 ? m->more : 0);
		put(m, "", 1);
	}
	align(m);
	m->index = m->at;
	put(m, index, sizeof(index));
}

static void put_seqs(struct image *m)
{
	align(m);
	for (unsigned i = 0; i < m->nr; i++) {
		put(m, "\0", 1);
		m->bytes[m->at++] = (unsigned char)(i >> 8);
		m->bytes[m->at++] = (unsigned char)i;
	}
}

static void build(struct image *m, enum vl_kallsyms_form form, bool offsets_first, bool seqs)
{
	memset(m->bytes, 0, SIZE);
	memset(m->bytes, 0xcc, SIZE / 4); /* text */
	m->at = SIZE / 4 + 8;
	m->form = form;
	m->align = form == VL_KALLSYMS_PLACE ? 4 : 8;
	if (offsets_first)
		put_offsets(m);
	put_names(m);
	if (seqs && offsets_first)
		put_seqs(m);
	put_tokens(m);
	if (!offsets_first)
		put_offsets(m);
	if (seqs && !offsets_first)
		put_seqs(m);
}

static bool find(const struct image *m, struct vl_kallsyms *ret)
{
	return vl_kallsyms_find(m->bytes, SIZE, VA, VA + 16 * HANDLER, vl_deadline_in(5000000000L),
				ret);
}

/* Its tables alone, each in memory of exactly its size. */
static struct vl_kallsyms_tables copy_tables(const struct image *m, const struct vl_kallsyms *k)
{
	const struct vl_kallsyms_part *from[] = { &k->names, &k->tokens, &k->offsets };
	struct vl_kallsyms_tables t = { .form = k->form, .nr = k->nr };
	struct vl_kallsyms_bytes *to[] = { &t.names, &t.tokens, &t.offsets };

	for (size_t i = 0; i < 3; i++) {
		unsigned char *p = malloc(from[i]->len);

		memcpy(p, m->bytes + from[i]->at, from[i]->len);
		*to[i] = (struct vl_kallsyms_bytes){ p, from[i]->len };
	}
	return t;
}

static void free_tables(struct vl_kallsyms_tables *t)
{
	free((void *)t->names.at);
	free((void *)t->tokens.at);
	free((void *)t->offsets.at);
}

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
	static const char *const forms[] = { "per-CPU ones absolute", "above a base",
					     "from their place" };
	struct image m = {
		.bytes = malloc(SIZE),
		.nr = NR,
		.width = 200,
		.handler = "asm_exc_page_fault",
		.token = "__",
	};

	if (!m.bytes)
		return 99;
	for (unsigned form = 0; form < 3; form++)
		for (unsigned i = 0; i < 4; i++) {
			build(&m, (enum vl_kallsyms_form)form, i & 1, i & 2);
			ok(found_all(&m), "%s, offsets %s%s", forms[form],
			   i & 1 ? "before the names" : "behind the tokens",
			   i & 2 ? ", with the order of the names" : "");
		}
	test_last_marker(&m);
	test_tables(&m);
	test_forged(&m);
	test_edges(&m);
	test_behind(&m);
	test_no_handler(&m);
	test_asked(&m);
	for (unsigned form = 0; form < 3; form++)
		test_moved(&m, (enum vl_kallsyms_form)form);
	free(m.bytes);
	return tap_end();
}
