/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256, for names that an attacker must not be able to make twice. */
#ifndef VLENS_BASE_SHA256_H
#define VLENS_BASE_SHA256_H

#include <stddef.h>

/* The SHA-256 of @bytes in hexadecimal. */
void vl_sha256_text(const void *bytes, size_t len, char ret[65]);

#endif
