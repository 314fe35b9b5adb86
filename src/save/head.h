/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of a saved file: ELF header, program headers and notes. Its size is fixed early. */
#ifndef VLENS_SAVE_HEAD_H
#define VLENS_SAVE_HEAD_H

#include "../host/registers.h"

/* A range of the file's memory. */
struct vl_segment {
	uint64_t gpa, size;
};

struct vl_head {
	struct vl_segment *segments; /* malloc'ed; by address, neighbours are one */
	size_t nr_segments;
	struct vl_registers *vcpus; /* malloc'ed */
	size_t nr_vcpus;
	unsigned int machine;	    /* EM_X86_64 or EM_386 */
	unsigned char *kernel_note; /* malloc'ed: the descriptor of VMCOREINFO; NULL: none */
	size_t kernel_note_len;
	size_t room_vcpus; /* vCPUs that the head has room for */
	uint64_t size;	   /* of the head; where memory begins; 0: not fixed yet */
};

/* Set the segments from @t's RAM. */
struct vl_error *vl_head_init(struct vl_head *h, const struct vl_target *t);
/* Fix the size, with room for as many vCPUs as there are now. */
void vl_head_fix(struct vl_head *h);
void vl_head_deinit(struct vl_head *h);

/*
 * If a note VMCOREINFO of a kernel begins in page @p, of 4096 bytes, keep it. Its descriptor may
 * end in the page behind, @next (NULL: there is none).
 */
void vl_head_find_note(struct vl_head *h, const unsigned char *p, const unsigned char *next);

/* Write the head to @buf, of h->size bytes. @said is the text of the note VLENS. */
void vl_head_write(const struct vl_head *h, const char *said, void *buf);

#endif
