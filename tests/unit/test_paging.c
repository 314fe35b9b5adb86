/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Software paging against tables that are written by hand. */
#include <string.h>

#include "../../src/mem/paging.h"
#include "tap.h"

static uint64_t ram[16][512]; /* guest-physical pages 0 to 15 */

static bool read_ram(void *ctx, uint64_t gpa, uint64_t *ret)
{
	(void)ctx;
	if (gpa % 8 || gpa / 4096 >= 16)
		return false;
	*ret = ram[gpa / 4096][gpa % 4096 / 8];
	return true;
}

static unsigned reads;

/* Tables that lead to tables, and never to memory: what is read of page 3 is nothing. */
static bool read_maze(void *ctx, uint64_t gpa, uint64_t *ret)
{
	(void)ctx;
	reads++;
	*ret = gpa / 4096 < 3 ? (gpa / 4096 + 1) * 4096 | X86_PTE_P : 0;
	return true;
}

static bool xlat(int levels, uint64_t va, struct vl_xlat *x)
{
	struct vl_pgtable pt = { 0x1000, levels };

	return vl_translate(&pt, read_ram, NULL, va, x);
}

#define P X86_PTE_P
#define PRW (X86_PTE_P | X86_PTE_RW)
#define ALL (X86_PTE_P | X86_PTE_RW | X86_PTE_US)

int main(void)
{
	struct vl_xlat x;
	struct vl_pgtable pt;

	/* 4 levels: page 1 is the root; 2, 3, 4 the levels below. */
	ram[1][0] = 0x2000 | ALL;
	ram[2][0] = 0x3000 | ALL;
	ram[3][0] = 0x4000 | ALL;
	ram[4][5] = 0xabc000 | ALL | X86_PTE_NX;
	ram[3][1] = 0x40000000 | PRW | X86_PTE_PS;		 /* 2 MiB, supervisor */
	ram[2][1] = 0x80000000 | ALL | X86_PTE_PS | (1UL << 12); /* 1 GiB, PAT bit set */
	ram[4][6] = 0xdef000;					 /* not present */
	ram[4][7] = 0;
	ram[3][2] = 0xffff000 | P; /* a table that is not RAM */
	ram[1][511] = 0x2000 | ALL;

	ok(xlat(4, 0x5123, &x) && x.gpa == 0xabc123 && x.size == 4096, "a 4 KiB page");
	ok(x.user && x.flags & X86_PTE_NX, "its flags");
	ok(xlat(4, 0x200000 + 0x12345, &x) && x.gpa == 0x40012345 && x.size == 2UL << 20,
	   "a 2 MiB page");
	ok(!x.user, "one supervisor level makes it the kernel's");
	ok(xlat(4, 0x40000000 + 0x1234567, &x) && x.gpa == 0x81234567 && x.size == 1UL << 30,
	   "a 1 GiB page, its PAT bit no part of the address");
	ok(!xlat(4, 0x6000, &x), "not present");
	ok(!xlat(4, 0x7000, &x), "empty entry");
	ok(!xlat(4, 0x400000, &x), "a table outside of RAM");
	ok(!xlat(4, 0x0000800000000000, &x), "not canonical");
	ok(xlat(4, 0xffffff8000005001, &x) && x.gpa == 0xabc001, "the kernel half");

	/* 5 levels over the same: the root's slot 0 leads to another level. */
	memset(ram[1], 0, sizeof(ram[1]));
	ram[1][256] = 0x5000 | ALL;
	ram[5][0] = 0x2000 | ALL;
	ok(xlat(5, 0xff00000000005042, &x) && x.gpa == 0xabc042, "5 levels");
	ok(!xlat(4, 0xff00000000005042, &x), "not canonical under 4 levels");
	ok(vl_canonical(0xff00000000000000, 5) && !vl_canonical(0xff00000000000000, 4),
	   "what is canonical depends on the levels");

	/* A table that points to itself ends after the levels there are. */
	memset(ram, 0, sizeof(ram));
	ram[1][0] = 0x1000 | ALL;
	ok(xlat(4, 0, &x) && x.gpa == 0x1000, "a loop ends");

	pt = (struct vl_pgtable){ 0x1000, 4 };
	ok(vl_pgtable_is_empty(&pt, read_maze, NULL, 0, (1UL << 33) - 1) && reads < 8192,
	   "tables that lead to nothing are empty");
	ok(!vl_pgtable_is_empty(&pt, read_maze, NULL, 0, (1UL << 47) - 1) && reads < 65536,
	   "too many of them are not, and have an end");

	/* Page 2 is a table of 1 GiB entries, 3 one of 2 MiB entries, 5 is empty. */
	memset(ram, 0, sizeof(ram));
	ram[1][0] = 0x2000 | P;
	ram[2][0] = 0x3000 | P;
	ram[2][1] = 0x5000 | P | X86_PTE_PS;
	ram[2][2] = 0x5000 | P;
	ram[3][1] = 0x4000 | P;
	ok(vl_pgtable_is_empty(&pt, read_ram, NULL, 0, 0x1fffff) &&
		   !vl_pgtable_is_empty(&pt, read_ram, NULL, 0, 0x200000) &&
		   vl_pgtable_is_empty(&pt, read_ram, NULL, 0x400000, 0x3fffffff),
	   "both ends of a range count, and nothing beside it");
	ok(!vl_pgtable_is_empty(&pt, read_ram, NULL, 0x40000000, 0x7fffffff) &&
		   vl_pgtable_is_empty(&pt, read_ram, NULL, 0x80000000, 0xbfffffff),
	   "a page of 1 GiB is no table");

	pt = vl_pgtable(0x8000000012345fff, X86_CR4_LA57);
	ok(pt.root == 0x12345000 && pt.levels == 5, "CR3's flags and bit 63 are no address");
	pt = vl_pgtable(0x3001, 0);
	ok(pt.root == 0x3000 && pt.levels == 4, "bit 12 of CR3 is address");
	return tap_end();
}
