/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other systems, in memory made by hand, and 32-bit paging. */
#include <stdlib.h>
#include <string.h>

#include "attach/system.h"
#include "mem/paging32.h"
#include "tap.h"

#define RAM_SIZE (8UL << 20)
#define IDT_GPA 0x10000UL
#define IMAGE_GPA 0x400000UL /* of the image: 2 MiB */
#define IMAGE_SIZE (2UL << 20)
#define PE_AT 0x80U
#define CR4_PAE (1UL << 5)
#define EFER_LMA (1UL << 10)
#define ALL (X86_PTE_P | X86_PTE_RW)

/* The tables of a guest are the pages from 1 on. */
struct guest {
	unsigned char *ram;
	uint64_t next;
	struct vl_vcpu v;
	uint64_t image; /* virtual */
};

static bool read_ram(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	const struct guest *g = ctx;

	if (gpa > RAM_SIZE || len > RAM_SIZE - gpa)
		return false;
	memcpy(buf, g->ram + gpa, len);
	return true;
}

static bool read_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	return read_ram(ctx, gpa, ret, sizeof(*ret));
}

static void put(struct guest *g, uint64_t gpa, uint64_t value, size_t size)
{
	memcpy(g->ram + gpa, &value, size);
}

/* The table that entry @at, of @size bytes, leads to; made if there is none. */
static uint64_t below(struct guest *g, uint64_t at, size_t size, uint64_t flags)
{
	uint64_t entry = 0;

	memcpy(&entry, g->ram + at, size);
	if (!entry) {
		entry = g->next | flags;
		g->next += VL_PAGE_SIZE;
		put(g, at, entry, size);
	}
	return entry & VL_PAGE_MASK;
}

/* Map the 2 MiB, or 4 MiB without PAE, at @va to @gpa. */
static void map(struct guest *g, uint64_t va, uint64_t gpa)
{
	uint64_t table = g->v.cr3;

	if (!(g->v.cr4 & CR4_PAE)) {
		put(g, table + 4 * (va >> 22), gpa | ALL | X86_PTE_PS, 4);
		return;
	}
	if (va >> 32) {
		table = below(g, table + 8 * vl_pgtable_index(va, 4), 8, ALL);
		table = below(g, table + 8 * vl_pgtable_index(va, 3), 8, ALL);
	} else {
		table = below(g, table + 8 * (va >> 30), 8, X86_PTE_P);
	}
	put(g, table + 8 * vl_pgtable_index(va, 2), gpa | ALL | X86_PTE_PS, 8);
}

/* A guest with its interrupt table at @idt and its image at @image. */
static void make(struct guest *g, uint64_t cr4, uint64_t efer, uint64_t idt, uint64_t image)
{
	uint64_t handler = image + 0x1234;
	bool wide = idt >> 32;
	uint64_t gate = IDT_GPA + 14 * (wide ? 16 : 8);

	memset(g->ram, 0, RAM_SIZE);
	memset(g->ram + IMAGE_GPA, 0x90, IMAGE_SIZE);
	g->next = 2 * VL_PAGE_SIZE;
	g->image = image;
	g->v = (struct vl_vcpu){ .cr0 = X86_CR0_PG | 1,
				 .cr3 = VL_PAGE_SIZE,
				 .cr4 = cr4,
				 .efer = efer,
				 .rip = handler,
				 .idt_base = idt + IDT_GPA };
	map(g, idt, 0);
	map(g, image, IMAGE_GPA);
	put(g, gate, (handler & 0xffff) | 0x10 << 16, 4);
	put(g, gate + 4, 0x8e00 | (handler & 0xffff0000), 4);
	if (wide)
		put(g, gate + 8, handler >> 32, 4);
}

static void make_wide(struct guest *g, uint64_t efer)
{
	make(g, CR4_PAE | X86_CR4_PSE, efer, 0xfffffe0000000000, 0xffffffff81000000);
}

static void put_text(struct guest *g, size_t at, const char *text)
{
	memcpy(g->ram + IMAGE_GPA + at, text, strlen(text) + 1);
}

/* Is the error @message? NULL: there is none. */
static bool says(struct guest *g, const char *message)
{
	struct vl_system s;
	bool found = vl_system_find(read_ram, g, &g->v, vl_deadline_in(60000000000), &s);
	struct vl_error *err = found ? vl_system_error(&s) : NULL;
	bool good = message ? err && err->code == VL_ERR_KERNEL && err->hint &&
				      !strcmp(err->message, message) :
			      !err;

	if (!good)
		printf("# found %d: %s\n", found, err ? err->message : "no error");
	vl_error_destroy(err);
	return good;
}

static void test_32_bit(struct guest *g)
{
	static const char linux_kernel[] = "Linux version 4.8.0-rc6-686 (a@b) (gcc) #1 SMP";
	static const uint64_t efers[] = { 0, 1UL << 11 };

	for (unsigned i = 0; i < 2; i++) {
		make(g, CR4_PAE, efers[i], 0xff800000, 0xc1000000);
		ok(says(g, "the guest runs in 32-bit mode (PAE)"),
		   "PAE, and nothing else is known");
		put_text(g, 0x100000, linux_kernel);
		ok(says(g, "the guest runs a 32-bit Linux kernel (4.8.0-rc6-686, PAE)"),
		   "a 32-bit Linux, %s EFER", i ? "with" : "without");
	}
	make(g, X86_CR4_PSE, 0, 0xff800000, 0xc1000000);
	put_text(g, 0xfff8, linux_kernel);
	ok(says(g, "the guest runs a 32-bit Linux kernel (4.8.0-rc6-686, no PAE)"),
	   "without PAE, a banner across two reads");
	make(g, CR4_PAE, EFER_LMA, 0xff800000, 0xc1000000);
	ok(says(g, NULL), "registers of long mode over tables of another mode");
	/* UEFI: long mode at low addresses, the lowest GiB mapped to itself. */
	make(g, CR4_PAE, 0, 0, 0x400000);
	memset(g->ram + VL_PAGE_SIZE, 0, VL_PAGE_SIZE);
	put(g, VL_PAGE_SIZE, 0x5000 | ALL, 8);
	put(g, 0x5000, ALL | X86_PTE_PS, 8);
	ok(says(g, NULL), "firmware in long mode is not a 32-bit system");
}

static void put_windows(struct guest *g, bool wide)
{
	uint64_t pe = IMAGE_GPA + PE_AT, export = IMAGE_GPA + 0x3000;

	put(g, IMAGE_GPA, 'M' | 'Z' << 8, 2);
	put(g, IMAGE_GPA + 60, PE_AT, 4);
	put(g, pe, 'P' | 'E' << 8, 4);
	put(g, pe + 24, wide ? 0x20b : 0x10b, 2);
	put(g, pe + 24 + (wide ? 112 : 96), 0x3000, 4);
	put(g, export + 12, 0x3100, 4);
	put_text(g, 0x3100, "ntoskrnl.exe");
}

static void test_names(struct guest *g)
{
	make_wide(g, EFER_LMA);
	ok(says(g, NULL), "a 64-bit guest without a banner");
	put_text(g, 0x2000, "FreeBSD is a name; FreeBSD 14.0-RELEASE-p1 #0 releng/14.0-n26");
	ok(says(g, "the guest runs FreeBSD (14.0-RELEASE-p1)"), "FreeBSD");
	put_text(g, 0x2000, "NetBSD 9.3\033[31m (GENERIC)\0");
	memset(g->ram + IMAGE_GPA + 0x2000 + 10, 0x1b, 60);
	ok(says(g, "the guest runs NetBSD (9.3)"), "a release with control characters");
	put_text(g, 0x5000, "Linux version 6.6.1 (a@b)");
	ok(says(g, NULL), "a 64-bit Linux has the other's name, too");
	make_wide(g, 0);
	put_text(g, 0x2000, "OpenBSD 7.4 (GENERIC.MP) #1397");
	ok(says(g, "the guest runs OpenBSD (7.4)"), "OpenBSD, without EFER");

	make_wide(g, EFER_LMA);
	put_windows(g, true);
	ok(says(g, "the guest runs Windows"), "Windows");
	put_text(g, 0x3100, "win32k.sys");
	ok(says(g, NULL), "a driver of Windows is not its kernel");
	put_windows(g, true);
	put(g, IMAGE_GPA + 60, 0xffffffff, 4);
	ok(says(g, NULL), "a header that leads out of the image");
	put_windows(g, true);
	put(g, IMAGE_GPA + 0x3000 + 12, 0xffffffff, 4);
	ok(says(g, NULL), "a name that does");
	make(g, CR4_PAE, 0, 0x80000000, 0x82600000);
	put_windows(g, false);
	ok(says(g, "the guest runs a 32-bit Windows system (PAE)"), "32-bit Windows");
	g->v.cr0 = 1;
	ok(says(g, NULL), "a guest without paging");
}

static void test_mark(struct guest *g)
{
	uint64_t mark, again;

	make_wide(g, EFER_LMA);
	ok(vl_system_mark(read_ram, g, &g->v, &mark) &&
		   vl_system_mark(read_ram, g, &g->v, &again) && mark == again,
	   "a mark");
	g->ram[IMAGE_GPA + 0x1fff] ^= 1;
	ok(vl_system_mark(read_ram, g, &g->v, &again) && mark != again, "of other code");
	make(g, CR4_PAE, EFER_LMA, 0xfffffe0000000000, 0xffffffff82000000);
	ok(vl_system_mark(read_ram, g, &g->v, &again) && mark != again, "of another place");
	g->v.idt_base = 0xfffffe0040000000;
	ok(!vl_system_mark(read_ram, g, &g->v, &again), "no interrupt table");
}

static void test_paging(struct guest *g)
{
	struct vl_pgtable32 pt;
	struct vl_xlat x;

	make(g, CR4_PAE, 0, 0xff800000, 0xc1000000);
	pt = vl_pgtable32(g->v.cr3 | 0x18, g->v.cr4);
	ok(vl_translate32(&pt, read_entry, g, 0xc1012345, &x) && x.gpa == IMAGE_GPA + 0x12345 &&
		   x.size == 2UL << 20 && !x.user,
	   "PAE: 2 MiB");
	ok(!vl_translate32(&pt, read_entry, g, 0xc1200000, &x) &&
		   !vl_translate32(&pt, read_entry, g, 0x1c1000000, &x) &&
		   !vl_translate32(&pt, read_entry, g, 0, &x),
	   "what is not mapped");
	put(g, 0x7000 + 8 * 3, 0x9000 | ALL | X86_PTE_US | X86_PTE_NX, 8);
	put(g, 0x2000 + 8UL * ((0xc1200000 >> 21) & 511), 0x7000 | ALL | X86_PTE_US, 8);
	ok(vl_translate32(&pt, read_entry, g, 0xc1203456, &x) && x.gpa == 0x9456 &&
		   x.size == 4096 && x.user && (x.flags & X86_PTE_NX),
	   "PAE: 4 KiB");
	make(g, X86_CR4_PSE, 0, 0xff800000, 0xc1000000);
	pt = vl_pgtable32(g->v.cr3, g->v.cr4);
	ok(vl_translate32(&pt, read_entry, g, 0xc1112345, &x) && x.gpa == IMAGE_GPA + 0x112345 &&
		   x.size == 4UL << 20,
	   "4 MiB");
	put(g, VL_PAGE_SIZE + 4 * 1, 0x800000 | 3 << 13 | ALL | X86_PTE_PS, 4);
	ok(vl_translate32(&pt, read_entry, g, 0x400001, &x) && x.gpa == 0x300800001,
	   "4 MiB above 4 GiB");
	put(g, VL_PAGE_SIZE + 4 * 3, 0x7000 | ALL | X86_PTE_US, 4);
	put(g, 0x7000 + 4 * 5, 0x9000 | ALL, 4);
	ok(vl_translate32(&pt, read_entry, g, 0xc05123, &x) && x.gpa == 0x9123 && !x.user, "4 KiB");
	ok(!vl_translate32(&pt, read_entry, g, 0xc06123, &x), "no entry");
	put(g, VL_PAGE_SIZE + 4 * 3, 0xfffff000 | ALL | X86_PTE_US, 4);
	ok(!vl_translate32(&pt, read_entry, g, 0xc05123, &x), "a table that is not in RAM");
	/* The large page's own address is taken for that of a table. */
	put(g, VL_PAGE_SIZE + 4 * 4, 0x7000 | ALL | X86_PTE_PS, 4);
	pt = vl_pgtable32(g->v.cr3, 0);
	ok(vl_translate32(&pt, read_entry, g, 0x1005123, &x) && x.gpa == 0x9123 && x.size == 4096,
	   "without PSE there are no large pages");
}

int main(void)
{
	struct guest g = { .ram = malloc(RAM_SIZE) };

	if (!g.ram)
		return 99;
	test_paging(&g);
	test_32_bit(&g);
	test_names(&g);
	test_mark(&g);
	free(g.ram);
	return tap_end();
}
