/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Views: each reads a guest's memory once, with no question to its kernel and no pause. The
 * kernel's own types give the layout of its lists.
 */
#ifndef VLENS_SCAN_H
#define VLENS_SCAN_H

#include <stdbool.h>

#include "../error.h"
#include "../imee/imee.h"
#include "../host/target.h"
#include "table.h"

struct vl_attach;
struct vl_sys;
enum vl_field; /* kernel/kernel.h, which is not installed */

struct vl_scan_options {
	struct vl_target_options target;
	const char *engine; /* of the reader; NULL: the fastest that can serve */
	/*
	 * Ignore what is kept of this run: after a reboot the old kernel can still be in
	 * memory.
	 */
	bool anew;
};

/* What views read of a guest: a part of struct vl_guest, in the worker (vl_guest_attach()). */
struct vl_raw_guest {
	struct vl_target *target;
	struct vl_attach *attach; /* NULL: its kernel is not understood, and */
	struct vl_error *why;	  /* this is why */
	struct vl_reader *reader; /* NULL likewise */
	struct vl_space space;	  /* the kernel's own */
	/* In a comparison with a trusted kernel: asks the guest's own code; else NULL. */
	struct vl_sys *own;
};

/* The state of a guest in a word for a column, and its meaning ("" when it is plain). */
struct vl_state {
	char name[256]; /* of the guest, as its hypervisor calls it; "": it has none */
	char word[16];	/* "running", "paused", "firmware", "crashed" …; "": not known */
	char means[64];
};

/*
 * Empty the cells of @t, filled by a view, that no running kernel could have; the error names
 * the first of them, and @t is `partial`. NULL: there was none.
 */
struct vl_error *vl_plausible_table(struct vl_target *target, struct vl_table *t);

/* One view. */
struct vl_scan {
	const char *name;   /* "pslist" */
	const char *plural; /* the key of its rows in JSON: "processes" */
	const struct vl_column *columns;
	bool need_kernel;
	/*
	 * Read, and fill the empty table @t, which has `columns`. On an error the rows have
	 * what could be read.
	 */
	struct vl_error *(*run)(struct vl_raw_guest *g, struct vl_table *t);
	/*
	 * The fields that it shows, up to VL_NR_FIELDS: of a kernel without types all of them must
	 * have been derived from its code. NULL: it needs types.
	 */
	const enum vl_field *fields;
	/*
	 * The variables that it looks up, up to NULL; "A|B" is one of both. Of a kernel whose
	 * symbols are those of code only all of them must have been found. NULL: it needs all
	 * symbols.
	 */
	const char *const *symbols;
};

extern const struct vl_scan vl_scan_pidlist, vl_scan_pslist, vl_scan_credlist, vl_scan_syscalls,
	vl_scan_memory, vl_scan_modules;
/*
 * The kernel's text, compared with the trusted image of its build (src/trust/). A row for all of
 * it, and one for each finding; those that are no attachment are marked.
 */
extern const struct vl_scan vl_scan_trust;
/* Views with the data of ps, netstat, lsof, uname and free. */
extern const struct vl_scan vl_scan_ps, vl_scan_sockets, vl_scan_files, vl_scan_uname, vl_scan_free;
/* How long it has been up, and its load; the kernel's log; the interfaces. */
extern const struct vl_scan vl_scan_uptime, vl_scan_kmsg, vl_scan_links;
/* The containers, by the control groups of processes. */
extern const struct vl_scan vl_scan_containers;
/* The units of systemd that have processes, likewise. */
extern const struct vl_scan vl_scan_units;

/*
 * The same list by several ways, side by side. An item that one way shows and another lacks is
 * marked, if that holds over several passes. @sys asks the kernel of the same guest
 * (vl_guest_sys()), whose own answer is one of the ways. All ways are in one epoch, so
 * of one point in time.
 */
struct vl_diff {
	const char *name, *plural;
	const struct vl_column *columns;
	struct vl_error *(*run)(struct vl_raw_guest *g, struct vl_sys *sys, struct vl_table *t);
	const char *verdict; /* the word for a marked row, "finding"; NULL: no number is printed */
};

extern const struct vl_diff vl_diff_processes, vl_diff_modules, vl_diff_sockets;
/* All checks of a kernel as one report (src/check/). */
extern const struct vl_diff vl_diff_check;

/* The columns of vl_list_guest(). */
extern const struct vl_column vl_list_columns[];

#endif
