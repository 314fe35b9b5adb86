/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_agent: reads of bytes, strings and words, the agent's own page among them. */
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "base/array.h"
#include "tap.h"

void test_reads(const char *what)
{
	uint64_t by_walk = stats().by_walk;
	static const uint64_t odd[] = { 0, 0x1000, 0x800000000000, 0x8000000000000000,
					0xfffffffffffffff8 };

	compared = different = 0;
	for (unsigned i = 0; i < 512; i++) {
		uint64_t va = SMALL + i * VL_PAGE_SIZE + random_u64() % VL_PAGE_SIZE;

		same(va, 1 + random_u64() % 300);
		if (i % 16 < 6)
			same(va & ~7UL, 8);
		if (i % 32 == 2)
			same(SMALL + i * VL_PAGE_SIZE, 4096);
	}
	for (unsigned i = 0; i < 64; i++) {
		same(DIRECT_MAP + random_u64() % RAM_SIZE, 1 + random_u64() % 16);
		same(HIGH_MAP + random_u64() % HIGH_SIZE, 1 + random_u64() % 16);
	}
	for (unsigned i = 0; i < 16; i++)
		same(GIANT + random_u64() % RAM_SIZE, 1 + random_u64() % 16);
	same(GIANT + RAM_SIZE - 4, 8);
	/* Behind the RAM, within a mapped page; and over its edge. */
	same(DIRECT_MAP + RAM_SIZE, 8);
	same(DIRECT_MAP + RAM_SIZE - 4, 8);
	same(DIRECT_MAP + RAM_SIZE - 4096, 8192);
	same(USER, 4096);
	same(USER + 4000, 1000);
	for (unsigned i = 0; i < ARRAY_SIZE(odd); i++)
		same(odd[i], 8);
	/* More than one entry carries, over the agent by both its addresses. */
	same(TEXT, 300 << 10);
	same(DIRECT_MAP + TEXT_GPA - 4096, 100 << 10);
	ok(!different, "%s: %u reads: the same bytes and statuses", what, compared);
	/* A processor that has pages of 1 GiB needs no help with those, either. */
	ok(stats().by_walk - by_walk <= 17, "of them %lu not by the agent",
	   (unsigned long)(stats().by_walk - by_walk));
}

void test_overlay(void)
{
	struct vl_kvm_stats before = stats(), after;

	compared = different = 0;
	same(before.agent_va + 16, 64);
	after = stats();
	ok(!different && after.relocations == before.relocations + 1 &&
		   after.agent_gpa != before.agent_gpa,
	   "a read of the agent's page moves it, and is right");
	same(DIRECT_MAP + after.agent_gpa + 8, 8);
	before = stats();
	ok(!different && before.relocations == after.relocations + 1,
	   "also by another of its addresses");
	for (unsigned at = 0; at < 4096; at += 120)
		same(DIRECT_MAP + stats().agent_gpa + at, 120);
	same(stats().agent_va - 3, 8);
	same(stats().agent_va + 4093, 8);
	ok(!different, "in all of the page, and over its ends");
}

void test_strings(void)
{
	static const struct {
		uint64_t va;
		size_t size;
		const char *what;
	} cases[] = {
		{ DIRECT_MAP + 0xf00100, 100, "a string" },
		{ DIRECT_MAP + 0xf00100, 5, "one that is longer than the buffer" },
		{ DIRECT_MAP + 0xf01ffb, 100, "one over the end of a page" },
		{ DIRECT_MAP + RAM_SIZE - 4, 100, "one that ends where the RAM does" },
		{ DIRECT_MAP + RAM_SIZE - 3, 3, "one that has no end" },
		{ DIRECT_MAP + RAM_SIZE, 10, "one that is not there" },
	};

	strcpy((char *)ram + 0xf00100, "kthreadd");
	strcpy((char *)ram + 0xf01ffb, "over the edge");
	memcpy(ram + RAM_SIZE - 4, "end", 4);
	changed();
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char a[128] = "x", b[128] = "y";
		enum vl_read_status sa, sb;

		sa = vl_read_string(direct, &space, cases[i].va, a, cases[i].size);
		sb = vl_read_string(kvm, &space, cases[i].va, b, cases[i].size);
		ok(sa == sb && !strcmp(a, b), "%s: \"%s\", %s", cases[i].what, b,
		   vl_read_strstatus(sb));
	}
}

void test_gather(void)
{
	static unsigned char a[300][64], b[300][64], long_a[300000], long_b[300000];
	struct vl_get ga[301], gb[301];
	uint64_t exits;
	bool good = true;

	for (unsigned i = 0; i < 300; i++) {
		uint64_t va = SMALL + random_u64() % (512 * VL_PAGE_SIZE);
		uint32_t len = i % 50 ? (uint32_t)(random_u64() % 64) : 0;

		ga[i] = (struct vl_get){ va, a[i], len, 0 };
		gb[i] = (struct vl_get){ va, b[i], len, 0 };
	}
	ga[150] = (struct vl_get){ stats().agent_va, a[150], 64, 0 };
	gb[150] = (struct vl_get){ stats().agent_va, b[150], 64, 0 };
	ga[300] = (struct vl_get){ DIRECT_MAP, long_a, sizeof(long_a), 0 };
	gb[300] = (struct vl_get){ DIRECT_MAP, long_b, sizeof(long_b), 0 };
	exits = stats().exits;
	good = vl_gather(direct, &space, ga, 301) == vl_gather(kvm, &space, gb, 301);
	for (unsigned i = 0; i < 301; i++)
		good &= ga[i].status == gb[i].status && !memcmp(ga[i].buf, gb[i].buf, ga[i].len);
	ok(good, "301 addresses gathered");
	for (unsigned i = 0; i < 100; i++)
		gb[i] = (struct vl_get){ DIRECT_MAP + 64 * i, b[i], 8, 0 };
	exits = stats().exits;
	ok(!vl_gather(kvm, &space, gb, 100) && stats().exits == exits + 1,
	   "a hundred take one entry");
}

void test_watch(void)
{
	uint64_t value, samples, word;

	put64(DATA_GPA + 64, 0x1122334455667788);
	ok(!vl_watch(kvm, &space, DIRECT_MAP + DATA_GPA + 64, 8, 0x1122334455667788, 300, &value,
		     &samples) &&
		   samples == 300 && value == 0x1122334455667788,
	   "a watch on what does not change takes all its samples");
	ok(!vl_watch(kvm, &space, DIRECT_MAP + DATA_GPA + 66, 2, 0x5566, 300, &value, &samples) &&
		   samples == 300 && value == 0x5566,
	   "of two bytes");
	ok(!vl_watch(kvm, &space, DIRECT_MAP + DATA_GPA + 66, 2, 1, 300, &value, &samples) &&
		   samples == 1 && value == 0x5566,
	   "on what is something else already it takes one");
	ok(vl_watch(kvm, &space, DIRECT_MAP + RAM_SIZE, 8, 1, 300, &value, &samples) ==
		   VL_READ_NO_RAM,
	   "on what is not there none");
	changed();
	vl_read_u64(direct, &space, stats().agent_va + 8, &word);
	ok(!vl_watch(kvm, &space, stats().agent_va + 8, 8, word, 20, &value, &samples) &&
		   value == word && samples == 20,
	   "on the agent's page it moves the agent");
}
