/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of more than a few words. Memory that is not in a cache is waited for: what
 * counts is how many of its lines are on their way at a time, and that is bounded by how
 * many loads and stores the processor can hold back. So a line is one of each, where there
 * are registers of that size.
 */
#include "direct.h"

typedef uint64_t line __attribute__((vector_size(DIRECT_LINE), aligned(1), may_alias));

__attribute__((target("avx512f"))) static void copy_wide(void *to, const unsigned char *from,
							 size_t len)
{
	size_t last = len - DIRECT_LINE;

	for (size_t at = 0; at < last; at += DIRECT_LINE)
		*(line *)((char *)to + at) = *(const line *)(from + at);
	*(line *)((char *)to + last) = *(const line *)(from + last);
}

static void copy_plain(void *to, const unsigned char *from, size_t len)
{
	memcpy(to, from, len);
}

/*
 * Processors before Ice Lake and Zen 4, the first with VBMI2, lower their clock, or take two
 * steps, for registers of 64 bytes.
 */
static void (*choose(void))(void *to, const unsigned char *from, size_t len)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512vbmi2") ? copy_wide : copy_plain;
}

__attribute__((ifunc("choose"))) void direct_copy_lines(void *to, const unsigned char *from,
							size_t len);
