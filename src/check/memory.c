/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Executable memory without an owner, and pointers to code in wrong places. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "bpf-image.h"
#include "hooks.h"

#define PAGE 4096
#define INT3 0xcc
/* Compiled BPF, in bytes: its alignment, its header with padding, the longest program. */
#define BPF_ALIGN 64
#define BPF_HEAD (PAGE + 128)
#define BPF_ENTRY 24 /* nops, endbr64, then the frame */
/*
 * BPF_MAXINSNS (4096) of classic BPF, and BPF_MAX_INSN_SIZE (128) of the compiler; and the header.
 */
#define BPF_MAX (4096U * 128 + BPF_HEAD)
/* Bytes of one request to the reader. */
#define CHUNK (1U << 20)
/* No kernel has larger sections. */
#define SECTION_MAX (256UL << 20)
/* Most findings of one kind that are shown: a hostile guest can make any number. */
#define SHOWN 64
/* Most programs that look like BPF. No kernel has more. */
#define PROGRAMS_MAX (1U << 18)

/*
 * Read the page of @va, and find the first used byte from @va on that has no owner. Kernels fill
 * unused memory with zeros or int3. 0: there is none.
 */
static uint64_t first_used(struct vl_checker *c, uint64_t va)
{
	uint64_t start = va & ~(PAGE - 1UL);
	unsigned char page[PAGE];

	if (vl_read(c->g->reader, &c->g->space, start, page, sizeof(page)))
		return 0;
	while (va < start + PAGE) {
		struct vl_place p = { .end = va + 1 };

		if (page[va - start] && page[va - start] != INT3)
			p = vl_place_of(&c->places, va);
		if (p.kind == VL_PLACE_NOBODY)
			return va;
		va = p.end;
	}
	return 0;
}

/* Is a listed BPF program in the @size bytes at @va? Its place does not include its header. */
static bool owns(const struct vl_checker *c, uint64_t va, uint64_t size)
{
	const struct vl_places *p = &c->places;

	for (size_t i = vl_places_from(p, va); i < p->nr && p->v[i].start - va < size; i++)
		if (p->v[i].kind == VL_PLACE_BPF)
			return true;
	return false;
}

/*
 * Is the code of the @size bytes at @header, from offset @at on, what the compiler makes of classic
 * BPF?
 */
static bool is_compiled(struct vl_checker *c, uint64_t header, size_t at, uint32_t size)
{
	const struct vl_bpf_calls calls = { .classic = true };
	_cleanup_free_ unsigned char *code = NULL;
	char found[VL_CHECK_TEXT];
	size_t end = size;

	/* The error is reported as an unknown state. */
	if (size > c->code_left) {
		vl_hook_damaged(c, "module memory", "compiled code, of which there is too much,");
		return true;
	}
	c->code_left -= size;
	code = malloc(size);
	if (!code || vl_read(c->g->reader, &c->g->space, header, code, size))
		return false;
	while (end > at && (code[end - 1] == INT3 || !code[end - 1]))
		end--;
	return vl_bpf_image(c, header + at, end - at, size - at, &calls, found) == VL_BPF_RIGHT;
}

/*
 * The number of bytes from @va to the end of code that looks like a compiled BPF program: a header
 * with the size (struct bpf_binary_header), int3, and instructions as the compiler makes them. 0:
 * it does not look so. Classic BPF programs (of seccomp and sockets) are in no list of the kernel.
 */
static uint64_t bpf_size(struct vl_checker *c, uint64_t va)
{
	static const unsigned char frame[] = { 0x55, 0x48, 0x89, 0xe5 };
	uint64_t header = va & ~(BPF_ALIGN - 1UL);
	unsigned char code[BPF_HEAD];
	uint32_t size;
	size_t at = sizeof(size), len;

	if (vl_read_u32(c->g->reader, &c->g->space, header, &size))
		return 0;
	/* Before "bpf: Use size instead of pages in bpf_binary_header" (5.18) this is in pages. */
	if (size < BPF_ALIGN)
		size *= PAGE;
	if (!size || size > BPF_MAX || va - header >= size)
		return 0;
	len = size < sizeof(code) ? size : sizeof(code);
	if (vl_read(c->g->reader, &c->g->space, header, code, len))
		return 0;
	while (at < len && (code[at] == INT3 || !code[at]))
		at++;
	/* The shortest programs end there. */
	if (!memmem(code + at, len - at < BPF_ENTRY ? len - at : BPF_ENTRY, frame, sizeof(frame)))
		return 0;
	/* A listed program has a check of its own. */
	if (!owns(c, va, header + size - va) && !is_compiled(c, header, at, size))
		return 0;
	return header + size - va;
}

static void show_memory(struct vl_checker *c, uint64_t at)
{
	vl_check_show(c, &(struct vl_check_row){
				 .check = "module memory",
				 .likely = true,
				 .at = at,
				 .found = "executable memory in use",
				 .expected = "a module, BPF, ftrace or kprobes as its owner",
			 });
}

/* ---- the ranges of modules ---- */

/* MODULE_STATE_UNFORMED: not all members are set yet. */
#define UNFORMED 3

struct range {
	uint64_t base, end; /* whole pages */
	const char *name;
};

static int by_base(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->base > y->base) - (x->base < y->base);
}

struct mapped {
	const struct range *range;
	uint64_t bytes;
};

static bool add_mapped(void *ctx, const struct vl_leaf *leaf)
{
	struct mapped *m = ctx;
	uint64_t start = leaf->va > m->range->base ? leaf->va : m->range->base;
	uint64_t end =
		leaf->va + leaf->size < m->range->end ? leaf->va + leaf->size : m->range->end;

	m->bytes += end - start;
	return true;
}

static bool is_mapped(struct vl_checker *c, const struct range *r)
{
	struct mapped m = { .range = r };

	vl_pages_each(c->g->target, &c->g->space, r->base, r->end - 1, add_mapped, &m);
	return m.bytes == r->end - r->base;
}

static void show_range(struct vl_checker *c, const struct range *r, const char *expected,
		       const char *found)
{
	char what[VL_MODULE_NAME + 16];

	snprintf(what, sizeof(what), "module %.*s", VL_MODULE_NAME, r->name);
	vl_check_show(c, &(struct vl_check_row){
				 .check = "module memory",
				 .at = r->base,
				 .what = what,
				 .expected = expected,
				 .found = found,
			 });
}

/*
 * Code that lies in the range of a listed module has an owner. So check each range: the kernel maps
 * it as a whole, and gives it to one module.
 */
static struct vl_error *check_ranges(struct vl_checker *c)
{
	_cleanup_free_ struct vl_module *m = NULL;
	_cleanup_free_ struct range *r = NULL;
	/* Without those of init sections, which come last, and are freed after the start. */
	size_t nr_areas = vl_has(c->l, VL_F_MOD_MEM) ? 4 : 1, nr = 0, n = 0;
	struct vl_error *err = vl_modules_listed(c->g, &m, &nr);

	if (err)
		return err;
	r = calloc(nr * VL_MODULE_AREAS + 1, sizeof(*r));
	if (!r)
		return vl_error_nomem();
	for (size_t i = 0; i < nr; i++) {
		for (size_t k = 0; m[i].state != UNFORMED && k < nr_areas; k++) {
			const struct vl_module_area *a = &m[i].areas[k];

			if (!a->size || a->base < c->places.low || a->base > c->places.last ||
			    a->size > c->places.last - a->base)
				continue;
			r[n++] = (struct range){ a->base & ~(PAGE - 1UL),
						 (a->base + a->size + PAGE - 1) & ~(PAGE - 1UL),
						 m[i].name };
		}
	}
	qsort(r, n, sizeof(*r), by_base);
	for (size_t i = 0; i < n; i++) {
		if (!is_mapped(c, &r[i]))
			show_range(c, &r[i], "memory that is mapped as a whole",
				   "a range with holes");
		if (i && r[i - 1].end > r[i].base)
			show_range(c, &r[i], "memory of its own", "a part of another module's");
	}
	return NULL;
}

/*
 * Outside of the modules' space the kernel makes no memory executable: nothing in @e may lack an
 * owner.
 */
static unsigned check_outside(struct vl_checker *c, const struct vl_exec *e)
{
	const struct vl_places *p = &c->places;
	unsigned shown = 0;
	char found[64];

	for (uint64_t va = e->start; va < e->end && shown < SHOWN;) {
		struct vl_place place = vl_place_of(p, va);
		uint64_t end = e->end;
		size_t next;

		if (place.kind == VL_PLACE_BOOT) {
			va = place.end;
			continue;
		}
		next = vl_places_from(p, va);
		if (next < p->nr && p->v[next].start < end)
			end = p->v[next].start;
		snprintf(found, sizeof(found), "%" PRIu64 " KiB of executable memory",
			 (end - va + 1) >> 10);
		vl_check_show(
			c,
			&(struct vl_check_row){
				.check = "executable memory",
				.at = va,
				.found = found,
				.expected =
					"no execution outside of the kernel and the modules' space",
			});
		shown++;
		va = end;
	}
	return shown;
}

/* Show used executable memory without an owner, one row for adjacent pages. */
struct vl_error *vl_check_memory(struct vl_checker *c)
{
	const struct vl_places *p = &c->places;
	struct vl_exec *classic = NULL;
	size_t cap = 0;
	unsigned shown = 0, programs = 0, seen = 0;
	uint64_t shown_in = 0;
	char found[64];
	struct vl_error *err = check_ranges(c);

	if (err)
		return err;

	for (size_t i = 0; i < p->nr_exec && shown < SHOWN; i++) {
		uint64_t va = p->exec[i].start;

		if (va < p->low || va > p->last) {
			shown += check_outside(c, &p->exec[i]);
			continue;
		}
		while (va < p->exec[i].end && shown < SHOWN) {
			uint64_t used = first_used(c, va), size = used ? bpf_size(c, used) : 0;

			if (size &&
			    (++seen > PROGRAMS_MAX || !vl_grow(classic, cap, programs, 64))) {
				free(classic);
				return vl_error_new(VL_ERR_KERNEL,
						    "more than %u programs have no owner",
						    PROGRAMS_MAX);
			}
			if (size) {
				if (!owns(c, used, size))
					classic[programs++] = (struct vl_exec){ used, used + size };
				va = used + size;
				continue;
			}
			if (used && used - shown_in > PAGE + (used & (PAGE - 1UL))) {
				show_memory(c, used);
				shown++;
			}
			if (used)
				shown_in = used & ~(PAGE - 1UL);
			va = (va & ~(PAGE - 1UL)) + PAGE;
		}
	}
	for (unsigned i = 0; i < programs; i++)
		vl_places_add(&c->places, classic[i].start, classic[i].end - classic[i].start,
			      VL_PLACE_CLASSIC, "");
	vl_places_sort(&c->places);
	free(classic);
	c->knows_classic = true;
	if (!programs)
		return NULL;
	snprintf(found, sizeof(found), "%u program%s like classic BPF, as of seccomp or sockets",
		 programs, programs == 1 ? "" : "s");
	vl_check_show(c, &(struct vl_check_row){
				 .class = VL_CHECK_NOTE,
				 .check = "module memory",
				 .what = "memory without an owner",
				 .found = found,
			 });
	return NULL;
}

/* ---- pointers ---- */

struct section {
	const char *name, *start, *end; /* for messages; symbols */
	bool constant;
};

static const struct section sections[] = {
	{ "constant data", "__start_rodata", "__end_rodata", true },
	{ "data", "_sdata", "_edata", false },
	{ "zeroed data", "__bss_start", "__bss_stop", false },
};

#define GIB (1UL << 30)

/*
 * Must a pointer of section @s not have the target @to? Constant data is final before any module
 * can be loaded. Other data may point to modules, but not to memory without an owner. A multiple of
 * 1 GiB is a bound of the modules' space, or the mask of a huge page.
 */
static bool is_wrong(const struct vl_checker *c, const struct section *s, uint64_t to)
{
	enum vl_place_kind kind;

	if (!(to % GIB) || !vl_place_runs(&c->places, to))
		return false;
	kind = vl_place_of(&c->places, to).kind;
	return kind == VL_PLACE_NOBODY || kind == VL_PLACE_HIDDEN || kind == VL_PLACE_CLAIMED ||
	       s->constant;
}

static void show_pointer(struct vl_checker *c, uint64_t at, uint64_t to, const struct section *s)
{
	vl_check_show(c, &(struct vl_check_row){
				 .check = "pointers",
				 .at = at,
				 .expected = s->constant ? "the kernel's own code or data" :
							   "no memory without an owner",
				 .code = to,
			 });
}

/* Variables that hold the bounds of the modules' space, which are not pointers to code. */
static const char *const bounds[] = { "mod_tree", "execmem_info" };

/* May the word at @at be left out: it is no pointer, or another check reads it? */
static bool is_elsewhere(const struct vl_checker *c, uint64_t at)
{
	uint64_t table = vl_symbol(c->k, "sys_call_table");
	uint64_t freed = vl_symbol(c->k, "__start_bss_decrypted_unused");
	uint64_t end = vl_symbol(c->k, "__end_bss_decrypted"), offset;
	const char *name = vl_symbol_at(c->k, at, &offset);

	for (size_t i = 0; name && i < ARRAY_SIZE(bounds); i++)
		if (!strcmp(name, bounds[i]))
			return true;

	/* The table of system calls has its own check. */
	if (table && at >= table && at < vl_symbol_after(c->k, table))
		return true;
	/* Memory for encrypted guests. In other guests the kernel gives it to the allocator. */
	return freed && at >= freed && at < end;
}

static struct vl_error *check_section(struct vl_checker *c, const struct section *s)
{
	uint64_t start = (vl_symbol(c->k, s->start) + 7) & ~7UL, end = vl_symbol(c->k, s->end);
	_cleanup_free_ uint64_t *words = NULL;
	unsigned shown = 0;

	if (!start || end <= start)
		return NULL;
	if (end - start > SECTION_MAX)
		return vl_error_new(VL_ERR_KERNEL, "the bounds of the kernel's %s are wrong",
				    s->name);
	words = malloc(CHUNK);
	if (!words)
		return vl_error_nomem();
	for (uint64_t at = start; at < end; at += CHUNK) {
		size_t len = end - at < CHUNK ? (end - at) & ~7UL : CHUNK;

		/* The kernel may have freed a part of it: then read page by page. */
		if (vl_read(c->g->reader, &c->g->space, at, words, len))
			for (size_t i = 0; i < len; i += PAGE - (at + i) % PAGE) {
				size_t n = PAGE - (at + i) % PAGE;

				vl_read(c->g->reader, &c->g->space, at + i, (char *)words + i,
					n < len - i ? n : len - i);
			}
		for (size_t i = 0; i < len / 8 && shown < SHOWN; i++) {
			if (!is_wrong(c, s, words[i]) || is_elsewhere(c, at + 8 * i))
				continue;
			show_pointer(c, at + 8 * i, words[i], s);
			shown++;
		}
	}
	return NULL;
}

struct vl_error *vl_check_pointers(struct vl_checker *c)
{
	struct vl_error *err = NULL;

	for (size_t i = 0; !err && i < ARRAY_SIZE(sections); i++)
		err = check_section(c, &sections[i]);
	return err;
}
