/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dump files made by hand: good ones, and damaged ones of every kind. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "base/crc32c.h"
#include "host/pages.h"
#include "host/target.h"

/* The bytes of a memory without addresses; 0: it has addresses. */
static uint64_t flat_size(const struct vl_target *t)
{
	struct vl_placement p;

	return vl_target_placement(t, 1, &p) ? p.extents[0].size : 0;
}

/* QEMU target/i386/arch_dump.c QEMUCPUState, by offset. */
#define NOTE_OLD 432
#define NOTE_NEW 440
enum {
	O_VERSION = 0,
	O_SIZE = 4,
	O_RSP = 56,
	O_RIP = 136,
	O_RFLAGS = 144,
	O_CS = 152,
	O_GS = 248,
	O_SS = 272,
	O_TR = 320,
	O_GDT = 344,
	O_IDT = 368,
	O_CR = 392,
	O_KERNEL_GS = 432,
	O_BASE = 16,
	O_LIMIT = 4
};

static char dir[] = "/tmp/vlens-dump-XXXXXX";
static char path[64];

struct image {
	unsigned char b[65536];
	size_t len;
};

static void put32(unsigned char *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put64(unsigned char *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static size_t add_note(struct image *im, const char *name, uint32_t type, const void *desc,
		       uint32_t size)
{
	Elf64_Nhdr nh = { .n_namesz = (uint32_t)strlen(name) + 1,
			  .n_descsz = size,
			  .n_type = type };
	size_t at = im->len;

	memcpy(im->b + im->len, &nh, sizeof(nh));
	im->len += sizeof(nh);
	memcpy(im->b + im->len, name, nh.n_namesz);
	im->len += (nh.n_namesz + 3) & ~3U;
	memcpy(im->b + im->len, desc, size);
	im->len += (size + 3) & ~3U;
	return im->len - at;
}

static void qemu_note(unsigned char *n, unsigned int cpu, uint32_t size)
{
	memset(n, 0, NOTE_NEW);
	put32(n + O_VERSION, 1);
	put32(n + O_SIZE, size);
	put64(n + O_RSP, 0xffffc00000001000 + cpu);
	put64(n + O_RIP, 0xffffffff81000000 + cpu);
	put64(n + O_RFLAGS, 0x246);
	put32(n + O_CS, 0x10);
	put32(n + O_SS, 0x18);
	put64(n + O_GS + O_BASE, 0xffff888000000000 + cpu);
	put32(n + O_TR, 0x40);
	put32(n + O_TR + O_LIMIT, 0x4087);
	put64(n + O_TR + O_BASE, 0xfffffe0000003000);
	put32(n + O_GDT + O_LIMIT, 0x7f);
	put64(n + O_GDT + O_BASE, 0xfffffe0000001000);
	put32(n + O_IDT + O_LIMIT, 0xfff);
	put64(n + O_IDT + O_BASE, 0xfffffe0000000000);
	put64(n + O_CR, 0x80050033);
	put64(n + O_CR + 24, 0x15010000);
	put64(n + O_CR + 32, 0x6f0);
	if (size > O_KERNEL_GS)
		put64(n + O_KERNEL_GS, 0x7f0000000000 + cpu);
}

/* As QEMU writes it: the notes before the memory, which starts unaligned. */
static void make(struct image *im, uint32_t note_size, unsigned int cpus)
{
	static const struct {
		uint64_t gpa, size;
	} seg[] = { { 0, 0x2000 }, { 0x100000, 0x1000 }, { 0x100001000, 0x1000 } };
	Elf64_Ehdr eh = { .e_ident = ELFMAG,
			  .e_type = ET_CORE,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 4 };
	Elf64_Phdr ph[4] = { { .p_type = PT_NOTE } };
	unsigned char note[NOTE_NEW], status[336] = { 0 };

	memset(im, 0, sizeof(*im));
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	im->len = sizeof(eh) + sizeof(ph);
	ph[0].p_offset = im->len;
	for (unsigned int i = 0; i < cpus; i++)
		add_note(im, "CORE", NT_PRSTATUS, status, sizeof(status));
	for (unsigned int i = 0; i < cpus; i++) {
		qemu_note(note, i, note_size);
		add_note(im, "QEMU", 0, note, note_size < NOTE_NEW ? NOTE_OLD : NOTE_NEW);
	}
	ph[0].p_filesz = im->len - ph[0].p_offset;
	im->len += 4; /* so that nothing is aligned */
	for (int i = 0; i < 3; i++) {
		ph[i + 1] = (Elf64_Phdr){ .p_type = PT_LOAD,
					  .p_offset = im->len,
					  .p_paddr = seg[i].gpa,
					  .p_filesz = seg[i].size,
					  .p_memsz = seg[i].size };
		for (size_t k = 0; k < seg[i].size; k += 8)
			put64(im->b + im->len + k, seg[i].gpa + k);
		im->len += seg[i].size;
	}
	memcpy(im->b, &eh, sizeof(eh));
	memcpy(im->b + sizeof(eh), ph, sizeof(ph));
}

static void save(const void *b, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(b, 1, len, f) != len || fclose(f) != 0)
		exit(99);
}

static void refused(const char *what, const char *message)
{
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(path, NULL, &t);

	ok(err && err->code == VL_ERR_TARGET && strstr(err->message, message) && err->hint,
	   "%s: %s", what, err ? err->message : "opened");
	vl_error_destroy(err);
	if (!err)
		vl_target_close(t);
}

static void test_good(struct image *im)
{
	const struct vl_ram *r;
	struct vl_vcpu *v = NULL;
	struct vl_target *t;
	struct vl_error *err;
	uint64_t w[1024], gpas[3] = { 0x1000, 0x100000, 0x100001000 };
	static unsigned char page[3][4096];
	void *bufs[3] = { page[0], page[1], page[2] };
	size_t nr;

	make(im, NOTE_NEW, 2);
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a good dump opens%s%s", err ? ": " : "", err ? err->message : ""))
		return;
	ok(!vl_target_is_live(t) && vl_target_pid(t) == 0 && !vl_target_alive(t), "it is not live");
	ok(!strncmp(vl_target_run_id(t), "dump-", 5) && !strchr(vl_target_run_id(t), '/'),
	   "its run id is fit for a file name");
	r = vl_target_ram(t, &nr);
	ok(nr == 3 && r[0].gpa == 0 && r[0].size == 0x2000 && r[1].gpa == 0x100000 &&
		   r[2].gpa == 0x100001000 && r[0].fd >= 0 && r[0].hva == 0,
	   "three ranges");
	err = vl_target_vcpus(t, &v, &nr);
	ok(!err && nr == 2, "two vCPUs");
	ok(v[1].rip == 0xffffffff81000001 && v[1].rsp == 0xffffc00000001001 &&
		   v[1].rflags == 0x246 && v[1].cs == 0x10 && v[1].ss == 0x18 && v[1].tr == 0x40,
	   "registers and selectors");
	ok(v[1].cr0 == 0x80050033 && v[1].cr3 == 0x15010000 && v[1].cr4 == 0x6f0,
	   "control registers");
	ok(v[1].gs_base == 0xffff888000000001 && v[1].has_kernel_gs_base &&
		   v[1].kernel_gs_base == 0x7f0000000001,
	   "both GS bases");
	ok(v[0].gdt_base == 0xfffffe0000001000 && v[0].gdt_limit == 0x7f &&
		   v[0].idt_base == 0xfffffe0000000000 && v[0].idt_limit == 0xfff &&
		   v[0].tr_base == 0xfffffe0000003000 && v[0].tr_limit == 0x4087,
	   "tables");
	free(v);
	err = vl_target_read(t, 0xff8, w, 16);
	ok(!err && w[0] == 0xff8 && w[1] == 0x1000, "a read over a page's end");
	err = vl_target_read(t, 0x1ff8, w, 16);
	ok(err && err->code == VL_ERR_FAULT && err->address == 0x2000, "a read over a range's end");
	vl_error_destroy(err);
	err = vl_target_read_pages(t, gpas, bufs, 3);
	ok(!err && !memcmp(page[2], &gpas[2], 8) && !memcmp(page[1], &gpas[1], 8), "three pages");
	ok(!vl_target_pause(t) && !vl_target_resume(t) && vl_target_paused_ns(t, NULL) == 0,
	   "pause does nothing");
	/* Cut short under our hands: an error, not SIGBUS. */
	if (truncate(path, 4096) < 0)
		exit(99);
	err = vl_target_read(t, 0x100000, w, 8);
	ok(err && err->code == VL_ERR_FAULT, "truncated while open: %s", err ? err->message : "");
	vl_error_destroy(err);
	err = vl_target_read_pages(t, gpas, bufs, 3);
	ok(err && err->code == VL_ERR_FAULT, "pages of it");
	vl_error_destroy(err);
	vl_target_close(t);
}

static void test_old_note(struct image *im)
{
	struct vl_vcpu *v = NULL;
	struct vl_target *t;
	struct vl_error *err;
	size_t nr = 0;

	make(im, NOTE_OLD, 1);
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	ok(!err && !vl_target_vcpus(t, &v, &nr) && nr == 1 && !v[0].has_kernel_gs_base,
	   "a note from before kernel_gs_base");
	vl_error_destroy(err);
	free(v);
	if (!err)
		vl_target_close(t);
}

/* The file is opened, and has memory only. */
static void bare(const char *what)
{
	struct vl_vcpu *v = NULL;
	struct vl_target *t;
	struct vl_error *err = vl_target_open(path, NULL, &t);
	size_t nr = 1;

	if (!ok(!err, "%s: %s", what, err ? err->message : "opens")) {
		vl_error_destroy(err);
		return;
	}
	err = vl_target_vcpus(t, &v, &nr);
	ok(!vl_target_has_vcpus(t) && err && err->code == VL_ERR_TARGET && !nr, "%s: no registers",
	   what);
	vl_error_destroy(err);
	vl_target_close(t);
}

static void test_bad(struct image *im)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)im->b;
	Elf64_Phdr *ph = (Elf64_Phdr *)(im->b + sizeof(*eh));
	size_t note;

	make(im, NOTE_NEW, 0);
	save(im->b, im->len);
	bare("no CPU notes");
	make(im, NOTE_NEW, 1);
	note = ph[0].p_offset + 12 + 8 + 336; /* QEMU's: 12 bytes, the name in 8, then the state */
	im->b[note + 20] = 2;
	save(im->b, im->len);
	refused("a note of version 2", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 4, NOTE_OLD - 4); /* n_descsz */
	save(im->b, im->len);
	refused("a note that is too short", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 20 + O_SIZE, NOTE_NEW + 8);
	save(im->b, im->len);
	refused("a note that says it is longer", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 20 + O_SIZE, NOTE_OLD - 8);
	save(im->b, im->len);
	refused("a note that says it is shorter", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 8, 1); /* n_type */
	save(im->b, im->len);
	bare("a note of another type");
	make(im, NOTE_NEW, 1);
	memcpy(im->b + note + 12, "XEMU", 5);
	save(im->b, im->len);
	bare("a note of another name");
	make(im, NOTE_NEW, 1);
	ph[0].p_type = PT_NULL;
	save(im->b, im->len);
	bare("notes in no segment of notes");
	make(im, NOTE_NEW, 1);
	eh->e_machine = EM_AARCH64;
	save(im->b, im->len);
	refused("another machine", "no dump of an x86 guest");
	make(im, NOTE_NEW, 1);
	eh->e_type = ET_EXEC;
	save(im->b, im->len);
	refused("a program", "no dump of an x86 guest");
	make(im, NOTE_NEW, 1);
	ph[2].p_offset = UINT64_MAX - 10;
	save(im->b, im->len);
	refused("an offset that overflows", "not a memory dump");
	make(im, NOTE_NEW, 1);
	ph[2].p_offset = UINT64_MAX - ph[2].p_filesz;
	save(im->b, im->len);
	refused("an offset that just does not overflow", "truncated");
	make(im, NOTE_NEW, 1);
	ph[2].p_paddr = 0x123;
	save(im->b, im->len);
	refused("an unaligned segment", "not a memory dump");
	make(im, NOTE_NEW, 1);
	ph[1].p_type = ph[2].p_type = ph[3].p_type = PT_NULL;
	save(im->b, im->len);
	refused("no memory", "no guest memory");
	save("", 0);
	refused("empty", "not a memory dump");
	save("hello, world, this is text\n", 27);
	refused("a text", "not a memory dump");
	save("KDUMP   \x06\0\0\0xxxxxxxxxx", 20);
	refused("kdump, its first bytes", "truncated");
	save("makedumpfile\0\0\0\0xxxxxx", 20);
	refused("flattened kdump, its first bytes", "truncated");
	save("\x1f\x8b\x08xxxxxxxxxxxxxxxxxxxx", 20);
	refused("gzip", "compressed by gzip");
	save("AVML\x02\0\0\0xxxxxxxxxxxx", 20);
	refused("AVML, its first bytes", "truncated");
	unlink(path);
	refused("no such file", "no such file");
	if (symlink("dump", path) < 0)
		exit(99);
	refused("a link to itself", "cannot open");
	unlink(path);
	save("", 0);
	strcat(path, "/x");
	refused("a file in the place of a folder", "no such file");
	path[strlen(path) - 2] = '\0';
	unlink(path);
	if (mkfifo(path, 0600) < 0)
		exit(99);
	refused("a FIFO (does not hang)", "not a regular file");
	unlink(path);
	if (mkdir(path, 0700) < 0)
		exit(99);
	refused("a folder", "a folder, not a memory dump");
	rmdir(path);
}

/* Two segments over the same page, as a dump with paging has them. */
static void test_overlap(struct image *im)
{
	Elf64_Phdr *ph = (Elf64_Phdr *)(im->b + sizeof(Elf64_Ehdr));
	struct vl_target *t;
	struct vl_error *err;
	uint64_t w;
	size_t nr;

	make(im, NOTE_NEW, 1);
	ph[2].p_paddr = 0x1000;
	ph[3].p_paddr = 0x2000;
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "overlapping segments"))
		return;
	vl_target_ram(t, &nr);
	ok(nr == 2 && !vl_target_read(t, 0x1008, &w, 8) && w == 0x1008 &&
		   !vl_target_read(t, 0x2008, &w, 8) && w == 0x100001008,
	   "the first one counts, the next goes on");
	vl_target_close(t);
	make(im, NOTE_NEW, 1);
	ph[2].p_paddr = 0x123;
	ph[2].p_filesz = 100;
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a segment of less than a page"))
		return;
	vl_target_ram(t, &nr);
	ok(nr == 2, "is left out");
	vl_target_close(t);
	make(im, NOTE_NEW, 1);
	ph[1].p_paddr = UINT64_MAX - 0x1fff;
	ph[1].p_filesz = 0x1fff;
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a segment at the end of the addresses"))
		return;
	vl_target_ram(t, &nr);
	ok(nr == 3, "is one more range");
	vl_target_close(t);
}

struct lime_header {
	char magic[4];
	uint32_t version;
	uint64_t first, last, reserved;
};

/* Add a range of memory, filled with bytes of @fill. */
static void add_range(struct image *im, uint64_t first, uint64_t last, unsigned char fill)
{
	const struct lime_header h = { { 'E', 'M', 'i', 'L' }, 1, first, last, 0 };

	memcpy(im->b + im->len, &h, sizeof(h));
	im->len += sizeof(h);
	memset(im->b + im->len, fill, last - first + 1);
	im->len += last - first + 1;
}

static void make_lime(struct image *im)
{
	im->len = 0;
	add_range(im, 0x1000, 0x2fff, 1);
	add_range(im, 0x100200, 0x1027ff, 2); /* a page and two parts of one */
	add_range(im, 0x200000, 0x2000ff, 3); /* less than a page */
}

static void test_lime(struct image *im)
{
	unsigned char byte[2] = "";
	const struct vl_ram *r;
	struct vl_placement place;
	struct vl_target *t;
	struct vl_error *err;
	size_t nr;

	make_lime(im);
	save(im->b, im->len);
	bare("LiME");
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "LiME opens"))
		return;
	r = vl_target_ram(t, &nr);
	ok(nr == 2 && r[0].gpa == 0x1000 && r[0].size == 0x2000 && r[1].gpa == 0x101000 &&
		   r[1].size == 0x1000 && !vl_target_placement(t, 1, &place),
	   "whole pages count");
	err = vl_target_read(t, 0x2fff, byte, 1);
	err = err ? err : vl_target_read(t, 0x101fff, byte + 1, 1);
	ok(!err && byte[0] == 1 && byte[1] == 2, "at their addresses");
	vl_error_destroy(err);
	err = vl_target_place(t, 1);
	ok(err && err->code == VL_ERR_ARG, "it says itself where its memory lies");
	vl_error_destroy(err);
	vl_target_close(t);

	save(im->b, im->len - 1);
	refused("LiME, a byte less", "truncated");
	save(im->b, 31);
	refused("LiME, half a header", "truncated");
	im->b[32 + 0x2000] = 'X';
	save(im->b, im->len);
	refused("LiME, another header", "damaged");
	make_lime(im);
	im->b[4] = 2;
	save(im->b, im->len);
	refused("LiME, version 2", "version 2");
	make_lime(im);
	put64(im->b + 16, 0xfff); /* last */
	save(im->b, im->len);
	refused("LiME, a range that ends before it begins", "damaged");
	put64(im->b + 8, 0);
	put64(im->b + 16, UINT64_MAX);
	save(im->b, im->len);
	refused("LiME, all there can be", "damaged");
	im->len = 0;
	add_range(im, 0x200000, 0x2000ff, 3);
	save(im->b, im->len);
	refused("LiME, no page", "no memory");
}

/* A sparse file of @size bytes that begins with @len bytes, 64 of them at least. */
static void save_flat(const void *head, size_t len, uint64_t size)
{
	save(head, len);
	if (truncate(path, (off_t)size) < 0)
		exit(99);
}

/* Two pages in two pieces, as they are. The checksum of the second one is @wrong by a bit. */
static void make_avml(struct image *im, uint32_t wrong)
{
	const uint64_t body = 2 * (8 + 4096);
	unsigned char *p = im->b;

	memset(im->b, 0, sizeof(im->b));
	memcpy(p, "AVML", 4);
	put32(p + 4, 2);
	put64(p + 8, 0x1000);
	put64(p + 16, 0x2fff);
	p += 32;
	for (unsigned i = 0; i < 2; i++, p += 8 + 4096) {
		uint32_t sum;

		memset(p + 8, 'a' + (int)i, 4096);
		sum = vl_crc32c(p + 8, 4096);
		put32(p, (4096 + 4) << 8 | 1);
		put32(p + 4, ((sum >> 15 | sum << 17) + 0xa282ead8) ^ (i ? wrong : 0));
	}
	put64(p, body);
	im->len = 32 + body + 8;
}

static void test_avml(struct image *im)
{
	struct vl_target *t;
	struct vl_error *err;
	unsigned char page[4096];

	for (uint32_t wrong = 0; wrong < 2; wrong++) {
		make_avml(im, wrong);
		save(im->b, im->len);
		err = vl_target_open(path, NULL, &t);
		if (!ok(!err, "AVML opens%s%s", err ? ": " : "", err ? err->message : ""))
			return;
		vl_target_unpack(t);
		err = vl_target_read(t, 0x1000, page, sizeof(page));
		ok(!err && page[0] == 'a' && page[4095] == 'a', "its first page");
		vl_error_destroy(err);
		err = vl_target_read(t, 0x2000, page, sizeof(page));
		if (wrong)
			ok(err && err->code == VL_ERR_FAULT && strstr(err->message, "is damaged"),
			   "not one with another checksum: %s", err ? err->message : "read");
		else
			ok(!err && page[0] == 'b' && page[4095] == 'b', "and its second one");
		vl_error_destroy(err);
		vl_target_close(t);
	}
}

static void test_flat(void)
{
	const uint64_t mark = 0x1122334455667788, size = 5UL << 30, hole = 0xc0000000;
	unsigned char head[64] = { 0xf3, 0xee, 0, 0xf0 }; /* an interrupt vector of the BIOS */
	unsigned int chosen = 0, last = 0;
	struct vl_placement place;
	uint64_t w = 0;
	struct vl_target *t;
	struct vl_error *err;
	size_t nr;
	int fd;

	save_flat(head, sizeof(head), size);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, &mark, 8, (off_t)hole + 8) != 8)
		exit(99);
	close(fd);
	bare("a flat image");
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a flat image opens"))
		return;
	ok(vl_target_placement(t, 1, &place) && place.nr == 1 && place.extents[0].size == size &&
		   !vl_target_read(t, hole + 8, &w, 8) && w == mark,
	   "its memory begins at 0");
	ok(!vl_ram_next_data(t, vl_target_ram(t, &nr), 0) &&
		   vl_ram_next_data(t, vl_target_ram(t, &nr), 1UL << 30) == hole &&
		   vl_ram_next_data(t, vl_target_ram(t, &nr), 4UL << 30) == size,
	   "its holes are known");
	for (unsigned int i = 1; vl_target_placement(t, i, &place); i++) {
		if (place.extents[0].size == hole)
			chosen = i;
		last = i;
	}
	ok(last == 6, "a hole can be at five places, or nowhere");
	err = vl_target_place(t, last + 1);
	ok(err && err->code == VL_ERR_ARG, "at no other");
	vl_error_destroy(err);
	err = vl_target_place(t, chosen);
	vl_target_ram(t, &nr);
	w = 0;
	ok(!err && nr == 2 && !vl_target_read(t, (1UL << 32) + 8, &w, 8) && w == mark,
	   "what follows the hole is above 4 GiB");
	vl_error_destroy(err);
	err = vl_target_read(t, hole, &w, 8);
	ok(err && err->code == VL_ERR_FAULT, "nothing is in the hole");
	vl_error_destroy(err);
	ok(!vl_target_place(t, chosen), "the same placement again");
	w = 0;
	ok(!vl_target_place(t, 0) && !vl_target_read(t, hole + 8, &w, 8) && w == mark,
	   "it can be undone");
	vl_target_close(t);

	save_flat(head, sizeof(head), (4UL << 20) - 4096);
	refused("too small for a machine's memory", "not a memory dump");
	save_flat(head, sizeof(head), (4UL << 20) + 512);
	err = vl_target_open(path, NULL, &t);
	ok(!err && flat_size(t) == 4UL << 20 && vl_target_remainder(t) == 512,
	   "what is behind the last whole page is left out");
	vl_error_destroy(err);
	if (!err)
		vl_target_close(t);
	memset(head, 'x', sizeof(head));
	save_flat(head, sizeof(head), 4UL << 20);
	refused("a long text", "not a memory dump");
}

/* The core of a process: the segments have no physical addresses. */
static void test_core(struct image *im)
{
	Elf64_Phdr *ph = (Elf64_Phdr *)(im->b + sizeof(Elf64_Ehdr));
	const struct vl_ram *r;
	struct vl_placement place;
	struct vl_target *t;
	struct vl_error *err;
	size_t nr;

	make(im, NOTE_NEW, 0);
	ph[1].p_paddr = ph[2].p_paddr = ph[3].p_paddr = 0;
	save(im->b, im->len);
	bare("the core of a process");
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "the core of a process opens"))
		return;
	r = vl_target_ram(t, &nr);
	ok(nr == 1 && !r->gpa && r->size == ph[1].p_filesz && r->fd_offset == ph[1].p_offset &&
		   vl_target_placement(t, 1, &place),
	   "its largest segment is the memory");
	vl_target_close(t);
	/* QEMU's buffer for translated code is larger, but no whole MiBs. */
	make(im, NOTE_NEW, 0);
	ph[1].p_paddr = ph[2].p_paddr = ph[3].p_paddr = 0;
	ph[1].p_filesz = (2UL << 20) - 4096;
	ph[2].p_filesz = 1UL << 20;
	save(im->b, im->len);
	if (truncate(path, 4L << 20) < 0)
		exit(99);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a core with a larger segment opens"))
		return;
	r = vl_target_ram(t, &nr);
	ok(nr == 1 && r->size == 1UL << 20 && r->fd_offset == ph[2].p_offset,
	   "the memory is of whole MiBs");
	vl_target_close(t);
	/* /proc/kcore: a segment of the vmalloc area, of TiBs that no file has. */
	make(im, NOTE_NEW, 0);
	ph[1].p_paddr = UINT64_MAX;
	ph[1].p_filesz = 1UL << 45;
	save(im->b, im->len);
	bare("a segment without a physical address");
}

/* The program was started without an input: the file gets its number. */
static void test_no_input(struct image *im)
{
	const struct vl_ram *r;
	struct vl_target *t;
	struct vl_error *err;
	int input = dup(STDIN_FILENO);
	size_t nr;

	make(im, NOTE_NEW, 1);
	save(im->b, im->len);
	close(STDIN_FILENO);
	err = vl_target_open(path, NULL, &t);
	if (ok(!err, "a dump opens without a standard input")) {
		r = vl_target_ram(t, &nr);
		ok(r[0].fd == STDIN_FILENO, "in its place");
		vl_target_close(t);
		ok(fcntl(STDIN_FILENO, F_GETFD) < 0 && errno == EBADF, "and is closed");
	}
	vl_error_destroy(err);
	if (input >= 0) {
		dup2(input, STDIN_FILENO);
		close(input);
	}
}

/* Root may read all: be nobody meanwhile, where that can be. */
static void test_denied(void)
{
	const uid_t us = geteuid();

	save("", 0);
	if (chmod(path, 0) < 0)
		exit(99);
	if (us || !seteuid(65534)) {
		if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 && errno == EACCES)
			refused("a file that is closed to us", "no permission");
		if (seteuid(us) < 0)
			exit(99);
	}
	unlink(path);
}

static void test_torn(struct image *im)
{
	unsigned int opened = 0, refused = 0, unsaid = 0, seed = 1;

	make(im, NOTE_NEW, 2);
	for (size_t n = 0; n < im->len; n += n < 2048 ? 1 : 509) {
		struct vl_target *t = NULL;
		struct vl_error *err;

		save(im->b, n);
		err = vl_target_open(path, NULL, &t);
		opened += !err;
		if (!err)
			vl_target_close(t);
		else if (err->code != VL_ERR_TARGET || !err->hint)
			opened++;
		vl_error_destroy(err);
	}
	ok(opened == 0, "truncated anywhere it is refused with a hint");
	for (int i = 0; i < 3000; i++) {
		struct vl_target *t = NULL;
		struct vl_error *err;

		make(im, NOTE_NEW, 2);
		for (int k = 0; k < 4; k++) {
			seed = seed * 1103515245 + 12345;
			im->b[(seed >> 8) % 1400] = (unsigned char)(seed >> 24);
		}
		save(im->b, im->len);
		err = vl_target_open(path, NULL, &t);
		if (!err) {
			unsigned char b[64];

			vl_error_destroy(vl_target_read(t, 0x100000, b, sizeof(b)));
			vl_target_close(t);
		} else {
			refused++;
			unsaid += !*err->message;
		}
		vl_error_destroy(err);
	}
	ok(refused > 100 && refused < 2900 && !unsaid,
	   "damaged headers and notes: %u of 3000 are refused, with a reason", refused);
}

/* A file with other contents is another run, also if its times are set back. */
static void test_changed(struct image *im)
{
	char before[128] = "", after[128] = "";
	struct vl_target *t = NULL;
	struct stat st, now;

	make(im, NOTE_NEW, 1);
	save(im->b, im->len);
	if (ok(!vl_target_open(path, NULL, &t), "the file as it was"))
		snprintf(before, sizeof(before), "%s", vl_target_run_id(t));
	vl_target_close(t);
	t = NULL;
	if (stat(path, &st))
		exit(99);
	/* The clock of files does not go on with each write. */
	do {
		const struct timespec times[] = { st.st_atim, st.st_mtim };

		save(im->b, im->len);
		if (utimensat(AT_FDCWD, path, times, 0) || stat(path, &now))
			exit(99);
	} while (now.st_ctim.tv_sec == st.st_ctim.tv_sec &&
		 now.st_ctim.tv_nsec == st.st_ctim.tv_nsec);
	if (ok(!vl_target_open(path, NULL, &t) && now.st_mtim.tv_nsec == st.st_mtim.tv_nsec,
	       "the file with its times set back"))
		snprintf(after, sizeof(after), "%s", vl_target_run_id(t));
	vl_target_close(t);
	ok(*before && *after && strcmp(before, after) != 0, "it has another run id: %s", after);
}

int main(void)
{
	static struct image im;

	if (!mkdtemp(dir))
		return 99;
	snprintf(path, sizeof(path), "%s/dump", dir);
	test_good(&im);
	test_old_note(&im);
	test_overlap(&im);
	test_bad(&im);
	test_lime(&im);
	test_avml(&im);
	test_flat();
	test_core(&im);
	test_no_input(&im);
	test_denied();
	test_torn(&im);
	test_changed(&im);
	unlink(path);
	rmdir(dir);
	return tap_end();
}
