/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image-search.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/append.h"
#include "../host/file.h"
#include "kernel.h"

#define PMD_SIZE (2UL << 20)
/* The largest image. Kernels have up to 60 MiB so far; so much can be mapped. */
#define IMAGE_MAX (512UL << 20)
/* The smallest image: less than any kernel, more than page-table isolation shows to user mode. */
#define IMAGE_LEAST (4UL << 20)

bool vl_target_read_entry(void *target, uint64_t gpa, uint64_t *ret)
{
	struct vl_error *err = vl_target_read(target, gpa, ret, sizeof(*ret));

	vl_error_destroy(err);
	return !err;
}

static bool read_virt(struct vl_target *t, const struct vl_pgtable *pt, vl_read_entry_fn entry,
		      void *ctx, uint64_t va, void *buf, size_t len)
{
	char *out = buf;

	while (len) {
		struct vl_error *err;
		struct vl_xlat x;
		size_t n;

		if (!vl_translate(pt, entry, ctx, va, &x))
			return false;
		n = x.size - (va & (x.size - 1));
		if (n > len)
			n = len;
		err = vl_target_read(t, x.gpa, out, n);
		vl_error_destroy(err);
		if (err)
			return false;
		out += n;
		va += n;
		len -= n;
	}
	return true;
}

bool vl_target_read_virt(struct vl_target *t, const struct vl_pgtable *pt, uint64_t va, void *buf,
			 size_t len)
{
	return read_virt(t, pt, vl_target_read_entry, t, va, buf, len);
}

/* A walk of each level needs one table at a time. */
#define NR_TABLES 8

/*
 * Page tables, read whole: a read of memory that is not mapped here is a message, and of
 * constants in pages of 4 KiB each page would take five.
 */
struct tables {
	struct vl_target *target;
	bool lost; /* one could not be read */
	struct table {
		bool has;
		uint64_t gpa, entries[VL_PAGE_SIZE / sizeof(uint64_t)];
	} root, of[NR_TABLES];
};

static bool read_table(struct tables *all, struct table *t, uint64_t gpa)
{
	t->gpa = gpa & VL_PAGE_MASK;
	t->has = !vl_discard(vl_target_read(all->target, t->gpa, t->entries, VL_PAGE_SIZE));
	all->lost |= !t->has;
	return t->has;
}

/*
 * The tables below the root that map the kernel's image are the kernel's own, and stay. The root
 * is a process's, and may be free, or another's, at any moment: read it once.
 */
static bool begin_tables(struct tables *all, struct vl_target *t, uint64_t root)
{
	all->target = t;
	return read_table(all, &all->root, root);
}

/* vl_read_entry_fn */
static bool table_entry(void *tables, uint64_t gpa, uint64_t *ret)
{
	struct tables *all = tables;
	struct table *t = &all->of[gpa / VL_PAGE_SIZE % NR_TABLES];

	if (all->root.gpa == (gpa & VL_PAGE_MASK))
		t = &all->root;
	else if ((!t->has || t->gpa != (gpa & VL_PAGE_MASK)) && !read_table(all, t, gpa))
		return false;
	*ret = t->entries[gpa % VL_PAGE_SIZE / sizeof(*ret)];
	return true;
}

static struct vl_image_tables image_tables_of(const struct vl_pgtable *pt, struct tables *all)
{
	return (struct vl_image_tables){ pt, table_entry, all, all->root.entries };
}

/* Is anything of the 2 MiB at @va mapped? */
static bool pmd_mapped(struct tables *t, const struct vl_pgtable *pt, uint64_t va)
{
	struct vl_xlat x;

	/* Freed init memory leaves holes of 4 KiB pages: look at several. */
	for (uint64_t off = 0; off < PMD_SIZE; off += PMD_SIZE / 8)
		if (vl_translate(pt, table_entry, t, va + off, &x))
			return true;
	return false;
}

/* Bytes of the image that lie one behind the other in the guest's RAM. */
struct run {
	uint64_t gpa, len;
	bool constant; /* the guest cannot write them */
};

/* Those at @va, @most at most; 0 bytes: @va is not mapped. */
static struct run run_at(struct tables *t, const struct vl_pgtable *pt, uint64_t va, uint64_t most)
{
	struct run run = { .len = 0 };
	struct vl_xlat x;

	while (run.len < most && vl_translate(pt, table_entry, t, va + run.len, &x)) {
		bool constant = !(x.flags & X86_PTE_RW);

		if (!run.len)
			run = (struct run){ .gpa = x.gpa, .constant = constant };
		else if (x.gpa != run.gpa + run.len || constant != run.constant)
			break;
		run.len += x.size - ((va + run.len) & (x.size - 1));
	}
	if (run.len > most)
		run.len = most;
	return run;
}

/* The parts of the image to read: a set of these. */
enum { CONSTANTS = 1, VARIABLES = 2 };

/* Read what there is of a run. Pages that a file lacks are zeros. */
static void read_run(struct vl_target *t, uint64_t gpa, unsigned char *to, uint64_t len)
{
	if (!vl_discard(vl_target_read(t, gpa, to, len)))
		return;
	for (uint64_t at = 0; at < len; at += VL_PAGE_SIZE) {
		const uint64_t n = len - at < VL_PAGE_SIZE ? len - at : VL_PAGE_SIZE;

		if (vl_discard(vl_target_read(t, gpa + at, to + at, n)))
			memset(to + at, 0, n);
	}
}

/* Read the parts of the image that are of @kinds. The number of bytes that are mapped. */
static uint64_t read_image(struct tables *t, const struct vl_pgtable *pt,
			   struct vl_deadline deadline, unsigned kinds, struct vl_image *img)
{
	uint64_t va = img->base, mapped = 0;

	while (va < img->end && !vl_late(deadline)) {
		/* Read up to the next 2 MiB only, so that the deadline is checked. */
		struct run run = run_at(t, pt, va, PMD_SIZE - (va & (PMD_SIZE - 1)));

		if (run.len && (kinds & (run.constant ? CONSTANTS : VARIABLES)))
			read_run(t->target, run.gpa, img->bytes + (va - img->base), run.len);
		va += run.len ? run.len : VL_PAGE_SIZE;
		mapped += run.len;
	}
	return mapped;
}

/*
 * The symbols at both ends of the BTF, of the notes and of the code, the page table's, and one of
 * data that all kernels have.
 */
enum {
	BTF_START,
	BTF_STOP,
	NOTES_START,
	NOTES_STOP,
	TEXT_START,
	TEXT_STOP,
	INIT_TOP_PGT,
	INIT_LEVEL4_PGT,
	INIT_TASK,
	NR_PLACES
};

/*
 * include/asm-generic/vmlinux.lds.h, and swapper_pg_dir by its two names (65ade2f872b4,
 * "x86/boot/64: Rename init_level4_pgt and early_level4_pgt").
 */
static const char *const places[NR_PLACES] = {
	[BTF_START] = "__start_BTF",	 [BTF_STOP] = "__stop_BTF",
	[NOTES_START] = "__start_notes", [NOTES_STOP] = "__stop_notes",
	[TEXT_START] = "_text",		 [TEXT_STOP] = "_etext",
	[INIT_TOP_PGT] = "init_top_pgt", [INIT_LEVEL4_PGT] = "init_level4_pgt",
	[INIT_TASK] = "init_task",
};

/* The bytes from @from to @to; NULL when they are not in the image. */
static const unsigned char *between(const struct vl_image *img, uint64_t from, uint64_t to,
				    size_t *len_ret)
{
	if (from < img->base || to > img->end || from >= to)
		return NULL;
	*len_ret = to - from;
	return img->bytes + (from - img->base);
}

/* Has the file behind the memory all pages from @va to @end, which are mapped? */
static bool is_whole(struct tables *t, const struct vl_pgtable *pt, uint64_t va, uint64_t end)
{
	struct vl_xlat x;
	uint64_t word;

	for (va &= VL_PAGE_MASK; va < end; va += VL_PAGE_SIZE)
		if (!vl_translate(pt, table_entry, t, va, &x) ||
		    vl_discard(vl_target_read(t->target, x.gpa, &word, sizeof(word))))
			return false;
	return true;
}

static void find_btf(struct vl_image *img, const struct vl_pgtable *pt, struct tables *tables,
		     const uint64_t *at)
{
	size_t size;
	const unsigned char *p = between(img, at[BTF_START], at[BTF_STOP], &size);
	struct btf_header h;

	if (!p || size < sizeof(h))
		return;
	/* A part of the types is worse than none: what is cut off would be fields that are not. */
	img->lacks_btf = !vl_target_is_live(tables->target) &&
			 !is_whole(tables, pt, at[BTF_START], at[BTF_STOP]);
	if (img->lacks_btf)
		return;
	memcpy(&h, p, sizeof(h));
	if (h.magic != VL_BTF_MAGIC || size > VL_BTF_MAX)
		return;
	img->btf = p;
	img->btf_len = size;
}

bool vl_build_id(const unsigned char *notes, size_t len, char ret[VL_BUILD_ID_MAX + 1])
{
	static const char gnu[] = "\4\0\0\0";

	ret[0] = '\0';
	while (len > 16) {
		uint32_t name, desc, type;
		uint64_t whole;

		memcpy(&name, notes, 4);
		memcpy(&desc, notes + 4, 4);
		memcpy(&type, notes + 8, 4);
		whole = 12 + (((uint64_t)name + 3) & ~3UL) + (((uint64_t)desc + 3) & ~3UL);
		if (whole > len)
			return false;
		if (type == 3 && !memcmp(notes, gnu, 4) && !memcmp(notes + 12, "GNU", 4) &&
		    desc <= VL_BUILD_ID_MAX / 2) {
			*ret = '\0';
			vl_append_hex(ret, VL_BUILD_ID_MAX + 1, notes + 16, desc);
			return desc;
		}
		notes += whole;
		len -= whole;
	}
	return false;
}

static void find_text(struct vl_image *img, const uint64_t *at)
{
	if (between(img, at[TEXT_START], at[TEXT_STOP], &img->text_len))
		img->text = at[TEXT_START];
}

static void find_build_id(struct vl_image *img, const uint64_t *at)
{
	size_t len;
	const unsigned char *p = between(img, at[NOTES_START], at[NOTES_STOP], &len);

	if (p)
		vl_build_id(p, len, img->build_id);
}

static void find_root(struct vl_image *img, const struct vl_pgtable *pt, struct tables *tables,
		      const uint64_t *at)
{
	uint64_t va = at[INIT_TOP_PGT] ? at[INIT_TOP_PGT] : at[INIT_LEVEL4_PGT];
	struct vl_xlat x;

	if (va && !(va % VL_PAGE_SIZE) && vl_translate(pt, table_entry, tables, va, &x))
		img->root = x.gpa;
}

/* A 64-bit interrupt gate: Intel SDM, volume 3, 6.14.1. */
static uint64_t gate_handler(const unsigned char *g)
{
	uint64_t handler;

	handler =
		(uint64_t)g[0] | (uint64_t)g[1] << 8 | (uint64_t)g[6] << 16 | (uint64_t)g[7] << 24;
	return handler | (uint64_t)g[8] << 32 | (uint64_t)g[9] << 40 | (uint64_t)g[10] << 48 |
	       (uint64_t)g[11] << 56;
}

static struct vl_error *no_linux(const char *why)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_FAULT, "cannot find a Linux kernel in the guest: %s", why),
		"only x86-64 Linux guests that have booted are understood");
}

/* The interrupt table, at @va, cannot be read: it is not mapped, or a file lacks it. */
static struct vl_error *no_table(const struct vl_target *t, const struct vl_pgtable *pt,
				 struct tables *all, uint64_t va)
{
	struct vl_xlat x;

	if (vl_target_is_live(t) || !(all->lost || vl_translate(pt, table_entry, all, va, &x)))
		return no_linux("its interrupt table is not mapped");
	return vl_error_hint(
		vl_error_new(VL_ERR_FAULT, "the file does not have the guest's interrupt table, or "
					   "a page table on the way to it"),
		"%s",
		vl_target_is_partial(t) ?
			"its kernel cannot be found without it; save the guest again: vlens "
			"dump GUEST FILE" :
			"vps --partial searches what is there for the kernel; else save the "
			"guest again: vlens dump GUEST FILE");
}

/* The kernel protects its code just before its first program runs (mark_rodata_ro()). */
static struct vl_error *no_symbols_yet(const struct vl_target *t)
{
	return vl_error_hint(vl_error_new(VL_ERR_BOOTING,
					  "the guest's kernel is booting: it does not "
					  "protect its code yet, and no table of its "
					  "symbols is found"),
			     "%s", vl_target_wait_hint(t));
}

static struct vl_error *no_symbols(const struct vl_image *img)
{
	if (!vl_image_banner(img, 0))
		return no_linux("there is no table of its symbols (CONFIG_KALLSYMS)");
	return vl_error_hint(
		vl_error_new(VL_ERR_FAULT, "the guest's kernel has no table of its "
					   "symbols (CONFIG_KALLSYMS)"),
		"only kernels with symbols are understood; vmem shows the guest's RAM");
}

#define GATE_PAGE_FAULT 14

/* The code around the page-fault handler: what is mapped and executable. */
static void find_mapped_text(struct vl_image *img, const struct vl_pgtable *pt,
			     struct tables *tables)
{
	uint64_t start = img->rip & VL_PAGE_MASK, end = start;
	struct vl_xlat x;

	while (start > img->base &&
	       vl_translate(pt, table_entry, tables, start - VL_PAGE_SIZE, &x) &&
	       !(x.flags & X86_PTE_NX))
		start -= VL_PAGE_SIZE;
	while (end < img->end && vl_translate(pt, table_entry, tables, end, &x) &&
	       !(x.flags & X86_PTE_NX))
		end += VL_PAGE_SIZE;
	img->text = start;
	img->text_len = end - start;
}

/* Find what the kernel has in place of a table of symbols. */
static bool find_exports(struct vl_image *img, const struct vl_pgtable *pt, struct tables *tables,
			 struct vl_deadline deadline)
{
	struct vl_text text;

	find_mapped_text(img, pt, tables);
	text = (struct vl_text){ img->bytes + (img->text - img->base), img->text_len, img->text };
	if (!vl_exports_find(img->bytes, img->end - img->base, img->base, &text, deadline,
			     &img->exports))
		return false;
	img->symbols = (struct vl_kallsyms){ .form = VL_KALLSYMS_NONE, .base = img->text };
	img->few = true;
	return true;
}

/* Find the tables of symbols, the types and the build id. False: there are no symbols. */
static bool find_constants(struct vl_image *img, const struct vl_pgtable *pt, struct tables *tables,
			   struct vl_deadline deadline, uint64_t *at)
{
	const struct vl_image_tables in = image_tables_of(pt, tables);

	memset(at, 0, NR_PLACES * sizeof(*at));
	if (vl_kallsyms_find(img->bytes, img->end - img->base, img->base, img->rip, deadline,
			     &img->symbols)) {
		vl_kallsyms_addresses(img->bytes, &img->symbols, places, NR_PLACES, at);
		find_text(img, at);
		img->few = !at[INIT_TASK];
	} else if (!find_exports(img, pt, tables, deadline)) {
		return false;
	}
	find_btf(img, pt, tables, at);
	find_build_id(img, at);
	if (img->few && !img->btf)
		img->btf = vl_image_search_btf(img->bytes, img->end - img->base, &img->btf_len);
	if (img->few && !*img->build_id)
		vl_image_search_build_id(img, &in);
	return true;
}

/*
 * Find the parts among the variables: the table of warnings, which has their state, and the root.
 */
static void find_variables(struct vl_image *img, const struct vl_pgtable *pt, struct tables *tables,
			   struct vl_deadline deadline)
{
	const struct vl_image_tables in = image_tables_of(pt, tables);

	if (img->symbols.form == VL_KALLSYMS_NONE) {
		const struct vl_text text = { img->bytes + (img->text - img->base), img->text_len,
					      img->text };

		vl_exports_find_bugs(img->bytes, img->end - img->base, img->base, &text, deadline,
				     &img->exports);
	}
	if (!img->root)
		vl_image_search_root(img, &in);
}

struct vl_error *vl_image_find(struct vl_target *t, const struct vl_pgtable *pt, uint64_t idt_base,
			       struct vl_deadline deadline, struct vl_image **ret)
{
	const uint64_t gate_at = idt_base + 16 * GATE_PAGE_FAULT;
	struct tables tables = { 0 };
	struct vl_image_tables in;
	unsigned char gate[16];
	uint64_t rip, mapped, at[NR_PLACES];
	unsigned kinds = CONSTANTS;
	struct vl_image *img;
	struct vl_error *err;
	bool found;

	if (!begin_tables(&tables, t, pt->root) ||
	    !read_virt(t, pt, table_entry, &tables, gate_at, gate, sizeof(gate)))
		return no_table(t, pt, &tables, gate_at);
	rip = gate_handler(gate);
	if (!(gate[5] & 0x80) || rip < VL_IMAGE_START || rip >= VL_IMAGE_LIMIT)
		return no_linux("its page-fault handler is not in a kernel image");

	img = calloc(1, sizeof(*img));
	if (!img)
		return vl_error_nomem();
	img->rip = rip;
	img->base = rip & ~(PMD_SIZE - 1);
	img->end = img->base + PMD_SIZE;
	while (img->base > VL_IMAGE_START && !vl_late(deadline) &&
	       pmd_mapped(&tables, pt, img->base - PMD_SIZE))
		img->base -= PMD_SIZE;
	/* Data and BSS may lie behind freed memory: go on over small gaps. */
	for (uint64_t va = img->end, gap = 0; va < VL_IMAGE_LIMIT && gap < 8 && !vl_late(deadline);
	     va += PMD_SIZE) {
		if (pmd_mapped(&tables, pt, va)) {
			img->end = va + PMD_SIZE;
			gap = 0;
		} else {
			gap++;
		}
	}
	if (img->end - img->base > IMAGE_MAX)
		img->end = img->base + IMAGE_MAX;
	img->bytes = mmap(NULL, img->end - img->base, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (img->bytes == MAP_FAILED) {
		img->bytes = NULL;
		vl_image_destroy(img);
		return vl_error_os(errno, "cannot map memory");
	}
	/* All of it is written now: by huge pages, with a page fault for each 2 MiB. */
	madvise(img->bytes, img->end - img->base, MADV_HUGEPAGE);
	/*
	 * Memory of the image that the kernel freed holds what any process puts there, and tables
	 * too: search for them where the guest cannot write. A kernel that protects its constants
	 * protects its code as well; of another (rodata=off), all is searched.
	 */
	in = image_tables_of(pt, &tables);
	if (!vl_image_is_constant(&in, rip))
		kinds |= VARIABLES;
	mapped = read_image(&tables, pt, deadline, kinds, img);
	found = find_constants(img, pt, &tables, deadline, at);
	if (found)
		find_root(img, pt, &tables, at);
	if (found && img->few) {
		if (!(kinds & VARIABLES))
			read_image(&tables, pt, deadline, VARIABLES, img);
		find_variables(img, pt, &tables, deadline);
		found = !vl_late(deadline);
	}
	if (!found) {
		err = kinds & VARIABLES ? no_symbols_yet(t) : no_symbols(img);
		vl_image_destroy(img);
		/* The kernel was found without them: another try finds no more. */
		if (err->code == VL_ERR_FAULT && mapped >= IMAGE_LEAST && !vl_late(deadline))
			err->code = VL_ERR_KERNEL;
		return err;
	}
	*ret = img;
	return NULL;
}

void vl_image_destroy(struct vl_image *img)
{
	if (!img)
		return;
	if (img->bytes)
		munmap(img->bytes, img->end - img->base);
	free(img);
}
