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
	[UTS_SYSNAME] = { "SYSNAME", VL_CELL_TEXT, true, .doc = "name of the kernel" },
	[UTS_NODENAME] = { "NODENAME", VL_CELL_TEXT, true, .doc = "name of the host" },
	[UTS_RELEASE] = { "RELEASE", VL_CELL_TEXT, true, .doc = "release of the kernel" },
	[UTS_VERSION] = { "VERSION", VL_CELL_TEXT, true,
			  .doc = "its version: when it was built, and how" },
	[UTS_MACHINE] = { "MACHINE", VL_CELL_TEXT, true, .doc = "kind of machine" },
	[UTS_DOMAINNAME] = { "DOMAINNAME", VL_CELL_TEXT, false, .doc = "name of its NIS domain" },
	{ 0 },
};

static const enum vl_field uts_fields[] = {
	[UTS_SYSNAME] = VL_F_UTS_SYSNAME,
	[UTS_NODENAME] = VL_F_UTS_NODENAME,
	[UTS_RELEASE] = VL_F_UTS_RELEASE,
	[UTS_VERSION] = VL_F_UTS_VERSION,
	[UTS_MACHINE] = VL_F_UTS_MACHINE,
	[UTS_DOMAINNAME] = VL_F_UTS_DOMAINNAME,
	VL_NR_FIELDS,
};
#define NR_UTS (ARRAY_SIZE(uts_fields) - 1)
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

static const char *const uts_symbols[] = { "init_uts_ns", NULL };

const struct vl_scan vl_scan_uname = { "uname", "kernels",  uts_columns, true,
				       run_uts, uts_fields, uts_symbols };

/* ---- free ---- */

/* Bytes. */
struct memory {
	uint64_t total, used, free, shared, cache, available, swap_total, swap_used, swap_free;
};

#define IN(member) VL_IN(struct memory, member)

enum {
	MEM_TOTAL,
	MEM_USED,
	MEM_FREE,
	MEM_SHARED,
	MEM_CACHE,
	MEM_AVAILABLE,
	MEM_SWAP_TOTAL,
	MEM_SWAP_USED,
	MEM_SWAP_FREE
};

static const struct vl_column mem_columns[] = {
	[MEM_TOTAL] = { "TOTAL_BYTES", VL_CELL_UINT, true, "memory that the kernel manages",
			IN(total) },
	[MEM_USED] = { "USED_BYTES", VL_CELL_UINT, true, "of that, what is not available",
		       IN(used) },
	[MEM_FREE] = { "FREE_BYTES", VL_CELL_UINT, true, "of that, what is not used for anything",
		       IN(free) },
	[MEM_SHARED] = { "SHARED_BYTES", VL_CELL_UINT, true, "of that, in tmpfs and shared",
			 IN(shared) },
	[MEM_CACHE] = { "CACHE_BYTES", VL_CELL_UINT, true,
			"buffers and cache, buff/cache of free(1)", IN(cache) },
	[MEM_AVAILABLE] = { "AVAILABLE_BYTES", VL_CELL_UINT, true,
			    "what programs could have without swapping, estimated", IN(available) },
	[MEM_SWAP_TOTAL] = { "SWAP_TOTAL_BYTES", VL_CELL_UINT, true, "swap space", IN(swap_total) },
	[MEM_SWAP_USED] = { "SWAP_USED_BYTES", VL_CELL_UINT, true, "of that, used", IN(swap_used) },
	[MEM_SWAP_FREE] = { "SWAP_FREE_BYTES", VL_CELL_UINT, true, "of that, free", IN(swap_free) },
	{ 0 },
};

static struct vl_error *run_memory(struct vl_raw_guest *g, struct vl_table *t)
{
	static const size_t of_available[] = { MEM_USED, MEM_AVAILABLE };
	static const size_t of_swap[] = { MEM_SWAP_TOTAL, MEM_SWAP_USED, MEM_SWAP_FREE };
	struct vl_top_sample sum = { .at_ns = 0 };
	struct vl_error *err = vl_totals_once(g, &sum);

	if (!err && !sum.mem.total)
		err = vl_error_new(VL_ERR_KERNEL, "the size of the guest's memory cannot be read");
	if (!err) {
		uint64_t available =
			sum.mem.available < sum.mem.total ? sum.mem.available : sum.mem.free;

		vl_table_record(t, NULL,
				&(struct memory){
					.total = sum.mem.total,
					.used = sum.mem.total - available,
					.free = sum.mem.free,
					.shared = sum.mem.shared,
					.cache = sum.mem.cache,
					.available = sum.mem.available,
					.swap_total = sum.swap.total,
					.swap_used = sum.swap.total - sum.swap.free,
					.swap_free = sum.swap.free,
				});
		for (size_t i = 0; i < ARRAY_SIZE(of_available) && sum.no_available; i++)
			vl_table_none(t, of_available[i]);
		for (size_t i = 0; i < ARRAY_SIZE(of_swap) && sum.no_swap; i++)
			vl_table_none(t, of_swap[i]);
		err = vl_table_end(t);
	}
	vl_top_sample_deinit(&sum);
	return err;
}

const struct vl_scan vl_scan_free = { "free",	  "memory",	    mem_columns,      true,
				      run_memory, vl_memory_fields, vl_totals_symbols };

/* ---- uptime ---- */

struct up {
	uint64_t uptime, booted; /* ns; `booted` of the epoch */
	uint32_t load[3];	 /* hundredths */
};

#undef IN
#define IN(member) VL_IN(struct up, member)

#define UP_LOAD 2 /* the first of three columns */

static const struct vl_column up_columns[] = {
	{ "UPTIME", VL_CELL_SECONDS, true, "how long it has been up, in seconds", IN(uptime),
	  .or_none = true },
	{ "BOOTED", VL_CELL_SECONDS, true, "when it booted, seconds of the epoch by its clock",
	  IN(booted), .or_none = true },
	{ "LOAD_ONE", VL_CELL_HUNDREDTHS, true, "load of the last minute", IN(load[0]) },
	{ "LOAD_FIVE", VL_CELL_HUNDREDTHS, true, "load of the last five minutes", IN(load[1]) },
	{ "LOAD_FIFTEEN", VL_CELL_HUNDREDTHS, true, "load of the last fifteen minutes",
	  IN(load[2]) },
	{ 0 },
};

static struct vl_error *run_up(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_top_sample sum = { .at_ns = 0 };
	struct vl_error *err = vl_totals_once(g, &sum);
	struct up up = { .uptime = sum.uptime };

	if (!err) {
		if (!vl_raw_guest_booted(g, &up.booted))
			up.booted = 0;
		memcpy(up.load, sum.load, sizeof(up.load));
		vl_table_record(t, NULL, &up);
		for (size_t i = UP_LOAD; i <= UP_LOAD + 2 && sum.no_load; i++)
			vl_table_none(t, i);
		err = vl_table_end(t);
	}
	vl_top_sample_deinit(&sum);
	return err;
}

const struct vl_scan vl_scan_uptime = { "uptime", "uptime",	    up_columns,	      true,
					run_up,	  vl_memory_fields, vl_totals_symbols };
