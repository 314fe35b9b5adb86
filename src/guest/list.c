/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A row of a list of guests: facts from the hypervisor, and from the guest's memory. */
#include "internal.h"

#include <stdlib.h>

#include "../view/state.h"

#define MIB (1UL << 20)

enum {
	LIST_NAME,
	LIST_ID,
	LIST_STATE,
	LIST_RELEASE,
	LIST_VCPUS,
	LIST_RAM,
	LIST_UPTIME,
	LIST_NOTE,
	LIST_GUEST,
	LIST_PID,
	LIST_NODE,
	LIST_BUILD,
};

const struct vl_column vl_list_columns[] = {
	[LIST_NAME] = { "NAME", VL_CELL_TEXT, true, .doc = "name of the guest" },
	[LIST_ID] = { "ID", VL_CELL_TEXT, true, .doc = "a short name that vlens takes for it" },
	[LIST_STATE] = { "STATE", VL_CELL_TEXT, true, .doc = "running, paused, ...; dump" },
	[LIST_RELEASE] = { "RELEASE", VL_CELL_TEXT, true, .doc = "release of its kernel" },
	[LIST_VCPUS] = { "VCPUS", VL_CELL_UINT, true, .doc = "number of virtual CPUs" },
	[LIST_RAM] = { "RAM", VL_CELL_UINT, true, .doc = "memory, in MiB" },
	[LIST_UPTIME] = { "UPTIME", VL_CELL_SECONDS, true, .doc = "since it booted, in seconds" },
	[LIST_NOTE] = { "NOTE", VL_CELL_TEXT, true, .doc = "why something is not known" },
	[LIST_GUEST] = { "SPEC", VL_CELL_TEXT, false, .doc = "the name it was found by" },
	[LIST_PID] = { "PID", VL_CELL_INT, false, .doc = "process id of its hypervisor" },
	[LIST_NODE] = { "HOSTNAME", VL_CELL_TEXT, false, .doc = "its own host name" },
	[LIST_BUILD] = { "BUILDID", VL_CELL_TEXT, false, .doc = "build id of its kernel" },
	{ 0 },
};

static void list_target(struct vl_target *target, const char *spec, struct vl_table *t,
			struct vl_target_info *info)
{
	const struct vl_ram *ram;
	uint64_t bytes = 0;
	size_t nr;

	vl_target_info(target, info);
	if (info->name[0])
		vl_table_str(t, LIST_NAME, info->name);
	vl_table_str(t, LIST_ID, info->id[0] ? info->id : spec);
	if (info->vcpus)
		vl_table_uint(t, LIST_VCPUS, info->vcpus);
	if (vl_target_pid(target))
		vl_table_int(t, LIST_PID, vl_target_pid(target));
	ram = vl_target_ram(target, &nr);
	for (size_t i = 0; i < nr; i++)
		bytes += ram[i].size;
	vl_table_uint(t, LIST_RAM, bytes / MIB);
}

/* Copy cell @from of @inside, which has one row, to the last row of @t. */
static void copy(struct vl_table *t, size_t to, const struct vl_table *inside, size_t from)
{
	const struct vl_cell *c = vl_table_cell(inside, 0, from);

	if (c->kind == VL_CELL_TEXT)
		vl_table_text(t, to, vl_table_bytes(inside, c), c->text.len);
	else if (c->kind != VL_CELL_NONE)
		vl_table_int(t, to, c->i);
}

static bool is_true(const struct vl_table *inside, size_t column)
{
	const struct vl_cell *c = vl_table_cell(inside, 0, column);

	return c->kind == VL_CELL_BOOL && c->u;
}

/* Read the facts of the kernel's memory. The error is the reason why they cannot be read. */
static struct vl_error *look_inside(struct vl_guest *g, struct vl_table *inside,
				    struct vl_fate *fate_ret)
{
	struct vl_error *err = vl_guest_attach(g, true);

	if (!err)
		err = vl_guest_scan(g, &vl_scan_inside, inside);
	fate_ret->captures = is_true(inside, VL_INSIDE_CAPTURES);
	fate_ret->crashed = is_true(inside, VL_INSIDE_CRASHED);
	return err;
}

static void list_kernel(struct vl_guest *g, const struct vl_target_info *info, struct vl_table *t)
{
	struct vl_fate fate = { false, false };
	struct vl_table inside;
	struct vl_state state;
	struct vl_error *why;

	vl_table_init(&inside, vl_scan_inside.columns);
	why = look_inside(g, &inside, &fate);
	copy(t, LIST_RELEASE, &inside, VL_INSIDE_RELEASE);
	copy(t, LIST_NODE, &inside, VL_INSIDE_NODE);
	copy(t, LIST_UPTIME, &inside, VL_INSIDE_UPTIME);
	copy(t, LIST_BUILD, &inside, VL_INSIDE_BUILD);
	vl_state_of(info, &fate, why, &state);
	if (state.word[0])
		vl_table_str(t, LIST_STATE, state.word);
	/* The error; without one, the meaning of its state. */
	if (why)
		vl_table_str(t, LIST_NOTE, why->message);
	else if (state.means[0])
		vl_table_str(t, LIST_NOTE, state.means);
	vl_error_destroy(why);
	vl_table_deinit(&inside);
}

struct vl_error *vl_list_guest(const char *spec, const struct vl_scan_options *opts, bool explain,
			       struct vl_table *t, struct vl_guest **ret)
{
	const struct vl_guest_options o = {
		.target = opts->target,
		.uses = VL_GUEST_READ,
		.engine = opts->engine,
		.explain = explain,
	};
	struct vl_target_info info;
	struct vl_guest *g = NULL;
	struct vl_error *err;

	if (ret)
		*ret = NULL;
	err = vl_guest_open(spec, &o, &g);
	vl_table_row(t);
	vl_table_str(t, LIST_NAME, spec);
	vl_table_str(t, LIST_GUEST, spec);
	if (err) {
		vl_table_str(t, LIST_NOTE, err->message);
		return err;
	}
	list_target(g->raw.target, spec, t, &info);
	list_kernel(g, &info, t);
	err = vl_table_end(t);
	if (ret && !err)
		*ret = g;
	else
		vl_guest_close(g);
	return err;
}

/* --- state --- */

void vl_guest_state(struct vl_guest *g, struct vl_state *ret)
{
	struct vl_fate fate = { false, false };
	struct vl_target_info info;
	struct vl_table inside;
	struct vl_error *err;

	vl_table_init(&inside, vl_scan_inside.columns);
	vl_target_info(g->raw.target, &info);
	vl_target_rest(g->raw.target);
	err = look_inside(g, &inside, &fate);
	vl_state_of(&info, &fate, err, ret);
	vl_error_destroy(err);
	vl_table_deinit(&inside);
}
