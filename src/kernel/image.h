/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's image in the guest's memory: its place, symbols, types and build id.
 */
#ifndef VLENS_IMAGE_H
#define VLENS_IMAGE_H

#include "../error.h"
#include "../mem/paging.h"
#include "../host/kept.h"
#include "../host/target.h"
#include "exports.h"
#include "kallsyms.h"

/*
 * The kernel's image lies in the top 2 GiB (__START_KERNEL_map to the modules
 * at +1 GiB; Documentation/arch/x86/x86_64/mm.rst) in 2 MiB pages.
 */
#define VL_IMAGE_START 0xffffffff80000000UL
#define VL_IMAGE_LIMIT 0xffffffffc0000000UL

struct vl_image {
	uint64_t base, end; /* virtual, 2 MiB aligned; may have holes */
	/* end - base bytes; zero where nothing is mapped, and variables of a kernel not "few" */
	unsigned char *bytes;
	uint64_t rip; /* an address in its text: the page-fault handler */
	struct vl_kallsyms symbols;
	struct vl_exports exports; /* in place of the symbols, if their form is VL_KALLSYMS_NONE */
	const void *btf;	   /* in bytes, or NULL */
	size_t btf_len;
	bool lacks_btf; /* it has one, but the file of the memory does not have all of it */
	bool few;	/* its symbols are those of code only (no CONFIG_KALLSYMS_ALL), or none */
	uint64_t root;	/* its own page table (swapper_pg_dir), guest-physical; 0: not found */
	uint64_t text;	/* its code, virtual; 0 bytes: its ends are not known */
	size_t text_len;
	/* The build id that its notes claim, in hexadecimal, or ""; for display only. */
	char build_id[VL_BUILD_ID_MAX + 1];
};

/*
 * The build id in @notes, @len bytes, in hexadecimal. They have ELF's format (elf(5)): the note
 * of type 3 by "GNU" is the build id. False: there is none; @ret is "".
 */
bool vl_build_id(const unsigned char *notes, size_t len, char ret[VL_BUILD_ID_MAX + 1]);

/* Guest-physical reads over a target, for vl_translate(). */
bool vl_target_read_entry(void *target, uint64_t gpa, uint64_t *ret);

/* Read virtual memory; false if a part of it is not mapped. */
bool vl_target_read_virt(struct vl_target *t, const struct vl_pgtable *pt, uint64_t va, void *buf,
			 size_t len);

/*
 * Find the kernel that the interrupt table at @idt_base leads to. The guest need not be
 * paused: the image does not change after boot, and the root of @pt, which may be a process's, is
 * read once. VL_ERR_FAULT: there is no 64-bit Linux kernel, @pt had ended, or @deadline has passed.
 * VL_ERR_KERNEL: it has no symbols, for sure.
 */
struct vl_error *vl_image_find(struct vl_target *t, const struct vl_pgtable *pt, uint64_t idt_base,
			       struct vl_deadline deadline, struct vl_image **ret);
void vl_image_destroy(struct vl_image *img);

/*
 * Look for the kernel's BTF among @len bytes of its image, by its header. NULL: there is none, or
 * more than one, so that it is not known which is its own. *@len_ret: bytes.
 */
const unsigned char *vl_image_search_btf(const unsigned char *bytes, size_t len, size_t *len_ret);

#endif
