/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of a view as structures. */
#include "../view/itemize.h"

#include "internal.h"

struct vl_error *vl_guest_items(struct vl_guest *g, enum vl_item_kind kind, struct vl_items **ret)
{
	const struct vl_item_form *form = vl_item_form(kind);
	struct vl_error *err, *later;
	struct vl_table t;

	*ret = NULL;
	if (!form)
		return vl_items_make(kind, NULL, ret);
	vl_table_init(&t, form->scan->columns);
	err = vl_guest_scan(g, form->scan, &t);
	if (err && !t.nr_rows) {
		vl_table_deinit(&t);
		return err;
	}
	later = vl_items_make(kind, &t, ret);
	vl_table_deinit(&t);
	return vl_error_first(err, later);
}
