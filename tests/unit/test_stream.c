/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migration streams made by hand, alone, behind libvirt's header and in a disk image: good ones,
 * and damaged ones of every kind.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "host/pages.h"
#include "host/registers.h"
#include "host/target.h"

#define PAGE 4096
#define MIB (1UL << 20)
#define RAM_PAGES (16 * MIB / PAGE)

/* The bytes of a memory without addresses; 0: it has addresses. */
static uint64_t flat_size(const struct vl_target *t)
{
	struct vl_placement p;

	return vl_target_placement(t, 1, &p) ? p.extents[0].size : 0;
}

static char dir[] = "/tmp/vlens-stream-XXXXXX";
static char path[64];

/* A stream, in the order in which QEMU writes it. */
static struct {
	unsigned char b[4 * MIB];
	size_t len;
} s;

static void put(const void *p, size_t n)
{
	memcpy(s.b + s.len, p, n);
	s.len += n;
}

static void put_at(size_t at, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		s.b[at + (size_t)i] = (unsigned char)(v >> 8 * (bytes - 1 - i));
}

static void put8(unsigned v)
{
	s.b[s.len++] = (unsigned char)v;
}

static void put32(uint32_t v)
{
	put_at(s.len, v, 4);
	s.len += 4;
}

static void put64(uint64_t v)
{
	put_at(s.len, v, 8);
	s.len += 8;
}

static void put_name(const char *name)
{
	put8((unsigned)strlen(name));
	put(name, strlen(name));
}

static void put_head(const char *machine)
{
	s.len = 0;
	put("QEVM\0\0\0\3", 8);
	if (!machine)
		return;
	put8(0x07);
	put32((uint32_t)strlen(machine));
	put(machine, strlen(machine));
}

static void put_section(unsigned kind, uint32_t id, const char *name, uint32_t version)
{
	put8(kind);
	put32(id);
	put_name(name);
	put32(0);
	put32(version);
}

static void put_footer(uint32_t id)
{
	put8(0x7e);
	put32(id);
}

/* The start of memory: @blocks are names, and sizes in pages; the last name is NULL. */
struct block {
	const char *name;
	uint64_t pages;
};

static const struct block one_block[] = { { "pc.ram", RAM_PAGES }, { "pc.bios", 4 }, { NULL, 0 } };

static void put_blocks(const struct block *blocks)
{
	uint64_t sum = 0;

	put_section(0x01, 2, "ram", 4);
	for (const struct block *b = blocks; b->name; b++)
		sum += b->pages * PAGE;
	put64(sum | 0x04);
	for (const struct block *b = blocks; b->name; b++) {
		put_name(b->name);
		put64(b->pages * PAGE);
	}
	put64(0x10);
	put_footer(2);
}

/* A page of @name (NULL: of the block of the last one), filled with @fill. */
static void put_page(const char *name, uint64_t page, unsigned fill)
{
	put64(page * PAGE | 0x08 | (name ? 0 : 0x20));
	if (name)
		put_name(name);
	memset(s.b + s.len, (int)fill, PAGE);
	s.len += PAGE;
}

static void put_filled(const char *name, uint64_t page, unsigned fill)
{
	put64(page * PAGE | 0x02 | (name ? 0 : 0x20));
	if (name)
		put_name(name);
	put8(fill);
}

static void begin_part(unsigned kind)
{
	put8(kind);
	put32(2);
}

static void end_part(void)
{
	put64(0x10);
	put_footer(2);
}

/* The rest of RAM, as zeros, and the end of memory. */
static void put_end(void)
{
	begin_part(0x03);
	for (uint64_t i = 8; i < RAM_PAGES; i++)
		put_filled(i == 8 ? "pc.ram" : NULL, i, 0);
	end_part();
}

#define U64(name) "{\"name\":\"" name "\",\"type\":\"uint64\",\"size\":8},"
#define SEGMENT \
	"\"type\":\"struct\",\"struct\":{\"vmsd_name\":\"segment\",\"fields\":[" \
	"{\"name\":\"selector\",\"size\":4},{\"name\":\"base\",\"size\":8}," \
	"{\"name\":\"limit\",\"size\":4},{\"name\":\"flags\",\"size\":4}]},\"size\":20},"

static const char description[] =
	"{\"page_size\":4096,\"devices\":["
	"{\"name\":\"timer\",\"instance_id\":0,\"version\":2,\"fields\":[{\"name\":\"t\",\"size\":8}]},"
	"{\"name\":\"cpu\",\"instance_id\":0,\"version\":12,\"fields\":["
	"{\"name\":\"env.regs\",\"array_len\":16,\"type\":\"uint64\",\"size\":8}," U64("env.eip") U64(
		"env.eflags") "{\"name\":\"env.segs\",\"array_len\":6," SEGMENT
			      "{\"name\":\"env.ldt\"," SEGMENT "{\"name\":\"env.tr\"," SEGMENT
			      "{\"name\":\"env.gdt\"," SEGMENT
			      "{\"name\":\"env.idt\"," SEGMENT U64("env.cr[0]") U64(
				      "env.cr[2]") U64("env.cr[3]") U64("env.cr[4]")
				      U64("env.efer") "{\"name\":\"env.kernelgsbase\",\"size\":8}],"
						      "\"subsections\":[{\"vmsd_name\":\"cpu/x\",\"version\":1,\"fields\":[{\"name\":\"x\",\"size\":4}]}]},"
						      "{\"name\":\"mc146818rtc\",\"instance_id\":0,\"version\":3,\"fields\":["
						      "{\"name\":\"cmos_data\",\"type\":\"buffer\",\"size\":128}]}]}";

static void put_segment(uint32_t selector, uint64_t base, uint32_t limit)
{
	put32(selector);
	put64(base);
	put32(limit);
	put32(0xa000 + selector);
}

/* @low and @high: RAM below and above 4 GiB, in units of 64 KiB; @low without the first 16 MiB. */
static void put_devices(unsigned low, unsigned high, const char *desc)
{
	unsigned char cmos[128] = { 0 };

	put_section(0x04, 0, "timer", 2);
	/* A device may hold bytes that look like another one's section. */
	put("\x03"
	    "cpu\0\0\0\0",
	    8);
	put_footer(0);
	put_section(0x04, 7, "cpu", 12);
	for (unsigned i = 0; i < 16; i++)
		put64(0xffffc90000000000 + i);
	put64(0xffffffff81000123);
	put64(0x246);
	for (unsigned i = 0; i < 6; i++)
		put_segment(0x10 + i, 0xffff888000000000 + i, 0xffff);
	put_segment(0x50, 0x5000, 0x5f);
	put_segment(0x40, 0xfffffe0000003000, 0x4087);
	put_segment(0, 0xfffffe0000001000, 0x7f);
	put_segment(0, 0xfffffe0000000000, 0xfff);
	put64(0x80050033);
	put64(0x7fff2222);
	put64(0x15010000);
	put64(0x6f0);
	put64(0xd01);
	put64(0x7f0000000001);
	put8(0x05);
	put_name("cpu/x");
	put32(1);
	put32(0);
	put_footer(7);
	put_section(0x04, 9, "mc146818rtc", 3);
	cmos[0x34] = (unsigned char)low;
	cmos[0x35] = (unsigned char)(low >> 8);
	cmos[0x5b] = (unsigned char)high;
	cmos[0x5c] = (unsigned char)(high >> 8);
	put(cmos, sizeof(cmos));
	put_footer(9);
	put8(0);
	if (!desc)
		return;
	put8(0x06);
	put32((uint32_t)strlen(desc));
	put(desc, strlen(desc));
}

/* A whole stream: pages 0 to 7 have their number + 1 in each byte, but for 2 and 5. */
static void make(void)
{
	put_head("pc-q35-9.9");
	put_blocks(one_block);
	begin_part(0x02);
	put_page("pc.ram", 0, 1);
	put_page(NULL, 1, 0x77); /* replaced below */
	put_filled(NULL, 2, 0);
	put_page(NULL, 3, 4);
	put_page("pc.bios", 0, 0xbb);
	put_page("pc.ram", 4, 5);
	end_part();
	begin_part(0x02);
	put_filled("pc.ram", 5, 0x55);
	put_page(NULL, 6, 7);
	put64(0x200);
	put_page(NULL, 7, 8);
	put_page(NULL, 1, 2);
	end_part();
	put_end();
	put_devices(0, 0, description);
}

static void save(const void *b, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(b, 1, len, f) != len || fclose(f) != 0)
		exit(99);
}

static struct vl_target *opened_as(const char *what, const char *snapshot)
{
	const struct vl_target_options o = { .snapshot = snapshot };
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(path, &o, &t);

	ok(!err, "%s%s%s", what, err ? ": " : " opens", err ? err->message : "");
	vl_error_destroy(err);
	if (t)
		vl_target_unpack(t);
	return t;
}

static struct vl_target *opened(const char *what)
{
	save(s.b, s.len);
	return opened_as(what, NULL);
}

static void refused_as(const char *what, const char *snapshot, const char *message)
{
	const struct vl_target_options o = { .snapshot = snapshot };
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(path, &o, &t);

	ok(err && err->code == VL_ERR_TARGET && strstr(err->message, message) && err->hint,
	   "%s: %s", what, err ? err->message : "opened");
	vl_error_destroy(err);
	vl_target_close(t);
}

static void refused(const char *what, const char *message)
{
	save(s.b, s.len);
	refused_as(what, NULL, message);
}

static bool has(struct vl_target *t, uint64_t gpa, unsigned fill)
{
	unsigned char page[PAGE], want[PAGE];
	struct vl_error *err = vl_target_read(t, gpa, page, PAGE);
	bool good = !err;

	memset(want, (int)fill, PAGE);
	good = good && !memcmp(page, want, PAGE);
	vl_error_destroy(err);
	return good;
}

/* The same of a byte: the page may be one that is kept. */
static bool has_byte(struct vl_target *t, uint64_t gpa, unsigned fill)
{
	unsigned char byte = 0xff;

	return !vl_target_read(t, gpa, &byte, 1) && byte == fill;
}

/* Where data are from @gpa on, in its range; 0: nowhere. */
static uint64_t next_data(struct vl_target *t, uint64_t gpa)
{
	uint64_t start, end;

	return vl_target_next_data(t, gpa, &start, &end) ? start : 0;
}

static bool has_pages(struct vl_target *t)
{
	static const unsigned char fills[] = { 1, 2, 0, 4, 5, 0x55, 7, 8, 0 };

	for (size_t i = 0; i < sizeof(fills); i++)
		if (!has(t, i * PAGE, fills[i]))
			return false;
	return true;
}

static void test_good(void)
{
	const struct vl_ram *r;
	struct vl_vcpu *v = NULL;
	struct vl_registers *r_all = NULL;
	struct vl_target *t;
	struct vl_error *err;
	unsigned int machine;
	size_t nr = 0;
	char byte;

	make();
	t = opened("a stream");
	if (!t)
		return;
	r = vl_target_ram(t, &nr);
	ok(nr == 1 && !r[0].gpa && r[0].size == 16 * MIB && r[0].fd < 0 && !flat_size(t),
	   "its RAM, without ROMs");
	ok(has_pages(t), "its pages: the last of each, and bytes that fill one");
	ok(vl_ram_next_data(t, r, 8 * PAGE) == r->size &&
		   vl_ram_next_data(t, r, 2 * PAGE) == 3 * PAGE,
	   "pages of zeros are skipped");
	err = vl_target_read(t, 16 * MIB, &byte, 1);
	ok(err && err->code == VL_ERR_FAULT, "there is no more");
	vl_error_destroy(err);
	err = vl_target_vcpus(t, &v, &nr);
	ok(!err && nr == 1 && v->rip == 0xffffffff81000123 && v->rsp == 0xffffc90000000004 &&
		   v->rflags == 0x246 && v->cs == 0x11 && v->ss == 0x12 &&
		   v->gs_base == 0xffff888000000005 && v->has_kernel_gs_base &&
		   v->kernel_gs_base == 0x7f0000000001,
	   "its registers");
	ok(!err && v->cr0 == 0x80050033 && v->cr3 == 0x15010000 && v->cr4 == 0x6f0 &&
		   v->efer == 0xd01,
	   "its control registers");
	ok(!err && v->tr == 0x40 && v->tr_base == 0xfffffe0000003000 && v->tr_limit == 0x4087 &&
		   v->gdt_base == 0xfffffe0000001000 && v->gdt_limit == 0x7f &&
		   v->idt_base == 0xfffffe0000000000 && v->idt_limit == 0xfff,
	   "its tables");
	vl_error_destroy(err);
	free(v);
	err = vl_target_registers(t, &r_all, &nr, &machine);
	ok(!err && nr == 1 && machine == EM_X86_64 && r_all->rax == 0xffffc90000000000 &&
		   r_all->rdx == 0xffffc90000000002 && r_all->r15 == 0xffffc9000000000f &&
		   r_all->rip == 0xffffffff81000123 && r_all->cr[2] == 0x7fff2222 &&
		   r_all->cr[4] == 0x6f0 && r_all->kernel_gs_base == 0x7f0000000001,
	   "all of them, for a dump");
	ok(!err && r_all->es.selector == 0x10 && r_all->ds.selector == 0x13 &&
		   r_all->fs.base == 0xffff888000000004 && r_all->gs.flags == 0xa015 &&
		   r_all->ldt.base == 0x5000 && r_all->ldt.flags == 0xa050,
	   "and its segments");
	vl_error_destroy(err);
	free(r_all);
	/* Cut short under our hands. */
	if (truncate(path, 100) < 0)
		exit(99);
	err = vl_target_read(t, 0, &byte, 1);
	ok(err && err->code == VL_ERR_FAULT, "truncated while open: %s", err ? err->message : "");
	vl_error_destroy(err);
	vl_target_close(t);
}

/* Memory is there, and no registers: @flat, or placed. */
static void bare(const char *what, bool flat)
{
	struct vl_target *t = opened(what);

	if (!t)
		return;
	ok(!vl_target_has_vcpus(t) && has_pages(t) && !!flat_size(t) == flat, "%s: memory only",
	   what);
	vl_target_close(t);
}

static void make_with(const char *desc)
{
	make();
	s.len -= 5 + strlen(description);
	if (!desc)
		return;
	put8(0x06);
	put32((uint32_t)strlen(desc));
	put(desc, strlen(desc));
}

/* The description with @from replaced by @to. */
static const char *changed(const char *from, const char *to)
{
	static char text[sizeof(description) + 256];
	const char *at = strstr(description, from);

	if (!at)
		exit(99);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - description), description, to,
		 at + strlen(from));
	return text;
}

/* To parse or search all that these begin or name would take days. */
static void test_costly(void)
{
	static char many[MIB] = "{\"devices\":[";
	const char *clock = "{\"name\":\"mc146818rtc\",\"version\":9},";
	size_t len = strlen(many), start;

	make_with(NULL);
	start = s.len;
	/* A comment, which ends nowhere. */
	while (s.len < sizeof(s.b) - 16) {
		put("\0\x06", 2);
		put32(0);
		put("{/*", 3);
	}
	put8('}');
	for (size_t at = start; at + 9 < s.len; at += 9)
		put_at(at + 2, s.len - at - 6, 4);
	bare("beginnings of descriptions", true);
	while (len + strlen(clock) + 3 < sizeof(many)) {
		memcpy(many + len, clock, strlen(clock));
		len += strlen(clock);
	}
	memcpy(many + len - 1, "]}", 3);
	make_with(NULL);
	memset(s.b + s.len, 0, 2 * MIB);
	s.len += 2 * MIB;
	put8(0x06);
	put32((uint32_t)strlen(many));
	put(many, strlen(many));
	bare("a description of many clocks", true);
}

/* Pages far apart: a stream of this size as a hole, and a page for each leaf of its places. */
static void put_far_apart(unsigned pages)
{
	static const struct block large[] = { { "pc.ram", 64UL << 30 >> 12 }, { NULL, 0 } };

	put_head("pc");
	put_blocks(large);
	begin_part(0x03);
	for (unsigned i = 0; i < pages; i++)
		put_filled(i ? NULL : "pc.ram", i * 512UL, 1 + i % 2);
	put64(0x10);
	put_footer(2);
	put8(0);
	save(s.b, s.len);
	if (truncate(path, 256 * MIB))
		exit(99);
}

static void test_far_apart(void)
{
	/* 64 MiB of leaves are given. */
	put_far_apart(16000);
	vl_target_close(opened_as("pages far apart", NULL));
	put_far_apart(20000);
	refused_as("more of them", NULL, "farther apart than any guest's");
	put_head("pc");
	put8(0x08);
	put32(0x0002ffff);
	refused("a long command", "a command has not its length");
}

static void test_no_registers(void)
{
	make_with(NULL);
	bare("a stream without a description", true);
	make_with("{\"devices\":7}");
	bare("a description without devices", true);
	make_with("{}}");
	bare("a description that is no JSON", true);
	make_with(changed("env.cr[3]", "env.cr[9]"));
	bare("a CPU without a register", false);
	make_with(changed("\"version\":12", "\"version\":13"));
	bare("a CPU of another version", false);
	make_with(changed("\"array_len\":16", "\"array_len\":17"));
	bare("a CPU that ends elsewhere", false);
	make_with(changed("\"array_len\":16", "\"array_len\":9223372036854775807"));
	bare("a CPU larger than any", false);
	make_with(changed("\"uint64\",\"size\":8", "\"uint64\",\"size\":-8"));
	bare("a field of a size below zero", false);
	make_with(changed("\"fields\":[{\"name\":\"x\",\"size\":4}]", "\"fields\":\"x\""));
	bare("fields that are none", false);
	make_with(changed("\"size\":128", "\"size\":127"));
	{
		struct vl_target *t = opened("a clock without its memory");

		ok(t && vl_target_has_vcpus(t) && !flat_size(t),
		   "the registers count where memory can have no hole");
		vl_target_close(t);
	}
}

/* Without the sizes of RAM its hole is not known: the pages follow it wherever it is. */
static void test_hole(void)
{
	static const struct block large[] = { { "pc.ram", 3UL << 18 }, { NULL, 0 } };
	const uint64_t at = 0x90000000, hole = 0x80000000, moved = (4UL << 30) + at - hole;
	struct vl_placement p;
	struct vl_target *t;
	unsigned int i = 1;

	put_head("pc-i440fx-2.0");
	put_blocks(large);
	begin_part(0x03);
	put_page("pc.ram", 0, 1);
	put_page("pc.ram", at / PAGE, 2);
	end_part();
	put8(0);
	save(s.b, s.len);
	/* Each page of RAM takes some bytes of a stream. */
	if (truncate(path, 8 * MIB) < 0)
		exit(99);
	t = opened_as("3 GiB, with a hole anywhere", NULL);
	if (!t)
		return;
	ok(flat_size(t) == 3UL << 30 && has(t, at, 2) && has(t, 0, 1) && has_byte(t, at + 8, 2),
	   "its memory begins at 0");
	while (vl_target_placement(t, i, &p) && p.extents[0].size != hole)
		i++;
	ok(!vl_target_place(t, i), "it can have a hole");
	ok(has(t, moved, 2) && has(t, 0, 1) && !has(t, at, 2) && has_byte(t, moved + 8, 2) &&
		   has_byte(t, moved - PAGE, 0),
	   "what follows the hole is above 4 GiB");
	ok(next_data(t, 4UL << 30) == moved && next_data(t, PAGE) == 0,
	   "its zeros are known there");
	ok(!vl_target_place(t, 0) && has_byte(t, at, 2), "it can be undone");
	vl_target_close(t);
}

/* Blocks at their places: @gpa is that of the first page of each. */
static void placed(const char *what, const struct block *blocks, unsigned low, unsigned high,
		   const uint64_t *gpas)
{
	struct vl_target *t;
	bool good = true;

	put_head("pc-i440fx-2.0");
	put_blocks(blocks);
	begin_part(0x03);
	for (size_t i = 0; blocks[i].name; i++)
		put_page(blocks[i].name, 0, (unsigned)i + 1);
	end_part();
	put_devices(low, high, description);
	/* Each page of RAM takes some bytes of a stream. */
	memset(s.b + s.len, 0, 64UL << 10);
	s.len += 64UL << 10;
	if (!gpas) {
		refused(what, "does not say where they lie");
		return;
	}
	t = opened(what);
	for (size_t i = 0; t && blocks[i].name; i++)
		good &= !gpas[i] + 1UL == 0 || has(t, gpas[i], (unsigned)i + 1);
	ok(t && good, "%s: they lie where the machine has them", what);
	vl_target_close(t);
}

#define GIB (1UL << 30)

static void test_blocks(void)
{
	static const struct block nodes[] = { { "ram-node1", 3072 },
					      { "ram-node0", 2048 },
					      { NULL, 0 } };
	static const struct block module[] = { { "pc.ram", 4096 }, { "dimm", 512 }, { NULL, 0 } };
	static const struct block modules[] = {
		{ "memdimm1", 1024 }, { "memdimm0", 512 }, { "/objects/pc.ram", 4096 }, { NULL, 0 }
	};
	static const struct block others[] = {
		{ "a", 4096 }, { "b", 512 }, { "c", 16 }, { NULL, 0 }
	};
	static const struct block parts[] = { { "a", 4096 }, { "b", 1024 }, { NULL, 0 } };
	static const struct block high[] = { { "pc.ram", 4096 + 1024 }, { NULL, 0 } };

	placed("two NUMA nodes", nodes, 64, 0, (uint64_t[]){ 8 * MIB, 0 });
	placed("a memory module", module, 0, 0, (uint64_t[]){ 0, 4 * GIB });
	placed("two memory modules", modules, 0, 0, (uint64_t[]){ 4 * GIB + 2 * MIB, 4 * GIB, 0 });
	placed("RAM above 4 GiB", high, 0, 64, (uint64_t[]){ 0 });
	{
		struct vl_target *t = opened("RAM above 4 GiB");
		size_t nr = 0;
		const struct vl_ram *r = t ? vl_target_ram(t, &nr) : NULL;

		ok(nr == 2 && r[0].size == 16 * MIB && r[1].gpa == 4 * GIB && r[1].size == 4 * MIB,
		   "two ranges");
		vl_target_close(t);
	}
	placed("blocks of any names", others, 0, 0, NULL);
	placed("blocks that are RAM only together", parts, 64, 0, NULL);
}

/* Cut, or changed, at each byte of all but most pages: an answer or an error, and no more. */
static void test_any(void)
{
	unsigned refusals = 0;
	size_t len;

	make();
	len = s.len;
	for (size_t n = 0; n < len; n += n < 300 || n > len - 400 ? 1 : 997) {
		struct vl_target *t = NULL;
		struct vl_error *err;

		save(s.b, n);
		err = vl_target_open(path, NULL, &t);
		refusals += !!err;
		vl_error_destroy(err);
		vl_target_close(t);
	}
	ok(refusals > 350, "streams cut anywhere: %u are refused", refusals);
	refusals = 0;
	for (size_t i = 8; i < len; i += i < 300 || i > len - 2000 ? 1 : 997) {
		struct vl_target *t = NULL;
		struct vl_error *err;
		unsigned char old = s.b[i];

		s.b[i] ^= 0xff;
		save(s.b, len);
		err = vl_target_open(path, NULL, &t);
		refusals += !!err;
		vl_error_destroy(err);
		vl_target_close(t);
		s.b[i] = old;
	}
	ok(refusals > 100, "streams changed anywhere: %u are refused", refusals);
}

static void test_refused(void)
{
	make();
	s.b[7] = 2;
	refused("version 2", "of version 2");
	make();
	s.len = 60000;
	refused("a cut stream", "the stream is truncated: it ends at 60000 bytes");
	put_head("virt-7.2");
	refused("another architecture", "a machine 'virt-7.2', which is no PC");
	put_head("pc\x1b");
	refused("a machine with a hostile name", "the name of its machine is none");
	put_head("pc");
	put8(0x05);
	put_name("configuration/capabilities");
	put32(1);
	put32(1);
	put_name("x-ignore-shared");
	refused("shared memory left out", "the guest's memory is not in it");
	put_head("pc");
	put_section(0x01, 1, "dirty-bitmap", 1);
	refused("bitmaps of disks", "data of 'dirty-bitmap' among the memory");
	put_head("pc");
	put_section(0x01, 2, "ram", 3);
	refused("old memory", "of another version than 4");
	put_head("pc");
	put8(0x08);
	put32(0x00040000);
	refused("postcopy", "a migration by postcopy");
	put_head("pc");
	put_section(0x04, 1, "timer", 2);
	refused("no memory", "its memory does not begin");
	make();
	put_head("pc");
	put_blocks(one_block);
	begin_part(0x02);
	put64(0x40);
	memset(s.b + s.len, 0, 64UL << 10);
	s.len += 64UL << 10;
	refused("xbzrle", "capability xbzrle");
	put_at(s.len - (64UL << 10) - 8, 0x100, 8);
	refused("compressed pages", "capability compress");
	put_at(s.len - (64UL << 10) - 8, 0x80, 8);
	refused("pages by RDMA", "a page is of an unknown kind");
	put_at(s.len - (64UL << 10) - 8, 0x28, 8);
	refused("a page of no block", "a page is of no block");
	put_at(s.len - (64UL << 10) - 8, RAM_PAGES * PAGE | 0x08, 8);
	memcpy(s.b + s.len - (64UL << 10), "\6pc.ram", 7);
	refused("a page behind its block", "a page is of no block");
	put_at(s.len - (64UL << 10) - 8, (uint64_t)PAGE | 0x04, 8);
	refused("two lists of blocks", "two lists of memory");
	put_head("pc");
	put_blocks((struct block[]){ { "pc.ram", 1UL << 40 }, { NULL, 0 } });
	refused("more memory than the file can have", "the stream is truncated");
}

/* ---- libvirt's header ---- */

static void put_save(const char *magic, uint32_t format, size_t data)
{
	static unsigned char stream[sizeof(s.b)];
	uint32_t words[19] = { 2, (uint32_t)data, 1, format };
	size_t len;

	make();
	len = s.len;
	memcpy(stream, s.b, len);
	s.len = 0;
	put(magic, 16);
	put(words, sizeof(words));
	memset(s.b + s.len, 'x', data);
	s.len += data;
	put(stream, len);
}

static void test_save(void)
{
	struct vl_target *t;

	put_save("LibvirtQemudSave", 0, 3333);
	t = opened("a saved domain");
	ok(t && has_pages(t) && vl_target_has_vcpus(t), "its memory and registers");
	vl_target_close(t);
	s.len = 90;
	refused("cut in its header", "truncated");
	put_save("LibvirtQemudSave", 0, 3333);
	s.len = 3000;
	refused("cut in its description", "truncated");
	put_save("LibvirtQemudPart", 0, 3333);
	refused("not complete", "is not complete");
	put_save("LibvirtQemudSave", 4, 10);
	refused("by lzop", "compressed by lzop");
	put_save("LibvirtQemudSave", 1, 10);
	refused("by gzip, where nothing can unpack", "compressed by gzip");
	put_save("LibvirtQemudSave", 77, 10);
	refused("of another format", "an unknown format: 77");
	put_save("LibvirtQemudSave", 0, 10);
	s.b[16] = 9;
	refused("of another version", "of version 9");
	s.b[16] = 0;
	s.b[19] = 2;
	memset(s.b + 20, 0, 4);
	s.b[23] = 10;
	vl_target_close(opened("of a host with the other order of bytes"));
}

/* ---- fixed places ---- */

/* @at: where the stream begins in its file. */
static void put_mapped(size_t at)
{
	size_t map, pages;

	make();
	memset(s.b, 'x', at);
	{
		static unsigned char head[256];
		size_t len;

		put_head("pc");
		put8(0x05);
		put_name("configuration/capabilities");
		put32(1);
		put32(1);
		put_name("mapped-ram");
		put_section(0x01, 2, "ram", 4);
		put64((uint64_t)8 * PAGE | 0x04);
		put_name("pc.ram");
		put64((uint64_t)8 * PAGE);
		len = s.len;
		memcpy(head, s.b, len);
		memset(s.b, 'x', at);
		memcpy(s.b + at, head, len);
		s.len = at + len;
	}
	map = s.len + 28;
	pages = (map + 8 + 0xffff) & ~0xffffUL;
	put32(1);
	put64(PAGE);
	put64(map);
	put64(pages);
	put("\xa1\0\0\0\0\0\0\0", 8); /* little-endian: pages 0, 5, 7 */
	memset(s.b + s.len, 0, pages - s.len);
	for (unsigned i = 0; i < 8; i++)
		memset(s.b + pages + (size_t)i * PAGE, (int)i + 1, PAGE);
	s.len = pages + 8UL * PAGE;
	put64(0x10);
	put_footer(2);
	begin_part(0x03);
	put64(0x200);
	end_part();
	put_devices(0, 0, NULL);
}

static bool mapped_pages(struct vl_target *t)
{
	static const unsigned char fills[] = { 1, 0, 0, 0, 0, 6, 0, 8 };

	for (size_t i = 0; t && i < sizeof(fills); i++)
		if (!has(t, i * PAGE, fills[i]))
			return false;
	return t;
}

static void test_mapped(void)
{
	struct vl_target *t;
	size_t map;

	put_mapped(0);
	t = opened("a stream with fixed places");
	ok(mapped_pages(t), "its pages: a place that is not used is zeros");
	vl_target_close(t);
	for (map = 0; memcmp(s.b + map, "\6pc.ram", 7) != 0;)
		map++;
	map += 15;
	s.b[map + 3] = 2;
	refused("places of version 2", "mapped in an unknown way");
	s.b[map + 3] = 1;
	put_at(map + 4, 8192, 8);
	refused("pages of 8 KiB", "mapped in an unknown way");
	put_at(map + 4, PAGE, 8);
	put_at(map + 20, s.len + 1, 8);
	refused("pages behind the file", "begin before its map ends");
	put_at(map + 20, map, 8);
	refused("pages before the map", "begin before its map ends");
	put_mapped(0);
	put_at(map + 12, 7, 8);
	refused("a map elsewhere", "the map of its pages");
	put_mapped(0);
	s.len = 0x10000 + 7UL * PAGE;
	refused("cut in its pages", "truncated");
	/* Offsets count from the start of the file. */
	put_mapped(92 + 1000);
	memcpy(s.b, "LibvirtQemudSave", 16);
	memcpy(s.b + 16, (uint32_t[19]){ 2, 1000, 0, 6 }, 76);
	t = opened("libvirt's format 'sparse'");
	ok(mapped_pages(t), "its pages");
	vl_target_close(t);
}

/* ---- disk images ---- */

#define CLUSTER 65536UL

static unsigned char disk[8 * MIB];
static size_t disk_len;

static void disk_at(size_t at, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		disk[at + (size_t)i] = (unsigned char)(v >> 8 * (bytes - 1 - i));
}

/* An entry of the list of snapshots, at @at. Returns the next place. */
static size_t put_snapshot(size_t at, const char *id, const char *name, uint64_t state)
{
	disk_at(at, 2 * CLUSTER, 8);
	disk_at(at + 8, 3, 4);
	disk_at(at + 12, strlen(id), 2);
	disk_at(at + 14, strlen(name), 2);
	disk_at(at + 16, 1700000000, 4);
	disk_at(at + 36, 16, 4);
	disk_at(at + 40, state, 8);
	disk_at(at + 48, 600 * MIB, 8);
	memcpy(disk + at + 56, id, strlen(id));
	memcpy(disk + at + 56 + strlen(id), name, strlen(name));
	return (at + 56 + strlen(id) + strlen(name) + 7) & ~7UL;
}

/* Clusters: header, snapshots, first table, second table, the stream from the last to the first. */
static void make_disk(void)
{
	size_t nr, at;

	make();
	nr = (s.len + CLUSTER - 1) / CLUSTER;
	memset(disk, 0, sizeof(disk));
	memcpy(disk, "QFI\xfb", 4);
	disk_at(4, 3, 4);
	disk_at(20, 16, 4);
	disk_at(24, 600 * MIB, 8);
	disk_at(60, 2, 4);
	disk_at(64, CLUSTER, 8);
	disk_at(100, 104, 4);
	at = put_snapshot(CLUSTER, "1", "disk only", 0);
	put_snapshot(at, "2", "with memory", s.len);
	/* 600 MiB take two entries. */
	disk_at(2 * CLUSTER + 16, 3 * CLUSTER | 1UL << 63, 8);
	for (size_t i = 0; i < nr; i++) {
		size_t to = (4 + nr - 1 - i) * CLUSTER, left = s.len - i * CLUSTER;

		disk_at(3 * CLUSTER + 8 * i, to | 1UL << 63, 8);
		memcpy(disk + to, s.b + i * CLUSTER, left < CLUSTER ? left : CLUSTER);
	}
	disk_len = (4 + nr) * CLUSTER;
}

static void disk_refused(const char *what, const char *snapshot, const char *message)
{
	save(disk, disk_len);
	refused_as(what, snapshot, message);
	make_disk();
}

static void run_id_of(const char *snapshot, char ret[128])
{
	struct vl_target *t = opened_as("one of its snapshots", snapshot);

	snprintf(ret, 128, "%s", t ? vl_target_run_id(t) : "");
	vl_target_close(t);
}

/* By its run id is kept what is known of a snapshot. These two names have one FNV-1a. */
static void test_run_ids(void)
{
	static const char one[] = "8yn0iYCKYHlIj4-BwPqk", other[] = "GReLUrM4wMqfg9yzV3KQ";
	char a[128], b[128];

	make_disk();
	disk_at(60, 2, 4);
	put_snapshot(put_snapshot(CLUSTER, one, "a", s.len), other, "b", s.len);
	save(disk, disk_len);
	run_id_of(one, a);
	run_id_of(other, b);
	ok(strlen(a) == 69 && strlen(b) == 69 && strcmp(a, b) != 0, "two run ids: %s", a);

	make_disk();
	disk_at(60, 1, 4);
	put_snapshot(CLUSTER, "", "", s.len);
	save(disk, disk_len);
	run_id_of(NULL, a);
	run_id_of("", b);
	ok(strcmp(a, b) != 0, "an empty name is not that of none: %s", b);
}

static void test_disk(void)
{
	struct vl_target *t;
	size_t at;

	make_disk();
	save(disk, disk_len);
	t = opened_as("the snapshot of a disk image", NULL);
	ok(t && has_pages(t) && vl_target_has_vcpus(t), "its memory and registers");
	vl_target_close(t);
	t = opened_as("by its id", "2");
	vl_target_close(t);
	t = opened_as("by its name", "with memory");
	vl_target_close(t);
	refused_as("another name", "first", "no snapshot 'first' with memory");
	refused_as("a snapshot of the disk only", "1", "no snapshot '1' with memory");

	disk_at(60, 4, 4);
	at = put_snapshot(CLUSTER, "1", "disk only", 0);
	at = put_snapshot(at, "2", "a", s.len);
	at = put_snapshot(at, "3", "b\x1b[2J", s.len);
	put_snapshot(at, "4", "a", s.len);
	save(disk, disk_len);
	refused_as("several", NULL, "has 3 snapshots with memory: 2 a (2023-11-1");
	refused_as("a hostile name", NULL, "3 b?[2J");
	refused_as("two of one name", "a", "2 snapshots have this name");
	vl_target_close(opened_as("one of them", "4"));

	make_disk();
	disk_at(60, 1, 4);
	disk_refused("none with memory", NULL, "without internal snapshots");
	disk_at(60, 0, 4);
	disk_refused("none at all", NULL, "without internal snapshots");
	disk_at(4, 1, 4);
	disk_refused("version 1", NULL, "of version 1");
	disk_at(32, 2, 4);
	disk_refused("encrypted", NULL, "encrypted contents");
	disk_at(72, 4, 8);
	disk_refused("data elsewhere", NULL, "its data in another file");
	disk_at(72, 16, 8);
	disk_refused("subclusters", NULL, "tables with subclusters");
	disk_at(72, 1UL << 40, 8);
	disk_refused("a feature of tomorrow", NULL, "features that are not known");
	disk_at(20, 63, 4);
	disk_refused("huge clusters", NULL, "the size of its clusters");
	disk_at(60, 70000, 4);
	disk_refused("too many snapshots", NULL, "more snapshots than");
	disk_at(64, disk_len - 8, 8);
	disk_refused("a list behind the end", NULL, "its list of snapshots is cut off");
	disk_at(CLUSTER + 36, 5000, 4);
	disk_refused("a list that is none", NULL, "its list of snapshots is none");
	at = put_snapshot(CLUSTER, "1", "disk only", 0);
	put_snapshot(at, "2", "m", 1UL << 60);
	disk_refused("endless memory", NULL, "larger than any");
	put_snapshot(at, "2", "m", 600 * MIB);
	disk_refused("memory behind the tables", NULL, "behind its tables");
	put_snapshot(at, "2", "m", s.len);
	disk_at(at + 8, 2, 4);
	disk_refused("no table for memory", NULL, "behind its tables");
	put_snapshot(at, "2", "m", 400 * MIB);
	for (size_t i = 0; i < CLUSTER / 8; i++)
		disk_at(3 * CLUSTER + 8 * i, 4 * CLUSTER, 8);
	disk_refused("one cluster for all", NULL, "larger than the image");
	disk_at(2 * CLUSTER + 16, disk_len, 8);
	disk_refused("a table behind the end", NULL, "a table of the snapshot is behind its end");
	disk_at(3 * CLUSTER + 8, disk_len, 8);
	disk_refused("a cluster behind the end", NULL, "a cluster of the snapshot is behind");
	disk_at(3 * CLUSTER + 8, 4 * CLUSTER + 512, 8);
	disk_refused("a cluster between two", NULL, "not at the place of one");
	disk_at(3 * CLUSTER + 8, 4 * CLUSTER | 1UL << 62, 8);
	disk_refused("compressed clusters", NULL, "compressed clusters");
	disk_at(3 * CLUSTER, 0, 8);
	disk_refused("no stream", NULL, "it does not begin as one");
	disk_len = 60;
	disk_refused("cut in its header", NULL, "it ends within its header");
}

int main(void)
{
	if (!mkdtemp(dir))
		return 99;
	snprintf(path, sizeof(path), "%s/file", dir);
	test_good();
	test_no_registers();
	test_costly();
	test_far_apart();
	test_hole();
	test_blocks();
	test_refused();
	test_any();
	test_save();
	test_mapped();
	test_disk();
	test_run_ids();
	unlink(path);
	rmdir(dir);
	return tap_end();
}
