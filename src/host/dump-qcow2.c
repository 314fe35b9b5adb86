/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An internal snapshot of a qcow2 image (savevm, virsh snapshot-create): a migration stream lies
 * in the image behind the end of the disk, in clusters that the snapshot's own tables lead to (QEMU
 * docs/interop/qcow2.rst). The image itself may be in use: what a snapshot's tables lead to does
 * not change before that snapshot is deleted.
 */
#include "dump.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "../base/append.h"
#include "../base/text.h"
#include "../base/transfer.h"
#include "stream.h"

/* The formats that the header tells apart. */
#define QCOW_V2 2
#define QCOW_V3 3

#define HEADER_SIZE 104
/* Incompatible features. */
#define FEATURE_DATA_FILE (1ULL << 2)
#define FEATURE_EXTENDED_L2 (1ULL << 4)
#define FEATURES_KNOWN 0x1fULL /* these, dirty, corrupt, and a compression type */
#define FEATURE_CORRUPT (1ULL << 1)

#define ENTRY_COMPRESSED (1ULL << 62)
#define ENTRY_ZERO 1ULL
#define ENTRY_OFFSET 0x00fffffffffffe00ULL

/* QEMU block/qcow2.h: QCOW_MAX_SNAPSHOTS, QCOW_MAX_SNAPSHOT_EXTRA_DATA, QCOW_MAX_L1_SIZE. */
#define SNAPSHOTS_MAX 65536
#define EXTRA_MAX 1024
#define L1_MAX (32U << 20)
/* A TiB of memory, in clusters of 64 KiB. */
#define CLUSTERS_MAX (1UL << 24)

struct snapshot {
	char id[64], name[256]; /* masked, for a terminal */
	uint64_t l1_at, state_size, disk_size;
	uint32_t l1_entries, date;
};

struct image {
	int fd;
	uint64_t size; /* of the file */
	unsigned cluster_bits;
	uint64_t disk_size, snapshots_at;
	uint32_t nr_snapshots;
	bool cut; /* cut_off() was called */
};

static struct vl_error *damaged(const char *what)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the disk image is damaged: %s", what),
			     "check it: qemu-img check FILE");
}

/* What is at @at is behind the file's end. Without the @list of snapshots, none is found. */
static struct vl_error *cut_off(struct image *im, const char *what, uint64_t at, bool list)
{
	im->cut = true;
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the disk image is truncated: it ends at byte %" PRIu64
					  ", and %s lies at %" PRIu64,
					  im->size, what, at),
			     "is it still being copied? copy it again%s",
			     list ? "" : "; vps --partial shows what is in it");
}

static bool read_at(const struct image *im, uint64_t at, void *buf, size_t len)
{
	return at <= im->size && len <= im->size - at && vl_get_whole(im->fd, buf, len, at);
}

static struct vl_error *refuse(const char *what)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the disk image has %s: its snapshots are not read",
					  what),
			     "load the snapshot in a QEMU, then: vlens dump GUEST FILE");
}

static struct vl_error *read_header(struct image *im)
{
	unsigned char h[HEADER_SIZE] = { 0 };
	uint64_t features = 0;
	uint32_t version;

	if (!read_at(im, 0, h, 72))
		return damaged("it ends within its header");
	version = vl_be32(h + 4);
	if (version != QCOW_V2 && version != QCOW_V3)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "the file is a disk image of version %u",
						  version),
				     "versions 2 and 3 of qcow2 are understood");
	if (version == QCOW_V3) {
		if (!read_at(im, 0, h, HEADER_SIZE))
			return damaged("it ends within its header");
		features = vl_be64(h + 72);
	}
	im->cluster_bits = vl_be32(h + 20);
	im->disk_size = vl_be64(h + 24);
	im->nr_snapshots = vl_be32(h + 60);
	im->snapshots_at = vl_be64(h + 64);
	if (im->cluster_bits < 9 || im->cluster_bits > 21)
		return damaged("the size of its clusters is invalid");
	if (im->disk_size > INT64_MAX)
		return damaged("the size of its disk is invalid");
	if (vl_be32(h + 32))
		return refuse("encrypted contents");
	if (features & FEATURE_DATA_FILE)
		return refuse("its data in another file");
	if (features & FEATURE_EXTENDED_L2)
		return refuse("tables with subclusters");
	if (features & ~FEATURES_KNOWN)
		return refuse("features that are not known");
	if (im->nr_snapshots > SNAPSHOTS_MAX)
		return damaged("it has more snapshots than an image can have");
	return NULL;
}

static size_t copy_text(const struct image *im, uint64_t at, size_t len, char *ret, size_t room)
{
	size_t n = len < room - 1 ? len : room - 1;

	memset(ret, 0, room);
	if (!read_at(im, at, ret, n))
		return 0;
	n = strnlen(ret, n);
	vl_text_mask(ret, n, VL_TEXT_WORD);
	return n;
}

/* Read the entry of the table at *@at, and move on to the next one. */
static struct vl_error *read_snapshot(struct image *im, uint64_t *at, struct snapshot *ret)
{
	unsigned char h[40], extra[24] = { 0 };
	uint32_t id_len, name_len, extra_len;

	if (!read_at(im, *at, h, sizeof(h)))
		return cut_off(im, "its list of snapshots", *at, true);
	id_len = (uint32_t)h[12] << 8 | h[13];
	name_len = (uint32_t)h[14] << 8 | h[15];
	extra_len = vl_be32(h + 36);
	if (extra_len > EXTRA_MAX)
		return damaged("its list of snapshots is malformed");
	if (!read_at(im, *at + sizeof(h), extra, extra_len < 24 ? extra_len : 24))
		return cut_off(im, "its list of snapshots", *at, true);
	*ret = (struct snapshot){
		.l1_at = vl_be64(h),
		.l1_entries = vl_be32(h + 8),
		.date = vl_be32(h + 16),
		.state_size = extra_len >= 8 ? vl_be64(extra) : vl_be32(h + 32),
		.disk_size = extra_len >= 16 ? vl_be64(extra + 8) : im->disk_size,
	};
	*at += sizeof(h) + extra_len;
	copy_text(im, *at, id_len, ret->id, sizeof(ret->id));
	copy_text(im, *at + id_len, name_len, ret->name, sizeof(ret->name));
	*at = (*at + id_len + name_len + 7) & ~7ULL;
	return NULL;
}

/* ---- which snapshot ---- */

static void describe(const struct snapshot *s, char *buf, size_t size)
{
	time_t when = s->date;
	struct tm tm;

	if (s->date && localtime_r(&when, &tm))
		vl_append(buf, size, "%s %s (%04d-%02d-%02d %02d:%02d:%02d)", s->id, s->name,
			  tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			  tm.tm_sec);
	else
		vl_append(buf, size, "%s %s", s->id, s->name);
}

/*
 * Find the snapshot with memory that the user names: by its id, else by its name, as qemu-img does.
 * NULL: the only one.
 */
static struct vl_error *choose(struct image *im, const char *asked, struct snapshot *ret)
{
	uint64_t at = im->snapshots_at;
	unsigned nr = 0, by_name = 0;
	struct snapshot named = { 0 };
	char list[768] = "";

	for (uint32_t i = 0; i < im->nr_snapshots; i++) {
		struct snapshot s;
		struct vl_error *err = read_snapshot(im, &at, &s);

		if (err)
			return err;
		if (!s.state_size)
			continue;
		if (asked && !strcmp(s.id, asked)) {
			*ret = s;
			return NULL;
		}
		if (asked && !strcmp(s.name, asked)) {
			named = s;
			by_name++;
		}
		if (!nr++)
			*ret = s;
		vl_append(list, sizeof(list), "%s", *list ? ", " : "");
		describe(&s, list, sizeof(list));
	}
	if (!nr)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "a disk image without internal snapshots that "
						  "have the guest's memory"),
				     "make a dump with: vlens dump GUEST FILE");
	if (by_name == 1) {
		*ret = named;
		return NULL;
	}
	if (asked && by_name)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "%u snapshots have this name: %s",
						  by_name, list),
				     "choose one by its id, as by --snapshot=%s", named.id);
	if (asked)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "no snapshot '%s' with memory", asked),
			"the disk image has %s", list);
	if (nr > 1)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "the disk image has %u snapshots with memory: %s",
						  nr, list),
				     "choose one, as by --snapshot=%s", ret->id);
	return NULL;
}

/* ---- its state ---- */

/*
 * Add the cluster of an entry in a table of the second level. *@left is the size that all clusters
 * together may still have: tables can name one cluster again and again, for a stream of any length.
 */
static struct vl_error *add_cluster(struct image *im, struct vl_bytes *b, uint64_t entry,
				    uint64_t n, uint64_t *left)
{
	uint64_t at = entry & ENTRY_OFFSET;

	if (entry & ENTRY_COMPRESSED)
		return refuse("compressed clusters in a snapshot's memory");
	if (entry & ENTRY_ZERO || !at)
		return vl_bytes_add(b, VL_HOLE, n);
	if (at >> im->cluster_bits << im->cluster_bits != at)
		return damaged("a cluster of the snapshot is not aligned");
	if (at > im->size || n > im->size - at)
		return cut_off(im, "a cluster of the snapshot", at, false);
	if (n > *left)
		return damaged("the memory of the snapshot is larger than the image");
	*left -= n;
	return vl_bytes_add(b, at, n);
}

static struct vl_error *add_state(struct image *im, const struct snapshot *s, struct vl_bytes *b)
{
	const uint64_t cluster = 1ULL << im->cluster_bits, entries = cluster / 8;
	const uint64_t span = cluster * entries;
	/* The state begins with the first table behind the disk's. */
	const uint64_t first = s->disk_size / span + !!(s->disk_size % span);
	_cleanup_free_ unsigned char *table = NULL;
	uint64_t room = im->size;

	if (s->state_size / cluster >= CLUSTERS_MAX)
		return damaged("the memory of the snapshot is larger than any");
	if (s->l1_entries > L1_MAX / 8 || first >= s->l1_entries ||
	    (s->state_size - 1) / span >= s->l1_entries - first)
		return damaged("the memory of the snapshot is behind its tables");
	table = malloc(cluster);
	if (!table)
		return vl_error_nomem();
	for (uint64_t i = first; b->size < s->state_size; i++) {
		unsigned char l1[8];
		uint64_t at;

		if (!read_at(im, s->l1_at + 8 * i, l1, sizeof(l1)))
			return cut_off(im, "a table of the snapshot", s->l1_at + 8 * i, false);
		at = vl_be64(l1) & ENTRY_OFFSET;
		if (!at)
			memset(table, 0, cluster);
		else if (!read_at(im, at, table, cluster))
			return cut_off(im, "a table of the snapshot", at, false);
		for (uint64_t k = 0; k < entries && b->size < s->state_size; k++) {
			uint64_t left = s->state_size - b->size;
			struct vl_error *err = add_cluster(im, b, vl_be64(table + 8 * k),
							   left < cluster ? left : cluster, &room);

			if (err)
				return err;
		}
	}
	return NULL;
}

/* In the box. */
static struct vl_error *index_snapshot(const struct vl_index_job *job, struct vl_index *ret)
{
	struct image im = { .fd = job->fd, .size = job->size };
	struct vl_bytes bytes = { .fd = job->fd };
	struct snapshot s = { 0 };
	struct vl_error *err = read_header(&im);

	if (!err)
		err = choose(&im, job->choice, &s);
	if (!err)
		err = add_state(&im, &s, &bytes);
	/* The stream ends before the first cluster that is behind the file's end. */
	if (err && im.cut && job->partial && bytes.size) {
		vl_error_destroy(err);
		err = NULL;
	}
	if (!err)
		err = vl_stream_index(&bytes, job->partial, ret);
	vl_bytes_deinit(&bytes);
	return err;
}

struct vl_error *vl_dump_load_qcow2(struct vl_target *t, struct vl_dump *d)
{
	const struct vl_index_job job = { "qcow2t", index_snapshot, d->fd, 0,
					  d->size,  t->snapshot,    false };
	struct vl_error *err = t->snapshot ? vl_dump_set_choice(t, t->snapshot) : NULL;
	struct vl_index ix;

	if (!err)
		err = vl_index_open(t, &job, &ix);
	t->snapshot = NULL;
	if (err)
		return err;
	err = vl_dump_set_stream(t, d, &ix);
	vl_index_deinit(&ix);
	return err;
}
