/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LZ4 blocks (lz4_Block_format.md of LZ4), for files that a process without rights unpacks: it
 * cannot load a library.
 */
#ifndef VLENS_TRUST_LZ4_H
#define VLENS_TRUST_LZ4_H

#include <stdbool.h>
#include <stddef.h>

/* The most bytes that @len bytes can become. */
static inline size_t vl_lz4_bound(size_t len)
{
	return len + len / 255 + 16;
}

/*
 * Compress @len bytes, at most 1 GiB, to @out, which has vl_lz4_bound(@len) bytes. Returns the
 * number of bytes there; 0: out of memory.
 */
size_t vl_lz4_pack(const unsigned char *bytes, size_t len, unsigned char *out);

/* Unpack @len bytes to exactly @out_len bytes at @out. False: they are damaged. */
bool vl_lz4_unpack(const unsigned char *bytes, size_t len, unsigned char *out, size_t out_len);

#endif
