/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Types of a guest's kernel, in BTF. A hostile guest makes up what it likes: typedefs that name
 * each other, structures that nest without end. Nothing here goes on for long.
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
	uint64_t bit;  /* where it begins, from the start of the type that was asked about */
	uint32_t bits; /* the length of a bitfield; 0: it is none */
	uint32_t type;
};

/* Take the @len bytes of @data for types; *@ret is the caller's, for btf__free(). */
struct vl_error *vl_btf_open(const void *data, size_t len, struct btf **ret);

/*
 * What type @id names, behind typedefs and qualifiers; NULL: they lead nowhere. *@id_ret (may
 * be NULL) is its id.
 */
const struct btf_type *vl_btf_resolve(const struct btf *btf, uint32_t id, uint32_t *id_ret);

/*
 * Find member @name (@len bytes of it) of @type, in anonymous members too. False: there is none,
 * or @type (may be NULL) is neither a structure nor a union.
 */
bool vl_btf_find_member(const struct btf *btf, const struct btf_type *type, const char *name,
			size_t len, struct vl_btf_member *ret);

#endif
