/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state.h"

#include <stdlib.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "../attach/pulse.h"
#include "collect.h"

static const struct vl_column columns[] = {
	[VL_INSIDE_RELEASE] = { "RELEASE", VL_CELL_TEXT, true, .doc = "release of its kernel" },
	[VL_INSIDE_NODE] = { "HOSTNAME", VL_CELL_TEXT, true, .doc = "its own host name" },
	[VL_INSIDE_UPTIME] = { "UPTIME", VL_CELL_SECONDS, true,
			       .doc = "since it booted, in seconds" },
	[VL_INSIDE_BUILD] = { "BUILDID", VL_CELL_TEXT, true, .doc = "build id of its kernel" },
	[VL_INSIDE_CAPTURES] = { "CAPTURES", VL_CELL_BOOL, true, .doc = "is it a capture kernel" },
	[VL_INSIDE_CRASHED] = { "CRASHED", VL_CELL_BOOL, true, .doc = "has it panicked" },
	{ 0 },
};

static void read_name(struct vl_raw_guest *g, struct vl_table *t, size_t column, enum vl_field f)
{
	const struct vl_kernel *k = g->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t uts = vl_symbol(k, "init_uts_ns");
	char text[65]; /* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */

	if (uts && vl_has(l, f) &&
	    !vl_read_string(g->reader, &g->space, uts + vl_offset(l, f), text, sizeof(text)))
		vl_table_str(t, column, text);
}

bool vl_raw_guest_uptime(struct vl_raw_guest *g, uint64_t *ret)
{
	const enum vl_field need[] = { VL_F_TK_MONO, VL_F_TKR_BASE, VL_F_TKR_XTIME_NSEC,
				       VL_F_TKR_SHIFT, VL_F_TK_OFFS_BOOT };
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t tk = vl_kernel_timekeeper(g->attach->kernel), mono, base, nsec, asleep;
	uint32_t shift;

	if (!tk || vl_discard(vl_need_fields(g, need, ARRAY_SIZE(need), "its clock")))
		return false;
	mono = tk + vl_offset(l, VL_F_TK_MONO);
	if (vl_read_u64(g->reader, &g->space, mono + vl_offset(l, VL_F_TKR_BASE), &base) ||
	    vl_read_u64(g->reader, &g->space, mono + vl_offset(l, VL_F_TKR_XTIME_NSEC), &nsec) ||
	    vl_read_u32(g->reader, &g->space, mono + vl_offset(l, VL_F_TKR_SHIFT), &shift) ||
	    vl_read_u64(g->reader, &g->space, tk + vl_offset(l, VL_F_TK_OFFS_BOOT), &asleep) ||
	    shift > 63)
		return false;
	*ret = base + (nsec >> shift) + asleep;
	return true;
}

/* No clock of a guest is so late: the year 2286, in ns since 1970. */
#define CLOCK_MAX 9999999999999999999U

bool vl_raw_guest_booted(struct vl_raw_guest *g, uint64_t *ret)
{
	const enum vl_field need[] = { VL_F_TK_OFFS_REAL, VL_F_TK_OFFS_BOOT };
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t tk = vl_kernel_timekeeper(g->attach->kernel), real, boot;

	/* ktime_get_real() is the monotonic clock and the one, that of the boot time the other. */
	if (!tk || vl_discard(vl_need_fields(g, need, ARRAY_SIZE(need), "its clock")) ||
	    vl_read_u64(g->reader, &g->space, tk + vl_offset(l, VL_F_TK_OFFS_REAL), &real) ||
	    vl_read_u64(g->reader, &g->space, tk + vl_offset(l, VL_F_TK_OFFS_BOOT), &boot) ||
	    real <= boot || real > CLOCK_MAX)
		return false;
	*ret = real - boot;
	return true;
}

struct vl_error *vl_need_booted(struct vl_raw_guest *g, const char *what)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	const enum vl_field need[] = { VL_F_TASK_MM, VL_F_TASK_REAL_PARENT };
	struct item {
		uint64_t mm, parents;
		int32_t pid;
	} * all;
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = { .stride = sizeof(*all) };
	bool boots;
	size_t nr;

	if (vl_discard(vl_need_fields(g, need, ARRAY_SIZE(need), "the task list")))
		return NULL;
	vl_fields_add(&fs, VL_F_TASK_TGID, offsetof(struct item, pid), sizeof(all->pid));
	vl_fields_add(&fs, VL_F_TASK_MM, offsetof(struct item, mm), sizeof(all->mm));
	vl_fields_add_through(&fs, VL_F_TASK_REAL_PARENT, VL_F_TASK_MM,
			      offsetof(struct item, parents), sizeof(all->parents));
	boots = !vl_discard(vl_collect_tasks(g, &w, &fs, &nr));
	/*
	 * Process 1, and what it starts, are programs, which have memory. A kernel that boots can
	 * run a helper, whose parent has none. That the kernel says which state it is in is not
	 * asked, and process 1 need not be listed: an intruder could change that without a loss.
	 */
	all = w.records;
	for (size_t i = 0; i < nr; i++)
		boots = boots && !(all[i].mm && (all[i].parents || all[i].pid == 1));
	free(w.records);
	if (!boots)
		return NULL;
	return vl_error_hint(
		vl_error_new(VL_ERR_BOOTING,
			     "the guest's kernel is booting, and still changes its own "
			     "text and constants: %s",
			     what),
		"%s", vl_target_wait_hint(g->target));
}

static struct vl_error *run_inside(struct vl_raw_guest *g, struct vl_table *t)
{
	uint64_t uptime;

	vl_table_row(t);
	read_name(g, t, VL_INSIDE_RELEASE, VL_F_UTS_RELEASE);
	read_name(g, t, VL_INSIDE_NODE, VL_F_UTS_NODENAME);
	if (vl_raw_guest_uptime(g, &uptime))
		vl_table_uint(t, VL_INSIDE_UPTIME, uptime);
	vl_table_str(t, VL_INSIDE_BUILD, g->attach->build_id);
	vl_table_uint(t, VL_INSIDE_CAPTURES, vl_pulse_captures(g->attach));
	vl_table_uint(t, VL_INSIDE_CRASHED, vl_pulse_crashed(g->attach));
	return vl_table_end(t);
}

const struct vl_scan vl_scan_inside = { "inside",   "guests",	  columns,	true,
					run_inside, vl_scan_asks, vl_no_symbols };
