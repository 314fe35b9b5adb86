/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One comparison: its items, and the ways to see them. */
#ifndef VLENS_DIFF_H
#define VLENS_DIFF_H

#include "../attach/attach.h"
#include "../syscall/sys.h"
#include "collect.h"
#include "modules.h"

#define VL_DIFF_WAYS 8

/* One thing (a process, a module) and the ways that show it. */
struct vl_diff_item {
	uint64_t key; /* a process id; 0: by its name */
	char name[VL_MODULE_NAME];
	uint64_t address; /* of its struct; 0: not known */
	unsigned shown;	  /* bit i: by way i */
	unsigned hidden;  /* bit i: way i shows all items, but not this one, in any pass so far */
	bool passing;	  /* coming or going: no difference counts */
	bool split;	  /* two ways give different addresses for it */
};

struct vl_diff_items {
	struct vl_diff_item *v;
	size_t nr, cap;
	bool full;
};

struct vl_diff_kind;

/* A comparison that is going on. */
struct vl_comparison {
	struct vl_raw_guest *g;
	struct vl_sys *sys; /* the one that answers now */
	const struct vl_diff_kind *kind;
	struct vl_error *why[VL_DIFF_WAYS]; /* ways that failed */
	unsigned absent; /* bit i: the kernel was built without the list of way i */
	unsigned cut;	 /* bit i: way i needs memory that the file lacks, so it may show less */
};

/* A way to the list. */
struct vl_diff_way {
	const char *name; /* "the task list" */
	bool kernel;	  /* the kernel answers: only in an epoch */
	bool own;	  /* its own code, beside a trusted one: else the way is left out */
	bool part;	  /* it shows some items only: others are not hidden from it */
	struct vl_error *(*go)(struct vl_comparison *l, struct vl_diff_items *items, unsigned bit);
	/*
	 * The fields that it reads, up to VL_NR_FIELDS: of a kernel without types all of them must
	 * have been derived from its code. NULL: none.
	 */
	const enum vl_field *fields;
};

struct vl_diff_kind {
	const struct vl_diff_way *ways;
	size_t nr_ways;
	size_t first_column; /* the first of the ways' columns; the mark's follows the last */
	size_t name_column, address_column;
	int key_column; /* -1: none */
};

/* Note that way @bit shows this item; @name has @len bytes. "" and 0: the way does not know. */
void vl_diff_see(struct vl_diff_items *l, uint64_t key, const char *name, size_t len,
		 uint64_t address, unsigned bit, bool passing);

/*
 * Read all of @path of the guest by @call ("read", "getdents64"), in the open epoch. *@ret is
 * malloc'ed.
 */
struct vl_error *vl_diff_ask(struct vl_sys *sys, const char *path, const char *call, char **ret,
			     size_t *len_ret);

/*
 * Read all of the file @path of the guest in an epoch of its own, with some tries. *@ret is
 * malloc'ed, and ends with a NUL behind its *@len_ret bytes.
 */
struct vl_error *vl_diff_read(const struct vl_raw_guest *g, struct vl_sys *sys, const char *path,
			      char **ret, size_t *len_ret);

struct vl_error *vl_diff_run(struct vl_raw_guest *g, struct vl_sys *sys,
			     const struct vl_diff_kind *kind, struct vl_table *t);

#endif
