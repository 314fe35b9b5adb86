/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kallsyms-image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_MOST (NR + 256)
#define LONG 77u /* index of a name of more than 127 tokens */

struct image make_image(void)
{
	struct image m = {
		.bytes = malloc(SIZE),
		.nr = NR,
		.width = 200,
		.handler = "asm_exc_page_fault",
		.token = "__",
	};

	if (!m.bytes)
		exit(99);
	return m;
}

void name_of(const struct image *m, unsigned i, char *buf, size_t size)
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

uint64_t address_of(const struct image *m, unsigned i)
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

void put32(struct image *m, uint32_t v)
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

void build(struct image *m, enum vl_kallsyms_form form, bool offsets_first, bool seqs)
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

bool find(const struct image *m, struct vl_kallsyms *ret)
{
	return vl_kallsyms_find(m->bytes, SIZE, VA, VA + 16 * HANDLER, vl_deadline_in(5000000000L),
				ret);
}

struct vl_kallsyms_tables copy_tables(const struct image *m, const struct vl_kallsyms *k)
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

void free_tables(struct vl_kallsyms_tables *t)
{
	free((void *)t->names.at);
	free((void *)t->tokens.at);
	free((void *)t->offsets.at);
}
