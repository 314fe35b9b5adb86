/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The legal forms of a site. */
#ifndef VLENS_TRUST_FORMS_H
#define VLENS_TRUST_FORMS_H

#include "tables.h"

enum vl_trust_form {
	VL_TRUST_ILLEGAL,
	VL_TRUST_LEGAL,
	VL_TRUST_ATTACHMENT,
	VL_TRUST_BREAK, /* int3, as during a change of the site by the kernel */
};

struct vl_trust_look {
	const struct vl_trust *t;
	const struct vl_trust_memory *memory;
};

/*
 * Judge the guest's @code at @va, which has as many bytes as @site. An alternative is judged
 * together with all others at the same place; @site must be the longest of these.
 */
enum vl_trust_form vl_trust_form(const struct vl_trust_look *l, const struct vl_trust_site *site,
				 const unsigned char *code, uint64_t va);

#endif
