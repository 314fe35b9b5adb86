/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of lzop. libarchive would have to start the program lzop for them. */
#ifndef VLENS_TRUST_LZOP_H
#define VLENS_TRUST_LZOP_H

#include <stdbool.h>
#include <stddef.h>

#include "../error.h"

bool vl_is_lzop(const unsigned char *bytes, size_t len);

/* See vl_uncompress(). */
struct vl_error *vl_lzop(const unsigned char *bytes, size_t len, size_t max, unsigned char **ret,
			 size_t *len_ret);

#endif
