/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes that are in the tree of process ids and not in the list of processes. `vps --diff`
 * compares more ways, at one point in time, and names what is hidden.
 */
#include <stdlib.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "collect.h"

/* enum pid_type, include/linux/pid_types.h; and the sizes of hlist heads and nodes in bytes. */
#define PIDTYPE_TGID 1
#define HLIST_HEAD 8
#define HLIST_NODE 16

const enum vl_field vl_export_tree_fields[] = { VL_F_PIDNS_HEAD, VL_F_PID_TASKS,
						VL_F_XA_SHIFT,	 VL_F_XA_SLOTS,
						VL_F_XA_MARKS,	 VL_F_TASK_PID_LINKS,
						VL_F_TASK_TASKS, VL_NR_FIELDS };

/* The addresses of all processes by the tree of ids; some are 0. */
static struct vl_error *by_ids(const struct vl_collector *c, uint64_t **ret, size_t *nr_ret)
{
	int32_t link = (int32_t)vl_offset(c->l, VL_F_PID_TASKS) + PIDTYPE_TGID * HLIST_HEAD;
	uint64_t node = vl_offset(c->l, VL_F_TASK_PID_LINKS) + PIDTYPE_TGID * HLIST_NODE;
	struct vl_fields fs = {
		.layout = c->l,
		.nr = 1,
		.f = { { .kind = VL_FIELD_BYTES, .size = 8, .offset = { link } } },
	};
	struct vl_walk w = {
		.kind = VL_WALK_XARRAY,
		.head = vl_symbol(c->k, "init_pid_ns") + vl_offset(c->l, VL_F_PIDNS_HEAD),
		.xa_shift = vl_offset(c->l, VL_F_XA_SHIFT),
		.xa_slots = vl_offset(c->l, VL_F_XA_SLOTS),
		.xa_nr_slots =
			(vl_offset(c->l, VL_F_XA_MARKS) - vl_offset(c->l, VL_F_XA_SLOTS)) / 8,
		.stride = sizeof(uint64_t),
	};
	struct vl_error *err = vl_collect(c->g, &w, &fs, "the tree of ids", nr_ret);

	*ret = w.records;
	for (size_t i = 0; i < *nr_ret; i++)
		(*ret)[i] -= (*ret)[i] ? node : 0;
	return err;
}

static struct vl_error *by_list(const struct vl_collector *c, uint64_t **ret, size_t *nr_ret)
{
	struct vl_walk w = { .stride = sizeof(uint64_t) };
	struct vl_fields fs = { .layout = c->l };
	struct vl_error *err;

	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect_tasks(c->g, &w, &fs, nr_ret);
	*ret = w.records;
	return err;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool count_hidden(const struct vl_collector *c, size_t *ret)
{
	_cleanup_free_ uint64_t *ids = NULL, *list = NULL;
	size_t nr_ids, nr;

	*ret = 0;
	/* The tree first: a process that starts meanwhile is then in the list only. */
	if (vl_discard(by_ids(c, &ids, &nr_ids)) || vl_discard(by_list(c, &list, &nr)))
		return false;
	qsort(list, nr, sizeof(*list), compare);
	for (size_t i = 0; i < nr_ids; i++)
		*ret += ids[i] && !bsearch(&ids[i], list, nr, sizeof(*list), compare);
	return true;
}

void vl_export_hidden(struct vl_collector *c)
{
	size_t hidden, again;

	if (vl_discard(vl_need_fields(c->g, vl_export_tree_fields,
				      ARRAY_SIZE(vl_export_tree_fields) - 1, "the tree of ids")) ||
	    !vl_symbol(c->k, "init_pid_ns") || !count_hidden(c, &hidden))
		return;
	/* A process that is ending may be in the tree only. */
	for (unsigned i = 0; hidden && i < 3 && count_hidden(c, &again); i++)
		hidden = again < hidden ? again : hidden;
	vl_sample(c->t, VL_METRIC_HIDDEN_PROCESSES, hidden);
}
