/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of more than a few words. Throughput from uncached memory depends on the number of
 * cache lines in flight, which the processor's load and store buffers bound. So a line is one
 * load and one store, where there are registers of 64 bytes.
 */
#include "direct.h"

/* The loader's result: each CPUID takes 20 us in a VM. */
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
 * Processors before Ice Lake and Zen 4 (the first with VBMI2) lower their clock, or take two
 * steps, for registers of 64 bytes.
 */
bool direct_has_lines(void)
{
	return HAS_VBMI2;
}
