/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest as a whole, one row: its kernel's names, its memory. */
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "collect.h"
#include "sample.h"

/* ---- uname ---- */

enum { UTS_SYSNAME, UTS_NODENAME, UTS_RELEASE, UTS_VERSION, UTS_MACHINE, UTS_DOMAINNAME };

static const struct vl_column uts_columns[] = {
	[UTS_SYSNAME] = { "SYSNAME", VL_CELL_TEXT, true, "name of the kernel" },
	[UTS_NODENAME] = { "NODENAME", VL_CELL_TEXT, true, "name of the host" },
	[UTS_RELEASE] = { "RELEASE", VL_CELL_TEXT, true, "release of the kernel" },
	[UTS_VERSION] = { "VERSION", VL_CELL_TEXT, true,
			  "its version: when it was built, and how" },
	[UTS_MACHINE] = { "MACHINE", VL_CELL_TEXT, true, "kind of machine" },
	[UTS_DOMAINNAME] = { "DOMAINNAME", VL_CELL_TEXT, false, "name of its NIS domain" },
	{ 0 },
};

static const enum vl_field uts_fields[] = {
	[UTS_SYSNAME] = VL_F_UTS_SYSNAME, [UTS_NODENAME] = VL_F_UTS_NODENAME,
	[UTS_RELEASE] = VL_F_UTS_RELEASE, [UTS_VERSION] = VL_F_UTS_VERSION,
	[UTS_MACHINE] = VL_F_UTS_MACHINE, [UTS_DOMAINNAME] = VL_F_UTS_DOMAINNAME,
};
#define NR_UTS ARRAY_SIZE(uts_fields)
#define UTS_LEN 65 /* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */

static struct vl_error *run_uts(struct vl_raw_guest *g, struct vl_table *t)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_error *err = vl_need_fields(g, uts_fields, NR_UTS, "its name");
	uint64_t uts;

	if (!err)
		err = vl_need_symbol(g, "init_uts_ns", "its name", &uts);
	if (err)
		return err;
	vl_table_row(t);
	for (size_t i = 0; i < NR_UTS; i++) {
		char text[UTS_LEN];
		uint64_t va = uts + vl_offset(l, uts_fields[i]);
		enum vl_read_status status =
			vl_read_string(g->reader, &g->space, va, text, sizeof(text));

		if (status != VL_READ_OK && status != VL_READ_UNENDED)
			return vl_read_error(status, va);
		vl_table_str(t, i, text);
	}
	return vl_table_end(t);
}

const struct vl_scan vl_scan_uname = { "uname", "kernels", uts_columns, true, run_uts };

/* ---- free ---- */

enum {
	MEM_TOTAL,
	MEM_USED,
	MEM_FREE,
	MEM_SHARED,
	MEM_CACHE,
	MEM_AVAILABLE,
	MEM_SWAP_TOTAL,
	MEM_SWAP_USED,
	MEM_SWAP_FREE,
};

static const struct vl_column mem_columns[] = {
	[MEM_TOTAL] = { "TOTAL", VL_CELL_UINT, true, "memory that the kernel manages, in bytes" },
	[MEM_USED] = { "USED", VL_CELL_UINT, true, "of that, what is not available" },
	[MEM_FREE] = { "FREE", VL_CELL_UINT, true, "of that, what is not used for anything" },
	[MEM_SHARED] = { "SHARED", VL_CELL_UINT, true, "of that, in tmpfs and shared" },
	[MEM_CACHE] = { "CACHE", VL_CELL_UINT, true, "buffers and cache, buff/cache of free(1)" },
	[MEM_AVAILABLE] = { "AVAILABLE", VL_CELL_UINT, true,
			    "what programs could have without swapping, estimated" },
	[MEM_SWAP_TOTAL] = { "SWAP_TOTAL", VL_CELL_UINT, true, "swap space, in bytes" },
	[MEM_SWAP_USED] = { "SWAP_USED", VL_CELL_UINT, true, "of that, used" },
	[MEM_SWAP_FREE] = { "SWAP_FREE", VL_CELL_UINT, true, "of that, free" },
	{ 0 },
};

static struct vl_error *run_memory(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_top_sample sum = { .at_ns = 0 };
	struct vl_error *err = vl_totals_once(g, &sum);

	if (!err && !sum.mem.total)
		err = vl_error_new(VL_ERR_KERNEL, "the size of the guest's memory cannot be read");
	if (!err) {
		uint64_t available =
			sum.mem.available < sum.mem.total ? sum.mem.available : sum.mem.free;

		vl_table_row(t);
		vl_table_uint(t, MEM_TOTAL, sum.mem.total);
		vl_table_uint(t, MEM_USED, sum.mem.total - available);
		vl_table_uint(t, MEM_FREE, sum.mem.free);
		vl_table_uint(t, MEM_SHARED, sum.mem.shared);
		vl_table_uint(t, MEM_CACHE, sum.mem.cache);
		vl_table_uint(t, MEM_AVAILABLE, sum.mem.available);
		vl_table_uint(t, MEM_SWAP_TOTAL, sum.swap.total);
		vl_table_uint(t, MEM_SWAP_USED, sum.swap.total - sum.swap.free);
		vl_table_uint(t, MEM_SWAP_FREE, sum.swap.free);
		err = vl_table_end(t);
	}
	vl_top_sample_deinit(&sum);
	return err;
}

const struct vl_scan vl_scan_free = { "free", "memory", mem_columns, true, run_memory };
