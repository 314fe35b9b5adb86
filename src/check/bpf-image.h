/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks compiled code of BPF: could the compiler have made it of a program's instructions? */
#ifndef VLENS_BPF_IMAGE_H
#define VLENS_BPF_IMAGE_H

#include "check.h"

struct bpf_insn;

/* The functions of the kernel that a program's instructions call. */
struct vl_bpf_calls {
	uint64_t *v; /* in ascending order */
	size_t nr;
	bool any;   /* it also calls functions of the kernel, or of modules, that are not in `v` */
	bool jumps; /* it calls another program in its place */
	bool classic; /* classic BPF: its instructions are not known */
};

/* The functions that @len instructions call. False: memory ran out. */
bool vl_bpf_calls_init(const struct vl_checker *c, const struct bpf_insn *code, uint32_t len,
		       struct vl_bpf_calls *ret);
void vl_bpf_calls_deinit(struct vl_bpf_calls *c);

enum vl_bpf_verdict {
	VL_BPF_RIGHT,  /* only what the compiler makes, and it leads to what the program calls */
	VL_BPF_UNSURE, /* something that this check does not know */
	VL_BPF_WRONG,  /* something that the compiler makes of no program */
};

/*
 * Check the @len bytes of compiled code at @va, which leads to @calls. @room: bytes that can be
 * read there, at least @len. @found gets what is not right.
 */
enum vl_bpf_verdict vl_bpf_image(struct vl_checker *c, uint64_t va, size_t len, size_t room,
				 const struct vl_bpf_calls *calls, char found[VL_CHECK_TEXT]);

#endif
