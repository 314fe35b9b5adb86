/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * The kernel's image lies in the top 2 GiB (__START_KERNEL_map to the modules
 * at +1 GiB; Documentation/arch/x86/x86_64/mm.rst) in 2 MiB pages.
 */
#define IMAGE_START 0xffffffff80000000UL
#define IMAGE_LIMIT 0xffffffffc0000000UL
#define PMD_SIZE (2UL << 20)
/* Above any kernel yet seen (60 MiB), below what would hurt. */
#define IMAGE_MAX (512UL << 20)

bool vl_target_read_entry(void *target, uint64_t gpa, uint64_t *ret)
{
	struct vl_error *err = vl_target_read(target, gpa, ret, sizeof(*ret));

	vl_error_destroy(err);
	return !err;
}

bool vl_target_read_virt(struct vl_target *t, const struct vl_pgtable *pt, uint64_t va, void *buf,
			 size_t len)
{
	char *out = buf;

	while (len) {
		struct vl_error *err;
		struct vl_xlat x;
		size_t n;

		if (!vl_translate(pt, vl_target_read_entry, t, va, &x))
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

/* Is anything of the 2 MiB at @va mapped? */
static bool pmd_mapped(struct vl_target *t, const struct vl_pgtable *pt, uint64_t va)
{
	struct vl_xlat x;

	/* Freed init memory leaves holes of 4 KiB pages: look at several. */
	for (uint64_t off = 0; off < PMD_SIZE; off += PMD_SIZE / 8)
		if (vl_translate(pt, vl_target_read_entry, t, va + off, &x))
			return true;
	return false;
}

static void read_image(struct vl_target *t, const struct vl_pgtable *pt, struct vl_image *img)
{
	uint64_t va = img->base;

	while (va < img->end) {
		struct vl_xlat x;
		uint64_t n = VL_PAGE_SIZE;

		if (vl_translate(pt, vl_target_read_entry, t, va, &x)) {
			n = x.size - (va & (x.size - 1));
			if (n > img->end - va)
				n = img->end - va;
			vl_error_destroy(
				vl_target_read(t, x.gpa, img->bytes + (va - img->base), n));
		}
		va += n;
	}
}

/* struct btf_header, include/uapi/linux/btf.h */
struct btf_header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t hdr_len, type_off, type_len, str_off, str_len;
};
#define BTF_MAGIC 0xeb9f
#define BTF_MIN (256u << 10) /* vmlinux has megabytes; samples in text do not */

/*
 * The longest: the gaps between text, read-only data and data are memory that was
 * freed, and the types of a module may lie there.
 */
static void find_btf(struct vl_image *img)
{
	size_t size = img->end - img->base;

	for (size_t off = 0; off + sizeof(struct btf_header) <= size; off += 4) {
		struct btf_header h;
		uint64_t len;

		if (*(const uint16_t *)(img->bytes + off) != BTF_MAGIC)
			continue;
		memcpy(&h, img->bytes + off, sizeof(h));
		if (h.version != 1 || h.flags || h.hdr_len < sizeof(h) || h.hdr_len > 256)
			continue;
		len = (uint64_t)h.hdr_len + h.str_off + h.str_len;
		if (h.type_len < BTF_MIN || h.str_off < h.type_len || len > size - off ||
		    len <= img->btf_len)
			continue;
		img->btf = img->bytes + off;
		img->btf_len = len;
	}
}

/* An ELF note of GNU, type 3, is a build id (elf(5)). */
static void find_build_ids(struct vl_image *img)
{
	static const char gnu[] = "\3\0\0\0GNU";
	const unsigned char *p = img->bytes, *end = p + (img->end - img->base) - 64;

	while (img->nr_ids < VL_MAX_IDS && (p = memmem(p, (size_t)(end - p), gnu, sizeof(gnu)))) {
		struct vl_image_id *id = &img->ids[img->nr_ids];
		uint32_t len;

		p += sizeof(gnu);
		if (p - img->bytes < 16 || memcmp(p - 16, "\4\0\0\0", 4))
			continue;
		memcpy(&len, p - 12, 4);
		if (len < 8 || len > VL_BUILD_ID_MAX / 2)
			continue;
		id->va = img->base + (uint64_t)(p - 16 - img->bytes);
		for (uint32_t i = 0; i < len; i++)
			snprintf(id->hex + 2 * i, 3, "%02x", p[i]);
		img->nr_ids++;
	}
}

/*
 * entry_SYSCALL_64 (arch/x86/entry/entry_64.S) starts "swapgs; mov %rsp,
 * PER_CPU_VAR(cpu_tss_rw + TSS_sp2)"; sp2 is at 0x14 of the hardware TSS. The
 * operand is absolute (65 48 89 24 25 disp32), or relative to RIP since "x86/percpu:
 * Introduce %rip-relative addressing to PER_CPU_VAR()" (6.9).
 */
#define TSS_SP2 0x14

static void find_entries(struct vl_image *img)
{
	static const unsigned char absolute[] = { 0x0f, 0x01, 0xf8, 0x65, 0x48, 0x89, 0x24, 0x25 };
	static const unsigned char relative[] = { 0x0f, 0x01, 0xf8, 0x65, 0x48, 0x89, 0x25 };
	size_t size = img->end - img->base;

	for (size_t off = 0; off + 16 <= size && img->nr_entries < VL_MAX_ENTRIES; off++) {
		const unsigned char *p = memchr(img->bytes + off, 0x0f, size - off - 16);
		struct vl_entry *e = &img->entries[img->nr_entries];
		int32_t disp;

		if (!p)
			return;
		off = (size_t)(p - img->bytes);
		e->va = img->base + off;
		if (!memcmp(p, absolute, sizeof(absolute))) {
			memcpy(&disp, p + sizeof(absolute), 4);
			e->tss = (uint64_t)(int64_t)disp - TSS_SP2;
		} else if (!memcmp(p, relative, sizeof(relative))) {
			memcpy(&disp, p + sizeof(relative), 4);
			e->tss = e->va + sizeof(relative) + 4 + (uint64_t)(int64_t)disp - TSS_SP2;
		} else {
			continue;
		}
		img->nr_entries++;
	}
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
		"wait until it has booted; only x86-64 Linux guests are understood");
}

#define GATE_PAGE_FAULT 14

uint64_t vl_image_fault_handler(struct vl_target *t, const struct vl_pgtable *pt, uint64_t idt_base)
{
	unsigned char gate[16];

	if (!vl_target_read_virt(t, pt, idt_base + 16 * GATE_PAGE_FAULT, gate, sizeof(gate)) ||
	    !(gate[5] & 0x80))
		return 0;
	return gate_handler(gate);
}

struct vl_error *vl_image_find(struct vl_target *t, const struct vl_pgtable *pt, uint64_t idt_base,
			       struct vl_image **ret)
{
	unsigned char gate[16];
	struct vl_image *img;
	uint64_t rip;

	if (!vl_target_read_virt(t, pt, idt_base + 16 * GATE_PAGE_FAULT, gate, sizeof(gate)))
		return no_linux("its interrupt table is not mapped");
	rip = gate_handler(gate);
	if (!(gate[5] & 0x80) || rip < IMAGE_START || rip >= IMAGE_LIMIT)
		return no_linux("its page-fault handler is not in a kernel image");

	img = calloc(1, sizeof(*img));
	if (!img)
		return vl_error_nomem();
	img->rip = rip;
	img->base = rip & ~(PMD_SIZE - 1);
	img->end = img->base + PMD_SIZE;
	while (img->base > IMAGE_START && pmd_mapped(t, pt, img->base - PMD_SIZE))
		img->base -= PMD_SIZE;
	/* Data and BSS may lie behind freed memory: go on over small gaps. */
	for (uint64_t va = img->end, gap = 0; va < IMAGE_LIMIT && gap < 8; va += PMD_SIZE) {
		if (pmd_mapped(t, pt, va)) {
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
	read_image(t, pt, img);
	find_entries(img);
	find_btf(img);
	find_build_ids(img);
	if (!img->nr_entries) {
		vl_image_destroy(img);
		return no_linux("there is no system-call entry");
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

/* KASLR moves the direct map by steps of 1 GiB (arch/x86/mm/kaslr.c). */
#define PUD_SIZE (1UL << 30)

bool vl_find_direct_map(struct vl_target *t, const struct vl_pgtable *pt, uint64_t *ret)
{
	int shift = 12 + 9 * (pt->levels - 1);
	uint64_t top_size = 1UL << shift;

	for (uint64_t i = 256; i < 511; i++) {
		uint64_t start =
			(uint64_t)((int64_t)(i << shift << (64 - shift - 9)) >> (64 - shift - 9));
		uint64_t entry;

		if (!vl_target_read_entry(t, pt->root + 8 * i, &entry) || !(entry & X86_PTE_P))
			continue;
		/* 4 levels: 512 steps; 5 levels: the map starts in the first TiB. */
		for (uint64_t va = start; va - start < top_size && va - start < 512 * 4 * PUD_SIZE;
		     va += PUD_SIZE) {
			struct vl_xlat a, b;

			if (vl_translate(pt, vl_target_read_entry, t, va + (1UL << 20), &a) &&
			    a.gpa == 1UL << 20 &&
			    vl_translate(pt, vl_target_read_entry, t, va + (4UL << 20), &b) &&
			    b.gpa == 4UL << 20) {
				*ret = va;
				return true;
			}
		}
	}
	return false;
}
