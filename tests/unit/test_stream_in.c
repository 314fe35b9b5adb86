/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migration streams in other files: behind libvirt's header, with fixed places, and in a disk
 * image. Good ones, and damaged ones of every kind.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "streams.h"
#include "tap.h"
#include "host/stream.h"

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
	refused("of another version", "has version 9");
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
	disk_refused("a list behind the end", NULL, "and its list of snapshots lies at");
	disk_at(CLUSTER + 36, 5000, 4);
	disk_refused("a list that is none", NULL, "its list of snapshots is malformed");
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
	disk_refused("a table behind the end", NULL, "and a table of the snapshot lies at");
	disk_at(3 * CLUSTER + 8, disk_len, 8);
	disk_refused("a cluster behind the end", NULL, "and a cluster of the snapshot lies at");
	disk_at(3 * CLUSTER + 8, 4 * CLUSTER + 512, 8);
	disk_refused("a cluster between two", NULL, "not aligned");
	disk_at(3 * CLUSTER + 8, 4 * CLUSTER | 1UL << 62, 8);
	disk_refused("compressed clusters", NULL, "compressed clusters");
	disk_at(3 * CLUSTER, 0, 8);
	disk_refused("no stream", NULL, "it does not begin as one");
	disk[3 * CLUSTER + 7] |= 1;
	disk_refused("a cluster of zeros that has a place", NULL, "it does not begin as one");
	disk_at(2 * CLUSTER + 16, 0, 8);
	disk_refused("no table for the first clusters", NULL, "it does not begin as one");
	disk_len = 60;
	disk_refused("cut in its header", NULL, "it ends within its header");
}

/* Clusters that follow each other in the file are one range of it, which is mapped at once. */
static void test_in_order(void)
{
	const size_t nr = (make_disk(), (s.len + CLUSTER - 1) / CLUSTER);
	struct vl_target *t;

	memset(disk + 4 * CLUSTER, 0, nr * CLUSTER);
	memcpy(disk + 4 * CLUSTER, s.b, s.len);
	for (size_t i = 0; i < nr; i++)
		disk_at(3 * CLUSTER + 8 * i, (4 + i) * CLUSTER | 1UL << 63, 8);
	save(disk, disk_len);
	t = opened_as("a disk image with its clusters in order", NULL);
	ok(nr > 1 && t && has_pages(t) && vl_target_has_vcpus(t), "its memory and registers");
	vl_target_close(t);
}

/* ---- the pieces of a stream ---- */

static void test_pieces(void)
{
	unsigned char got[5 * PAGE], want[5 * PAGE] = { 0 };
	struct vl_bytes b = { .fd = -1 };

	for (size_t i = 0; i < 8UL * PAGE; i++)
		s.b[i] = (unsigned char)(i / 7);
	save(s.b, 8UL * PAGE);
	b.fd = open(path, O_RDONLY | O_CLOEXEC);
	ok(!vl_bytes_add(&b, 2UL * PAGE, PAGE) && !vl_bytes_add(&b, 3UL * PAGE, PAGE) && b.nr == 1,
	   "a piece that follows another one in the file is one with it");
	ok(!vl_bytes_add(&b, VL_HOLE, PAGE) && !vl_bytes_add(&b, VL_HOLE, PAGE) && b.nr == 2,
	   "and so is a hole behind a hole");
	ok(!vl_bytes_add(&b, 0, PAGE) && b.nr == 3 && b.size == 5UL * PAGE, "and no other");
	memcpy(want, s.b + 2UL * PAGE, 2UL * PAGE);
	memcpy(want + 4UL * PAGE, s.b, PAGE);
	ok(vl_bytes_read(&b, 0, got, sizeof(got)) == (int64_t)sizeof(got) &&
		   !memcmp(got, want, sizeof(got)),
	   "a read of all");
	ok(vl_bytes_read(&b, PAGE - 5, got, 3UL * PAGE + 10) == 3 * PAGE + 10 &&
		   !memcmp(got, want + PAGE - 5, 3UL * PAGE + 10),
	   "a read that begins and ends within pieces");
	ok(vl_bytes_read(&b, 5UL * PAGE - 3, got, PAGE) == 3 &&
		   !vl_bytes_read(&b, 5UL * PAGE, got, PAGE),
	   "a read to the end, and behind it");
	ok(!vl_bytes_add(&b, 8UL * PAGE - 10, 20) && vl_bytes_read(&b, 5UL * PAGE, got, PAGE) == 10,
	   "a piece that the file does not have to its end");
	close(b.fd);
	vl_bytes_deinit(&b);
}

int main(void)
{
	streams_begin();
	test_save();
	test_mapped();
	test_disk();
	test_in_order();
	test_pieces();
	test_run_ids();
	return streams_end();
}
