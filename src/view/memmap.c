/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory map: the ranges of RAM, and the kernel's use of its address space. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "../host/file.h"
#include "../host/pages.h"
#include "collect.h"
#include "modules.h"

enum {
	MAP_SPACE,
	MAP_START,
	MAP_LAST,
	MAP_SIZE,
	MAP_WHAT,
	MAP_MAPPED,
	MAP_PHYS,
	MAP_PAGE,
	MAP_WHERE
};

static const struct vl_column columns[] = {
	[MAP_SPACE] = { "SPACE", VL_CELL_TEXT, true, .doc = "kind of address: phys, virt" },
	[MAP_START] = { "START", VL_CELL_HEX, true, .doc = "first address" },
	[MAP_LAST] = { "LAST", VL_CELL_HEX, true, .doc = "last address" },
	[MAP_SIZE] = { "SIZE", VL_CELL_UINT, true, .doc = "its size, in KiB" },
	[MAP_WHAT] = { "WHAT", VL_CELL_TEXT, true, .doc = "what is there" },
	[MAP_MAPPED] = { "MAPPED", VL_CELL_UINT, false,
			 .doc = "KiB of it that pages are mapped for" },
	[MAP_PHYS] = { "PHYS", VL_CELL_HEX, true,
		       .doc = "guest-physical address of the first mapped page" },
	[MAP_PAGE] = { "PAGE", VL_CELL_UINT, false, .doc = "size of pages behind RAM, in KiB" },
	[MAP_WHERE] = { "BACKING", VL_CELL_TEXT, true, .doc = "what is behind RAM on the host" },
	{ 0 },
};

#define KIB 1024

/* ---- guest-physical ---- */

static void show_backing(struct vl_table *t, const struct vl_raw_guest *g, const struct vl_ram *r,
			 const char *file)
{
	const char *packed = vl_target_packed(g->target);

	if (r->fd < 0 && packed)
		vl_table_printf(t, MAP_WHERE, "%s, %s", file ? file : "?", packed);
	else if (r->fd < 0)
		vl_table_printf(t, MAP_WHERE, "anonymous, at 0x%" PRIx64 " of process %d", r->hva,
				(int)vl_target_pid(g->target));
	else
		vl_table_printf(t, MAP_WHERE, "%s, at 0x%" PRIx64, file ? file : "?", r->fd_offset);
}

static void add_ram(struct vl_table *t, uint64_t from, uint64_t end, const char *what)
{
	vl_table_row(t);
	vl_table_str(t, MAP_SPACE, "phys");
	vl_table_uint(t, MAP_START, from);
	vl_table_uint(t, MAP_LAST, end - 1);
	vl_table_uint(t, MAP_SIZE, (end - from) / KIB);
	vl_table_str(t, MAP_WHAT, what);
	vl_table_uint(t, MAP_PHYS, from);
}

static void show_ram(struct vl_raw_guest *g, struct vl_table *t)
{
	static const char lacking[] = "RAM, not in the file";
	size_t nr;
	const struct vl_ram *ram = vl_target_ram(g->target, &nr);
	uint64_t from, end;

	for (size_t i = 0; i < nr; i++) {
		end = ram[i].gpa + ram[i].size;
		from = end - vl_target_cut_off(g->target, i);
		if (from > ram[i].gpa) {
			add_ram(t, ram[i].gpa, from, "RAM");
			vl_table_uint(t, MAP_PAGE, ram[i].page_size / KIB);
			show_backing(t, g, &ram[i], vl_target_ram_file(g->target, i));
		}
		if (from < end)
			add_ram(t, from, end, lacking);
	}
	from = vl_target_cut_behind(g->target, &end);
	if (end)
		add_ram(t, from, end, lacking);
}

/* ---- virtual ---- */

struct mapped {
	uint64_t start, last; /* the range */
	uint64_t bytes, first_va, first_gpa, end;
};

static bool count_page(void *ctx, const struct vl_leaf *leaf)
{
	struct mapped *m = ctx;
	uint64_t skip = leaf->va < m->start ? m->start - leaf->va : 0;
	uint64_t last = leaf->va + (leaf->size - 1);

	if (!m->bytes) {
		m->first_va = leaf->va + skip;
		m->first_gpa = leaf->gpa + skip;
	}
	m->bytes += (last > m->last ? m->last : last) - (leaf->va + skip) + 1;
	m->end = last;
	return true;
}

/* Show a range of virtual addresses; @shrink: only from its first to its last mapped page. */
static void show_range(struct vl_raw_guest *g, struct vl_table *t, const char *what, uint64_t start,
		       uint64_t last, bool shrink)
{
	struct mapped m = { .start = start, .last = last };
	bool whole;

	if (last < start)
		return;
	whole = vl_pages_each(g->target, &g->space, start, last, count_page, &m);
	if (shrink && !m.bytes)
		return;
	if (shrink) {
		start = m.first_va;
		last = m.end;
	}
	vl_table_row(t);
	vl_table_str(t, MAP_SPACE, "virt");
	vl_table_uint(t, MAP_START, start);
	vl_table_uint(t, MAP_LAST, last);
	vl_table_uint(t, MAP_SIZE, (last - start) / KIB + 1);
	vl_table_str(t, MAP_WHAT, what);
	/* The count is not complete where page tables have no end. */
	if (whole)
		vl_table_uint(t, MAP_MAPPED, m.bytes / KIB);
	if (m.bytes)
		vl_table_uint(t, MAP_PHYS, m.first_gpa);
}

/* Parts of the kernel's image, by the symbols that its linker script puts around them. */
static const struct {
	const char *what, *start, *end;
} parts[] = {
	{ "kernel image", "_text", "_end" },
	{ "kernel text", "_stext", "_etext" },
	{ "kernel read-only data", "__start_rodata", "__end_rodata" },
	{ "kernel data", "_sdata", "_edata" },
	{ "kernel bss", "__bss_start", "__bss_stop" },
};

/*
 * Areas that KASLR moves, by the variable with their start, and their size:
 * Documentation/arch/x86/x86_64/mm.rst.
 */
#define TIB (1UL << 40)
static const struct {
	const char *what, *base;
	uint64_t size4, size5; /* with 4 and 5 levels of paging */
} areas[] = {
	{ "direct map", "page_offset_base", 64 * TIB, 32768 * TIB },
	{ "vmalloc", "vmalloc_base", 32 * TIB, 12800 * TIB },
	{ "vmemmap", "vmemmap_base", TIB, 512 * TIB },
};

static void show_kernel(struct vl_raw_guest *g, struct vl_table *t)
{
	const struct vl_kernel *k = g->attach->kernel;
	uint64_t base, last, bases[3] = { 0 };

	for (size_t i = 0; i < 3; i++)
		if (vl_read_u64(g->reader, &g->space, vl_symbol(k, areas[i].base), &bases[i]))
			bases[i] = 0;
	for (size_t i = 0; i < 3; i++) {
		base = bases[i];
		if (!base)
			continue;
		last = base + (g->space.levels == 5 ? areas[i].size5 : areas[i].size4) - 1;
		/* KASLR may place them closer together than their size. */
		for (size_t n = 0; n < 3; n++)
			if (bases[n] > base && bases[n] <= last)
				last = bases[n] - 1;
		show_range(g, t, areas[i].what, base, last, true);
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		uint64_t start = vl_symbol(k, parts[i].start), end = vl_symbol(k, parts[i].end);

		if (start && end > start)
			show_range(g, t, parts[i].what, start, end - 1, false);
	}
	vl_module_space(g, &base, &last);
	show_range(g, t, "modules", base, last, true);
}

static struct vl_error *run_memory(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_error *why = g->why;

	show_ram(g, t);
	if (g->reader) {
		/* The parts of its image are known by their symbols. */
		struct vl_error *few = vl_symbols_bear(g, NULL, "the places of its kernel");

		if (few)
			return vl_error_prefix(few, "its RAM only");
		show_kernel(g, t);
		return vl_table_end(t);
	}
	/* The RAM is shown all the same, with the reason for the rest. */
	g->why = NULL;
	return vl_error_prefix(why, "its RAM only");
}

const struct vl_scan vl_scan_memory = { "memory",   "memory",	  columns,	false,
					run_memory, vl_scan_asks, vl_no_symbols };
