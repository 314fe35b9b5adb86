/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions that others register in a structure of the kernel, and tables of functions that such
 * structures point to. Each must be code of the kernel or of a listed module.
 */
#ifndef VLENS_HOOKS_H
#define VLENS_HOOKS_H

#include "check.h"

/* A function that the kernel calls. */
struct vl_hook {
	const char *check;
	uint64_t at;	  /* the structure */
	const char *what; /* NULL: the symbol at `at` */
	uint64_t fn;	  /* 0: there is none */
	bool shown;	  /* show a module's as an attachment */
};

/* Is the function the start of code with an owner, so that there is nothing to show? */
bool vl_hook_is_fine(struct vl_checker *c, const struct vl_hook *h);
/* Show a finding unless it is. */
void vl_hook_check(struct vl_checker *c, const struct vl_hook *h);

/*
 * Check the table of functions at @table, @size bytes, to which the structure points. The
 * kernel's constant tables are no concern of this function: vl_check_pointers() reads them.
 */
void vl_hook_table(struct vl_checker *c, const struct vl_hook *h, uint64_t table, size_t size);

/* Read the word at @va. False: it cannot be read; *@ret is 0. */
bool vl_hook_word(struct vl_checker *c, uint64_t va, uint64_t *ret);

/* Note that @what could not be followed to its end: it changes all the time, or is damaged. */
void vl_hook_incomplete(struct vl_checker *c, const char *check, const char *what);
/* The same for data that does not change: @check could not be made, which is an error. */
void vl_hook_damaged(struct vl_checker *c, const char *check, const char *what);

#endif
