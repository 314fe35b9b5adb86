/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "streams.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

uint64_t flat_size(const struct vl_target *t)
{
	struct vl_placement p;

	return vl_target_placement(t, 1, &p) ? p.extents[0].size : 0;
}

char dir[] = "/tmp/vlens-stream-XXXXXX";
char path[64];

struct handmade_stream s;

void put(const void *p, size_t n)
{
	memcpy(s.b + s.len, p, n);
	s.len += n;
}

void put_at(size_t at, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		s.b[at + (size_t)i] = (unsigned char)(v >> 8 * (bytes - 1 - i));
}

void put8(unsigned v)
{
	s.b[s.len++] = (unsigned char)v;
}

void put32(uint32_t v)
{
	put_at(s.len, v, 4);
	s.len += 4;
}

void put64(uint64_t v)
{
	put_at(s.len, v, 8);
	s.len += 8;
}

void put_name(const char *name)
{
	put8((unsigned)strlen(name));
	put(name, strlen(name));
}

void put_head(const char *machine)
{
	s.len = 0;
	put("QEVM\0\0\0\3", 8);
	if (!machine)
		return;
	put8(0x07);
	put32((uint32_t)strlen(machine));
	put(machine, strlen(machine));
}

void put_section(unsigned kind, uint32_t id, const char *name, uint32_t version)
{
	put8(kind);
	put32(id);
	put_name(name);
	put32(0);
	put32(version);
}

void put_footer(uint32_t id)
{
	put8(0x7e);
	put32(id);
}

const struct block one_block[] = { { "pc.ram", RAM_PAGES }, { "pc.bios", 4 }, { NULL, 0 } };

void put_blocks(const struct block *blocks)
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

void put_page(const char *name, uint64_t page, unsigned fill)
{
	put64(page * PAGE | 0x08 | (name ? 0 : 0x20));
	if (name)
		put_name(name);
	memset(s.b + s.len, (int)fill, PAGE);
	s.len += PAGE;
}

void put_filled(const char *name, uint64_t page, unsigned fill)
{
	put64(page * PAGE | 0x02 | (name ? 0 : 0x20));
	if (name)
		put_name(name);
	put8(fill);
}

void begin_part(unsigned kind)
{
	put8(kind);
	put32(2);
}

void end_part(void)
{
	put64(0x10);
	put_footer(2);
}

void put_end(void)
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

const char description[] =
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

void put_segment(uint32_t selector, uint64_t base, uint32_t limit)
{
	put32(selector);
	put64(base);
	put32(limit);
	put32(0xa000 + selector);
}

void put_devices(unsigned low, unsigned high, const char *desc)
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

void make(void)
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

void save(const void *b, size_t len)
{
	FILE *f = fopen(path, "w");

	if (!f || fwrite(b, 1, len, f) != len || fclose(f) != 0)
		exit(99);
}

struct vl_target *opened_as(const char *what, const char *snapshot)
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

struct vl_target *opened(const char *what)
{
	save(s.b, s.len);
	return opened_as(what, NULL);
}

void refused_as(const char *what, const char *snapshot, const char *message)
{
	const struct vl_target_options o = { .snapshot = snapshot };
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(path, &o, &t);

	ok(err && err->code == VL_ERR_TARGET && strstr(err->message, message) && err->hint,
	   "%s: %s", what, err ? err->message : "opened");
	vl_error_destroy(err);
	vl_target_close(t);
}

void refused(const char *what, const char *message)
{
	save(s.b, s.len);
	refused_as(what, NULL, message);
}

bool has(struct vl_target *t, uint64_t gpa, unsigned fill)
{
	unsigned char page[PAGE], want[PAGE];
	struct vl_error *err = vl_target_read(t, gpa, page, PAGE);
	bool good = !err;

	memset(want, (int)fill, PAGE);
	good = good && !memcmp(page, want, PAGE);
	vl_error_destroy(err);
	return good;
}

bool has_byte(struct vl_target *t, uint64_t gpa, unsigned fill)
{
	unsigned char byte = 0xff;

	return !vl_target_read(t, gpa, &byte, 1) && byte == fill;
}

uint64_t next_data(struct vl_target *t, uint64_t gpa)
{
	uint64_t start, end;

	return vl_target_next_data(t, gpa, &start, &end) ? start : 0;
}

bool has_pages(struct vl_target *t)
{
	static const unsigned char fills[] = { 1, 2, 0, 4, 5, 0x55, 7, 8, 0 };

	for (size_t i = 0; i < sizeof(fills); i++)
		if (!has(t, i * PAGE, fills[i]))
			return false;
	return true;
}

void streams_begin(void)
{
	if (!mkdtemp(dir))
		exit(99);
	snprintf(path, sizeof(path), "%s/file", dir);
}

int streams_end(void)
{
	unlink(path);
	rmdir(dir);
	return tap_end();
}
