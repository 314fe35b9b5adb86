/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel's image, found under the page table of a process that ends meanwhile. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tap.h"
#include "host/internal.h"

/* Each layer has its own, of its own type. */
#undef VL_PAGE_SIZE
#include "kernel/image.h"
#include "mem/paging.h"

#define VA 0xffffffff81000000UL
#define PMD (2UL << 20)
#define NR_PMDS 3UL
#define SIZE ((1 + NR_PMDS) * PMD) /* of RAM: the tables, then the image */
#define ROOT 0x1000UL
#define PUD 0x2000UL
#define PMDS 0x3000UL
#define PRESENT 1UL
#define LARGE 0x80UL
#define WRITABLE 2UL
#define NO_CODE (1UL << 63)
#define HANDLER (VA + 0x2000)
#define IDT (VA + 0x1000) /* in the image, so that the same tables map it */

static unsigned char *ram;
static unsigned nr_roots; /* reads of the root's page */
static size_t nr_image;	  /* bytes read of the image */
static unsigned lives;	  /* of so many reads of its root, the process ends */

static void put64(uint64_t at, uint64_t v)
{
	memcpy(ram + at, &v, sizeof(v));
}

/* vl_target_proxy.read */
static struct vl_error *read_ram(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	(void)ctx;
	if (gpa + len > SIZE)
		return vl_error_new(VL_ERR_FAULT, "no RAM at 0x%lx", gpa);
	memcpy(buf, ram + gpa, len);
	if (gpa / VL_PAGE_SIZE == ROOT / VL_PAGE_SIZE && ++nr_roots >= lives)
		memset(ram + ROOT, 0, VL_PAGE_SIZE);
	if (gpa >= PMD)
		nr_image += len;
	return NULL;
}

static void build(uint64_t nr_pmds)
{
	/* A present interrupt gate: Intel SDM, volume 3, 6.14.1. */
	const uint64_t handler = HANDLER;
	unsigned char gate[16] = { [2] = 0x10, [5] = 0x8e };

	memcpy(gate, &handler, 2);
	memcpy(gate + 6, (const char *)&handler + 2, 6);
	memset(ram, 0, SIZE);
	put64(ROOT + 511 * 8, PUD | PRESENT);
	put64(PUD + 510 * 8, PMDS | PRESENT);
	for (uint64_t i = 0; i < nr_pmds; i++)
		put64(PMDS + (8 + i) * 8, (1 + i) * PMD | LARGE | PRESENT);
	memcpy(ram + PMD + (IDT - VA) + 16 * 14UL, gate, sizeof(gate));
	nr_roots = 0;
	nr_image = 0;
}

/* Find the kernel; the code of the refusal. */
static int find(struct vl_target *t)
{
	const struct vl_pgtable pt = { .root = ROOT, .levels = 4 };
	struct vl_image *img = NULL;
	struct vl_error *err;
	int code;

	err = vl_image_find(t, &pt, IDT, vl_deadline_in(5000000000L), &img);
	code = err ? (int)err->code : 0;
	vl_error_destroy(err);
	vl_image_destroy(img);
	return code;
}

#define BTF_TYPES (80U << 10) /* bytes */

/* Put BTF at @p, whose strings are an empty one and @name. */
static size_t put_btf(unsigned char *p, const char *name)
{
	const uint32_t len = (uint32_t)strlen(name) + 2;
	const uint32_t h[] = { 0x0001eb9f, 24, 0, BTF_TYPES, BTF_TYPES, len };

	memcpy(p, h, sizeof(h));
	memset(p + sizeof(h), 0, BTF_TYPES + len);
	memcpy(p + sizeof(h) + BTF_TYPES + 1, name, strlen(name));
	return sizeof(h) + BTF_TYPES + len;
}

static void test_btf(void)
{
	unsigned char *own = ram + PMD, *module = ram + 2 * PMD, *other = ram + 3 * PMD;
	size_t len, want;

	memset(ram, 0, SIZE);
	want = put_btf(own, "task_struct");
	put_btf(module, "net_bridge");
	ok(vl_image_search_btf(ram, SIZE, &len) == own && len == want,
	   "the kernel's types, beside a module's");
	ok(!vl_image_search_btf(ram, PMD + want - 1, &len), "a part of them is none");
	put_btf(own, "task_structure");
	ok(!vl_image_search_btf(ram, SIZE, &len), "those of a module alone are none");
	put_btf(own, "task_struct");
	put_btf(other, "task_struct");
	ok(!vl_image_search_btf(ram, SIZE, &len), "two may be another kernel's");
}

/* In each 2 MiB of the image behind the first, which is code. */
#define RECORDS 0x4000UL
#define NAMES 0x6000UL
#define CALLS 0x8000UL
#define BUGS 0xc000UL
#define BTF 0x10000UL
#define LONGER 0x100000UL
#define BANNER 0x40000UL
#define NOTES 0x50000UL
#define NR_RECORDS 100U

static uint64_t va_of(uint64_t at)
{
	return VA + at - PMD;
}

/* Put the 32-bit offset from @at in RAM to @va there. */
static void put_offset(uint64_t at, uint64_t va)
{
	const uint32_t offset = (uint32_t)(va - va_of(at));

	memcpy(ram + at, &offset, sizeof(offset));
}

/* Put records of @step bytes each into the 2 MiB at @start of RAM. */
static void put_records(uint64_t start, uint64_t step)
{
	for (unsigned i = 0; i < NR_RECORDS; i++) {
		const uint64_t at = start + RECORDS + step * i, name = start + NAMES + 16UL * i;

		snprintf((char *)ram + name, 16, "name_%03u", i);
		put_offset(at, VA + 0x3000 + i);
		put_offset(at + 4, va_of(name));
	}
}

static void put_calls(uint64_t start)
{
	for (unsigned i = 0; i < 450; i++)
		put64(start + CALLS + 8UL * i,
		      VA + (i >= 337 && i < 424 ? 0x4000 : 0x5000 + 96 * i));
}

/* A table of @nr warnings at @from in RAM. */
static void put_bugs(uint64_t from, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		memcpy(ram + PMD + 0x8000 + 16UL * i, "\x0f\x0b", 2); /* ud2 */
		put_offset(from + 8UL * i, VA + 0x8000 + 16UL * i);
	}
}

/* Code that takes the addresses of its ends: mov $from,%rdi; cmp $end,%rdi. */
static void put_ends(uint64_t from, unsigned nr)
{
	unsigned char *code = ram + PMD + 0xa000;
	const uint32_t first = (uint32_t)va_of(from), end = (uint32_t)va_of(from + 8UL * nr);

	memcpy(code, "\x48\xc7\xc7", 3);
	memcpy(code + 3, &first, sizeof(first));
	memcpy(code + 7, "\x48\x81\xff", 3);
	memcpy(code + 10, &end, sizeof(end));
}

/* A note of a build id of bytes @id, at @at in RAM. */
static void put_note(uint64_t at, unsigned char id)
{
	memcpy(ram + at, "\4\0\0\0\24\0\0\0\3\0\0\0GNU", 16);
	memset(ram + at + 16, id, 20);
}

/*
 * A kernel without a table of symbols: code; memory that was freed, in which a process made
 * records and types; constants. The table of warnings, which the kernel changes, is in the second,
 * with a longer one that the code does not know.
 */
static struct vl_image *find_forged(struct vl_target *t, bool guarded)
{
	const struct vl_pgtable pt = { .root = ROOT, .levels = 4 };
	const uint64_t forged = 2 * PMD, own = 3 * PMD;
	struct vl_image *img = NULL;

	build(NR_PMDS);
	put64(PMDS + 8UL * 8, PMD | LARGE | PRESENT | (guarded ? 0 : WRITABLE));
	put64(PMDS + 9UL * 8, forged | LARGE | PRESENT | WRITABLE | NO_CODE);
	put64(PMDS + 10UL * 8, own | LARGE | PRESENT | NO_CODE | (guarded ? 0 : WRITABLE));
	put_records(forged, 12);
	put_btf(ram + forged + BTF, "task_struct");
	put_bugs(forged + BUGS, NR_RECORDS);
	put_ends(forged + BUGS, NR_RECORDS);
	put_bugs(forged + LONGER, 2 * NR_RECORDS);
	put_records(own, 8);
	put_btf(ram + own + BTF, "task_struct");
	put_calls(own);
	/* The note of a vDSO, its own, and one of a file, in memory that is a constant still. */
	put_note(forged + NOTES, 0xaa);
	strcpy((char *)ram + own + BANNER, "Linux version 6.1.0");
	memcpy(ram + own + NOTES - 0x1000, "\177ELF", 4);
	put_note(own + NOTES - 0x800, 0xbb);
	put_note(own + NOTES + 0x8000, 0xcc);
	put_note(own + NOTES + 0x10800, 0xdd);
	vl_error_destroy(vl_image_find(t, &pt, IDT, vl_deadline_in(60000000000L), &img));
	return img;
}

static void test_forged(struct vl_target *t)
{
	struct vl_image *img = find_forged(t, true);

	if (ok(img, "a kernel without symbols, behind what a process forged")) {
		ok(img->exports.records.va == va_of(3 * PMD + RECORDS) &&
			   img->exports.records.len == 8UL * NR_RECORDS,
		   "the records are those where the guest cannot write");
		ok(img->exports.calls.va == va_of(3 * PMD + CALLS), "so are the calls");
		ok(img->btf == img->bytes + 2 * PMD + BTF, "so are the types");
		ok(!strcmp(img->build_id, "cccccccccccccccccccccccccccccccccccccccc"),
		   "the build id is the first behind the banner: %s", img->build_id);
		ok(img->exports.bugs == va_of(2 * PMD + BUGS) &&
			   img->exports.bugs_len == 8UL * NR_RECORDS,
		   "the table of warnings is the one among the variables that the code knows");
	}
	vl_image_destroy(img);
	img = find_forged(t, false);
	ok(img && img->exports.calls.va == va_of(3 * PMD + CALLS) && img->exports.bugs_len,
	   "a kernel that protects nothing: all is searched");
	vl_image_destroy(img);
}

int main(void)
{
	static const struct vl_target_proxy proxy = { .read = read_ram };
	static struct vl_target t = { .proxy = &proxy, .pidfd = -1, .proc_mem = -1, .lock_fd = -1 };

	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return 99;
	vl_error_destroy(vl_ram_add(&t, &(struct vl_ram){ 0, SIZE, 1UL << 40, -1, 0, 4096 }));
	vl_error_destroy(vl_ram_finish(&t));
	build(NR_PMDS);
	lives = 1000;
	ok(find(&t) == VL_ERR_KERNEL && nr_image >= NR_PMDS * PMD,
	   "an image with no symbols is refused for good");
	build(NR_PMDS);
	lives = 1;
	ok(find(&t) == VL_ERR_KERNEL && nr_image >= NR_PMDS * PMD,
	   "the process ends after the first pass: all of the image is read");
	ok(nr_roots == 1, "its root is read once");
	build(NR_PMDS);
	put64(ROOT + 511 * 8, 7 * PMD | PRESENT);
	ok(find(&t) == VL_ERR_FAULT, "one that had ended before: try again");
	build(1);
	lives = 1000;
	ok(find(&t) == VL_ERR_FAULT, "one that maps the entry alone, as in user mode: try again");
	test_btf();
	lives = 1000;
	test_forged(&t);
	munmap(ram, SIZE);
	return tap_end();
}
