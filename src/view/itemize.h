/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of a view as structures (items.h), which is not installed. */
#ifndef VLENS_ITEMIZE_H
#define VLENS_ITEMIZE_H

#include "items.h"
#include "scan.h"

/* A member of a structure, and the column that it is filled from. */
struct vl_item_member {
	const char *column;
	uint16_t at, size; /* in the structure */
	bool is_text;	   /* a struct vl_item_text; else a number, which is signed if */
	bool is_signed;
};

struct vl_item_form {
	const struct vl_scan *scan;
	size_t size;			      /* of the structure */
	const struct vl_item_member *members; /* in the order of the structure's enum */
	size_t nr_members;
};

/* How items of @kind are made; NULL: there is no such kind. */
const struct vl_item_form *vl_item_form(enum vl_item_kind kind);

/* Make items of @kind of the rows of @t, which a view of that kind has filled. */
struct vl_error *vl_items_make(enum vl_item_kind kind, const struct vl_table *t,
			       struct vl_items **ret);

#endif
