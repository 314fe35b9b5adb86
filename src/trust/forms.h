/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The legal forms of a site. */
#ifndef VLENS_TRUST_FORMS_H
#define VLENS_TRUST_FORMS_H

#include "tables.h"

enum vl_trust_form {
	VL_TRUST_ILLEGAL,
	VL_TRUST_LEGAL,
	VL_TRUST_ATTACHMENT,
	VL_TRUST_BREAK, /* int3, as while the kernel changes the site */
};

struct vl_trust_look {
	const struct vl_trust *t;
	const struct vl_trust_memory *memory;
};

/*
 * Judge what the guest has at @site: @code at @va, as many bytes as the site has. For a chain of
 * alternatives it is judged as one of the whole chain, and the site must be the longest of it.
 */
enum vl_trust_form vl_trust_form(const struct vl_trust_look *l, const struct vl_trust_site *site,
				 const unsigned char *code, uint64_t va);

#endif
