/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The RAM table and reads through it: this process plays the hypervisor. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"
#include "host/internal.h"
#include "host/pages.h"

#define MIB 0x100000UL
#define HIGH 0x100000000UL

/* Anonymous, then a file at an odd page, a hole, then huge-page-like, then high. */
static struct {
	struct vl_target t;
	char *anon, *high;
	int fd, loose;
} g;

static void fill(char *p, uint64_t gpa, size_t size)
{
	for (size_t i = 0; i < size; i += 8, gpa += 8)
		memcpy(p + i, &gpa, 8);
}

static void add(uint64_t gpa, uint64_t size, void *hva, int fd, uint64_t off, uint32_t page_size)
{
	vl_error_destroy(vl_ram_add(
		&g.t, &(struct vl_ram){ gpa, size, (uintptr_t)hva, fd, off, page_size }));
}

static void setup(void)
{
	char *file;

	g.t.pid = getpid();
	g.t.pidfd = g.t.proc_mem = g.t.lock_fd = -1;
	g.anon = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g.high = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g.fd = memfd_create("ram", MFD_ALLOW_SEALING);
	g.loose = memfd_create("loose", MFD_ALLOW_SEALING);
	if (ftruncate(g.fd, 4 * MIB) < 0 || fcntl(g.fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ||
	    ftruncate(g.loose, MIB) < 0)
		exit(99);
	file = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, g.fd, 0);
	fill(g.anon, 0, 2 * MIB);
	fill(file + 0x3000, 2 * MIB, MIB);  /* gpa 2 to 3 MiB */
	fill(file + 2 * MIB, 4 * MIB, MIB); /* gpa 4 to 5 MiB */
	fill(g.high, HIGH, 4 * MIB);
	/* Not in order, and the first in two pieces that belong together. */
	add(HIGH, 4 * MIB, g.high, -1, 0, 4096);
	add(4 * MIB, MIB, file + 2 * MIB, g.fd, 2 * MIB, 2 * MIB);
	add(0x80000, 2 * MIB - 0x80000, g.anon + 0x80000, -1, 0, 4096);
	add(2 * MIB, MIB, file + 0x3000, g.fd, 0x3000, 4096);
	add(0, 0x80000, g.anon, -1, 0, 4096);
	add(8 * MIB, MIB, NULL, g.loose, 0, 4096);
	add(10 * MIB, MIB, NULL, g.fd, 3 * MIB + 4096, 4096);
	vl_error_destroy(vl_ram_finish(&g.t));
}

static void reads(uint64_t gpa, size_t len, const char *what)
{
	char *buf = malloc(len);
	struct vl_error *err = vl_target_read(&g.t, gpa, buf, len);
	bool good = !err;

	for (size_t i = (8 - gpa % 8) % 8; good && i + 8 <= len; i += 8) {
		uint64_t v;

		memcpy(&v, buf + i, 8);
		good = v == gpa + i;
	}
	ok(good, "%s%s%s", what, err ? ": " : "", err ? err->message : "");
	vl_error_destroy(err);
	free(buf);
}

static void faults(uint64_t gpa, size_t len, uint64_t at, const char *what)
{
	char *buf = malloc(len);
	struct vl_error *err = vl_target_read(&g.t, gpa, buf, len);

	ok(err && err->code == VL_ERR_FAULT && err->address == at, "%s: %s", what,
	   err ? err->message : "no error");
	vl_error_destroy(err);
	free(buf);
}

static void test_cut_short(void)
{
	char page[4096];
	const uint64_t gpa = 8 * MIB + 4096;
	void *buf = page;
	struct vl_error *err = vl_target_read(&g.t, gpa, page, sizeof(page));

	ok(!err && !g.t.map[3].at, "a file that can be cut short is read, not mapped");
	if (ftruncate(g.loose, 4096) < 0)
		exit(99);
	faults(gpa, 16, gpa, "and when it was cut short");
	err = vl_target_read_pages(&g.t, &gpa, &buf, 1);
	ok(err && err->code == VL_ERR_FAULT && err->address == gpa, "its pages, too");
	vl_error_destroy(err);
	faults(10 * MIB, MIB, 11 * MIB - 4096, "a sealed file that is too short for the range");
	ok(!g.t.map[4].at, "which is not mapped");
}

static bool pages_good(const uint64_t *gpas, char *buf, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		for (size_t k = 0; k < 4096; k += 8) {
			uint64_t v;

			memcpy(&v, buf + i * 4096 + k, 8);
			if (v != gpas[i] + k)
				return false;
		}
	return true;
}

static void test_pages(void)
{
	enum { NR = 1500 };
	static uint64_t gpas[NR];
	static void *bufs[NR];
	char *buf = malloc((size_t)NR * 4096);
	struct vl_error *err;
	unsigned int seed = 1;

	for (size_t i = 0; i < NR; i++) {
		static const uint64_t starts[] = { 0, MIB, 2 * MIB, 4 * MIB, HIGH, HIGH + 3 * MIB };

		seed = seed * 1103515245 + 12345;
		gpas[i] = starts[(seed >> 8) % 6] + (seed >> 16) % 256 * 4096UL;
		bufs[i] = buf + i * 4096;
	}
	err = vl_target_read_pages(&g.t, gpas, bufs, NR);
	ok(!err && pages_good(gpas, buf, NR), "%d pages from anywhere", NR);
	for (size_t i = 0; i < NR; i++)
		gpas[i] = (i < 256  ? 4 * MIB :
			   i < 1280 ? HIGH - 256 * 4096 :
				      2 * MIB - 1280 * 4096) +
			  i * 4096;
	memset(buf, 0, (size_t)NR * 4096);
	err = vl_target_read_pages(&g.t, gpas, bufs, NR);
	ok(!err && pages_good(gpas, buf, NR), "%d pages in runs", NR);
	gpas[700] = 3 * MIB;
	err = vl_target_read_pages(&g.t, gpas, bufs, NR);
	ok(err && err->code == VL_ERR_FAULT && err->address == 3 * MIB, "one that is no RAM");
	vl_error_destroy(err);
	/* A page the process has lost, in the middle of a batch. */
	gpas[700] = HIGH + 2 * MIB;
	mprotect(g.high + 2 * MIB, 4096, PROT_NONE);
	munmap(g.high + 2 * MIB, 4096);
	err = vl_target_read_pages(&g.t, gpas, bufs, NR);
	ok(err && err->code == VL_ERR_FAULT && err->address == HIGH + 2 * MIB,
	   "one that is not mapped any more");
	vl_error_destroy(err);
	err = vl_target_read_pages(&g.t, gpas, bufs, 0);
	ok(!err, "none at all");
	free(buf);
}

/* Each word is its address, as in the other ranges; the page at 5 MiB is damaged. */
static struct vl_error *make_page(void *ctx, uint64_t gpa, void *buf)
{
	++*(size_t *)ctx;
	fill(buf, gpa, VL_PAGE_SIZE);
	return gpa == 5 * MIB ? vl_error_new(VL_ERR_FAULT, "damaged") : NULL;
}

/* All below 4.5 MiB is zeros. */
static uint64_t next_page(void *ctx, uint64_t gpa)
{
	(void)ctx;
	return gpa < 9 * MIB / 2 ? 9 * MIB / 2 : gpa < 6 * MIB ? gpa : UINT64_MAX;
}

static void close_pages(void *ctx)
{
	*(size_t *)ctx = SIZE_MAX;
}

static void test_packed(void)
{
	static const struct vl_pages_ops ops = {
		.what = "packed", .read = make_page, .next = next_page, .close = close_pages
	};
	uint64_t gpas[] = { 5 * MIB - 4096, 2 * MIB, 4 * MIB, 5 * MIB };
	const struct vl_ram *r;
	static char buf[4][VL_PAGE_SIZE];
	void *bufs[] = { buf[0], buf[1], buf[2], buf[3] };
	struct vl_error *err;
	size_t made = 0;

	memset(&g.t, 0, sizeof(g.t));
	g.t.pidfd = g.t.proc_mem = g.t.lock_fd = -1;
	/* One range is in the file as it is. */
	add(2 * MIB, MIB, NULL, g.fd, 0x3000, 4096);
	add(4 * MIB, MIB, NULL, -1, 0, 4096);
	add(5 * MIB, 3 * MIB, NULL, -1, 0, 4096);
	ok(!vl_pages_set(&g.t, &ops, &made, g.fd) && !vl_ram_finish(&g.t) && g.t.nr_ram == 2,
	   "memory that is packed");
	err = vl_target_read(&g.t, 4 * MIB, buf, 8);
	ok(err && err->code == VL_ERR_ARG && !made, "it is not unpacked with rights");
	vl_error_destroy(err);
	reads(2 * MIB, 4096, "what is in the file as it is can be read");
	vl_target_unpack(&g.t);
	reads(4 * MIB + 0x800, 64, "a part of a page");
	reads(4 * MIB + 0xff0, 16, "the next part");
	ok(made == 1, "of a page that is unpacked once");
	reads(4 * MIB + 0xff8, 2 * 4096, "over the ends of pages");
	reads(5 * MIB - 8 * 4096, 8 * 4096, "whole pages");
	ok(!vl_target_read_pages(&g.t, gpas, bufs, 3) && pages_good(gpas, buf[0], 3),
	   "pages from both");
	err = vl_target_read_pages(&g.t, gpas, bufs, 4);
	ok(err && err->code == VL_ERR_FAULT, "a damaged one is an error");
	vl_error_destroy(err);
	for (int i = 0; i < 2; i++) {
		err = vl_target_read(&g.t, 5 * MIB + 8, buf, 8);
		ok(err && err->code == VL_ERR_FAULT, "and is not kept");
		vl_error_destroy(err);
	}
	faults(8 * MIB - 8, 16, 8 * MIB, "over the end of packed memory");
	r = &g.t.ram[1];
	ok(vl_ram_next_data(&g.t, r, 0) == MIB / 2 && vl_ram_next_data(&g.t, r, MIB) == MIB &&
		   vl_ram_next_data(&g.t, r, 3 * MIB) == r->size &&
		   vl_ram_next_data(&g.t, r, r->size) == r->size,
	   "pages of zeros are skipped");
	vl_ram_deinit(&g.t);
	ok(made == SIZE_MAX && !vl_target_packed(&g.t), "the source is closed");
}

int main(void)
{
	const struct vl_ram *r;
	size_t nr;

	setup();
	r = vl_target_ram(&g.t, &nr);
	ok(nr == 6, "sorted and merged into %zu ranges", nr);
	ok(r[0].gpa == 0 && r[0].size == 2 * MIB && r[5].gpa == HIGH, "in order");
	ok(!g.t.map[0].at && !g.t.map[1].at && !g.t.map[2].at,
	   "nothing is mapped before it is read");
	reads(0, 4096, "anonymous");
	reads(0x1ff9, 3000, "unaligned");
	reads(2 * MIB - 64, 128, "from anonymous memory into the file");
	reads(0, 3 * MIB, "all of three MiB");
	reads(4 * MIB, MIB, "huge pages");
	reads(HIGH, 4 * MIB, "above 4 GiB");
	reads(123, 0, "nothing");
	ok(g.t.map[1].at && !g.t.map[0].at && !g.t.map[2].at,
	   "the file is mapped; huge pages are not");
	faults(3 * MIB, 1, 3 * MIB, "a hole");
	faults(3 * MIB - 8, 16, 3 * MIB, "into a hole");
	faults(HIGH + 4 * MIB - 1, 2, HIGH + 4 * MIB, "over the end");
	faults(UINT64_MAX - 3, 8, UINT64_MAX - 3, "the end of the world");
	test_cut_short();
	test_pages();
	vl_ram_deinit(&g.t);
	vl_error_destroy(g.t.no_kmod);
	test_packed();
	return tap_end();
}
