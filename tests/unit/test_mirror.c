/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mirror of page tables (src/imee/mirror.h) over tables made by hand, in memory that
 * changes. This program plays the processor, which walks the mirror and sets flags in
 * it; and, where there is a KVM, the guest that changes its tables under a vCPU.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "imee/kvm.h"
#include "imee/reader.h"
#include "tap.h"
#undef VL_PAGE_SIZE
#include "base/array.h"
#include "host/internal.h"

#define MIB 0x100000UL
#define RAM_SIZE (80 * MIB)
#define TABLE (X86_PTE_P | X86_PTE_RW | X86_PTE_US | X86_PTE_A)
#define PAGE (X86_PTE_P | X86_PTE_RW | X86_PTE_NX | X86_PTE_A)
#define MIRROR_AT 0x4000000000UL

/* Guest-virtual addresses; TEXT_GPA, PAGES and SPACE are guest-physical. */
#define KERNEL 0xffff888000000000UL /* all RAM in a row, by pages of 2 MiB */
#define SMALL 0xffffc90000000000UL  /* by pages of 4 KiB */
#define WINDOW 0xffffd00000000000UL /* one page, which the guest maps anew */
#define TEXT 0xffffffff81000000UL   /* executable */
#define TEXT_GPA 0x400000UL
#define PAGES 0x1000000UL /* the pages that the window shows in turn, each with its number */
#define NR_PAGES 1000U
#define SPACE 0x3800000UL /* free, to the end */

static unsigned char *ram;
static struct vl_target target = { .pidfd = -1, .proc_mem = -1, .lock_fd = -1 };
static uint64_t next_table = 0x10000, root4, root5;
static struct vl_direct *walk;
static struct mirror m;
static struct vl_space space;

static uint64_t *entry(uint64_t root, int levels, uint64_t va, int level)
{
	for (int l = levels; l >= level; l--) {
		uint64_t *e = (uint64_t *)(ram + root) + vl_pgtable_index(va, l);

		if (l == level)
			return e;
		if (!*e) {
			*e = next_table | TABLE;
			next_table += 4096;
		}
		root = *e & X86_PTE_ADDR;
	}
	return NULL;
}

static uint64_t make_root(int levels)
{
	uint64_t root = next_table;

	next_table += 4096;
	for (uint64_t at = 0; at < RAM_SIZE; at += 2 * MIB)
		*entry(root, levels, KERNEL + at, 2) = at | PAGE | X86_PTE_PS;
	for (uint64_t i = 0; i < 512; i++)
		*entry(root, levels, SMALL + 4096 * i, 1) = (PAGES + 4096 * i) | PAGE;
	*entry(root, levels, SMALL + 4096 * 5, 1) = 0xdead000;	      /* not present */
	*entry(root, levels, SMALL + 4096 * 6, 1) = RAM_SIZE | PAGE;  /* no RAM */
	*entry(root, levels, SMALL + 4096 * 7, 1) = MIRROR_AT | PAGE; /* our own memory */
	*entry(root, levels, SMALL + 2 * MIB, 2) = RAM_SIZE | TABLE;  /* a table in no RAM */
	*entry(root, levels, SMALL + 4 * MIB, 2) = 0x206000 | PAGE | X86_PTE_PS;
	*entry(root, levels, SMALL + (1UL << 39), 4) = PAGE | X86_PTE_PS; /* reserved bits */
	*entry(root, levels, TEXT, 2) = TEXT_GPA | TABLE | X86_PTE_PS;
	*entry(root, levels, WINDOW, 1) = PAGES | PAGE;
	return root;
}

static bool setup(void)
{
	int fd = memfd_create("ram", MFD_ALLOW_SEALING);
	struct vl_ram r = { 0, RAM_SIZE, 0, fd, 0, 4096 };

	if (fd < 0 || ftruncate(fd, RAM_SIZE) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return false;
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ram == MAP_FAILED)
		return false;
	root4 = make_root(4);
	root5 = make_root(5);
	for (uint64_t i = 0; i < NR_PAGES; i++)
		memcpy(ram + PAGES + 4096 * i, &i, sizeof(i));
	r.hva = (uintptr_t)ram;
	target.pid = getpid();
	return !vl_discard(vl_ram_add(&target, &r)) && !vl_discard(vl_ram_finish(&target));
}

/* ---- the processor ---- */

/* Translate @va as a processor does, by the mirror with @root. 0: a page fault. */
static uint64_t processor(uint64_t root, uint64_t va, int levels)
{
	for (int level = levels;; level--) {
		uint64_t size = 1UL << (12 + 9 * (level - 1)), *e;

		if (root - m.gpa >= m.nr_tables * sizeof(mirror_page))
			return 0;
		e = &m.pages[(root - m.gpa) / sizeof(mirror_page)][vl_pgtable_index(va, level)];
		if (!(*e & X86_PTE_P))
			return 0;
		*e |= X86_PTE_A;
		if (level > 1 && !(*e & X86_PTE_PS)) {
			root = *e & X86_PTE_ADDR;
			continue;
		}
		*e |= X86_PTE_D;
		return (*e & X86_PTE_ADDR & ~(size - 1)) | (va & (size - 1));
	}
}

/* One request: map @va, and let the processor walk to it. 0: it is not mapped. */
static uint64_t request(uint64_t va)
{
	uint64_t root = mirror_begin(&m, &space, false), gpa = 0;

	return !mirror_map(&m, &space, va, &gpa) && processor(root, va, space.levels) == gpa ? gpa :
											       0;
}

static void test_same(const char *what)
{
	static const uint64_t odd[] = { 0,
					0x800000000000,
					0xffff7fffffffffff,
					SMALL + 5 * 4096,
					SMALL + 6 * 4096,
					SMALL + 2 * MIB,
					SMALL + 4 * MIB,
					SMALL + (1UL << 39),
					SMALL + 512 * 4096 };
	unsigned good = 0, bad = 0;
	uint64_t root, gpa, want, size;

	for (uint64_t at = 0; at < RAM_SIZE; at += 4096 * 7 + 8)
		bad += request(KERNEL + at) != at;
	for (uint64_t i = 8; i < 512; i++)
		bad += request(SMALL + 4096 * i + 16) != PAGES + 4096 * i + 16;
	ok(!bad, "%s: mapped addresses lead to the guest's pages", what);
	root = mirror_begin(&m, &space, false);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		enum vl_read_status st = mirror_map(&m, &space, odd[i], &gpa);

		/* A page outside of the RAM is mirrored, too: the access to it fails. */
		if (st)
			good += st == direct_translate(walk, &space, odd[i], &want, &size) &&
				(st == VL_READ_NONCANONICAL ||
				 !processor(root, odd[i], space.levels));
		else
			good += gpa == RAM_SIZE;
	}
	ok(good == ARRAY_SIZE(odd), "%s: all others have the software walk's reasons", what);
	ok(mirror_map(&m, &space, SMALL + 7 * 4096, &gpa) == VL_READ_NO_RAM &&
		   !processor(root, SMALL + 7 * 4096, space.levels),
	   "%s: nothing leads to memory of ours", what);
	ok(mirror_holds(&m), "%s: nothing has changed", what);
}

/* ---- the guest changes its tables ---- */

static void set(uint64_t *e, uint64_t v)
{
	__atomic_store_n(e, v, __ATOMIC_SEQ_CST);
}

/* Is @va still mapped, or does the processor still find it in the mirror? */
static bool found(uint64_t va)
{
	uint64_t root = mirror_begin(&m, &space, false), gpa;

	return !mirror_map(&m, &space, va, &gpa) || processor(root, va, space.levels);
}

static void test_changes(void)
{
	uint64_t *leaf = entry(root4, 4, WINDOW, 1), *middle = entry(root4, 4, WINDOW, 2);
	uint64_t *top = entry(root4, 4, WINDOW, 4), was = *middle, above = *top, other, gpa;
	uint64_t root;

	ok(request(WINDOW) == PAGES, "a page");
	set(leaf, (PAGES + 4096) | PAGE);
	ok(!mirror_holds(&m), "a change of its entry during the request is seen");
	ok(request(WINDOW) == PAGES + 4096 && mirror_holds(&m), "again: the new page");
	set(leaf, (PAGES + 8192) | PAGE);
	ok(request(WINDOW) == PAGES + 8192 && mirror_holds(&m), "a change between requests");
	set(leaf, *leaf ^ X86_PTE_A ^ X86_PTE_D);
	ok(mirror_holds(&m) && request(WINDOW) == PAGES + 8192, "the guest's flags are no change");
	set(leaf, 0);
	ok(!mirror_holds(&m) && !found(WINDOW), "a page that is not mapped any more");
	set(leaf, PAGES | PAGE);
	ok(request(WINDOW) == PAGES, "and mapped again");
	set(leaf, MIRROR_AT | PAGE);
	ok(!mirror_holds(&m) && !found(WINDOW), "memory of ours in its place");
	set(leaf, PAGES | PAGE);
	ok(request(WINDOW) == PAGES, "and the page again");
	/* Replace the table by another one, which maps the window to another page. */
	other = next_table;
	next_table += 4096;
	set((uint64_t *)(ram + other) + vl_pgtable_index(WINDOW, 1), (PAGES + 4096 * 9) | PAGE);
	set(middle, other | TABLE);
	ok(!mirror_holds(&m) && request(WINDOW) == PAGES + 4096 * 9, "another table");
	set(middle, was);
	ok(!mirror_holds(&m) && request(WINDOW) == PAGES, "and back");
	set(top, 0);
	ok(!mirror_holds(&m) && !found(WINDOW), "nothing below the top");
	set(top, above);
	ok(request(WINDOW) == PAGES && mirror_holds(&m), "and all of it again");
	/* A read of a table has the guest's entries, not those of the mirror. */
	other = (uint64_t)((unsigned char *)leaf - ram);
	ok(request(KERNEL + other) == other, "a table can be read");
	/* Changes while the processor runs. */
	root = mirror_begin(&m, &space, false);
	ok(root && !mirror_map(&m, &space, WINDOW, &gpa), "a request begins");
	m.running = true;
	set(leaf, (PAGES + 4096) | PAGE);
	ok(mirror_map(&m, &space, WINDOW, &gpa) && processor(root, WINDOW, 4) == PAGES,
	   "an entry that the processor may have read is not replaced");
	ok(!mirror_map(&m, &space, SMALL, &gpa) && processor(root, SMALL, 4) == PAGES,
	   "an entry that it has not read is added");
	set(leaf, PAGES | PAGE);
	ok(!mirror_holds(&m), "a change that was undone is still reported");
}

/* Requests whose addresses are not known beforehand. */
static void test_all(void)
{
	uint64_t one = SMALL + 4096, other = SMALL + 8192, root, gpa;
	uint64_t *used = entry(root4, 4, one, 1), *unused = entry(root4, 4, other, 1);

	mirror_begin(&m, &space, true);
	mirror_map(&m, &space, one, &gpa);
	set(used, (PAGES + 4096 * 30) | PAGE);
	root = mirror_begin(&m, &space, true);
	ok(!processor(root, one, 4), "an entry that changed before the request is dropped");
	mirror_map(&m, &space, one, &gpa);
	mirror_map(&m, &space, other, &gpa);
	m.running = true;
	ok(processor(root, one, 4) == PAGES + 4096 * 30, "one is used");
	set(unused, (PAGES + 4096 * 31) | PAGE);
	ok(mirror_holds(&m), "a change of the other one does no harm");
	ok(!processor(root, other, 4), "but its entry is dropped");
	m.running = true;
	set(used, (PAGES + 4096) | PAGE);
	ok(!mirror_holds(&m), "a change of the used one is seen");
}

static void test_full(void)
{
	unsigned nr = 0;
	enum vl_read_status st = VL_READ_OK;
	uint64_t gpa;

	/* Pages of 4 KiB, each of them through tables of its own. */
	next_table = SPACE;
	set(entry(root4, 4, WINDOW, 1), PAGES | PAGE);
	mirror_begin(&m, &space, true);
	for (; !st && nr < 2 * MIRROR_TABLES; nr++) {
		uint64_t va = 0x100000000000 + ((uint64_t)nr << 30);

		*entry(root4, 4, va, 1) = PAGES | PAGE;
		st = mirror_map(&m, &space, va, &gpa);
	}
	ok(st == MIRROR_FULL, "the mirror is full after %u pages", nr);
	ok(mirror_holds(&m), "its entries are right");
	ok(request(WINDOW) == PAGES && mirror_holds(&m) && m.nr_tables < 10,
	   "the next request starts anew");
}

/* ---- with a vCPU ---- */

static struct vl_reader *kvm;
static atomic_ulong version; /* the number of the window's page, stored after it is mapped */
static atomic_ulong reads;
static atomic_bool stop;

#define READS 100U
/* Neither side gets more changes, or reads, ahead of the other one, however slow that is. */
#define AHEAD 8U
_Static_assert(4 * READS + 2 * AHEAD < NR_PAGES, "");

/* Maps each page in the window once, by its entry in one table or in the other. */
static void *guest(void *arg)
{
	uint64_t *middle = entry(root4, 4, WINDOW, 2), tables[2], n;
	unsigned seed = 1;

	(void)arg;
	tables[0] = *middle & X86_PTE_ADDR;
	tables[1] = next_table;
	for (n = 1; !atomic_load(&stop); n++) {
		uint64_t table = tables[n / 8 % 2], gpa = PAGES + 4096 * n;

		while (n > atomic_load(&reads) + AHEAD && !atomic_load(&stop))
			usleep(10);
		set((uint64_t *)(ram + table) + vl_pgtable_index(WINDOW, 1), gpa | PAGE);
		set(middle, table | TABLE);
		atomic_store(&version, n);
		usleep((useconds_t)rand_r(&seed) % 100);
	}
	return NULL;
}

static uint64_t by_read(uint64_t now)
{
	uint64_t v = UINT64_MAX;

	(void)now;
	vl_read_u64(kvm, &space, WINDOW, &v);
	return v;
}

static uint64_t by_gather(uint64_t now)
{
	uint64_t a = 0, b = 0;
	struct vl_get get[2] = { { WINDOW, &a, 8, 0 }, { WINDOW, &b, 8, 0 } };

	(void)now;
	vl_gather(kvm, &space, get, 2);
	return a <= b && !get[0].status && !get[1].status ? b : UINT64_MAX;
}

/* A list of one element, which is in the window. */
static uint64_t by_walk(uint64_t now)
{
	uint64_t v = UINT64_MAX;
	struct vl_walk_field f = { VL_FIELD_BYTES, 0, 8, 0, { -64 } };
	struct vl_walk w = { .kind = VL_WALK_CHAIN,
			     .head = KERNEL + 8 * MIB,
			     .fields = &f,
			     .nr_fields = 1,
			     .records = &v,
			     .stride = 8,
			     .max = 1 };
	struct vl_walked walked;

	(void)now;
	vl_walk(kvm, &space, &w, &walked);
	return walked.nr == 1 ? v : UINT64_MAX;
}

static uint64_t by_watch(uint64_t now)
{
	uint64_t v = UINT64_MAX, samples;

	vl_watch(kvm, &space, WINDOW, 8, now, 200, &v, &samples);
	return v;
}

static void follow(const char *what, uint64_t (*fn)(uint64_t now))
{
	unsigned stale = 0, early = 0, moved = 0, nr;
	struct vl_kvm_stats before, after;
	uint64_t last = 0;

	vl_kvm_stats(kvm->engine, &before);
	for (nr = 0; nr < READS; nr++) {
		uint64_t from, v;

		atomic_fetch_add(&reads, 1);
		while (atomic_load(&version) + AHEAD < atomic_load(&reads))
			usleep(10);
		from = atomic_load(&version);
		v = fn(from);
		stale += v < from;
		/* One page ahead is right: it is mapped, but @version is not stored yet. */
		early += v > atomic_load(&version) + 1;
		moved += v != last;
		last = v;
	}
	vl_kvm_stats(kvm->engine, &after);
	ok(!stale && !early && moved > 10,
	   "%s: %u reads, %u pages seen, %u late, %u wrong; %lu made again, %lu by the walk", what,
	   nr, moved, stale, early, (unsigned long)(after.redone - before.redone),
	   (unsigned long)(after.by_walk - before.by_walk));
}

static void test_kvm(void)
{
	struct vl_attach attach = { .target = &target, .entry = TEXT + 0x3000, .pt = { root4, 4 } };
	struct vl_reader_options how = { "kvm" };
	struct vl_error *err;
	uint64_t node = WINDOW + 64;
	char why[VL_RAW_WHY];
	pthread_t t;

	if (!vl_raw_kvm.rank(&target, NULL, why)) {
		skip("the kvm engine", "%s", why);
		return;
	}
	err = vl_reader_open(&target, &attach, &how, &kvm);
	if (err) {
		if (strstr(err->message, "does not run here"))
			skip("the kvm engine", "%s", err->message);
		else
			ok(false, "the kvm engine opens: %s", err->message);
		vl_error_destroy(err);
		return;
	}
	err = vl_kvm_mirror(kvm->engine);
	if (!ok(!err, "the vCPU has the mirror"))
		return;
	/* A NULL in each of the window's pages ends the list. */
	memcpy(ram + 8 * MIB, &node, sizeof(node));
	for (int polled = 0; polled < 2; polled++) {
		const char *how_called = polled ? "polled" : "entered";

		if (polled)
			vl_error_destroy(vl_kvm_poll(kvm->engine, 100000));
		printf("# %s\n", how_called);
		atomic_store(&stop, false);
		atomic_store(&version, 0);
		atomic_store(&reads, 0);
		set(entry(root4, 4, WINDOW, 1), PAGES | PAGE);
		pthread_create(&t, NULL, guest, NULL);
		follow("bytes", by_read);
		follow("a gather", by_gather);
		follow("a walk", by_walk);
		follow("a watch", by_watch);
		atomic_store(&stop, true);
		pthread_join(t, NULL);
	}
	vl_reader_close(kvm);
}

int main(void)
{
	mirror_page *pages = mmap(NULL, MIRROR_TABLES * sizeof(*pages), PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vl_raw *raw;

	if (!ok(pages != MAP_FAILED && setup() && !vl_discard(direct_open(&target, NULL, &raw)),
		"a guest is made"))
		return tap_end();
	walk = (struct vl_direct *)raw;
	vl_error_destroy(mirror_init(&m, walk, pages, MIRROR_AT));
	m.own = MIRROR_AT;
	m.own_size = MIRROR_TABLES * sizeof(*pages);
	for (int levels = 5; levels >= 4; levels--) {
		space = (struct vl_space){ levels == 5 ? root5 : root4, levels };
		test_same(levels == 5 ? "5 levels" : "4 levels");
	}
	space.root = RAM_SIZE;
	ok(!mirror_begin(&m, &space, false), "a root in no RAM");
	space.root = root4;
	test_changes();
	test_all();
	test_kvm();
	test_full();
	mirror_deinit(&m);
	vl_raw_direct.close(raw);
	vl_ram_deinit(&target);
	munmap(pages, MIRROR_TABLES * sizeof(*pages));
	munmap(ram, RAM_SIZE);
	return tap_end();
}
