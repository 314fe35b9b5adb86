/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel.h"

#define PMD_SIZE (2UL << 20)
/* Larger than any kernel seen so far (60 MiB), small enough to map. */
#define IMAGE_MAX (512UL << 20)
/* Less than all of a kernel, more than what page-table isolation shows to user mode. */
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
	struct table {
		bool has;
		uint64_t gpa, entries[VL_PAGE_SIZE / sizeof(uint64_t)];
	} root, of[NR_TABLES];
};

static bool read_table(struct tables *all, struct table *t, uint64_t gpa)
{
	t->gpa = gpa & VL_PAGE_MASK;
	t->has = !vl_discard(vl_target_read(all->target, t->gpa, t->entries, VL_PAGE_SIZE));
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

/* What to read of the image: a set of these. */
enum { CONSTANTS = 1, VARIABLES = 2 };

/* Read the parts of the image that are of @kinds. The number of bytes that are mapped. */
static uint64_t read_image(struct tables *t, const struct vl_pgtable *pt,
			   struct vl_deadline deadline, unsigned kinds, struct vl_image *img)
{
	uint64_t va = img->base, mapped = 0;

	while (va < img->end && !vl_late(deadline)) {
		/* Up to the next 2 MiB, so that the deadline is looked at. */
		struct run run = run_at(t, pt, va, PMD_SIZE - (va & (PMD_SIZE - 1)));

		if (run.len && (kinds & (run.constant ? CONSTANTS : VARIABLES)))
			vl_error_destroy(vl_target_read(t->target, run.gpa,
							img->bytes + (va - img->base), run.len));
		va += run.len ? run.len : VL_PAGE_SIZE;
		mapped += run.len;
	}
	return mapped;
}

/* struct btf_header, include/uapi/linux/btf.h */
struct btf_header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, type_off, type_len, str_off, str_len;
};

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

static void find_btf(struct vl_image *img, const uint64_t *at)
{
	size_t size;
	const unsigned char *p = between(img, at[BTF_START], at[BTF_STOP], &size);
	struct btf_header h;

	if (!p || size < sizeof(h))
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
			for (uint32_t i = 0; i < desc; i++)
				snprintf(ret + 2 * i, 3, "%02x", notes[16 + i]);
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

/* --- without symbols of data --- */

/* Shorter BTF is that of a program which is part of the kernel, as of bpf_preload. */
#define BTF_MIN (64U << 10)

/*
 * The kernel's own types have this name. Those of a module, whose file may have been in memory of
 * the image that was freed, refer to it.
 */
static bool names_tasks(const unsigned char *strings, size_t len)
{
	static const char name[] = "\0task_struct";

	return memmem(strings, len, name, sizeof(name));
}

const unsigned char *vl_image_search_btf(const unsigned char *bytes, size_t len, size_t *len_ret)
{
	/* struct btf_header: the magic, version 1, no flags, hdr_len, type_off */
	static const unsigned char head[] = { 0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0 };
	const unsigned char *p = bytes, *end = bytes + len, *found = NULL;

	for (; (p = memmem(p, (size_t)(end - p), head, sizeof(head))); p++) {
		size_t left = (size_t)(end - p), size;
		struct btf_header h;

		if (left < sizeof(h))
			break;
		memcpy(&h, p, sizeof(h));
		size = sizeof(h) + (size_t)h.str_off + h.str_len;
		if (size < BTF_MIN || size > VL_BTF_MAX || size > left || h.str_len < 2 ||
		    h.type_len > h.str_off || p[size - h.str_len] || p[size - 1] ||
		    !names_tasks(p + size - h.str_len, h.str_len))
			continue;
		if (found)
			return NULL;
		found = p;
		*len_ret = size;
	}
	return found;
}

/* Does a page with the head of an ELF file lie at @at, or before it by less than a vDSO's size? */
static bool is_in_vdso(const struct vl_image *img, size_t at)
{
	size_t page = at & VL_PAGE_MASK;

	for (unsigned i = 0; i < 4; i++, page -= VL_PAGE_SIZE) {
		if (!memcmp(img->bytes + page, "\177ELF", 4))
			return true;
		if (!page)
			break;
	}
	return false;
}

/* Linux's banner (linux_banner) in the image from @at on, in bytes; 0: there is none. */
static size_t banner_from(const struct vl_image *img, size_t at)
{
	static const char banner[] = "Linux version ";
	const unsigned char *p = img->bytes + at, *end = img->bytes + (img->end - img->base);
	const size_t len = strlen(banner);

	for (; (p = memmem(p, (size_t)(end - p), banner, len)); p++)
		if ((size_t)(end - p) > len && p[len] >= '0' && p[len] <= '9')
			return (size_t)(p - img->bytes);
	return 0;
}

static bool is_constant(const struct vl_pgtable *pt, struct tables *tables, uint64_t va)
{
	struct vl_xlat x;

	return vl_translate(pt, table_entry, tables, va, &x) && !(x.flags & X86_PTE_RW);
}

/*
 * Look for the note of the build id among the constants behind the banner, which is one of them
 * (RO_DATA and NOTES, include/asm-generic/vmlinux.lds.h): it is the first. The vDSOs, which are
 * files in the image, have one, too. What follows is memory of the image that was freed. It can be
 * mapped as constants still (protect_kernel_text_ro(), arch/x86/mm/pat/set_memory.c), and hold
 * pages of files and modules, with such notes of their own.
 */
static void search_build_id(struct vl_image *img, const struct vl_pgtable *pt,
			    struct tables *tables)
{
	static const unsigned char head[] = "\4\0\0\0\24\0\0\0\3\0\0\0GNU";
	const size_t len = sizeof(head) + 20;
	const unsigned char *p, *end;
	size_t at = banner_from(img, 0);
	uint64_t to;

	while (at && !is_constant(pt, tables, img->base + at))
		at = banner_from(img, at + 1);
	to = (img->base + at) & VL_PAGE_MASK;
	while (at && to < img->end && is_constant(pt, tables, to))
		to += VL_PAGE_SIZE;
	if (!at)
		return;
	p = img->bytes + at;
	end = img->bytes + (to - img->base);
	for (; (p = memmem(p, (size_t)(end - p), head, len - 20)); p++) {
		if ((size_t)(end - p) < len)
			return;
		if (!is_in_vdso(img, (size_t)(p - img->bytes)) &&
		    vl_build_id(p, len, img->build_id))
			return;
	}
}

/* Bits of an entry that the processor sets. */
#define ACCESSED (X86_PTE_A | X86_PTE_D)

/*
 * Is the page at @entries the kernel's own top-level table, by that of a process, @root? All
 * tables have the same kernel half, where they have an entry; only the kernel's maps nothing else.
 */
static bool is_top(const uint64_t *entries, const uint64_t *root)
{
	const size_t nr = VL_PAGE_SIZE / sizeof(*entries);
	unsigned same = 0;

	for (size_t i = 0; i < nr / 2; i++)
		if (entries[i])
			return false;
	for (size_t i = nr / 2; i < nr; i++) {
		if (!entries[i] || !root[i])
			continue;
		if ((entries[i] ^ root[i]) & ~(uint64_t)ACCESSED)
			return false;
		same++;
	}
	/* The image is in the last slot; the direct map is in another. */
	return same >= 2 && entries[nr - 1] && root[nr - 1];
}

/*
 * Does a variable point to @va, as init_mm does? Memory behind the image can be a process's table:
 * that is known by its address in the direct map.
 */
static bool is_pointed_to(const struct vl_image *img, uint64_t va)
{
	const unsigned char *p = img->bytes, *end = img->bytes + (img->end - img->base);

	for (; (p = memmem(p, (size_t)(end - p), &va, sizeof(va))); p++)
		if (!((size_t)(p - img->bytes) % sizeof(va)))
			return true;
	return false;
}

/* More pages that look like the table are made by a hostile guest. */
#define TOPS_MAX 16

static void search_root(struct vl_image *img, const struct vl_pgtable *pt, struct tables *tables)
{
	unsigned nr = 0, looked = 0;
	struct vl_xlat x;

	for (uint64_t va = img->base; va < img->end; va += VL_PAGE_SIZE) {
		if (!is_top((const uint64_t *)(img->bytes + (va - img->base)),
			    tables->root.entries))
			continue;
		if (++looked > TOPS_MAX)
			break;
		if (!is_pointed_to(img, va) || !vl_translate(pt, table_entry, tables, va, &x))
			continue;
		img->root = x.gpa;
		nr++;
	}
	if (nr != 1 || looked > TOPS_MAX)
		img->root = 0;
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

static struct vl_error *no_symbols(const struct vl_image *img)
{
	if (!banner_from(img, 0))
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
	memset(at, 0, NR_PLACES * sizeof(*at));
	if (vl_kallsyms_find(img->bytes, img->end - img->base, img->base, img->rip, deadline,
			     &img->symbols)) {
		vl_kallsyms_addresses(img->bytes, &img->symbols, places, NR_PLACES, at);
		find_text(img, at);
		img->few = !at[INIT_TASK];
	} else if (!find_exports(img, pt, tables, deadline)) {
		return false;
	}
	find_btf(img, at);
	find_build_id(img, at);
	if (img->few && !img->btf)
		img->btf = vl_image_search_btf(img->bytes, img->end - img->base, &img->btf_len);
	if (img->few && !*img->build_id)
		search_build_id(img, pt, tables);
	return true;
}

/* Find what is in the variables: the table of warnings, which has their state, and the root. */
static void find_variables(struct vl_image *img, const struct vl_pgtable *pt, struct tables *tables,
			   struct vl_deadline deadline)
{
	if (img->symbols.form == VL_KALLSYMS_NONE) {
		const struct vl_text text = { img->bytes + (img->text - img->base), img->text_len,
					      img->text };

		vl_exports_find_bugs(img->bytes, img->end - img->base, img->base, &text, deadline,
				     &img->exports);
	}
	if (!img->root)
		search_root(img, pt, tables);
}

struct vl_error *vl_image_find(struct vl_target *t, const struct vl_pgtable *pt, uint64_t idt_base,
			       struct vl_deadline deadline, struct vl_image **ret)
{
	struct tables tables = { 0 };
	unsigned char gate[16];
	uint64_t rip, mapped, at[NR_PLACES];
	unsigned kinds = CONSTANTS;
	struct vl_image *img;
	struct vl_error *err;
	bool found;

	if (!begin_tables(&tables, t, pt->root) ||
	    !read_virt(t, pt, table_entry, &tables, idt_base + 16 * GATE_PAGE_FAULT, gate,
		       sizeof(gate)))
		return no_linux("its interrupt table is not mapped");
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
	/*
	 * Memory of the image that the kernel freed holds what any process puts there, and tables
	 * too: search for them where the guest cannot write. A kernel that protects its constants
	 * protects its code as well; of another (rodata=off), all is searched.
	 */
	if (!is_constant(pt, &tables, rip))
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
		err = no_symbols(img);
		vl_image_destroy(img);
		/* The kernel was seen: another look finds no more. */
		if (mapped >= IMAGE_LEAST && !vl_late(deadline))
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
