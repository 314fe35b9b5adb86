/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FNV-1a with 64 bits, for names of files and hash tables. It does not resist an attacker, who
 * can make two texts with the same hash.
 */
#ifndef VLENS_BASE_HASH_H
#define VLENS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The hash of an empty text. */
#define VL_HASH 0xcbf29ce484222325u

/* Continue @hash with @len more bytes. */
static inline uint64_t vl_hash(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

/* The hash of @text, without its NUL. */
static inline uint64_t vl_hash_text(const char *text)
{
	return vl_hash(VL_HASH, text, strlen(text));
}

/*
 * A checksum of @len bytes, against damage only. It is much quicker than vl_hash(): the CPU
 * computes 8 independent sums at once, each over every eighth word.
 */
static inline uint64_t vl_sum(const void *bytes, size_t len)
{
	uint64_t lane[8], sum = VL_HASH ^ len, word = 0;
	const unsigned char *p = bytes;
	size_t i = 0;

	for (size_t k = 0; k < 8; k++)
		lane[k] = VL_HASH + k;
	for (; len - i >= sizeof(lane); i += sizeof(lane))
		for (size_t k = 0; k < 8; k++) {
			memcpy(&word, p + i + 8 * k, sizeof(word));
			lane[k] = (lane[k] ^ word) * 0x9e3779b97f4a7c15u;
			lane[k] ^= lane[k] >> 32;
		}
	for (size_t k = 0; k < 8; k++)
		sum = vl_hash(sum, &lane[k], sizeof(lane[k]));
	return vl_hash(sum, p + i, len - i);
}

#endif
