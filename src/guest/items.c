/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of a view as structures. */
#include "../base/cleanup.h"
#include "../view/itemize.h"

#include "internal.h"

struct vl_error *vl_guest_items(struct vl_guest *g, enum vl_item_kind kind, struct vl_items **ret)
{
	const struct vl_item_form *form = vl_item_form(kind);
	_cleanup_(vl_table_deinit) struct vl_table t = { 0 };
	struct vl_error *err;

	*ret = NULL;
	if (!form)
		return vl_items_make(kind, NULL, ret);
	vl_table_init(&t, form->scan->columns);
	err = vl_guest_scan(g, form->scan, &t);
	if (err && !t.nr_rows)
		return err;
	return vl_error_first(err, vl_items_make(kind, &t, ret));
}
