/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of more than a few words. Memory that is not in a cache is waited for: what
 * counts is how many of its lines are on their way at a time, and that is bounded by how
 * many loads and stores the processor can hold back. So a line is one of each, where there
 * are registers of that size.
 */
#include "direct.h"

/* What the loader has found out: to ask the processor anew takes 20 us a question in a VM. */
#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#define HAS_VBMI2 CPU_FEATURE_ACTIVE(AVX512_VBMI2)
#else
#define HAS_VBMI2 __builtin_cpu_supports("avx512vbmi2")
#endif

typedef uint64_t line __attribute__((vector_size(DIRECT_LINE), aligned(1), may_alias));

__attribute__((target("avx512f"))) enum vl_read_status
direct_copy_lines(void *to, const unsigned char *from, size_t len)
{
	size_t last = len - DIRECT_LINE;

	for (size_t at = 0; at < last; at += DIRECT_LINE)
		*(line *)((char *)to + at) = *(const line *)(from + at);
	*(line *)((char *)to + last) = *(const line *)(from + last);
	return VL_READ_OK;
}

/*
 * Processors before Ice Lake and Zen 4, the first with VBMI2, lower their clock, or take two
 * steps, for registers of 64 bytes.
 */
bool direct_has_lines(void)
{
	return HAS_VBMI2;
}
