/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Modules of the guest's kernel, and their memory. */
#ifndef VLENS_MODULES_H
#define VLENS_MODULES_H

#include "collect.h"

#define VL_MODULE_NAME 56 /* MODULE_NAME_LEN on 64 bits, include/linux/module.h */
#define VL_MODULE_AREAS 8 /* MOD_MEM_NUM_TYPES (7), or the core and init layouts */

struct vl_module {
	uint64_t module; /* address of its struct module */
	char name[VL_MODULE_NAME];
	uint32_t state;
	int32_t refcnt;	 /* its users plus MODULE_REF_BASE (1) */
	uint64_t taints; /* why it taints the kernel: bits, see check/taints.c */
	uint64_t percpu; /* its per-CPU variables; 0: none */
	/*
	 * Before "module: replace module_layout with module_memory" (6.4): the length of the text
	 * at the start of areas[0]; later 0, as areas[0] is the text.
	 */
	uint32_t core_text;
	bool together; /* its parts follow each other, in areas[0] */
	struct vl_module_area {
		uint64_t base;
		uint64_t size;
	} areas[VL_MODULE_AREAS];		     /* size 0: none; [0] is its text */
	bool lacks_areas, lacks_refcnt, lacks_state; /* they could not be read */
};

/* The range of addresses for modules. */
void vl_module_space(struct vl_raw_guest *g, uint64_t *start_ret, uint64_t *last_ret);

/*
 * All modules of the list `modules`. *@ret is malloc'ed; on an error it has those before the
 * damage, or those whose name can be read.
 */
struct vl_error *vl_modules_listed(struct vl_raw_guest *g, struct vl_module **ret, size_t *nr_ret);

/* Read the struct module at @module, wherever it was found; false: it cannot be read. */
bool vl_module_read(struct vl_raw_guest *g, uint64_t module, struct vl_module *ret);

/*
 * The addresses of struct module by other ways: those with a kobject in sysfs (0 for a built-in
 * one), and those found in mapped memory. *@ret is malloc'ed, also with an error.
 */
struct vl_error *vl_modules_of_kobjects(struct vl_raw_guest *g, uint64_t **ret, size_t *nr_ret);
struct vl_error *vl_modules_in_memory(struct vl_raw_guest *g, uint64_t **ret, size_t *nr_ret);

/* The module of @m whose memory @va is in, or NULL. */
const struct vl_module *vl_module_at(const struct vl_module *m, size_t nr, uint64_t va);

#endif
