/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All types of the guest's kernel, out of its BTF, and places in its memory
 * that have one: "init_task.mm->pgd".
 */
#ifndef VLENS_TYPES_H
#define VLENS_TYPES_H

#include "scan.h"

struct btf;
struct btf_type;

struct vl_types {
	struct vl_subject *s;
	struct btf *btf;       /* NULL: not needed yet */
	uint64_t elements;     /* of an array that are shown; 0: all */
	unsigned depth;	       /* so often pointers are followed */
	struct vl_space space; /* whose addresses are read */
};

/* A place in memory, and what is there. */
struct vl_place {
	uint64_t va;
	uint32_t type; /* of BTF; 0: bytes */
	uint32_t bit;  /* a bitfield: where it begins, from va */
	uint32_t bits; /* and its length; 0: it is none */
	uint64_t nr;   /* so many of them, one after the other; 0: one */
};

void vl_types_init(struct vl_types *t, struct vl_subject *s);
void vl_types_deinit(struct vl_types *t);

/* Read the types, from the cache or from the guest, unless that has been done. */
struct vl_error *vl_types_need(struct vl_types *t);

/*
 * Find what @what says: (ADDRESS | SYMBOL[@CPU])[+OFFSET][:TYPE]{.MEMBER | ->MEMBER |
 * [INDEX]}. A pointer on the way is followed. Without TYPE a symbol has the
 * type that is known of it, or none. VL_ERR_ARG with near matches when there is no
 * such symbol, type or member.
 */
struct vl_error *vl_types_find(struct vl_types *t, const char *what, struct vl_place *ret);

/* Follow typedefs and qualifiers; NULL: they lead nowhere. *@id (may be NULL) goes along. */
const struct btf_type *vl_types_resolve(const struct vl_types *t, uint32_t id, uint32_t *id_ret);

/* Size in bytes, 0 when there is none (void, functions, incomplete ones). */
uint64_t vl_types_size(const struct vl_types *t, uint32_t id);

/* "struct task_struct *", "char [16]"; at most 127 bytes. */
#define VL_TYPE_NAME 128
void vl_types_name(const struct vl_types *t, uint32_t id, char buf[VL_TYPE_NAME]);

const char *vl_types_string(const struct vl_types *t, uint32_t offset);

#endif
