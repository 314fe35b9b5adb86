/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine and its agent over a guest made by hand: a dump with a few pages
 * of page tables in it. All answers are compared with the direct engine's. Without
 * a KVM that can be used only the page itself is looked at.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "imee/kvm.h"
#include "imee/reader.h"
#include "tap.h"

#define RAM_SIZE (16UL << 20)
#define HIGH_GPA 0x100000000UL /* a second range */
#define HIGH_SIZE (2UL << 20)
#define FILE_RAM 4096UL /* where the RAM is in the file */

/* Guest-virtual addresses. */
#define DIRECT_MAP 0xffff888000000000UL /* pages of 2 MiB: all of the RAM, and one more */
#define GIANT 0xffff888800000000UL	/* one page of 1 GiB, of which 16 MiB are RAM */
#define HIGH_MAP 0xffff888100000000UL	/* a page of 2 MiB over the second range */
#define SMALL 0xffffc90000000000UL	/* 512 pages of 4 KiB, see make_small() */
#define TEXT 0xffffffff81000000UL	/* a page of 2 MiB, executable */
#define USER 0x400000UL

/* Guest-physical addresses. */
#define TEXT_GPA 0x400000UL
#define DATA_GPA 0x800000UL

static char path[] = "/tmp/vlens-agent-XXXXXX";
static unsigned char *ram, *high;
static uint64_t next_table;

static uint64_t *entry(uint64_t root, uint64_t va, int from, int to)
{
	uint64_t *table = (uint64_t *)(ram + root);

	for (int level = from; level > to; level--) {
		uint64_t *e = &table[vl_pgtable_index(va, level)];

		if (!*e) {
			*e = next_table | X86_PTE_P | X86_PTE_RW | X86_PTE_US | X86_PTE_A;
			next_table += VL_PAGE_SIZE;
		}
		table = (uint64_t *)(ram + (*e & X86_PTE_ADDR));
	}
	return &table[vl_pgtable_index(va, to)];
}

#define LEAF (X86_PTE_P | X86_PTE_A | X86_PTE_D)

static void make_small(uint64_t root, int levels)
{
	for (unsigned i = 0; i < 512; i++) {
		uint64_t gpa = DATA_GPA + (uint64_t)(i * 37 % 512) * VL_PAGE_SIZE;
		uint64_t e = gpa | LEAF | X86_PTE_NX;

		switch (i % 16) {
		case 1: /* not present */
			e = 0xdead000;
			break;
		case 2: /* never used: the processor would set its accessed bit */
			e &= ~(X86_PTE_A | X86_PTE_D);
			break;
		case 3: /* a hole behind the RAM */
			e = (RAM_SIZE + gpa) | LEAF;
			break;
		case 4: /* writable, of user mode */
			e |= X86_PTE_RW | X86_PTE_US;
			break;
		case 5: /* the second range */
			e = (HIGH_GPA + (i * VL_PAGE_SIZE) % HIGH_SIZE) | LEAF;
			break;
		}
		*entry(root, SMALL + i * VL_PAGE_SIZE, levels, 1) = e;
	}
}

/* The tables of one root; returns it. */
static uint64_t make_root(int levels)
{
	uint64_t root = next_table;

	next_table += VL_PAGE_SIZE;
	for (uint64_t at = 0; at <= RAM_SIZE; at += 2 << 20)
		*entry(root, DIRECT_MAP + at, levels, 2) =
			at | LEAF | X86_PTE_PS | X86_PTE_RW | X86_PTE_NX;
	*entry(root, GIANT, levels, 3) = LEAF | X86_PTE_PS | X86_PTE_RW | X86_PTE_NX;
	*entry(root, HIGH_MAP, levels, 2) = HIGH_GPA | LEAF | X86_PTE_PS | X86_PTE_NX;
	*entry(root, TEXT, levels, 2) = TEXT_GPA | LEAF | X86_PTE_PS;
	*entry(root, USER, levels, 1) = DATA_GPA | LEAF | X86_PTE_US;
	/* The next page lies outside of RAM. */
	*entry(root, USER + 4096, levels, 1) = (RAM_SIZE + 4096) | LEAF | X86_PTE_US;
	make_small(root, levels);
	return root;
}

static uint64_t prng = 88172645463325252;
static uint64_t random_u64(void)
{
	prng ^= prng << 13;
	prng ^= prng >> 7;
	prng ^= prng << 17;
	return prng;
}

/* An ELF core of two segments, whose memory is on page boundaries in the file. */
static bool make_dump(void)
{
	Elf64_Ehdr eh = { .e_ident = ELFMAG,
			  .e_type = ET_CORE,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 3 };
	unsigned char note[20 + 440] = { 4, 0, 0, 0, 440 & 0xff, 440 >> 8 };
	Elf64_Phdr ph[3] = {
		{ .p_type = PT_NOTE, .p_offset = 1024, .p_filesz = sizeof(note) },
		{ .p_type = PT_LOAD,
		  .p_offset = FILE_RAM,
		  .p_filesz = RAM_SIZE,
		  .p_memsz = RAM_SIZE },
		{ .p_type = PT_LOAD,
		  .p_offset = FILE_RAM + RAM_SIZE,
		  .p_paddr = HIGH_GPA,
		  .p_filesz = HIGH_SIZE,
		  .p_memsz = HIGH_SIZE },
	};
	int fd = mkstemp(path);
	unsigned char *all;

	if (fd < 0 || ftruncate(fd, FILE_RAM + RAM_SIZE + HIGH_SIZE))
		return false;
	all = mmap(NULL, FILE_RAM + RAM_SIZE + HIGH_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   0);
	close(fd);
	if (all == MAP_FAILED)
		return false;
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	/* Name "QEMU", padded; of the registers only version and size are looked at. */
	note[0] = 5;
	memcpy(note + 12, "QEMU", 5);
	note[20] = 1;
	note[24] = 440 & 0xff;
	note[25] = 440 >> 8;
	memcpy(all, &eh, sizeof(eh));
	memcpy(all + sizeof(eh), ph, sizeof(ph));
	memcpy(all + 1024, note, sizeof(note));
	ram = all + FILE_RAM;
	high = ram + RAM_SIZE;
	return true;
}

static struct vl_reader *direct, *kvm;
static struct vl_space space;

static struct vl_target *target;

/* What the test itself changed in the dump: the direct engine reads each page once. */
static void changed(void)
{
	struct vl_reader_options how = { "direct" };

	vl_reader_close(direct);
	vl_error_destroy(vl_reader_open(target, NULL, &how, &direct));
}

static struct vl_kvm_stats stats(void)
{
	struct vl_kvm_stats ret;

	vl_kvm_stats(kvm->engine, &ret);
	return ret;
}

static unsigned compared, different;

static void same(uint64_t va, size_t len)
{
	static unsigned char a[4 << 20], b[4 << 20];
	enum vl_read_status sa = vl_read(direct, &space, va, a, len);
	enum vl_read_status sb = vl_read(kvm, &space, va, b, len);
	uint64_t fa = vl_reader_fault(direct), fb = vl_reader_fault(kvm);

	compared++;
	if (sa == sb && !memcmp(a, b, len) && (!sa || fa == fb))
		return;
	if (different++ < 10)
		printf("# 0x%lx %zu: %s at 0x%lx, not %s at 0x%lx\n", (unsigned long)va, len,
		       vl_read_strstatus(sb), (unsigned long)fb, vl_read_strstatus(sa),
		       (unsigned long)fa);
}

static void test_reads(const char *what)
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

static void test_overlay(void)
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

static void test_strings(void)
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

static void test_gather(void)
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

static void put64(uint64_t gpa, uint64_t v)
{
	memcpy(ram + gpa, &v, sizeof(v));
}

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

static void test_walks(void)
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

static void test_xarray(void)
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

static void test_watch(void)
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

/* What the guest does to its tables is seen at once. */
static void test_changes(uint64_t root, int levels)
{
	uint64_t *e = entry(root, SMALL + 600 * VL_PAGE_SIZE, levels, 1), word, other;
	unsigned good = 0;

	for (unsigned i = 0; i < 50; i++) {
		memcpy(&other, ram + DATA_GPA + i * VL_PAGE_SIZE + 8, sizeof(other));
		*(volatile uint64_t *)e = (DATA_GPA + i * VL_PAGE_SIZE) | LEAF;
		good += !vl_read_u64(kvm, &space, SMALL + 600 * VL_PAGE_SIZE + 8, &word) &&
			word == other;
	}
	*e = 0;
	ok(good == 50, "a page that moves: %u of 50 reads follow", good);
}

/* The agent's code becomes a loop: the request is ended, and served without the vCPU. */
static void test_hang(void)
{
	struct vl_kvm *k = (struct vl_kvm *)kvm->engine;
	unsigned char *code = (unsigned char *)k->page;
	const int32_t back = -AGENT_VARS;

	memset(code, 0x90, AGENT_VARS - 5);
	code[AGENT_VARS - 5] = 0xe9;
	memcpy(code + AGENT_VARS - 4, &back, sizeof(back));
	atomic_store(&k->limit_ms, 200);
	different = 0;
	same(TEXT, 8);
	ok(!different && atomic_load(&k->broken), "an agent that loops is ended");
	same(TEXT, 8);
	ok(!different, "and reads go on without it");
}

/*
 * Can an immersive vCPU have 5 levels here? Some KVMs offer them and do not walk them: then the
 * engine does not open for a guest of 5 levels, and says so.
 */
static bool has_five(uint64_t root, char why[VL_RAW_WHY])
{
	struct vl_attach attach = { .target = target, .entry = TEXT + 0x3000, .pt = { root, 5 } };
	struct vl_reader_options o = { "kvm" };
	struct vl_reader *five = NULL;
	struct vl_error *err = vl_reader_open(target, &attach, &o, &five);
	bool known = !err || strstr(err->message, "does not walk 5 levels") ||
		     strstr(err->message, "no page tables of 5 levels") ||
		     strstr(err->message, "this host's processor has 4");

	snprintf(why, VL_RAW_WHY, "%s", err ? err->message : "");
	ok(known, "a guest of 5 levels: %s", err ? why : "served");
	vl_error_destroy(err);
	vl_reader_close(five);
	return five;
}

/* @mirrored: also where the processor could walk the guest's own tables. */
static void test_machine(bool mirrored)
{
	struct vl_error *err;
	struct vl_target_options options = { 0 };
	struct vl_reader_options d = { "direct" }, k = { "kvm" };
	uint64_t four, five, empty;
	struct vl_attach attach = { 0 };
	struct vl_kvm *machine;
	char why[VL_RAW_WHY];

	memset(ram, 0, RAM_SIZE);
	next_table = 0x10000;
	four = make_root(4);
	five = make_root(5);
	empty = next_table;
	next_table += VL_PAGE_SIZE;
	for (uint64_t at = TEXT_GPA; at < RAM_SIZE; at += 8)
		put64(at, random_u64());
	for (uint64_t at = 0; at < HIGH_SIZE; at += 8)
		memcpy(high + at, &at, sizeof(at));
	err = vl_target_open(path, &options, &target);
	if (!ok(!err, "the dump opens: %s", err ? err->message : "well"))
		return;
	if (!vl_raw_kvm.rank(target, NULL, why)) {
		ok(true, "# SKIP %s", why);
		vl_target_close(target);
		return;
	}
	err = vl_reader_open(target, NULL, &d, &direct);
	ok(!err, "the direct engine opens");
	attach.target = target;
	attach.entry = TEXT + 0x3000;
	attach.pt = (struct vl_pgtable){ four, 4 };
	err = vl_reader_open(target, &attach, &k, &kvm);
	if (err) {
		/* Only for what the host cannot do. */
		ok(strstr(err->message, "does not run here"), "# SKIP %s", err->message);
		return;
	}
	machine = (struct vl_kvm *)kvm->engine;
	space = (struct vl_space){ four, 4 };
	if (mirrored)
		vl_error_destroy(vl_kvm_mirror(kvm->engine));
	test_reads("4 levels");
	test_overlay();
	test_strings();
	test_gather();
	test_walks();
	test_xarray();
	test_watch();
	/* In a dump the mirror does not look for changes: see test_mirror.c. */
	if (!machine->mirror)
		test_changes(four, 4);
	/* A root without a place for the agent, then a good one again. */
	space.root = empty;
	same(USER, 8);
	space.root = RAM_SIZE * 2;
	same(USER, 8);
	space.root = four;
	different = 0;
	same(TEXT, 8);
	ok(!different, "after roots that are none a good one is read again");
	if (has_five(five, why)) {
		space = (struct vl_space){ five, 5 };
		test_reads("5 levels");
		ok(!different, "5 levels");
	} else {
		ok(true, "# SKIP 5 levels: %s", why);
	}
	space = (struct vl_space){ four, 4 };
	err = vl_kvm_poll(kvm->engine, 100000);
	ok(!err, "poll mode");
	test_reads("polled");
	test_overlay();
	test_hang();
	vl_reader_close(kvm);
	vl_reader_close(direct);
	vl_target_close(target);
}

int main(void)
{
	uint32_t fault = vl_agent_fault;

	ok(fault && fault < AGENT_VARS, "faults are handled within the code");
	ok(vl_agent_page[AGENT_VARS - 1] == 0xcc, "the code has room");
	if (ok(make_dump(), "a guest is made"))
		for (int mirrored = 0; mirrored < 2; mirrored++)
			test_machine(mirrored);
	unlink(path);
	return tap_end();
}
