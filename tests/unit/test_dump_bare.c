/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files with memory and no registers, made by hand: LiME, AVML, nothing but the memory, the core of
 * a process. Good ones, and damaged ones.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "images.h"
#include "tap.h"
#include "base/crc32c.h"
#include "host/file.h"
#include "host/pages.h"

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

/* The kernel of @t says that its memory is a page longer than the @size bytes of the file. */
static void test_lacking(struct vl_target *t, uint64_t size)
{
	struct vl_error *err;

	ok(!vl_target_lacks(t, size), "nothing is known of what is behind a file");
	vl_target_note_end(t, size + 4096);
	ok(!vl_target_lacks(t, size - 1) && vl_target_lacks(t, size) &&
		   !vl_target_lacks(t, size + 4096),
	   "the page behind it is lacking");
	vl_target_note_miss(t, size + 4096, NULL);
	err = vl_target_missed(t);
	ok(!err, "no page was missed");
	vl_error_destroy(err);
	vl_target_note_miss(t, size + 8, NULL);
	err = vl_target_short(t, vl_target_missed(t));
	ok(err && strstr(err->message, "the file is cut short: it ends at byte 4194816 of 4198400: "
				       "the page at 0x400000 is not in the file"),
	   "it was: %s", err ? err->message : "no error");
	vl_error_destroy(err);
	ok(!vl_target_missed(t), "which is said once");
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
	if (!err) {
		test_lacking(t, 4UL << 20);
		vl_target_close(t);
	}
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

int main(void)
{
	static struct image im;

	images_begin();
	test_lime(&im);
	test_avml(&im);
	test_flat();
	test_core(&im);
	return images_end();
}
