/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loaded modules of a guest, and the trusted ones that they are compared with. */
#ifndef VLENS_TRUSTMODS_H
#define VLENS_TRUSTMODS_H

#include "../trust/trust.h"
#include "modules.h"

struct vl_trusted_module {
	struct vl_module m;
	struct vl_trust *trust; /* linked, and owned by the set; NULL: it cannot be verified, and */
	struct vl_error *why;	/* this is why */
	/*
	 * The guest's is another one than the trusted module of this name, or has its name twice.
	 */
	bool differs;
};

struct vl_trusted_modules {
	struct vl_trust_set *set; /* has those with `trust` */
	struct vl_trusted_module *v;
	size_t nr;
};

/*
 * Find the trusted modules (trust/pack.h) for all of the guest's list of modules. @kernel has been
 * placed where the guest has it, and must outlive *@ret, which the caller deinits, also after an
 * error. An error is about the list; a module that cannot be verified is none. Several modules of
 * one name are not verified, as a kernel has only one of each. Modules that cannot be unpacked in
 * 10 s are not verified, either.
 */
struct vl_error *vl_trusted_modules_init(struct vl_raw_guest *g, const struct vl_trust *kernel,
					 struct vl_trusted_modules *ret);
void vl_trusted_modules_deinit(struct vl_trusted_modules *t);

#endif
