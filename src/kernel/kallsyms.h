/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's symbols as they lie in its image: the tables that scripts/kallsyms.c
 * of Linux writes into its read-only data. Each is found by what it is, not by where
 * it stands, and has to agree with the others.
 */
#ifndef VLENS_KALLSYMS_H
#define VLENS_KALLSYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../util/deadline.h"

/* How a symbol's address is made of its entry in the table of offsets. */
enum vl_kallsyms_form {
	/* negative: below the base, less 1; else the value (CONFIG_KALLSYMS_ABSOLUTE_PERCPU) */
	VL_KALLSYMS_PERCPU,
	/* above the base */
	VL_KALLSYMS_BASE,
	/* from the entry itself: "kallsyms: Get rid of kallsyms relative base" (7.0) */
	VL_KALLSYMS_PLACE,
};

/* Pieces of the image, in bytes from its start. */
struct vl_kallsyms_part {
	size_t at, len;
};

struct vl_kallsyms {
	enum vl_kallsyms_form form;
	uint32_t nr;
	/*
	 * The tables that all symbols follow from, once @base is known: names (each with
	 * its length before it), tokens, offsets.
	 */
	struct vl_kallsyms_part names, tokens, offsets;
	/* What addresses are relative to: a virtual address that moves with the kernel. */
	uint64_t base;

	/* Decoded: symbol @i's address, and where in @text its name begins. */
	uint64_t *addresses;
	uint32_t *name_at;
	char *text;
	size_t text_len;
};

/*
 * Find and decode the tables in @image, which is @len bytes from the virtual address
 * @va on. @handler is the kernel's page-fault handler: it must have a symbol, and by
 * its name. False when there are none, or @deadline has passed. No more is read than @len, no more is
 * allocated than a small multiple of it.
 */
bool vl_kallsyms_find(const unsigned char *image, size_t len, uint64_t va, uint64_t handler,
		      struct vl_deadline deadline, struct vl_kallsyms *ret);
void vl_kallsyms_deinit(struct vl_kallsyms *k);

/* The address of symbol @name, 0 when there is none. Looks through all. */
uint64_t vl_kallsyms_address(const struct vl_kallsyms *k, const char *name);

#endif
