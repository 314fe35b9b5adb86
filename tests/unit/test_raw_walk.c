/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw reader's walks with the direct engine: lists, chains and xarrays that
 * are right, that loop, that run into garbage; and many random ones, against a
 * plain walk in this process.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "imee/imee.h"
#include "mem/paging.h"
#include "tap.h"
#undef VL_PAGE_SIZE
#include "host/internal.h"

#define MIB 0x100000UL
#define SIZE (16 * MIB)
#define ROOT 0x1000UL
#define BIG 0xffff888000000000UL   /* RAM in a row, pages of 2 MiB */
#define SMALL 0xffffc90000000000UL /* the same, pages of 4 KiB; some are missing */
#define MIXED 0xffffa00000000000UL /* pages of 4 KiB, not in their order */

static struct {
	struct vl_target t;
	unsigned char *ram;
	int fd;
	struct vl_reader *r;
	struct vl_space s;
} g;

static bool missing(uint64_t page)
{
	return page % 61 == 60;
}

/* MIXED: neighbours in pairs change places. */
static uint64_t mixed(uint64_t page)
{
	return page ^ (page / 2 % 3 == 0);
}

/* Where virtual @va is in this process, or NULL. */
static unsigned char *host(uint64_t va)
{
	uint64_t at;

	if (va - BIG < SIZE)
		return g.ram + (va - BIG);
	if (va - SMALL < SIZE) {
		at = va - SMALL;
		return missing(at >> 12) ? NULL : g.ram + at;
	}
	if (va - MIXED < SIZE) {
		at = va - MIXED;
		return g.ram + (mixed(at >> 12) << 12) + (at & 4095);
	}
	return NULL;
}

static bool copy(uint64_t va, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const unsigned char *p = host(va + i);

		if (!p)
			return false;
		((unsigned char *)buf)[i] = *p;
	}
	return true;
}

static void put(uint64_t va, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char *p = host(va + i);

		if (p)
			*p = (unsigned char)(value >> 8 * i);
	}
}

static uint64_t next_table = 0x10000;

static void map(uint64_t va, uint64_t leaf, int level)
{
	uint64_t table = ROOT;

	for (int l = 4; l > level; l--) {
		uint64_t *e = (uint64_t *)(g.ram + table) + vl_pgtable_index(va, l);

		if (!*e) {
			*e = next_table | X86_PTE_P;
			next_table += 0x1000;
		}
		table = *e & X86_PTE_ADDR;
	}
	((uint64_t *)(g.ram + table))[vl_pgtable_index(va, level)] = leaf;
}

static void setup(bool anonymous)
{
	int flags = anonymous ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	struct vl_error *err;

	memset(&g, 0, sizeof(g));
	g.fd = -1;
	if (!anonymous) {
		g.fd = memfd_create("ram", MFD_ALLOW_SEALING);
		if (g.fd < 0 || ftruncate(g.fd, SIZE) < 0)
			exit(99);
		fcntl(g.fd, F_ADD_SEALS, F_SEAL_SHRINK);
	}
	g.ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, g.fd, 0);
	if (g.ram == MAP_FAILED)
		exit(99);
	g.t.pid = getpid();
	g.t.pidfd = g.t.proc_mem = g.t.lock_fd = -1;
	vl_error_destroy(
		vl_ram_add(&g.t, &(struct vl_ram){ 0, SIZE, (uintptr_t)g.ram, g.fd, 0, 4096 }));
	vl_error_destroy(vl_ram_finish(&g.t));
	next_table = 0x10000;
	for (uint64_t at = 0; at < SIZE; at += 2 * MIB)
		map(BIG + at, at | X86_PTE_P | X86_PTE_PS, 2);
	for (uint64_t at = 0; at < SIZE; at += 0x1000) {
		map(SMALL + at, missing(at >> 12) ? 0 : at | X86_PTE_P, 1);
		map(MIXED + at, mixed(at >> 12) << 12 | X86_PTE_P, 1);
	}
	err = vl_reader_open(&g.t, NULL, &(struct vl_reader_options){ "direct" }, &g.r);
	ok(!err, "%s memory", anonymous ? "anonymous" : "mapped");
	if (err)
		exit(1);
	g.s = vl_space_of(ROOT, 0);
}

static void teardown(void)
{
	vl_reader_close(g.r);
	vl_ram_deinit(&g.t);
	munmap(g.ram, SIZE);
	if (g.fd >= 0)
		close(g.fd);
}

/* ---- lists that are known ---- */

/* An element: a number at 16, a name at 24, a pointer to "cred" at 48, the node at 64. */
enum { NUMBER = 16, NAME = 24, CRED = 48, NODE = 64, ELEMENT = 96 };

struct record {
	uint64_t address, index;
	uint32_t number, uid;
	char name[16];
	uint64_t next_number;
};

#define MAX 400

static struct record records[MAX];
static uint8_t status[MAX][6];

static const struct vl_walk_field fields[] = {
	{ VL_FIELD_ADDRESS, 0, 8, offsetof(struct record, address), { 0 } },
	{ VL_FIELD_INDEX, 0, 8, offsetof(struct record, index), { 0 } },
	{ VL_FIELD_BYTES, 0, 4, offsetof(struct record, number), { NUMBER } },
	{ VL_FIELD_STRING, 0, 16, offsetof(struct record, name), { NAME } },
	{ VL_FIELD_BYTES, 1, 4, offsetof(struct record, uid), { CRED, 4 } },
	/* element->node.next - NODE + NUMBER */
	{ VL_FIELD_BYTES, 1, 8, offsetof(struct record, next_number), { NODE, NUMBER - NODE } },
};

static struct vl_walk walk_of(enum vl_walk_kind kind, uint64_t head)
{
	return (struct vl_walk){
		.kind = kind,
		.head = head,
		.node = NODE,
		.fields = fields,
		.nr_fields = 6,
		.records = records,
		.stride = sizeof(struct record),
		.max = MAX,
	};
}

static uint64_t at(uint64_t base, unsigned i)
{
	/* Some lie across pages. */
	return base + 8 * MIB + 0x10fc8UL * i;
}

/* A list of @nr elements; the head is at base + 7 MiB. */
static uint64_t make_list(uint64_t base, unsigned nr)
{
	uint64_t head = base + 7 * MIB, last = head;

	for (unsigned i = 0; i < nr; i++) {
		uint64_t e = at(base, i);
		char name[16] = "";

		for (size_t j = 0; j < 8; j++)
			put(e + NAME + j, 0x1122334400610062, 2 + j % 2);
		snprintf(name, sizeof(name), "name-%u", i);
		for (size_t j = 0; j < 16; j++)
			put(e + NAME + j, j <= strlen(name) ? (unsigned char)name[j] : 0xee, 1);
		put(e + NUMBER, 100 + i, 8);
		put(e + CRED, base + 6 * MIB + 64UL * i, 8);
		put(base + 6 * MIB + 64UL * i + 4, 1000 + i, 4);
		put(last, e + NODE, 8);
		last = e + NODE;
	}
	put(last, head, 8);
	return head;
}

static bool right(const struct vl_walked *got, uint64_t base, unsigned nr)
{
	if (got->nr != nr)
		return false;
	for (unsigned i = 0; i < nr; i++) {
		const struct record *r = &records[i];
		char name[16] = "";

		snprintf(name, sizeof(name), "name-%u", i);
		if (r->address != at(base, i) || r->number != 100 + i || r->uid != 1000 + i ||
		    memcmp(r->name, name, 16) || r->index)
			return false;
	}
	return true;
}

static void test_lists(uint64_t base, const char *what)
{
	uint64_t head = make_list(base, 100);
	struct vl_walk w = walk_of(VL_WALK_LIST, head);
	struct vl_walked got;

	w.nr_fields = 5;
	ok(!vl_walk(g.r, &g.s, &w, &got) && right(&got, base, 100), "%s: a list of 100", what);
	w.status = &status[0][0];
	memset(status, 0xee, sizeof(status));
	ok(!vl_walk(g.r, &g.s, &w, &got) && right(&got, base, 100) && !status[0][0] &&
		   !((uint8_t *)status)[499] && ((uint8_t *)status)[500] == 0xee,
	   "%s: with a status for each field", what);
	w.status = NULL;
	w.max = 100;
	ok(!vl_walk(g.r, &g.s, &w, &got) && got.nr == 100, "%s: just enough room", what);
	w.max = 99;
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_MORE && right(&got, base, 99),
	   "%s: one too many", what);
	w.max = 0;
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_MORE && !got.nr, "%s: no room at all", what);
	w.max = MAX;
	w.nr_fields = 0;
	w.records = NULL;
	ok(!vl_walk(g.r, &g.s, &w, &got) && got.nr == 100, "%s: counted", what);
	w.records = records;
	w.nr_fields = 5;
	/* The last one leads back into the list, and not to its head. */
	put(at(base, 99) + NODE, at(base, 41) + NODE, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_LOOP && got.nr >= 100 && got.nr < MAX,
	   "%s: a loop, found after %zu", what, got.nr);
	put(at(base, 99) + NODE, at(base, 99) + NODE, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_LOOP && got.nr >= 100,
	   "%s: a node that leads to itself", what);
	put(at(base, 50) + NODE, 0xdead000000000100, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_NONCANONICAL && right(&got, base, 51) &&
		   got.fault >> 16 == 0xdead00000000,
	   "%s: poison", what);
	put(at(base, 50) + NODE, at(base, 51) + NODE + 2, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_GARBAGE && right(&got, base, 51),
	   "%s: not aligned", what);
	put(at(base, 50) + NODE, 0, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_NULL && right(&got, base, 51), "%s: NULL", what);
	put(at(base, 50) + NODE, at(base, 51) + NODE, 8);
	put(at(base, 3) + CRED, 0, 8);
	put(at(base, 99) + NODE, head, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_NULL && right(&got, base, 3),
	   "%s: a field behind NULL ends it", what);
	put(at(base, 4) + CRED, 0x00ff000000000000, 8);
	w.status = &status[0][0];
	ok(!vl_walk(g.r, &g.s, &w, &got) && got.nr == 100 &&
		   ((uint8_t *)status)[3 * 5 + 4] == VL_READ_NULL && !records[3].uid &&
		   ((uint8_t *)status)[4 * 5 + 4] == VL_READ_NONCANONICAL && !records[4].uid &&
		   records[5].uid == 1005 && !((uint8_t *)status)[4 * 5 + 3],
	   "%s: or has its own status", what);
	put(head, head, 8);
	ok(!vl_walk(g.r, &g.s, &w, &got) && !got.nr, "%s: empty", what);
	w.with_head = true;
	w.nr_fields = 1;
	w.status = NULL;
	ok(!vl_walk(g.r, &g.s, &w, &got) && got.nr == 1 && records[0].address == head - NODE,
	   "%s: its head", what);
}

static void test_tables(uint64_t base, const char *what)
{
	uint64_t head = make_list(base, 10), table = base + 5 * MIB;
	struct vl_walk w = walk_of(VL_WALK_CHAIN, table);
	struct vl_walked got;
	bool good = true;

	(void)head;
	/* Chains of 3, 0, 1, 6. */
	put(at(base, 2) + NODE, 0, 8);
	put(at(base, 3) + NODE, 0, 8);
	put(at(base, 9) + NODE, 0, 8);
	put(table, at(base, 0) + NODE, 8);
	put(table + 24, 0, 8);
	put(table + 48, at(base, 3) + NODE, 8);
	put(table + 72, at(base, 4) + NODE, 8);
	w.nr_heads = 4;
	w.head_stride = 24;
	w.nr_fields = 5;
	good = !vl_walk(g.r, &g.s, &w, &got) && got.nr == 10;
	for (unsigned i = 0; i < 10; i++)
		good = good &&
		       records[i].index == (i < 3  ? 0 :
					    i == 3 ? 2 :
						     3) &&
		       records[i].number == 100 + i;
	ok(good, "%s: a hash table", what);
	put(at(base, 2) + NODE, 1, 8);
	put(at(base, 3) + NODE, 5, 8);
	put(at(base, 9) + NODE, 7, 8);
	put(table + 24, 3, 8);
	w.kind = VL_WALK_NULLS;
	ok(!vl_walk(g.r, &g.s, &w, &got) && got.nr == 10 && records[9].number == 109,
	   "%s: one with nulls", what);
	put(at(base, 9) + NODE, at(base, 5) + NODE, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_LOOP, "%s: a chain that loops", what);
}

/* ---- xarray ---- */

enum { XA_SHIFT = 0, XA_SLOTS = 40, XA_NODE = 40 + 64 * 8 };

static void test_xarray(uint64_t base, const char *what)
{
	uint64_t node = base + 4 * MIB, head = base + 5 * MIB;
	struct vl_walk w = walk_of(VL_WALK_XARRAY, head);
	struct vl_walked got;

	make_list(base, 10);
	for (unsigned i = 0; i < 8 * XA_NODE; i += 8)
		put(node + i, 0, 8);
	w.node = 0;
	w.nr_fields = 5;
	w.xa_shift = XA_SHIFT;
	w.xa_slots = XA_SLOTS;
	w.xa_nr_slots = 64;
	put(head, 0, 8);
	ok(!vl_walk(g.r, &g.s, &w, &got) && !got.nr, "%s: an empty xarray", what);
	put(head, at(base, 0), 8);
	ok(!vl_walk(g.r, &g.s, &w, &got) && got.nr == 1 && records[0].number == 100 &&
		   !records[0].index,
	   "%s: one entry", what);
	/* Two levels: node 0 (shift 6) has node 1 at 0, node 2 at 5; and what is passed over. */
	put(head, node + 2, 8);
	put(node + XA_SHIFT, 6, 1);
	put(node + XA_SLOTS, node + XA_NODE + 2, 8);
	put(node + XA_SLOTS + 8 * 5, node + 2 * XA_NODE + 2, 8);
	put(node + XA_SLOTS + 8 * 6, 0x15, 8);
	put(node + XA_NODE + XA_SLOTS + 8 * 3, at(base, 0), 8);
	put(node + XA_NODE + XA_SLOTS + 8 * 4, 0x402, 8);
	put(node + XA_NODE + XA_SLOTS + 8 * 63, at(base, 1), 8);
	put(node + 2 * XA_NODE + XA_SLOTS, at(base, 2), 8);
	ok(!vl_walk(g.r, &g.s, &w, &got) && got.nr == 3 && records[0].index == 3 &&
		   records[1].index == 63 && records[2].index == 320 && records[2].number == 102 &&
		   records[2].uid == 1002,
	   "%s: three entries in two levels", what);
	w.max = 2;
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_MORE && got.nr == 2, "%s: one too many", what);
	w.max = MAX;
	/* A node below itself; many that lead nowhere. */
	put(node + XA_SLOTS + 8 * 7, node + 2, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_GARBAGE && got.nr == 3, "%s: a loop", what);
	for (unsigned level = 0; level < 8; level++) {
		put(node + level * XA_NODE + XA_SHIFT, 60 - 6 * level, 1);
		for (unsigned i = 0; i < 64; i++)
			put(node + level * XA_NODE + XA_SLOTS + 8 * i,
			    level < 7 ? node + (level + 1) * XA_NODE + 2 : 0, 8);
	}
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_LOOP && !got.nr, "%s: a bomb", what);
	put(head, 0x00ff000000000002, 8);
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_NONCANONICAL, "%s: garbage", what);
}

/* ---- requests that make no sense ---- */

static void test_bad(void)
{
	struct vl_walk_field f = { VL_FIELD_BYTES, 0, 4, 0, { 0 } };
	struct vl_walk w = walk_of(VL_WALK_LIST, make_list(BIG, 3));
	struct vl_walked got;
	unsigned bad = 0;

	w.fields = &f;
	w.nr_fields = 1;
#define TRY(change, undo) \
	do { \
		change; \
		bad += vl_walk(g.r, &g.s, &w, &got) == VL_READ_BAD && !got.nr; \
		undo; \
	} while (0)
	TRY(w.kind = 9, w.kind = VL_WALK_LIST);
	TRY(f.kind = 9, f.kind = VL_FIELD_BYTES);
	TRY(f.derefs = 5, f.derefs = 0);
	TRY(f.size = 0, f.size = 4);
	TRY(f.size = 5000, f.size = 4);
	TRY(f.out = sizeof(struct record) - 3, f.out = 0);
	TRY(f.kind = VL_FIELD_ADDRESS, f.kind = VL_FIELD_BYTES);
	TRY(w.nr_fields = 33, w.nr_fields = 1);
	TRY(w.records = NULL, w.records = records);
	TRY(w.nr_heads = UINT32_MAX, w.nr_heads = 0);
	TRY(w.kind = VL_WALK_XARRAY, w.kind = VL_WALK_LIST);
#undef TRY
	ok(bad == 11, "senseless walks are refused: %u of 11", bad);
	w.head = 0xfffffffffffffffc;
	ok(vl_walk(g.r, &g.s, &w, &got) == VL_READ_WRAPS, "a head at the end of all addresses");
}

/* ---- random lists against a plain walk ---- */

static uint64_t seed = 88172645463325252;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t random_pointer(unsigned nr)
{
	static const uint64_t bases[] = { BIG, SMALL, MIXED };
	uint64_t x = random64();

	if (x % 64 == 0)
		return x >> 8;
	return bases[x % 3] + 8 * MIB + (x >> 8) % nr * 0xff8UL + NODE;
}

/* One field by the book. */
static bool plain_field(const struct vl_walk_field *f, uint64_t va, void *out)
{
	char *string = out;

	va += (uint64_t)(int64_t)f->offset[0];
	for (unsigned i = 0; i < f->derefs; i++) {
		if (!copy(va, &va, 8) || !va)
			return false;
		va += (uint64_t)(int64_t)f->offset[i + 1];
	}
	if (f->kind == VL_FIELD_ADDRESS) {
		memcpy(out, &va, 8);
		return true;
	}
	if (f->kind == VL_FIELD_BYTES)
		return copy(va, out, f->size);
	memset(out, 0, f->size);
	for (size_t i = 0; i < f->size; i++)
		if (!copy(va + i, string + i, 1))
			return false;
		else if (!string[i])
			break;
	return true;
}

static bool same_walk(struct vl_walk *w)
{
	static struct record plain[MAX];
	static bool fine[MAX][6];
	static uint64_t seen[MAX];
	struct vl_walked got;
	uint64_t node = 0;
	size_t nr = 0;

	memset(records, 0, sizeof(records));
	memset(plain, 0, sizeof(plain));
	vl_walk(g.r, &g.s, w, &got);
	if (!copy(w->head, &node, 8))
		return got.status && !got.nr;
	for (;; nr++) {
		bool loop = false;

		if (node == w->head)
			return !got.status && got.nr == nr &&
			       !memcmp(plain, records, sizeof(plain));
		for (size_t i = 0; i < nr; i++)
			loop = loop || seen[i] == node;
		/* Of a loop more may be collected, never less. */
		if (loop)
			return (got.status == VL_READ_LOOP && got.nr >= nr) ||
			       (got.status == VL_READ_MORE && got.nr == w->max);
		if (!node || node & 3)
			return got.status && got.nr == nr;
		seen[nr] = node;
		for (size_t i = 0; i < w->nr_fields; i++) {
			const struct vl_walk_field *f = &w->fields[i];
			unsigned char *out = (unsigned char *)&plain[nr] + f->out;

			fine[nr][i] = plain_field(f, node - NODE, out);
			if (!fine[nr][i])
				memset(out, 0, f->size);
			if (got.nr > nr && !w->status[nr * w->nr_fields + i] != fine[nr][i])
				return false;
		}
		if (got.nr > nr && memcmp(&plain[nr], &records[nr], sizeof(plain[nr])))
			return false;
		if (!copy(node, &node, 8))
			return got.status && got.nr >= nr && got.nr <= nr + 1;
	}
}

static void test_random(void)
{
	static const struct vl_walk_field random_fields[] = {
		{ VL_FIELD_ADDRESS, 0, 8, offsetof(struct record, address), { 0 } },
		{ VL_FIELD_BYTES, 2, 8, offsetof(struct record, index), { CRED, CRED, 0 } },
		{ VL_FIELD_BYTES, 0, 4, offsetof(struct record, number), { NUMBER } },
		{ VL_FIELD_STRING, 0, 16, offsetof(struct record, name), { NAME } },
		{ VL_FIELD_BYTES, 1, 4, offsetof(struct record, uid), { CRED, 4 } },
		{ VL_FIELD_BYTES, 1, 8, offsetof(struct record, next_number), { NODE, NUMBER } },
	};
	struct vl_walk w = walk_of(VL_WALK_LIST, 0);
	unsigned wrong = 0;

	w.fields = random_fields;
	w.status = &status[0][0];
	for (int i = 0; i < 1500; i++) {
		unsigned nr = 1 + (unsigned)(random64() % 200);

		for (unsigned j = 0; j < nr; j++) {
			uint64_t e = BIG + 8 * MIB + j * 0xff8UL;

			put(e + NODE, random_pointer(nr), 8);
			put(e + CRED, random_pointer(nr), 8);
			put(e + NUMBER, random64(), 8);
			put(e + NAME, random64(), 8);
			put(e + NAME + 8, random64() & ~0xff00UL, 8);
		}
		w.head = random_pointer(nr);
		if (w.head & 7)
			continue;
		wrong += !same_walk(&w);
	}
	ok(!wrong, "random lists: %u differ from a plain walk", wrong);
}

int main(void)
{
	for (int anonymous = 0; anonymous < 2; anonymous++) {
		setup(anonymous);
		test_lists(BIG, "2 MiB");
		test_lists(MIXED, "4 KiB");
		test_tables(BIG, "2 MiB");
		test_tables(MIXED, "4 KiB");
		test_xarray(BIG, "2 MiB");
		test_xarray(MIXED, "4 KiB");
		test_bad();
		test_random();
		teardown();
	}
	return tap_end();
}
