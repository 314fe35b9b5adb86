/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The structure of a trusted kernel, for the files of this folder. */
#ifndef VLENS_TRUST_INTERNAL_H
#define VLENS_TRUST_INTERNAL_H

#include <string.h>

#include "tables.h"
#include "trust.h"

/* A part of the image, in bytes from its start. */
struct vl_trust_part {
	size_t at, len;
};

struct vl_trust_section {
	char name[48];
	struct vl_trust_part part;
	bool code;
};

/* The relocation lists of a vmlinuz: the sign-extended addresses of values to change. */
enum vl_trust_list {
	VL_TRUST_64,	  /* values of 8 bytes: add the distance of the move */
	VL_TRUST_INVERSE, /* of 4 bytes: subtract it (RIP-relative to per-CPU variables) */
	VL_TRUST_32,	  /* of 4 bytes: add it */
	VL_TRUST_LISTS,
};

struct vl_trust {
	uint64_t link;	      /* the address that `bytes` was linked for; page aligned */
	uint64_t va;	      /* where it is now */
	unsigned char *bytes; /* the image in memory, from its start */
	size_t len;
	struct vl_trust_section *sections;
	size_t nr_sections;
	struct vl_trust_part text;
	bool movable; /* the file has relocation lists */
	bool placed;
	/* The number to add to the values in the lists: see vl_trust_own(). 0: nothing. */
	uint64_t pending;
	int32_t *lists[VL_TRUST_LISTS];
	size_t nr_list[VL_TRUST_LISTS];
	struct vl_kallsyms tables;
	struct vl_symbols symbols; /* at `va` */
	uint32_t *by_name;	   /* a hash table of indexes + 1 into `symbols` */
	size_t nr_by_name;	   /* a power of two */
	char build_id[VL_BUILD_ID_MAX + 1];
	struct vl_trust_site *sites; /* in ascending order, the longest first */
	size_t nr_sites, cap_sites;
	struct vl_trust_cluster *clusters; /* in ascending order */
	size_t nr_clusters, cap_clusters;
	size_t alt_form; /* index of the form of records in .altinstructions: see tables.c */
	/* The code that the kernel puts in front of a function to count calls; .len 0: none. A
	 * module has its kernel's length here, and the code is in the kernel's image. */
	struct vl_trust_part counter;
	/*
	 * The index with the symbols, by_name, sites and clusters, without addresses; NULL: they
	 * were made. It is the mapped end of a file, from index_at on.
	 */
	const void *index;
	size_t index_at, index_len;
	/* These are NULL for a kernel. The set is NULL until the module is added to one. */
	struct vl_ko *ko;
	const struct vl_trust_set *set;
};

/* --- ko.c --- */

/* A section of a module. */
struct vl_ko_section {
	const char *name; /* in the file */
	uint32_t type, link, info;
	uint64_t flags, size, align;
	size_t at; /* of its bytes in the file */
	/* Its address in the guest; of a section that the guest has freed, in the image. */
	uint64_t va;
	size_t place; /* in the image, if in_image */
	bool in_image, is_init;
};

/* A module's file. */
struct vl_ko {
	unsigned char *file;
	size_t len;
	struct vl_ko_section *sections;
	size_t nr_sections;
	size_t symbols, names; /* the sections .symtab and .strtab; 0: none */
	char name[VL_TRUST_MODULE_NAME], release[128];
	const char *depends; /* names of modules, with commas between; in the file */
};

struct vl_error *vl_ko_open(const void *file, size_t len, struct vl_ko **ret);
void vl_ko_close(struct vl_ko *ko);

/* The index of section @name; 0: there is none. */
size_t vl_ko_section(const struct vl_ko *ko, const char *name);

/* An error: the module is damaged, in the way that @how says. */
struct vl_error *vl_ko_damaged(const char *how) __attribute__((returns_nonnull));

/* Is @name a section with a table of sites? Such a section lies behind the text in the image. */
bool vl_trust_is_table(const char *name);

/* --- layout.c: where a loaded module's sections are --- */

struct vl_error *vl_ko_layout(struct vl_trust *t, const struct vl_trust_loaded *loaded);

/* --- link.c --- */

/* The address of symbol @name that @t exports; false: it does not. */
bool vl_trust_exported(const struct vl_trust *t, const char *name, uint64_t *ret);

/* --- set.c --- */

struct vl_trust_set {
	const struct vl_trust *kernel;
	struct vl_trust **modules; /* in ascending order of their text */
	size_t nr, cap;
};

/* Is @va in the kernel's image, or in the text of the module? */
static inline bool vl_trust_covers(const struct vl_trust *t, uint64_t va)
{
	return va - t->va < (t->ko ? t->text.len : t->len);
}

/* The kernel of @t: @t itself, or that of its set. */
static inline const struct vl_trust *vl_trust_kernel(const struct vl_trust *t)
{
	return t->set ? t->set->kernel : t;
}

/* --- move.c --- */

/* Move the image by @delta, at once or when its bytes are used. False: its lists are damaged. */
bool vl_trust_move(struct vl_trust *t, uint64_t delta);

/*
 * The @len bytes at offset @at of the image, which must have them, where it is now: in @buf, of
 * @len bytes, or owned by @t. `bytes` has them only as long as nothing is pending, and where no
 * value is in a relocation list.
 */
const unsigned char *vl_trust_own(const struct vl_trust *t, size_t at, size_t len,
				  unsigned char *buf);

/* --- check.c --- */

/* vl_trust_check() for @len bytes at offset @at of the image, which must have them. */
void vl_trust_compare(const struct vl_trust *t, const struct vl_trust_memory *memory, size_t at,
		      const void *guest, size_t len, void *out, vl_trust_found_fn *found,
		      void *ctx);

/* The kernel or module that @va is in: @t, or one of the same set; NULL: none. */
const struct vl_trust *vl_trust_owner(const struct vl_trust *t, uint64_t va);

/* The section @name; NULL: there is none. */
const struct vl_trust_section *vl_trust_section(const struct vl_trust *t, const char *name);

/* An error: the image is damaged, in the way that @how says. */
struct vl_error *vl_trust_damaged(const char *how) __attribute__((returns_nonnull));

/* Make the hash table of the names of t->symbols. */
struct vl_error *vl_trust_index(struct vl_trust *t);

/*
 * The @n-th symbol, from 0, exactly at @va, which is in @t or another member of its set; NULL:
 * there are not so many.
 */
const char *vl_trust_symbol_here(const struct vl_trust *t, uint64_t va, uint32_t n);

static inline bool vl_trust_has(const struct vl_trust *t, size_t at, size_t len)
{
	return at <= t->len && len <= t->len - at;
}

static inline int32_t vl_trust_i32(const void *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t vl_trust_u64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

#endif
