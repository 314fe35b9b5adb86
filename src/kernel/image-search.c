/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Searches the bytes of an image for parts that no symbol names. */
#include "image-search.h"

#include <string.h>

#include "kernel.h"

/* Shorter BTF is that of a program which is part of the kernel, as of bpf_preload. */
#define BTF_MIN (64U << 10)

/*
 * The kernel's own types have this name. Types of a module refer to it. A module's file may lie in
 * freed memory of the image.
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

size_t vl_image_banner(const struct vl_image *img, size_t at)
{
	static const char banner[] = "Linux version ";
	const unsigned char *p = img->bytes + at, *end = img->bytes + (img->end - img->base);
	const size_t len = strlen(banner);

	for (; (p = memmem(p, (size_t)(end - p), banner, len)); p++)
		if ((size_t)(end - p) > len && p[len] >= '0' && p[len] <= '9')
			return (size_t)(p - img->bytes);
	return 0;
}

bool vl_image_is_constant(const struct vl_image_tables *t, uint64_t va)
{
	struct vl_xlat x;

	return vl_translate(t->pt, t->read, t->ctx, va, &x) && !(x.flags & X86_PTE_RW);
}

/*
 * Look for the note of the build id among the constants behind the banner, which is one of them
 * (RO_DATA and NOTES, include/asm-generic/vmlinux.lds.h): it is the first. The vDSOs, which are
 * files in the image, have one, too. What follows is memory of the image that was freed. It can be
 * mapped as constants still (protect_kernel_text_ro(), arch/x86/mm/pat/set_memory.c), and hold
 * pages of files and modules, with such notes of their own.
 */
void vl_image_search_build_id(struct vl_image *img, const struct vl_image_tables *t)
{
	static const unsigned char head[] = "\4\0\0\0\24\0\0\0\3\0\0\0GNU";
	const size_t len = sizeof(head) + 20;
	const unsigned char *p, *end;
	size_t at = vl_image_banner(img, 0);
	uint64_t to;

	while (at && !vl_image_is_constant(t, img->base + at))
		at = vl_image_banner(img, at + 1);
	to = (img->base + at) & VL_PAGE_MASK;
	while (at && to < img->end && vl_image_is_constant(t, to))
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

/* Only a hostile guest has more pages that look like the table. */
#define TOPS_MAX 16

void vl_image_search_root(struct vl_image *img, const struct vl_image_tables *t)
{
	unsigned nr = 0, looked = 0;
	struct vl_xlat x;

	for (uint64_t va = img->base; va < img->end; va += VL_PAGE_SIZE) {
		if (!is_top((const uint64_t *)(img->bytes + (va - img->base)), t->root))
			continue;
		if (++looked > TOPS_MAX)
			break;
		if (!is_pointed_to(img, va) || !vl_translate(t->pt, t->read, t->ctx, va, &x))
			continue;
		img->root = x.gpa;
		nr++;
	}
	if (nr != 1 || looked > TOPS_MAX)
		img->root = 0;
}
