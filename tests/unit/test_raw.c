/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw reader with the direct engine, over page tables written by hand, in each
 * kind of memory: mapped, read by system calls, a dump. This process plays the
 * hypervisor.
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
#define LOW (8 * MIB)
#define HOLE 0xa0000UL
#define HOLE_END 0xc0000UL
#define HIGH 0x100000000UL
#define HIGH_SIZE (4 * MIB)

#define TABLE (X86_PTE_P | X86_PTE_RW | X86_PTE_US)
#define PAGE (X86_PTE_P | X86_PTE_RW)
#define LARGE (PAGE | X86_PTE_PS)

/* Where things are, guest-physical. */
#define ROOT4 0x1000UL
#define ROOT5 0x2000UL
#define KERNEL 0xffff888000000000UL /* all RAM in a row, by pages of 2 MiB */
#define HUGE 0xffffa00000000000UL   /* all RAM in a row, by pages of 1 GiB */
#define SMALL 0xffffc90000000000UL  /* by pages of 4 KiB, each as set_small() says */
#define USER 0x00007f0000000000UL

enum backing { MEMFD, NAMED, ANON, DUMP };
static const char *const backings[] = { "mapped", "a file with a name", "anonymous", "a dump" };

static struct {
	enum backing kind;
	struct vl_target t;
	unsigned char *low, *high;
	int fd;
	off_t at; /* of low in the file */
	uint64_t next_table;
	struct vl_reader *r;
	struct vl_space s4, s5;
} g;

static unsigned char *host(uint64_t gpa)
{
	return gpa >= HIGH ? g.high + (gpa - HIGH) : g.low + gpa;
}

static bool is_ram(uint64_t gpa)
{
	return gpa < HOLE || (gpa >= HOLE_END && gpa < LOW) ||
	       (gpa >= HIGH && gpa < HIGH + HIGH_SIZE);
}

static uint64_t *entry_at(uint64_t table, uint64_t va, int level)
{
	return (uint64_t *)host(table) + vl_pgtable_index(va, level);
}

/* The entry for @va of @level, with the tables above it made if need be. */
static uint64_t *entry(uint64_t root, int levels, uint64_t va, int level)
{
	for (int l = levels; l > level; l--) {
		uint64_t *e = entry_at(root, va, l);

		if (!(*e & X86_PTE_P)) {
			*e = g.next_table | TABLE;
			g.next_table += 0x1000;
		}
		root = *e & X86_PTE_ADDR;
	}
	return entry_at(root, va, level);
}

static void set_small(unsigned page, uint64_t leaf)
{
	*entry(ROOT4, 4, SMALL + 0x1000UL * page, 1) = leaf;
}

static void add(uint64_t gpa, uint64_t size)
{
	struct vl_ram r = { gpa, size, (uintptr_t)host(gpa), -1, 0, 4096 };

	if (g.kind != ANON) {
		r.fd = g.fd;
		r.fd_offset = (uint64_t)g.at + (gpa >= HIGH ? LOW + gpa - HIGH : gpa);
	}
	if (g.kind == DUMP)
		r.hva = 0;
	vl_error_destroy(vl_ram_add(&g.t, &r));
}

static void make_tables(void)
{
	g.next_table = 0x10000;
	for (uint64_t at = 0; at < 4UL << 30; at += 2 * MIB)
		if (is_ram(at))
			*entry(ROOT4, 4, KERNEL + at, 2) = at | LARGE;
	for (uint64_t at = HIGH; at < HIGH + HIGH_SIZE; at += 2 * MIB)
		*entry(ROOT4, 4, KERNEL + at, 2) = at | LARGE;
	for (uint64_t at = 0; at < 8; at++)
		*entry(ROOT4, 4, HUGE + (at << 30), 3) = at << 30 | LARGE;
	set_small(0, 0x200000 | PAGE);
	set_small(1, 0x203000 | PAGE | X86_PTE_NX);
	set_small(2, 0x201000);		      /* not present */
	set_small(3, HOLE | PAGE);	      /* not RAM */
	set_small(4, 0x7f00000000000 | PAGE); /* far from any RAM */
	set_small(5, HIGH + 0x1000 + PAGE);
	set_small(6, 0x205000 | PAGE);
	set_small(7, 0x206000 | PAGE);
	/* A table that is not RAM; reserved bits; a page in the top level. */
	*entry(ROOT4, 4, SMALL + (1UL << 21), 2) = HOLE | TABLE;
	*entry(ROOT4, 4, SMALL + (2UL << 21), 2) = 0x206000 | LARGE;
	*entry(ROOT4, 4, SMALL + (1UL << 30), 3) = 0x200000 | LARGE;
	*entry(ROOT4, 4, SMALL + (1UL << 39), 4) = 0x200000 | LARGE;
	*entry(ROOT4, 4, USER, 1) = 0x204000 | PAGE | X86_PTE_US;
	/* 2 MiB with the PAT bit, which is no address. */
	*entry(ROOT4, 4, SMALL + (3UL << 21), 2) = 0x400000 | LARGE | (1UL << 12);
	/* 5 levels: the whole of the 4-level table, and a page at its own end. */
	*entry(ROOT5, 5, 0xff11000000000000, 5) = ROOT4 | TABLE;
	*entry(ROOT5, 5, 0, 5) = ROOT4 | TABLE;
	*entry(ROOT5, 5, 0xffff000000000000, 5) = ROOT4 | TABLE;
	*entry(ROOT5, 5, 0xff22000000000000, 5) = 0x200000 | LARGE;
}

static void fill(void)
{
	/* What no table is in says where it is. */
	for (uint64_t at = 2 * MIB; at < LOW; at += 8)
		memcpy(host(at), &at, 8);
	for (uint64_t at = HIGH; at < HIGH + HIGH_SIZE; at += 8)
		memcpy(host(at), &at, 8);
}

static char path[64];

static void make_memory(void)
{
	int flags = MAP_SHARED;

	if (g.kind == MEMFD) {
		g.fd = memfd_create("ram", MFD_ALLOW_SEALING);
	} else if (g.kind == NAMED) {
		strcpy(path, "/tmp/test_raw.XXXXXX");
		g.fd = mkstemp(path);
	} else {
		flags = MAP_PRIVATE | MAP_ANONYMOUS;
	}
	if (g.fd >= 0 && ftruncate(g.fd, LOW + HIGH_SIZE) < 0)
		exit(99);
	if (g.kind == MEMFD)
		fcntl(g.fd, F_ADD_SEALS, F_SEAL_SHRINK);
	g.low = mmap(NULL, LOW + HIGH_SIZE, PROT_READ | PROT_WRITE, flags, g.fd, 0);
	if (g.low == MAP_FAILED)
		exit(99);
	g.high = g.low + LOW;
}

/* The memory as it is now; at an offset that no mapping could have. */
static void make_dump(void)
{
	strcpy(path, "/tmp/test_raw.XXXXXX");
	g.fd = mkstemp(path);
	g.at = 0x1238;
	if (g.fd < 0 || pwrite(g.fd, g.low, LOW + HIGH_SIZE, g.at) != LOW + HIGH_SIZE)
		exit(99);
}

static void setup(enum backing kind)
{
	struct vl_error *err;

	memset(&g, 0, sizeof(g));
	g.kind = kind;
	g.fd = -1;
	path[0] = 0;
	make_memory();
	fill();
	make_tables();
	if (kind == DUMP)
		make_dump();
	g.t.pid = kind == DUMP ? 0 : getpid();
	g.t.pidfd = g.t.proc_mem = g.t.lock_fd = -1;
	add(0, HOLE);
	add(HOLE_END, LOW - HOLE_END);
	add(HIGH, HIGH_SIZE);
	vl_error_destroy(vl_ram_finish(&g.t));
	err = vl_reader_open(&g.t, NULL, &(struct vl_reader_options){ "direct" }, &g.r);
	ok(!err, "%s: the direct engine opens", backings[kind]);
	if (err)
		exit(1);
	g.s4 = vl_space_of(ROOT4 | 0x123, 0);
	g.s5 = vl_space_of(ROOT5, X86_CR4_LA57);
}

static void teardown(void)
{
	vl_reader_close(g.r);
	vl_ram_deinit(&g.t);
	/* The test is nobody's guest: that the module has nothing of it is what it says. */
	vl_error_destroy(g.t.no_kmod);
	munmap(g.low, LOW + HIGH_SIZE);
	if (g.fd >= 0)
		close(g.fd);
	if (path[0])
		unlink(path);
}

/* ---- reads ---- */

static void reads(const struct vl_space *s, uint64_t va, uint64_t gpa, const char *what)
{
	uint64_t v = 0, at = 0;

	ok(!vl_read_u64(g.r, s, va, &v) && v == gpa, "%s", what);
	if (vl_reader_where(g.r, s, va, &at, NULL) || at != gpa)
		ok(false, "%s: where it is", what);
}

static void fails(const struct vl_space *s, uint64_t va, size_t len, enum vl_read_status st,
		  uint64_t fault, const char *what)
{
	unsigned char buf[64];
	enum vl_read_status got;
	size_t n = len < sizeof(buf) ? len : sizeof(buf);
	struct vl_error *err;
	bool zero = true;

	memset(buf, 0xee, sizeof(buf));
	got = vl_read(g.r, s, va, len <= sizeof(buf) || len > VL_READ_MAX ? buf : NULL, len);
	for (size_t i = 0; i < n && len <= sizeof(buf); i++)
		zero = zero && !buf[i];
	ok(got == st && zero && vl_reader_fault(g.r) == fault, "%s: %s", what,
	   vl_read_strstatus(got));
	err = vl_read_error(got, va);
	if (!err)
		ok(false, "%s: an error", what);
	vl_error_destroy(err);
}

static void test_reads(void)
{
	static unsigned char buf[3 * MIB];
	uint64_t v, size;
	uint32_t v4;
	uint16_t v2;
	uint8_t v1;
	bool good;

	reads(&g.s4, KERNEL + 0x200008, 0x200008, "a 2 MiB page");
	reads(&g.s4, KERNEL + HIGH + 0x1008, HIGH + 0x1008, "above 4 GiB");
	reads(&g.s4, HUGE + 0x312340, 0x312340, "a 1 GiB page");
	reads(&g.s4, HUGE + HIGH + 0x312340, HIGH + 0x312340, "another 1 GiB page");
	reads(&g.s4, SMALL + 0x10, 0x200010, "a 4 KiB page");
	reads(&g.s4, SMALL + 0x5010, HIGH + 0x1010, "one that lies high");
	reads(&g.s4, SMALL + (3UL << 21) + 0x1008, 0x401008, "2 MiB with the PAT bit");
	reads(&g.s4, USER + 8, 0x204008, "the lower half");
	reads(&g.s5, 0xff11000000000000 | (KERNEL & 0xffffffffffff), 0x0, "5 levels");
	reads(&g.s5, SMALL + 0x10, 0x200010, "5 levels, the topmost entry");
	fails(&g.s4, SMALL + 0x2008, 8, VL_READ_NOT_PRESENT, SMALL + 0x2008, "not present");
	fails(&g.s4, SMALL + 0x3008, 8, VL_READ_NO_RAM, SMALL + 0x3008, "a hole");
	fails(&g.s4, SMALL + 0x4008, 8, VL_READ_NO_RAM, SMALL + 0x4008, "beyond all RAM");
	fails(&g.s4, HUGE + LOW, 8, VL_READ_NO_RAM, HUGE + LOW, "a page with an end of RAM in it");
	fails(&g.s4, SMALL + (1UL << 21), 4, VL_READ_NO_RAM, SMALL + (1UL << 21),
	      "a table in a hole");
	fails(&g.s4, SMALL + (2UL << 21), 4, VL_READ_RESERVED, SMALL + (2UL << 21),
	      "reserved bits, 2 MiB");
	fails(&g.s4, SMALL + (1UL << 30), 4, VL_READ_RESERVED, SMALL + (1UL << 30),
	      "reserved bits, 1 GiB");
	fails(&g.s4, SMALL + (1UL << 39), 4, VL_READ_RESERVED, SMALL + (1UL << 39),
	      "a page of 512 GiB");
	fails(&g.s5, 0xff22000000000000, 4, VL_READ_RESERVED, 0xff22000000000000,
	      "a page of 256 TiB");
	fails(&g.s4, 0x0000800000000000, 4, VL_READ_NONCANONICAL, 0x0000800000000000,
	      "not canonical, 4 levels");
	fails(&g.s4, 0xff11888000000000, 4, VL_READ_NONCANONICAL, 0xff11888000000000,
	      "canonical with 5 levels only");
	fails(&g.s5, 0x0100000000000000, 4, VL_READ_NONCANONICAL, 0x0100000000000000,
	      "not canonical, 5 levels");
	fails(&g.s4, 0xfffffffffffffff0, 64, VL_READ_WRAPS, 0xfffffffffffffff0, "wraps");
	fails(&g.s4, KERNEL, VL_READ_MAX + 1, VL_READ_TOO_LONG, KERNEL, "too long");
	fails(&(struct vl_space){ ROOT4, 3 }, KERNEL, 4, VL_READ_BAD, KERNEL, "3 levels");
	fails(&(struct vl_space){ HOLE, 4 }, KERNEL, 4, VL_READ_NO_RAM, KERNEL, "a root in a hole");
	fails(&(struct vl_space){ 0, 0 }, KERNEL, 4, VL_READ_BAD, KERNEL, "no space");
	fails(&g.s4, SMALL + 0x1ff8, 16, VL_READ_NOT_PRESENT, SMALL + 0x2000,
	      "the second page is missing");
	ok(!vl_read(g.r, &g.s4, 0x0000800000000000, buf, 0), "nothing of anything");

	ok(!vl_read(g.r, &g.s4, SMALL + 0xff8, buf, 16) && !memcmp(buf, host(0x200ff8), 8) &&
		   !memcmp(buf + 8, host(0x203000), 8),
	   "two pages that are not side by side");
	ok(!vl_read_u64(g.r, &g.s4, SMALL + 0xffc, &v) && !memcmp(&v, host(0x200ffc), 4) &&
		   !memcmp((char *)&v + 4, host(0x203000), 4),
	   "a word across them");
	ok(!vl_read_u32(g.r, &g.s4, SMALL + 1, &v4) && !memcmp(&v4, host(0x200001), 4) &&
		   !vl_read_u16(g.r, &g.s4, SMALL + 1, &v2) && !memcmp(&v2, host(0x200001), 2) &&
		   !vl_read_u8(g.r, &g.s4, SMALL + 1, &v1) && v1 == *host(0x200001),
	   "smaller words");
	good = true;
	for (size_t len = 1; len < 9000; len += len < 80 ? 1 : 997)
		good = good && !vl_read(g.r, &g.s4, KERNEL + 0x2ff123, buf, len) &&
		       !memcmp(buf, host(0x2ff123), len);
	ok(good, "every length");
	ok(!vl_read(g.r, &g.s4, KERNEL + 2 * MIB + 5, buf, 3 * MIB) &&
		   !memcmp(buf, host(2 * MIB + 5), 3 * MIB),
	   "3 MiB");
	ok(!vl_reader_where(g.r, &g.s4, HUGE, NULL, &size) && size == 1UL << 30 &&
		   !vl_reader_where(g.r, &g.s4, KERNEL, NULL, &size) && size == 2 * MIB &&
		   !vl_reader_where(g.r, &g.s4, SMALL, NULL, &size) && size == 4096,
	   "the size of a page");
}

/* What was read once is not what is there now. */
static void test_changes(void)
{
	uint64_t v;

	if (g.kind == DUMP)
		return;
	set_small(0, 0x201000 | PAGE);
	reads(&g.s4, SMALL + 0x10, 0x201010, "a page that was mapped elsewhere");
	set_small(0, 0);
	ok(vl_read_u64(g.r, &g.s4, SMALL, &v) == VL_READ_NOT_PRESENT, "one that was unmapped");
	set_small(0, 0x200000 | PAGE);
	memset(host(0x200010), 0x77, 8);
	ok(!vl_read_u64(g.r, &g.s4, SMALL + 0x10, &v) && v == 0x7777777777777777, "new bytes");
	v = 0x200010;
	memcpy(host(0x200010), &v, 8);
}

static void test_strings(void)
{
	char buf[64];

	memcpy(host(0x200ff8), "12345678", 8);
	memcpy(host(0x203000), "rest\0", 5);
	memcpy(host(0x203ff0), "ends here\0aaaaa", 15);
	memcpy(host(0x203ff8), "abcdefgh", 8);
	if (g.kind == DUMP)
		return; /* it was written before */
	ok(!vl_read_string(g.r, &g.s4, SMALL + 0xff8, buf, sizeof(buf)) &&
		   !strcmp(buf, "12345678rest"),
	   "a string over two pages");
	ok(vl_read_string(g.r, &g.s4, SMALL + 0xff8, buf, 5) == VL_READ_UNENDED &&
		   !strcmp(buf, "1234"),
	   "its first bytes");
	ok(!vl_read_string(g.r, &g.s4, SMALL + 0xff8, buf, 13), "its bytes and the NUL");
	ok(vl_read_string(g.r, &g.s4, SMALL + 0x1ff8, buf, sizeof(buf)) == VL_READ_NOT_PRESENT &&
		   !buf[0] && vl_reader_fault(g.r) == SMALL + 0x2000,
	   "a string that runs into a hole");
	memcpy(host(0x203ff8), "abcdefg\0", 8);
	ok(!vl_read_string(g.r, &g.s4, SMALL + 0x1ff8, buf, sizeof(buf)) && !strcmp(buf, "abcdefg"),
	   "one that ends before it");
	ok(vl_read_string(g.r, &g.s4, SMALL, buf, 0) == VL_READ_BAD, "no room");
	for (uint64_t at = 0x200ff8; at < 0x201000; at += 8)
		memcpy(host(at), &at, 8);
}

static void test_gather(void)
{
	enum { NR = 300 };
	static uint64_t v[NR];
	static struct vl_get items[NR];
	size_t bad;
	bool good = true;

	for (unsigned i = 0; i < NR; i++) {
		v[i] = ~0UL;
		items[i] = (struct vl_get){ KERNEL + 0x300000 + 0x1238UL * i, &v[i], 8, 99 };
	}
	items[7].va = SMALL + 0x2000;
	items[8].va = 0x1000000000000000;
	items[9].len = 0;
	items[10].va = SMALL + 0x3000;
	items[11].va = SMALL + 0x1ffc;
	items[12].va = SMALL + 0xffc;
	items[13].va = ~3UL;
	bad = vl_gather(g.r, &g.s4, items, NR);
	for (unsigned i = 14; i < NR; i++)
		good = good && !items[i].status && v[i] == 0x300000 + 0x1238UL * i;
	ok(good, "gather: those that are there");
	ok(bad == 5 && items[7].status == VL_READ_NOT_PRESENT && !v[7] &&
		   items[8].status == VL_READ_NONCANONICAL && items[9].status == VL_READ_OK &&
		   items[10].status == VL_READ_NO_RAM && items[11].status == VL_READ_NOT_PRESENT &&
		   !v[11] && !items[12].status && items[13].status == VL_READ_WRAPS,
	   "gather: each has its own status");
	ok(!vl_gather(g.r, &g.s4, items, 0), "gather: nothing");
}

/* ---- watch ---- */

static void test_watch(void)
{
	uint64_t v, n;

	ok(!vl_watch(g.r, &g.s4, KERNEL + 0x300000, 8, 0x300000, 1000, &v, &n) && v == 0x300000 &&
		   n == 1000,
	   "watch: nothing changes");
	ok(!vl_watch(g.r, &g.s4, KERNEL + 0x300000, 4, 5, 1000, &v, &n) && v == 0x300000 && n == 1,
	   "watch: it is another value");
	ok(vl_watch(g.r, &g.s4, SMALL + 0x2000, 8, 5, 1000, &v, &n) == VL_READ_NOT_PRESENT && !v,
	   "watch: not present");
	ok(vl_watch(g.r, &g.s4, KERNEL, 3, 5, 1000, &v, &n) == VL_READ_BAD, "watch: of 3 bytes");
}

/* ---- oracle: any table, any address, against the other walk ---- */

static uint64_t seed = 88172645463325252;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static bool read_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	(void)ctx;
	if (!is_ram(gpa))
		return false;
	memcpy(ret, host(gpa), 8);
	return true;
}

#define FUZZ 0x600000UL
#define FUZZ_PAGES 16

static void test_fuzz(void)
{
	unsigned good = 0, bad = 0, wrong = 0;

	/* Pages of entries that lead to each other, to data, or nowhere. */
	for (uint64_t at = FUZZ; at < FUZZ + 0x1000 * FUZZ_PAGES; at += 8) {
		uint64_t x = random64(), e = FUZZ + 0x1000 * (x % FUZZ_PAGES);

		x >>= 8;
		e |= x % 16 ? X86_PTE_P : 0;
		x >>= 8;
		if (x % 8 == 0)
			e = (x >> 8 & (X86_PTE_ADDR & ~(2 * MIB - 1))) | LARGE;
		else if (x % 8 == 1)
			e = ((x >> 8) % 4 * 2 * MIB) | LARGE;
		else if (x % 64 == 2)
			e = x;
		memcpy(host(at), &e, 8);
	}
	for (int i = 0; i < 20000; i++) {
		struct vl_space s = { FUZZ + 0x1000 * (random64() % FUZZ_PAGES), 4 + i % 2 };
		uint64_t va = (uint64_t)((int64_t)(random64() << (s.levels == 5 ? 7 : 16)) >>
					 (s.levels == 5 ? 7 : 16)) &
			      ~7UL;
		struct vl_pgtable pt = { s.root, s.levels };
		enum vl_read_status st;
		uint64_t v, expect = 0;
		struct vl_xlat x = { 0 };
		bool there = vl_translate(&pt, read_entry, NULL, va, &x) && is_ram(x.gpa);

		if (there)
			memcpy(&expect, host(x.gpa), 8);
		st = vl_read_u64(g.r, &s, va, &v);
		/* The other walk does not look at reserved bits. */
		if (st == VL_READ_RESERVED)
			continue;
		wrong += there ? st || v != expect : !st;
		good += there;
		bad += !there;
	}
	ok(!wrong && good > 500 && bad > 500, "random tables: %u read, %u not, %u wrong", good, bad,
	   wrong);
}

/* The file is cut short under us: no signal, an error. */
static void test_cut(void)
{
	uint64_t v;

	if (ftruncate(g.fd, 5 * MIB) < 0)
		exit(99);
	ok(vl_read_u64(g.r, &g.s4, KERNEL + 7 * MIB, &v) == VL_READ_GONE && !v,
	   "memory that was cut short");
	ok(!vl_read_u64(g.r, &g.s4, KERNEL + 4 * MIB, &v) && v == 4 * MIB, "what is left of it");
}

int main(void)
{
	for (enum backing b = MEMFD; b <= DUMP; b++) {
		setup(b);
		test_reads();
		test_gather();
		test_watch();
		test_changes();
		test_strings();
		if (b != DUMP)
			test_fuzz();
		if (b == NAMED || b == DUMP)
			test_cut();
		teardown();
	}
	return tap_end();
}
