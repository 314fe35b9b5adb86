/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of a guest's kernel. A finding is a deviation from what a healthy kernel has. An
 * attachment uses an interface of the kernel (ftrace, kprobes, BPF, live patches), as in many
 * healthy guests. All checks read memory. Some compare it with the lists that the guest's kernel
 * shows.
 */
#ifndef VLENS_CHECK_H
#define VLENS_CHECK_H

#include "../view/collect.h"
#include "../view/modules.h"
#include "../view/scan.h"
#include "../view/stubs.h"

/* ---- places: the owner of a kernel address ---- */

enum vl_place_kind {
	VL_PLACE_TEXT,	  /* the kernel's own code */
	VL_PLACE_IMAGE,	  /* the kernel's own data */
	VL_PLACE_MODULE,  /* of a module in the list */
	VL_PLACE_BPF,	  /* compiled BPF */
	VL_PLACE_FTRACE,  /* a trampoline of ftrace */
	VL_PLACE_KPROBE,  /* instructions that kprobes copied */
	VL_PLACE_BOOT,	  /* code in the direct map: by which CPUs start, of kexec */
	VL_PLACE_CLAIMED, /* in a list of the kernel, but of another form */
	VL_PLACE_HIDDEN,  /* of a module that is in memory, but not in the list */
	VL_PLACE_CLASSIC, /* looks like compiled classic BPF: vl_check_memory() adds it */
	VL_PLACE_NOBODY,  /* mapped executable, without an owner */
	VL_PLACE_UNKNOWN, /* anything else */
};

struct vl_place {
	uint64_t start, end; /* [start, end) */
	enum vl_place_kind kind;
	char name[VL_MODULE_NAME]; /* of the module or program */
};

/* The owners of executable memory, in ascending order, and the kernel's own ranges. */
struct vl_places {
	uint64_t stext, etext, end; /* the image: [stext, end) */
	uint64_t low, last;	    /* the modules' space */
	struct vl_place *v;
	size_t nr, cap;
	struct vl_exec { /* executable pages, without those of the kernel's text */
		uint64_t start, end;
	} * exec;
	size_t nr_exec, cap_exec;
	struct vl_exec *wx; /* executable pages that are writable, of the kernel's text too */
	size_t nr_wx, cap_wx;
	bool partial; /* there are more outside the image and the modules' space */
	bool full;    /* memory ran out */
};

struct vl_error *vl_places_init(struct vl_raw_guest *g, struct vl_places *ret);
void vl_places_deinit(struct vl_places *p);
/* Add an owner. Call vl_places_sort() before the next vl_place_of(). */
void vl_places_add(struct vl_places *p, uint64_t start, uint64_t size, enum vl_place_kind kind,
		   const char *name);
void vl_places_sort(struct vl_places *p);
/* The first owner that starts at @va or behind it: an index of p->v, p->nr if there is none. */
size_t vl_places_from(const struct vl_places *p, uint64_t va);
/* The owner of @va, a copy. */
struct vl_place vl_place_of(const struct vl_places *p, uint64_t va);
/* Is @va in an executable page, but not one of the kernel's text? */
bool vl_place_runs(const struct vl_places *p, uint64_t va);

/* ---- one run of the checks ---- */

enum vl_check_class { VL_CHECK_FINDING, VL_CHECK_ATTACHED, VL_CHECK_NOTE };

struct vl_checker {
	struct vl_raw_guest *g;
	struct vl_sys *sys;
	const struct vl_kernel *k;
	const struct vl_layout *l;
	struct vl_places places;
	struct vl_stubs stubs;
	uint64_t *probes; /* the addresses of all kprobes, in ascending order */
	size_t nr_probes;
	struct vl_table *t;
	uint64_t rows[VL_CHECK_NOTE + 1]; /* of each class, shown or not */
	/* Hashes of this pass's findings, and, in ascending order, of those of the pass before. */
	uint64_t *found, *held;
	size_t nr_found, cap_found, nr_held;
	uint64_t code_left;   /* bytes of compiled BPF that this pass may still decode */
	bool knows_classic;   /* vl_check_memory() has added all that looks like classic BPF */
	uint64_t nr_doubtful; /* vl_check_later(): of a file of several points in time */
	bool again;	      /* show only findings that the pass before had */
	/* Of a file that lacks memory: there may be more owners of code than were read. */
	bool lacks_owners;
	uint64_t misses;	  /* vl_target_misses() when the check began */
	char cut[512];		  /* names of checks that need memory which the file lacks */
	struct vl_error *missed;  /* the first such memory */
	char untyped[512];	  /* names of checks that need types, which the kernel lacks */
	struct vl_error *damaged; /* vl_hook_damaged() was called: the first time */
};

/* A row of the report. NULL and 0: not known. */
struct vl_check_row {
	enum vl_check_class class;
	const char *check; /* "pointers" */
	bool likely;	   /* a finding that can be harmless */
	bool unsure;	   /* a note about something that could not be checked */
	bool sound;	   /* a finding that no missing memory can cause */
	uint64_t at;	   /* address of what was checked */
	const char *what;  /* the name of the object; NULL: the symbol at `at` */
	const char *expected;
	uint64_t code; /* the address that was found: it gives `owner`, and a `found` of NULL */
	const char *found;
	const char *owner;
};

void vl_check_show(struct vl_checker *c, const struct vl_check_row *row);

/* Room for the description of an address. */
#define VL_CHECK_TEXT 192

/* names.c: describe @va: "do_sys_open+0x12", "0xADDRESS, module x". */
const char *vl_check_describe(const struct vl_checker *c, uint64_t va, char buf[VL_CHECK_TEXT]);
/* The symbol of the kernel's image at @va, with the offset; "" if there is none. */
const char *vl_check_symbol(const struct vl_checker *c, uint64_t va, char buf[VL_CHECK_TEXT]);
/* The owner of @va for the report: "kernel", "module x"; NULL: it is not known. */
const char *vl_check_owner(const struct vl_checker *c, uint64_t va, char buf[VL_CHECK_TEXT]);
/*
 * Is @va code of the kernel, of a listed module, BPF or ftrace? Nothing but a probe leads to the
 * code of kprobes.
 */
bool vl_check_is_code(const struct vl_checker *c, uint64_t va);

/*
 * Is @va in the boot code? That has been freed, so it must not be executable. Some pointers to it
 * stay, which nothing uses.
 */
bool vl_check_is_freed(struct vl_checker *c, uint64_t va);

/* The checks. An error says what could not be read. */
struct vl_error *vl_check_stubs(struct vl_checker *c); /* first: it adds owners */
struct vl_error *vl_check_bpf(struct vl_checker *c);
struct vl_error *vl_check_attached(struct vl_checker *c); /* it adds owners */
struct vl_error *vl_check_memory(struct vl_checker *c);	  /* it adds owners */
struct vl_error *vl_check_protection(struct vl_checker *c);
struct vl_error *vl_check_text(struct vl_checker *c);
struct vl_error *vl_check_pointers(struct vl_checker *c);
struct vl_error *vl_check_entry(struct vl_checker *c);
struct vl_error *vl_check_hooks(struct vl_checker *c);
struct vl_error *vl_check_network(struct vl_checker *c);
struct vl_error *vl_check_later(struct vl_checker *c);
struct vl_error *vl_check_files(struct vl_checker *c);
struct vl_error *vl_check_objects(struct vl_checker *c);
struct vl_error *vl_check_tasks(struct vl_checker *c);
struct vl_error *vl_check_limits(struct vl_checker *c);
struct vl_error *vl_check_taints(struct vl_checker *c);
/* reports.c: the same of the marked rows of other tables. */
struct vl_error *vl_check_calls(struct vl_checker *c);
struct vl_error *vl_check_image(struct vl_checker *c);
struct vl_error *vl_check_processes(struct vl_checker *c);
struct vl_error *vl_check_modules(struct vl_checker *c);
struct vl_error *vl_check_sockets(struct vl_checker *c);
/* The cell of @t in @row and the column named @column, as text in @buf; NULL: it is empty. */
const char *vl_check_cell(const struct vl_table *t, size_t row, const char *column, char *buf,
			  size_t size);
/* Are processes hidden from programs by what is mounted over their directories? */
struct vl_error *vl_check_mounts(struct vl_checker *c);

#endif
