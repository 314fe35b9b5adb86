/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All types of the guest's kernel, from its BTF, and typed places in its memory:
 * "init_task.mm->pgd". They read by the reader of a guest, and in the thread that may use it.
 */
#ifndef VLENS_TYPES_H
#define VLENS_TYPES_H

#include "scan.h"

struct btf;
struct btf_type;

struct vl_types {
	struct vl_raw_guest *g;
	struct btf *btf;       /* NULL: not needed yet */
	uint64_t elements;     /* shown of an array; 0: all */
	unsigned depth;	       /* levels of pointers to follow */
	struct vl_space space; /* the space to read in */
};

/* An lvalue: a place in memory, and its type. */
struct vl_lvalue {
	uint64_t va;
	uint32_t type; /* of BTF; 0: bytes */
	uint32_t bit;  /* a bitfield: its first bit, from va */
	uint32_t bits; /* its length in bits; 0: no bitfield */
	uint64_t nr;   /* number of adjacent values; 0: one, not in a row */
};

void vl_types_init(struct vl_types *t, struct vl_raw_guest *g);
void vl_types_deinit(struct vl_types *t);

/*
 * Read the types, from the cache or from the guest, on the first call. VL_ERR_KERNEL: it has none;
 * VL_ERR_FAULT: they cannot be read.
 */
struct vl_error *vl_types_need(struct vl_types *t);

/*
 * Find the place of the expression @what: (ADDRESS | SYMBOL[@CPU])[+OFFSET][:TYPE]{.MEMBER |
 * ->MEMBER | [INDEX]}. Pointers on the way are followed. Without TYPE a symbol has its known
 * type, or none. VL_ERR_ARG with near matches when there is no such symbol, type or member;
 * VL_ERR_FAULT: a pointer on the way cannot be read; else as vl_types_need().
 */
struct vl_error *vl_types_find(struct vl_types *t, const char *what, struct vl_lvalue *ret);

/*
 * Follow typedefs and qualifiers; NULL: there is no type at their end. *@id_ret (may be NULL)
 * is its id.
 */
const struct btf_type *vl_types_resolve(const struct vl_types *t, uint32_t id, uint32_t *id_ret);

/* Size in bytes, 0 when there is none (void, functions, incomplete ones). */
uint64_t vl_types_size(const struct vl_types *t, uint32_t id);

/* "struct task_struct *", "char [16]"; at most 127 bytes. */
#define VL_TYPE_NAME 128
void vl_types_name(const struct vl_types *t, uint32_t id, char buf[VL_TYPE_NAME]);

const char *vl_types_string(const struct vl_types *t, uint32_t offset);

#endif
