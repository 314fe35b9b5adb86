/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Types of a guest's kernel, in BTF. A hostile guest can make up typedefs that name each other
 * and structures that nest without end: every loop here is bounded.
 */
#ifndef VLENS_KERNEL_BTF_H
#define VLENS_KERNEL_BTF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct btf;
struct btf_type;

struct vl_btf_member {
	const char *name; /* "": it is anonymous */
	uint64_t bit;	  /* offset from the start of the type that was searched */
	uint32_t bits;	  /* length of a bitfield; 0: not a bitfield */
	uint32_t type;
};

/* A value of an enum. */
struct vl_btf_value {
	const char *name;
	int64_t value; /* of an unsigned enum of 64 bits, the same bits */
};

/* Parse @len bytes of @data as BTF; the caller frees *@ret by btf__free(). */
struct vl_error *vl_btf_open(const void *data, size_t len, struct btf **ret);

/*
 * The type that @id leads to, through typedefs and qualifiers; NULL if they lead nowhere.
 * *@id_ret (may be NULL) is its id.
 */
const struct btf_type *vl_btf_resolve(const struct btf *btf, uint32_t id, uint32_t *id_ret);

/* Member @i (from 0) of @type, a structure or union. False: it has no more. */
bool vl_btf_member(const struct btf *btf, const struct btf_type *type, unsigned i,
		   struct vl_btf_member *ret);

bool vl_btf_is_enum(const struct btf_type *type);
/* Value @i (from 0) of @type, an enum. False: it has no more. */
bool vl_btf_value(const struct btf *btf, const struct btf_type *type, unsigned i,
		  struct vl_btf_value *ret);

/*
 * Find member @name (its first @len bytes) of @type, also inside anonymous members. False if
 * there is none, or @type (may be NULL) is neither a structure nor a union.
 */
bool vl_btf_find_member(const struct btf *btf, const struct btf_type *type, const char *name,
			size_t len, struct vl_btf_member *ret);

#endif
