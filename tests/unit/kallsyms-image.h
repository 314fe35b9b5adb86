/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image of a kernel whose tables of symbols are made by hand. */
#ifndef VLENS_TESTS_KALLSYMS_IMAGE_H
#define VLENS_TESTS_KALLSYMS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../src/kernel/kallsyms.h"

#define VA 0xffffffff81000000UL
#define SIZE (4u << 20)
#define NR 5000u
#define HANDLER 1234u /* index of the page-fault handler */

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

/* What every test begins with: NR symbols. Ends the program without memory. */
struct image make_image(void);

void put32(struct image *m, uint32_t v);

/* The name and the address of symbol @i. */
void name_of(const struct image *m, unsigned i, char *buf, size_t size);
uint64_t address_of(const struct image *m, unsigned i);

/* Write all tables. @seqs: with the order of the names, which kernels have since 6.2. */
void build(struct image *m, enum vl_kallsyms_form form, bool offsets_first, bool seqs);

bool find(const struct image *m, struct vl_kallsyms *ret);

/* The tables alone, each in memory of exactly its size. */
struct vl_kallsyms_tables copy_tables(const struct image *m, const struct vl_kallsyms *k);
void free_tables(struct vl_kallsyms_tables *t);

#endif
