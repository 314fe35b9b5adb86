/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The signer of a kernel or a module, as the signature names it. The signature is not checked, as
 * that needs the distribution's certificate. So the name is only as trustworthy as the source of
 * the file.
 */
#ifndef VLENS_TRUST_SIGNATURE_H
#define VLENS_TRUST_SIGNATURE_H

#include <stddef.h>

/*
 * Write the signer in @file, @len bytes: a module (signature behind the ELF file), or a vmlinuz
 * (Authenticode). It is the name of the certificate's issuer and the certificate's number, or the
 * key's id. "": the file is not signed, or the signature makes no sense.
 */
void vl_signer(const unsigned char *file, size_t len, char *ret, size_t size);

#endif
