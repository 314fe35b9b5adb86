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
	/* The code that the kernel puts in front of a function to count calls; .len 0: none. */
	struct vl_trust_part counter;
	/*
	 * What symbols, by_name, sites and clusters were taken from, but for addresses; NULL: they
	 * were made. The mapped end of a file, from index_at on.
	 */
	const void *index;
	size_t index_at, index_len;
};

/* --- check.c --- */

/* vl_trust_check() for @len bytes at offset @at of the image, which must have them. */
void vl_trust_compare(const struct vl_trust *t, const struct vl_trust_memory *memory, size_t at,
		      const void *guest, size_t len, void *out, vl_trust_found_fn *found,
		      void *ctx);

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
