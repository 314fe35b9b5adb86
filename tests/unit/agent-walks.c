/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_agent: lists, chains and xarrays. */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "tap.h"

#define LIST 0xd00000UL /* of nodes, 192 bytes apart, some of them over a page's end */
#define NODES 500

static void make_list(void)
{
	for (unsigned i = 0; i < NODES; i++) {
		uint64_t at = LIST + i * 188UL, to = LIST + (i + 1) % NODES * 188UL;

		put64(at, DIRECT_MAP + to);
		put64(at + 8, i % 7 ? DIRECT_MAP + LIST + i : 0);
		put64(at + 16, random_u64());
		put64(at + 24, random_u64());
		snprintf((char *)ram + at + 32, 16, "node %u", i);
	}
}

static void test_walk(struct vl_walk *w, bool statuses, const char *what)
{
	static unsigned char ra[1000 * 2048], rb[1000 * 2048];
	static uint8_t sa[32000], sb[32000];
	struct vl_walked a, b;
	uint64_t exits = stats().exits;

	changed();
	memset(ra, 0, sizeof(ra));
	memset(rb, 0, sizeof(rb));
	memset(sa, 0, sizeof(sa));
	memset(sb, 0, sizeof(sb));
	w->stride = 2048;
	w->records = ra;
	w->status = statuses ? sa : NULL;
	vl_walk(direct, &space, w, &a);
	w->records = rb;
	w->status = statuses ? sb : NULL;
	vl_walk(kvm, &space, w, &b);
	exits = stats().exits - exits;
	ok(a.status == b.status && a.nr == b.nr && a.fault == b.fault &&
		   !memcmp(ra, rb, a.nr * 2048) && !memcmp(sa, sb, a.nr * w->nr_fields),
	   "%s: %s, %zu elements, %lu exits", what, vl_read_strstatus(b.status), b.nr,
	   (unsigned long)exits);
	if (a.status != b.status || a.nr != b.nr || a.fault != b.fault)
		printf("# not %s, %zu elements, 0x%lx (0x%lx)\n", vl_read_strstatus(a.status), a.nr,
		       (unsigned long)a.fault, (unsigned long)b.fault);
}

void test_walks(void)
{
	struct vl_walk_field f[] = {
		{ VL_FIELD_STRING, 0, 16, 0, { 32 } },
		{ VL_FIELD_BYTES, 0, 16, 16, { 16 } },
		{ VL_FIELD_ADDRESS, 0, 8, 32, { 0 } },
		{ VL_FIELD_INDEX, 0, 8, 40, { 0 } },
		{ VL_FIELD_BYTES, 1, 100, 48, { 8, 4 } }, /* NULL in each seventh */
		{ VL_FIELD_BYTES, 0, 1600, 160, { 0 } },  /* does not fit on the stage */
		{ VL_FIELD_STRING, 0, 1, 1800, { 32 } },
		{ VL_FIELD_BYTES, 2, 8, 1808, { 0, 0, (int32_t)0x80000000 } }, /* not there */
	};
	struct vl_walk w = { .kind = VL_WALK_LIST,
			     .head = DIRECT_MAP + LIST,
			     .fields = f,
			     .nr_fields = 4,
			     .max = 1000 };

	make_list();
	test_walk(&w, false, "a list");
	w.with_head = true;
	test_walk(&w, true, "with its head");
	w.nr_fields = 8;
	test_walk(&w, true, "fields that are large, NULL, not there");
	test_walk(&w, false, "the same, where one that fails ends it");
	w.nr_fields = 4;
	w.max = NODES - 1;
	test_walk(&w, false, "one too many");
	w.max = NODES;
	test_walk(&w, false, "just enough");
	w.max = 0;
	test_walk(&w, false, "none");
	w.max = 1000;
	w.nr_fields = 0;
	test_walk(&w, false, "counted");
	w.nr_fields = 4;
	put64(LIST + 200 * 188, DIRECT_MAP + LIST + 150 * 188);
	test_walk(&w, false, "a loop");
	put64(LIST + 200 * 188, DIRECT_MAP + LIST + 2);
	test_walk(&w, false, "an odd node");
	put64(LIST + 200 * 188, 0);
	test_walk(&w, false, "a NULL in a list");
	put64(LIST + 200 * 188, 0x8000000000000000);
	test_walk(&w, true, "a node that is no address");
	w.kind = VL_WALK_CHAIN;
	w.with_head = false;
	put64(LIST + 200 * 188, 0);
	test_walk(&w, false, "a chain");
	w.kind = VL_WALK_NULLS;
	put64(LIST + 200 * 188, 7);
	test_walk(&w, false, "a chain that ends by an odd pointer");
	/* Its nodes are on the agent's page, before and after it moves. */
	for (unsigned i = 0; i < 300; i++) {
		uint64_t at = stats().agent_gpa + (i % 2 ? 4096 : 0) + 8UL * i;

		put64(at, i < 299 ? TEXT - TEXT_GPA + stats().agent_gpa + (i % 2 ? 0 : 4096) +
					    8UL * (i + 1) :
				    0);
	}
	put64(DATA_GPA, TEXT - TEXT_GPA + stats().agent_gpa);
	w.kind = VL_WALK_CHAIN;
	w.head = DIRECT_MAP + DATA_GPA;
	w.nr_fields = 3;
	f[0].offset[0] = f[1].offset[0] = 0;
	f[1].size = 8;
	test_walk(&w, false, "a chain through the agent's page");
}

/* struct xa_node here: shift, 7 bytes, slots. */
#define XA 0xe00000UL

static uint64_t xa_node(uint64_t *next, unsigned shift, unsigned elements)
{
	uint64_t at = *next;

	*next += 8 + 64 * 8;
	ram[at] = (unsigned char)shift;
	for (unsigned i = 0; i < 64; i++) {
		uint64_t e = 0;

		if (!shift && i % 3 == 0)
			e = DIRECT_MAP + LIST + (random_u64() % NODES) * 188;
		else if (!shift && i % 3 == 1)
			e = i << 1 | 1; /* a value */
		else if (shift && i < elements)
			e = xa_node(next, shift - 6, 3);
		put64(at + 8 + 8 * i, e);
	}
	return DIRECT_MAP + at + 2;
}

void test_xarray(void)
{
	struct vl_walk_field f[] = { { VL_FIELD_INDEX, 0, 8, 0, { 0 } },
				     { VL_FIELD_STRING, 0, 16, 8, { 32 } },
				     { VL_FIELD_BYTES, 0, 1600, 24, { 0 } } };
	struct vl_walk w = { .kind = VL_WALK_XARRAY,
			     .xa_slots = 8,
			     .xa_nr_slots = 64,
			     .head = DIRECT_MAP + XA,
			     .fields = f,
			     .nr_fields = 2,
			     .max = 1000 };
	uint64_t next = XA + 64;

	make_list();
	put64(XA, xa_node(&next, 12, 3));
	test_walk(&w, false, "an xarray");
	w.nr_fields = 3;
	test_walk(&w, true, "with a large field");
	w.max = 50;
	test_walk(&w, false, "fifty of it");
	w.max = 1000;
	w.nr_fields = 0;
	test_walk(&w, false, "counted");
	put64(XA, DIRECT_MAP + LIST);
	w.nr_fields = 2;
	test_walk(&w, false, "an xarray of one");
	put64(XA, 0);
	test_walk(&w, false, "an empty one");
	put64(XA, DIRECT_MAP + RAM_SIZE + 2);
	test_walk(&w, false, "one whose node is not there");
}
