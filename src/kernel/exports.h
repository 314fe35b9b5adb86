/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names that a kernel without a table of symbols (no CONFIG_KALLSYMS) still has: of the symbols
 * that it exports to modules, and of its system calls, by their numbers. Both are tables in its
 * constants, and are recognized by their content.
 */
#ifndef VLENS_EXPORTS_H
#define VLENS_EXPORTS_H

#include "kallsyms.h"
#include "trace.h"

/* Upper bounds in bytes: kernels have up to 250 KiB of records, 400 KiB of names. */
#define VL_EXPORTS_MAX (2U << 20)
#define VL_EXPORT_NAMES_MAX (4U << 20)
#define VL_CALLS_MAX (8U << 10)

/* A piece of the kernel, and the virtual address of its first byte. */
struct vl_export_part {
	const unsigned char *at;
	size_t len;
	uint64_t va;
};

struct vl_exports {
	struct vl_export_part records, names; /* __ksymtab and __ksymtab_gpl, __ksymtab_strings */
	struct vl_export_part calls;	      /* sys_call_table */
	uint64_t bugs, bugs_len;	      /* __bug_table, in bytes; 0: not found */
};

/*
 * Find the tables, but that of warnings, in @image, @len bytes from the virtual address @va on; the
 * code is the part of it in @text. False: there are none, or @deadline has passed.
 */
bool vl_exports_find(const unsigned char *image, size_t len, uint64_t va,
		     const struct vl_text *text, struct vl_deadline deadline,
		     struct vl_exports *ret);

/*
 * Find the table of warnings. The kernel marks in it the warnings that it has shown, so this table
 * is among the variables, and the others are among the constants. It is recognized by the code,
 * which takes the addresses of its ends.
 */
void vl_exports_find_bugs(const unsigned char *image, size_t len, uint64_t va,
			  const struct vl_text *text, struct vl_deadline deadline,
			  struct vl_exports *ret);

/*
 * The symbols that the tables of @e and the code show. A function that has no name is a symbol
 * VL_NAMELESS. False: the tables are malformed, or there is no memory. Reads nothing beyond @e and
 * @text.
 */
bool vl_exports_decode(const struct vl_exports *e, const struct vl_text *text,
		       struct vl_symbols *ret);

#endif
