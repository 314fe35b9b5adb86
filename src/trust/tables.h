/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sites at which a kernel changes its text, as the tables of its image name them. A table that
 * the image lacks gives no sites.
 */
#ifndef VLENS_TRUST_TABLES_H
#define VLENS_TRUST_TABLES_H

#include "trust.h"

struct vl_trust_site {
	uint32_t at;	/* in bytes from the image's start */
	uint16_t len;	/* in bytes, at least 1 */
	uint8_t class;	/* enum vl_trust_class */
	uint8_t spare;	/* 0: the index has all bytes */
	uint32_t entry; /* its record in the table, in bytes from the image's start */
};

/* Sites that overlap, and the bytes that they cover. */
struct vl_trust_cluster {
	uint32_t at, len;
	uint32_t first, nr; /* its sites: index and number */
};

/* The longest allowed cluster, in bytes. */
#define VL_TRUST_CLUSTER_MAX 1024

/* The number of forms that records of .altinstructions have had. */
#define VL_TRUST_ALT_FORMS 3

/* A record of .altinstructions. */
struct vl_trust_alternative {
	uint32_t at, replacement; /* in bytes from the image's start */
	uint8_t len, replacement_len;
	uint32_t feature; /* with its flags */
};

/* Read the record of @site, which is of the class VL_TRUST_ALTERNATIVE. */
void vl_trust_alternative(const struct vl_trust *t, const struct vl_trust_site *site,
			  struct vl_trust_alternative *ret);

/*
 * Add a site at @va if it is in the image; records of other places are for freed code. False: out
 * of memory.
 */
bool vl_trust_add_site(struct vl_trust *t, uint64_t va, size_t len, uint8_t class, size_t entry);

/*
 * Add the sites that the tables of @t name, and make the clusters. @t is where the guest has it,
 * and can have sites already.
 */
struct vl_error *vl_trust_tables(struct vl_trust *t);

/* The first cluster that ends behind offset @at; t->nr_clusters: none. */
size_t vl_trust_cluster_from(const struct vl_trust *t, size_t at);

/* The index of the first site at or behind offset @at. */
size_t vl_trust_site_from(const struct vl_trust *t, size_t at);

#endif
