/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be told of a kernel from its image in memory, before any symbol is
 * known: where it is, where system calls enter, its build id and its types.
 */
#ifndef VLENS_IMAGE_H
#define VLENS_IMAGE_H

#include "../error.h"
#include "../mem/paging.h"
#include "../target/target.h"

#define VL_BUILD_ID_MAX 64
#define VL_MAX_ENTRIES 4
#define VL_MAX_IDS 32

/* A place where system calls may enter (entry_SYSCALL_64, or its 32-bit twin). */
struct vl_entry {
	uint64_t va;
	/*
	 * cpu_tss_rw as the entry code names it, in the kernel's per-CPU
	 * notation: the per-CPU base plus this is the variable's address.
	 */
	uint64_t tss;
};

struct vl_image {
	uint64_t base, end;   /* virtual, 2 MiB aligned; holes are possible */
	unsigned char *bytes; /* end - base bytes; what is not mapped is zero */
	/*
	 * Build ids, in hexadecimal, and where their notes are. Which of them is
	 * the kernel's only its symbols tell (__start_notes): vDSOs have one
	 * each, and so have modules that came to lie in memory of the image
	 * that was freed.
	 */
	struct vl_image_id {
		uint64_t va;
		char hex[VL_BUILD_ID_MAX + 1];
	} ids[VL_MAX_IDS];
	size_t nr_ids;
	const void *btf; /* in bytes, or NULL */
	size_t btf_len;
	uint64_t rip; /* an address in its text: the page-fault handler */
	struct vl_entry entries[VL_MAX_ENTRIES];
	size_t nr_entries;
};

/* Guest-physical reads over a target, for vl_translate(). */
bool vl_target_read_entry(void *target, uint64_t gpa, uint64_t *ret);

/* Read virtual memory; false when something of it is not mapped. */
bool vl_target_read_virt(struct vl_target *t, const struct vl_pgtable *pt, uint64_t va, void *buf,
			 size_t len);

/* The page-fault handler in the interrupt table at @idt_base; 0: there is none. */
uint64_t vl_image_fault_handler(struct vl_target *t, const struct vl_pgtable *pt,
				uint64_t idt_base);

/*
 * Find the kernel that the interrupt table at @idt_base leads to. The guest
 * need not be paused: what is read does not change after boot. VL_ERR_FAULT when
 * there is no Linux kernel of 64 bits there: or @pt has ended meanwhile.
 */
struct vl_error *vl_image_find(struct vl_target *t, const struct vl_pgtable *pt, uint64_t idt_base,
			       struct vl_image **ret);
void vl_image_destroy(struct vl_image *img);

/*
 * Where the direct map of physical memory starts (page_offset_base), as the
 * page tables show it. False when there is none.
 */
bool vl_find_direct_map(struct vl_target *t, const struct vl_pgtable *pt, uint64_t *ret);

#endif
