/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Migration streams made by hand: good ones, and damaged ones of every kind. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "streams.h"
#include "tap.h"
#include "host/registers.h"

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
	static char text[4096];
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
	refused("a long command", "a command has a wrong length");
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
		refused(what, "without their addresses");
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
	refused("version 2", "has version 2");
	make();
	s.len = 60000;
	refused("a cut stream", "the stream is truncated: it ends at 60000 bytes");
	put_head("virt-7.2");
	refused("another architecture", "a machine 'virt-7.2', which is not a PC");
	put_head("pc\x1b");
	refused("a machine with a hostile name", "its machine's name is invalid");
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
	refused("pages by RDMA", "a page has an unknown kind");
	put_at(s.len - (64UL << 10) - 8, 0x28, 8);
	refused("a page of no block", "a page lies outside of all memory blocks");
	put_at(s.len - (64UL << 10) - 8, RAM_PAGES * PAGE | 0x08, 8);
	memcpy(s.b + s.len - (64UL << 10), "\6pc.ram", 7);
	refused("a page behind its block", "a page lies outside of all memory blocks");
	put_at(s.len - (64UL << 10) - 8, (uint64_t)PAGE | 0x04, 8);
	refused("two lists of blocks", "two lists of memory");
	put_head("pc");
	put_blocks((struct block[]){ { "pc.ram", 1UL << 40 }, { NULL, 0 } });
	refused("more memory than the file can have", "the stream is truncated");
}

int main(void)
{
	streams_begin();
	test_good();
	test_no_registers();
	test_costly();
	test_far_apart();
	test_hole();
	test_blocks();
	test_refused();
	test_any();
	return streams_end();
}
