/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sites of kCFI and FineIBT, and their legal forms. */
#ifndef VLENS_TRUST_CFI_H
#define VLENS_TRUST_CFI_H

#include "code.h"

/* The longest piece of code of FineIBT, in bytes. */
#define VL_TRUST_CFI_MAX 32
/* Bytes of endbr64. */
#define VL_TRUST_ENDBR_LEN 4
/* Bytes of the hash of a type. */
#define VL_TRUST_HASH_LEN 4

/* The length of the site at offset @at, in front of a function; 0: there is none. */
size_t vl_trust_cfi_function_len(const struct vl_trust *t, size_t at);

/* Is there a site in front of the indirect call at offset @call, vl_trust_cfi_caller_len() long? */
bool vl_trust_is_cfi_caller(const struct vl_trust *t, size_t call);
size_t vl_trust_cfi_caller_len(void);

/* Does the image have endbr64 at offset @at? */
bool vl_trust_has_endbr(const struct vl_trust *t, size_t at);

/* Judge a site. */
enum vl_trust_form vl_trust_cfi_function(const struct vl_trust_context *l,
					 const struct vl_trust_site *s, const struct vl_code *c);
enum vl_trust_form vl_trust_cfi_caller(const struct vl_trust_context *l,
				       const struct vl_trust_site *s, const struct vl_code *c);

/* Is @c, at the indirect call @s, the end of the longer form of the site in front of it? */
bool vl_trust_cfi_call(const struct vl_trust_context *l, const struct vl_trust_site *s,
		       const struct vl_code *c);

/*
 * The kernel writes a hash of 0 in front of each function that is only called directly, also of
 * one in assembly that has none there (poison_cfi(), arch/x86/kernel/alternative.c), after it has
 * put the code that counts calls there. Is @c, the padding in front of such a function, written to
 * like that? *@ret is the offset in @c of the VL_TRUST_HASH_LEN zeros.
 */
bool vl_trust_cfi_sealed(const struct vl_trust_context *l, const struct vl_trust_site *s,
			 const struct vl_code *c, size_t *ret);

#endif
