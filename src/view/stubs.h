/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that the guest's kernel has made at run time: trampolines of ftrace, compiled BPF, and the
 * trampolines of BPF. The guest's lists say where it is. An intruder can add an entry to them, so
 * each is checked by something else before it is believed.
 */
#ifndef VLENS_STUBS_H
#define VLENS_STUBS_H

#include "collect.h"

#define VL_STUB_NAME 56

enum vl_stub_kind {
	VL_STUB_FTRACE,	 /* a copy of ftrace_caller() or ftrace_regs_caller() */
	VL_STUB_PROGRAM, /* a BPF program */
	VL_STUB_BPF,	 /* code that calls BPF programs: a trampoline, a dispatcher */
};

struct vl_stub {
	uint64_t start, end; /* [start, end) */
	uint64_t at;	     /* the entry of the list */
	enum vl_stub_kind kind;
	bool right; /* it is what the list says */
	char name[VL_STUB_NAME];
};

struct vl_stubs {
	struct vl_stub *v; /* in ascending order */
	size_t nr, cap;
};

/*
 * Collect them. A trampoline of ftrace is right if it has the code that ftrace copies, and calls
 * the kernel or its own function; a program, if it is in the table of programs (prog_idr); other
 * code of BPF, if it calls such a program. On an error *@ret is empty.
 */
struct vl_error *vl_stubs_collect(struct vl_raw_guest *g, struct vl_stubs *ret);
void vl_stubs_deinit(struct vl_stubs *s);

/* The stub that has @va, if it is right; NULL: there is none. */
const struct vl_stub *vl_stub_at(const struct vl_stubs *s, uint64_t va);

/*
 * Does a function of compiled BPF start at @va: a program's, or that of a trampoline or dispatcher?
 */
bool vl_stub_is_entry(const struct vl_stubs *s, uint64_t va);

/* May the place for ftrace at a function's entry call @to? */
bool vl_stub_traces(const struct vl_raw_guest *g, const struct vl_stubs *s, uint64_t to);

#endif
