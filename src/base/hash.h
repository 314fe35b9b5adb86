/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FNV-1a with 64 bits, for names of files and tables of ours. It resists no collisions: whoever
 * wants to can make two texts of one hash.
 */
#ifndef VLENS_BASE_HASH_H
#define VLENS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of nothing. */
#define VL_HASH 0xcbf29ce484222325u

/* @hash, of what is before, with @len more bytes. */
static inline uint64_t vl_hash(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

/* Of @text alone, without its NUL. */
static inline uint64_t vl_hash_text(const char *text)
{
	return vl_hash(VL_HASH, text, strlen(text));
}

#endif
