/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kdump-compressed dump, as QEMU, virsh dump and makedumpfile write it: headers, two bitmaps with
 * a bit for each page (is it memory? is it in the file?), a descriptor for each page in the file,
 * and the pages, each compressed alone (makedumpfile's IMPLEMENTATION; diskdump_mod.h).
 *
 * All of it is read in a box: headers, bitmaps and notes by a pass, whose index has what is needed
 * later, the descriptors and the pages when a page is needed.
 */
#include "facts.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "../base/array.h"
#include "../base/codec.h"
#include "flattened.h"
#include "notes.h"
#include "pages.h"

struct disk_header {
	char signature[8]; /* "KDUMP   " */
	int32_t version;
	char utsname[6][65];
	char timestamp[22];
	uint32_t status, block_size;
	int32_t sub_size;	/* in blocks, as the next one */
	uint32_t bitmap_blocks; /* of both bitmaps */
	uint32_t max_mapnr;	/* pages; version 6 has more bits of it in the next header */
} __attribute__((packed));
_Static_assert(offsetof(struct disk_header, status) == 424, "as makedumpfile lays it out");
#define UTS_MACHINE 4

struct kdump_header {
	uint64_t phys_base;
	int32_t level, split;
	uint64_t start_pfn, end_pfn;
	uint64_t vmcoreinfo, vmcoreinfo_size;
	uint64_t notes, notes_size; /* since version 4 */
	uint64_t erased, erased_size;
	uint64_t start_pfn_64, end_pfn_64, max_mapnr_64; /* since version 6 */
};
_Static_assert(sizeof(struct kdump_header) == 104, "as makedumpfile lays it out");

struct page_desc {
	int64_t offset;
	uint32_t size, flags;
	uint64_t page_flags;
};
_Static_assert(sizeof(struct page_desc) == 24, "as makedumpfile lays it out");

/* Bits of the status, and of a page's flags. */
static const struct {
	uint32_t flag;
	enum vl_codec_kind codec;
} packings[] = {
	{ 0x1, VL_CODEC_ZLIB },
	{ 0x2, VL_CODEC_LZO },
	{ 0x4, VL_CODEC_SNAPPY },
	{ 0x20, VL_CODEC_ZSTD },
};

/*
 * makedumpfile's dump level: this bit leaves out pages of zeros, the others leave out other pages.
 */
#define LEVEL_ZEROS 1

#define HEAD_VERSION_NOTES 4
#define HEAD_VERSION_64 6
/* Pages of 16 TiB of memory. Their bitmaps take 1 GiB. */
#define PAGES_MAX (1UL << 32)
#define NOTES_MAX (16UL << 20)

/* The bitmap is read by blocks. */
#define BLOCK 4096UL
#define BLOCK_PAGES (8 * BLOCK)
/* Descriptors that are read at once. */
#define DESCS 128

struct kdump {
	struct vl_flattened file;
	struct vl_codec codecs[VL_NR_CODECS];
	struct {
		uint64_t pages;	  /* bits of a bitmap that count */
		uint64_t present; /* the bitmap of pages in the file: its offset */
		uint64_t descs;	  /* the first descriptor */
		uint64_t status;  /* how pages are packed */
		uint64_t filters; /* 1: pages other than zeros were left out */
	} head;
	bool partial;	   /* a file that is cut short is no error */
	uint64_t *before;  /* for each block of that bitmap: set bits in those before it */
	uint64_t nr_descs; /* set bits in all */

	/* In the box. */
	uint64_t block_nr; /* the block that is held; UINT64_MAX: none */
	unsigned char block[BLOCK];
	uint64_t first_desc, nr_held; /* the descriptors that are held */
	struct page_desc held[DESCS];
	int64_t zeros; /* the place of a page of zeros: all of them share it; 0: not known */
	unsigned char packed[VL_PAGE_SIZE];
};

static uint64_t blocks_of(const struct kdump *k)
{
	return (k->head.pages + BLOCK_PAGES - 1) / BLOCK_PAGES;
}

static struct vl_error *damaged(uint64_t gpa, const char *why)
{
	return vl_error_fault(gpa, "the page at 0x%" PRIx64 " is damaged in the dump: %s", gpa,
			      why);
}

static bool bit(const unsigned char *map, uint64_t i)
{
	return map[i / 8] >> (i % 8) & 1;
}

/* ---- in the box ---- */

static bool hold_block(struct kdump *k, uint64_t nr)
{
	uint64_t left = (k->head.pages + 7) / 8 - nr * BLOCK, n = left < BLOCK ? left : BLOCK;

	if (k->block_nr == nr)
		return true;
	k->block_nr = UINT64_MAX;
	memset(k->block, 0, BLOCK);
	if (!vl_flattened_read(&k->file, k->head.present + nr * BLOCK, k->block, n))
		return false;
	k->block_nr = nr;
	return true;
}

static uint64_t count(const unsigned char *bytes, size_t len)
{
	uint64_t nr = 0, word;
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		memcpy(&word, bytes + i, 8);
		nr += (uint64_t)__builtin_popcountll(word);
	}
	for (; i < len; i++)
		nr += (uint64_t)__builtin_popcount(bytes[i]);
	return nr;
}

/* The number of pages in the file before @pfn, whose block is held. */
static uint64_t rank(const struct kdump *k, uint64_t pfn)
{
	uint64_t off = pfn % BLOCK_PAGES;
	unsigned char last = (unsigned char)(k->block[off / 8] & ((1U << off % 8) - 1));

	return k->before[pfn / BLOCK_PAGES] + count(k->block, off / 8) + count(&last, 1);
}

static const struct page_desc *find_desc(struct kdump *k, uint64_t nr)
{
	uint64_t left;

	if (nr >= k->nr_descs)
		return NULL;
	if (nr >= k->first_desc && nr - k->first_desc < k->nr_held)
		return &k->held[nr - k->first_desc];
	left = k->nr_descs - nr;
	k->first_desc = nr;
	k->nr_held = left < DESCS ? left : DESCS;
	/* The last ones of a file that is cut short are fewer. */
	while (k->nr_held && !vl_flattened_read(&k->file, k->head.descs + nr * sizeof(k->held[0]),
						k->held, k->nr_held * sizeof(k->held[0])))
		k->nr_held /= 2;
	return k->nr_held ? &k->held[0] : NULL;
}

static bool is_zeros(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, VL_PAGE_SIZE - 1);
}

static bool unpack(struct kdump *k, const struct page_desc *d, unsigned char *buf)
{
	for (size_t i = 0; i < ARRAY_SIZE(packings); i++) {
		size_t n = VL_PAGE_SIZE;

		if (d->flags & packings[i].flag)
			return vl_codec_unpack(&k->codecs[packings[i].codec], k->packed, d->size,
					       buf, &n) &&
			       n == VL_PAGE_SIZE;
	}
	if (d->size != VL_PAGE_SIZE)
		return false;
	memcpy(buf, k->packed, VL_PAGE_SIZE);
	return true;
}

/* Does the file, which is cut short, lack the page of @d? NULL: it lacks its descriptor. */
static bool is_cut(const struct kdump *k, const struct page_desc *d)
{
	return !d || (d->offset >= 0 && d->offset <= INT64_MAX - (int64_t)d->size &&
		      !vl_flattened_has(&k->file, (uint64_t)d->offset, d->size));
}

static struct vl_error *read_page(void *ctx, uint64_t gpa, void *buf)
{
	struct kdump *k = ctx;
	uint64_t pfn = gpa / VL_PAGE_SIZE;
	const struct page_desc *d;

	if (pfn >= k->head.pages || !hold_block(k, pfn / BLOCK_PAGES))
		return damaged(gpa, "the bitmap has ended");
	if (!bit(k->block, pfn % BLOCK_PAGES) && k->head.filters)
		return vl_page_lacking(gpa);
	/* Left out by makedumpfile, as it is zeros. */
	if (!bit(k->block, pfn % BLOCK_PAGES)) {
		memset(buf, 0, VL_PAGE_SIZE);
		return NULL;
	}
	d = find_desc(k, rank(k, pfn));
	if (k->partial && is_cut(k, d))
		return vl_page_lacking(gpa);
	if (!d)
		return damaged(gpa, "it has no descriptor");
	if (d->offset > 0 && d->offset == k->zeros) {
		memset(buf, 0, VL_PAGE_SIZE);
		return NULL;
	}
	if (d->offset < 0 || d->size > VL_PAGE_SIZE ||
	    !vl_flattened_read(&k->file, (uint64_t)d->offset, k->packed, d->size))
		return damaged(gpa, "its descriptor leads to no place in the file");
	if (!unpack(k, d, buf))
		return damaged(gpa, "it cannot be unpacked");
	if (is_zeros(buf))
		k->zeros = d->offset;
	return NULL;
}

static uint64_t next_page(void *ctx, uint64_t gpa)
{
	struct kdump *k = ctx;
	uint64_t pfn = gpa / VL_PAGE_SIZE;

	while (pfn < k->head.pages) {
		uint64_t nr = pfn / BLOCK_PAGES, end = (nr + 1) * BLOCK_PAGES;

		if (k->before[nr] == k->before[nr + 1]) {
			pfn = end;
			continue;
		}
		/* What cannot be read is an error of the read. */
		if (!hold_block(k, nr))
			return pfn * VL_PAGE_SIZE;
		for (; pfn < end; pfn++)
			if (bit(k->block, pfn % BLOCK_PAGES))
				return pfn * VL_PAGE_SIZE;
	}
	return UINT64_MAX;
}

static void close_kdump(void *ctx)
{
	struct kdump *k = ctx;

	vl_flattened_deinit(&k->file);
	free(k->before);
	free(k);
}

static uint64_t cut_off(void *ctx, uint64_t all)
{
	struct kdump *k = ctx;
	uint64_t nr = 0;

	(void)all;
	for (uint64_t i = 0; i < k->nr_descs; i++) {
		const struct page_desc *d = find_desc(k, i);

		/* All descriptors behind it are cut off, too. */
		if (!d)
			return nr + k->nr_descs - i;
		nr += is_cut(k, d);
	}
	return nr;
}

static bool left_out(void *ctx, uint64_t gpa)
{
	struct kdump *k = ctx;
	uint64_t pfn = gpa / VL_PAGE_SIZE;

	return k->head.filters && pfn < k->head.pages && hold_block(k, pfn / BLOCK_PAGES) &&
	       !bit(k->block, pfn % BLOCK_PAGES);
}

static const struct vl_pages_ops kdump_ops = {
	.what = "compressed",
	.read = read_page,
	.next = next_page,
	.cut_off = cut_off,
	.left_out = left_out,
	.close = close_kdump,
};

/* ---- the pass: headers, bitmaps, notes ---- */

/* A run of pages that are memory: [first, end). */
struct run {
	struct vl_facts *facts;
	uint64_t first, end;
};

static struct vl_error *end_run(struct run *r)
{
	return vl_facts_add(r->facts, r->first * VL_PAGE_SIZE, (r->end - r->first) * VL_PAGE_SIZE,
			    VL_NOWHERE);
}

/* The next 64 pages, from @pfn on: bits that are set are memory. */
static struct vl_error *add_word(struct run *r, uint64_t pfn, uint64_t word)
{
	struct vl_error *err;

	if (word == UINT64_MAX && r->end == pfn) {
		r->end += 64;
		return NULL;
	}
	for (; word; word &= word - 1) {
		uint64_t at = pfn + (uint64_t)__builtin_ctzll(word);

		if (at != r->end) {
			err = end_run(r);
			if (err)
				return err;
			r->first = at;
		}
		r->end = at + 1;
	}
	return NULL;
}

/* Read a block of a bitmap of @bytes bytes at @at. Behind the last bit there are zeros. */
static bool read_block(const struct kdump *k, uint64_t at, uint64_t nr, void *ret)
{
	uint64_t bytes = (k->head.pages + 7) / 8, left = bytes - nr * BLOCK;
	unsigned char *b = ret;

	memset(b, 0, BLOCK);
	if (!vl_flattened_read(&k->file, at + nr * BLOCK, b, left < BLOCK ? left : BLOCK))
		return false;
	if (left <= BLOCK && k->head.pages % 8)
		b[left - 1] &= (unsigned char)((1U << k->head.pages % 8) - 1);
	return true;
}

/* Read both bitmaps: @valid has the memory, k->head.present what of it is in the file. */
static struct vl_error *read_bitmaps(struct vl_facts *f, struct kdump *k, uint64_t valid)
{
	uint64_t nr = blocks_of(k), words[BLOCK / 8];
	struct run run = { .facts = f };
	unsigned char here[BLOCK];
	struct vl_error *err = NULL;

	k->before = calloc(nr + 1, sizeof(*k->before));
	if (!k->before)
		return vl_error_nomem();
	for (uint64_t i = 0; i < nr && !err; i++) {
		if (!read_block(k, valid, i, words) || !read_block(k, k->head.present, i, here))
			return vl_dump_truncated(0, k->file.size);
		for (size_t w = 0; w < ARRAY_SIZE(words) && !err; w++) {
			uint64_t in_file;

			memcpy(&in_file, here + 8 * w, 8);
			err = add_word(&run, i * BLOCK_PAGES + 64 * w, words[w] | in_file);
		}
		k->before[i + 1] = k->before[i] + count(here, BLOCK);
	}
	k->nr_descs = k->before[nr];
	return err ? err : end_run(&run);
}

static struct vl_error *read_notes(const struct kdump *k, const struct kdump_header *h,
				   struct vl_facts *f)
{
	_cleanup_free_ char *notes = NULL;

	if (!h->notes_size)
		return NULL;
	if (h->notes_size > NOTES_MAX)
		return vl_dump_damaged("its notes are larger than any");
	notes = malloc(h->notes_size);
	if (!notes)
		return vl_error_nomem();
	if (!vl_flattened_read(&k->file, h->notes, notes, h->notes_size))
		return vl_dump_truncated(0, k->file.size);
	return vl_notes_read(notes, h->notes_size, &f->registers, &f->nr_vcpus);
}

static struct vl_error *check(const struct disk_header *h, const struct kdump_header *sub)
{
	static const char machine[] = "x86_64";

	/* makedumpfile leaves it empty if it did not look for the kernel's. */
	if (h->utsname[UTS_MACHINE][0] &&
	    strncmp(h->utsname[UTS_MACHINE], machine, sizeof(machine)))
		return vl_error_hint(
			vl_error_new(
				VL_ERR_TARGET,
				"the file is a kdump-compressed dump of another machine: %.64s",
				h->utsname[UTS_MACHINE]),
			"x86-64 guests are understood");
	if (h->version < 1 || h->version > HEAD_VERSION_64 || h->block_size != VL_PAGE_SIZE ||
	    h->sub_size < 1 || h->sub_size > 1024)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET,
				     "the file is a kdump-compressed dump of version %d, with "
				     "blocks of %u bytes",
				     h->version, h->block_size),
			"versions 1 to 6 are understood, with blocks of 4096 bytes");
	if (sub->split)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the file is a part of a split dump"),
			"put it together: makedumpfile --reassemble PART... FILE");
	return NULL;
}

/* Does the file have its last pages? Nothing else shows that it was cut off behind them. */
static struct vl_error *check_end(struct kdump *k)
{
	uint64_t nr = k->nr_descs < DESCS * 64 ? k->nr_descs : DESCS * 64;
	const struct page_desc *d;

	for (; nr; nr--) {
		d = find_desc(k, k->nr_descs - nr);
		if (!d)
			return vl_dump_cut_off(k->head.descs + k->nr_descs * sizeof(*d),
					       k->file.size);
		if (d->offset >= 0 && d->offset <= INT64_MAX - (int64_t)d->size &&
		    (uint64_t)d->offset + d->size > k->file.size)
			return vl_dump_cut_off((uint64_t)d->offset + d->size, k->file.size);
	}
	return NULL;
}

static struct vl_error *read_head(struct kdump *k, uint64_t size, struct vl_facts *f)
{
	struct disk_header h;
	struct kdump_header sub;
	struct vl_error *err;
	uint64_t bitmap, half;

	if (!vl_flattened_read(&k->file, 0, &h, sizeof(h)))
		return vl_dump_truncated(0, size);
	if (memcmp(h.signature, "KDUMP   ", sizeof(h.signature)))
		return vl_dump_damaged("it has no header");
	if (!vl_flattened_read(&k->file, VL_PAGE_SIZE, &sub, sizeof(sub)))
		return vl_dump_truncated(0, size);
	err = check(&h, &sub);
	if (err)
		return err;
	if (h.version < HEAD_VERSION_NOTES)
		sub.notes_size = 0;
	k->head.status = h.status;
	k->head.filters = (sub.level & ~LEVEL_ZEROS) != 0;
	k->head.pages = h.version < HEAD_VERSION_64 ? h.max_mapnr : sub.max_mapnr_64;
	bitmap = (1 + (uint64_t)h.sub_size) * VL_PAGE_SIZE;
	half = h.bitmap_blocks / 2 * VL_PAGE_SIZE;
	if (!k->head.pages || k->head.pages > PAGES_MAX || (k->head.pages + 7) / 8 > half)
		return vl_dump_damaged("its bitmap does not fit its size");
	k->head.present = bitmap + half;
	k->head.descs = bitmap + h.bitmap_blocks * VL_PAGE_SIZE;
	err = read_bitmaps(f, k, bitmap);
	if (!err && !k->nr_descs)
		err = vl_dump_damaged("it holds no memory");
	if (!err && !k->partial)
		err = check_end(k);
	return err ? err : read_notes(k, &sub, f);
}

static struct vl_error *put(const struct kdump *k, const struct vl_facts *f, struct vl_index *ret)
{
	struct vl_error *err = vl_flattened_put(&k->file, ret);

	if (!err)
		err = vl_index_put(ret, &k->head, sizeof(k->head));
	if (!err)
		err = vl_index_put_array(ret, k->before, blocks_of(k) + 1, sizeof(*k->before));
	return err ? err : vl_facts_put(f, ret);
}

static struct kdump *new_kdump(void)
{
	struct kdump *k = calloc(1, sizeof(*k));

	if (k)
		k->block_nr = UINT64_MAX;
	return k;
}

static struct vl_error *index_kdump(const struct vl_index_job *job, struct vl_index *ret)
{
	struct vl_facts f = { .head.machine = EM_X86_64 };
	struct kdump *k = new_kdump();
	struct vl_error *err;

	if (!k)
		return vl_error_nomem();
	k->partial = job->partial;
	err = vl_flattened_init(job->fd, job->size, job->partial, &k->file);
	if (!err)
		err = read_head(k, job->size, &f);
	if (!err)
		err = put(k, &f, ret);
	close_kdump(k);
	vl_facts_deinit(&f);
	return err;
}

/* ---- with rights ---- */

static struct vl_error *load_codecs(struct kdump *k, uint64_t status)
{
	struct vl_error *err = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(packings) && !err; i++)
		if (status & packings[i].flag)
			err = vl_codec_load(packings[i].codec, &k->codecs[packings[i].codec]);
	return err ? vl_error_prefix(err, "the dump is compressed") : NULL;
}

/* Take and check what is of the bitmap of pages in the file. */
static struct vl_error *take_head(struct vl_index *ix, struct kdump *k)
{
	struct vl_error *err;
	size_t nr;

	if (!vl_index_take(ix, &k->head, sizeof(k->head)) || !k->head.pages ||
	    k->head.pages > PAGES_MAX || k->head.present > INT64_MAX || k->head.descs > INT64_MAX)
		return vl_index_bad();
	err = vl_index_take_array(ix, sizeof(*k->before), PAGES_MAX / BLOCK_PAGES + 1, &k->before,
				  &nr);
	if (err)
		return err;
	if (nr != blocks_of(k) + 1 || k->before[0])
		return vl_index_bad();
	for (size_t i = 1; i < nr; i++)
		if (k->before[i] < k->before[i - 1] ||
		    k->before[i] - k->before[i - 1] > BLOCK_PAGES)
			return vl_index_bad();
	k->nr_descs = k->before[nr - 1];
	return NULL;
}

static struct vl_error *take(struct vl_target *t, struct vl_dump *d, struct kdump *k,
			     struct vl_index *ix)
{
	struct vl_error *err = vl_flattened_take(ix, d->fd, d->size, &k->file);

	if (!err)
		err = take_head(ix, k);
	if (!err)
		err = vl_facts_take(t, d, ix);
	return err ? err : load_codecs(k, k->head.status);
}

struct vl_error *vl_dump_load_kdump(struct vl_target *t, struct vl_dump *d)
{
	const struct vl_index_job job = { "kdump2", index_kdump, d->fd, 0, d->size, NULL, false };
	struct vl_index ix;
	struct vl_error *err = vl_index_open(t, &job, &ix);
	struct kdump *k;

	if (err)
		return err;
	k = new_kdump();
	if (k)
		k->partial = t->partial;
	err = k ? take(t, d, k, &ix) : vl_error_nomem();
	vl_index_deinit(&ix);
	if (err) {
		if (k)
			close_kdump(k);
		return err;
	}
	return vl_pages_set(t, &kdump_ops, k, d->fd);
}
