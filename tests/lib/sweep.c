/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For a guest: writes a number to each of 3000 pages, one after the other, then the next number,
 * and so on. At each moment the first pages have one number, and the others the one before. Needs
 * no C library, so that it is small enough for a command line. sweep.py looks at a dump. SEED, a
 * number of 32 bits, differs for each run: pages of an ended one may be in memory, too.
 */
#include <stdint.h>

#define PAGES 3000

struct page {
	uint64_t magic[2];
	volatile uint64_t index, number;
	char rest[4096 - 32];
};

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

void _start(void)
{
	/* mmap: read and write; private and anonymous */
	struct page *p = (struct page *)call(9, 0, PAGES * sizeof(*p), 3, 0x22, -1, 0);
	/* Computed, so that the program's own pages do not have it. */
	volatile uint64_t seed = SEED * 0x100000001ULL;

	for (uint64_t i = 0; i < PAGES; i++) {
		p[i].index = i;
		p[i].magic[0] = seed + 9;
		p[i].magic[1] = ~(seed + 7);
	}
	/* write: all pages are there */
	call(1, 1, (long)"ready\n", 6, 0, 0, 0);
	for (uint64_t number = 1;; number++)
		for (uint64_t i = 0; i < PAGES; i++) {
			long rest[2] = { 0, 2000000 };

			p[i].number = number;
			/* nanosleep */
			if (i % 100 == 99)
				call(35, (long)rest, 0, 0, 0, 0, 0);
		}
}
