/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's symbols as they lie in its image: the tables that scripts/kallsyms.c
 * of Linux writes into its read-only data. Each table is recognized by its content, and must
 * agree with the others.
 */
#ifndef VLENS_KALLSYMS_H
#define VLENS_KALLSYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/clock.h"

/* How an entry in the table of offsets gives a symbol's address. */
enum vl_kallsyms_form {
	/* negative: base - 1 - entry; else the address itself (CONFIG_KALLSYMS_ABSOLUTE_PERCPU) */
	VL_KALLSYMS_PERCPU,
	/* base + entry */
	VL_KALLSYMS_BASE,
	/* address of the entry + entry: "kallsyms: Get rid of kallsyms relative base" (7.0) */
	VL_KALLSYMS_PLACE,
	/* There are no such tables (no CONFIG_KALLSYMS), but others (exports.h). */
	VL_KALLSYMS_NONE,
};

/* The tables that, with a base, give all symbols. */
struct vl_kallsyms_tables {
	enum vl_kallsyms_form form;
	uint32_t nr;
	struct vl_kallsyms_bytes {
		const unsigned char *at;
		size_t len;
	} names, tokens, offsets;
};

/* Upper bounds: symbols (7.3 has 210,000), and bytes of the tables. */
#define VL_SYMBOLS_MAX (2u << 20)
#define VL_NAMES_MAX (32u << 20)
#define VL_TOKENS_MAX (256u << 10)

/* Pieces of the image, in bytes from its start. */
struct vl_kallsyms_part {
	size_t at, len;
};

/* Where the tables are in an image. */
struct vl_kallsyms {
	enum vl_kallsyms_form form;
	uint32_t nr;
	/* names (each with its length before it), tokens, offsets, where each token begins */
	struct vl_kallsyms_part names, tokens, offsets, index;
	/* What addresses are relative to: a virtual address that moves with the kernel. */
	uint64_t base;
};

/*
 * Find the tables in @image: @len bytes from the virtual address @va on. @handler is the
 * kernel's page-fault handler: the tables must have a symbol of that name there. 0: it is not
 * known, as of an image that no guest runs. False if there are no tables, or @deadline has
 * passed. Reads at most @len bytes.
 */
bool vl_kallsyms_find(const unsigned char *image, size_t len, uint64_t va, uint64_t handler,
		      struct vl_deadline deadline, struct vl_kallsyms *ret);

/* The addresses of symbols @names of the tables @k that were found in @image; 0: there is none. */
void vl_kallsyms_addresses(const unsigned char *image, const struct vl_kallsyms *k,
			   const char *const *names, size_t nr, uint64_t *ret);

/* All symbols: addresses, and the offsets of their names in @text. */
struct vl_symbols {
	uint32_t nr;
	uint64_t base;
	uint64_t *addresses;
	uint32_t *name_at;
	char *text;
	size_t text_len;
};

/*
 * Decode @tables, placed at @base. False: they are malformed. Reads nothing beyond them, and
 * allocates at most a small multiple of their size.
 */
bool vl_kallsyms_decode(const struct vl_kallsyms_tables *tables, uint64_t base,
			struct vl_symbols *ret);
void vl_symbols_deinit(struct vl_symbols *s);
/*
 * Change @s, decoded from tables of @form, to what it is for a base @delta higher. False: the order
 * of the addresses would change.
 */
bool vl_symbols_move(struct vl_symbols *s, enum vl_kallsyms_form form, uint64_t delta);

#endif
