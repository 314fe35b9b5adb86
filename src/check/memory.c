/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Executable memory without an owner, and pointers to code in wrong places. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "check.h"

#define PAGE 4096
#define INT3 0xcc
/* Compiled BPF, in bytes: its alignment, its header with padding, the longest program. */
#define BPF_ALIGN 64
#define BPF_HEAD (PAGE + 128)
#define BPF_ENTRY 24 /* nops, endbr64, then the frame */
#define BPF_MAX (8U << 20)
/* Bytes of one request to the reader. */
#define CHUNK (1U << 20)
/* No kernel has larger sections. */
#define SECTION_MAX (256UL << 20)
/* Most findings of one kind that are shown: a hostile guest can make any number. */
#define SHOWN 64
/* Programs that look like BPF; more are no kernel's. */
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

/*
 * The number of bytes from @va to the end of what looks like a compiled BPF program: a header with
 * the size (struct bpf_binary_header), int3, and the usual first instructions. 0: it does not look
 * so. Classic BPF programs (of seccomp and sockets) are in no list of the kernel.
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
	if (at + BPF_ENTRY > len || !memmem(code + at, BPF_ENTRY, frame, sizeof(frame)))
		return 0;
	return header + size - va;
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

/* Show used executable memory without an owner, one row for adjacent pages. */
struct vl_error *vl_check_memory(struct vl_checker *c)
{
	const struct vl_places *p = &c->places;
	unsigned shown = 0, programs = 0, seen = 0;
	uint64_t shown_in = 0;
	char found[64];

	for (size_t i = 0; i < p->nr_exec && shown < SHOWN; i++) {
		uint64_t va = p->exec[i].start;

		while (va < p->exec[i].end && shown < SHOWN) {
			uint64_t used = first_used(c, va), size = used ? bpf_size(c, used) : 0;

			if (size && ++seen > PROGRAMS_MAX)
				return vl_error_new(VL_ERR_KERNEL,
						    "more than %u programs have no owner",
						    PROGRAMS_MAX);
			if (size) {
				programs += !owns(c, used, size);
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
	if (!programs)
		return NULL;
	snprintf(found, sizeof(found), "%u programs that look like classic BPF", programs);
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

/*
 * Must a pointer of section @s not have the target @to? Constant data is final before any module
 * can be loaded. Other data may point to modules, but not to memory without an owner.
 */
static bool is_wrong(const struct vl_checker *c, const struct section *s, uint64_t to)
{
	enum vl_place_kind kind;

	if (to < c->places.low || to > c->places.last)
		return false;
	if (!vl_place_runs(&c->places, to))
		return false;
	kind = vl_place_of(&c->places, to).kind;
	return kind == VL_PLACE_NOBODY || kind == VL_PLACE_HIDDEN || s->constant;
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

/* Is the word at @at not a pointer of these sections, or does another check read it? */
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
