/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pass over a migration stream: QEMU docs/devel/migration/main.rst, "Stream structure";
 * migration/savevm.c and migration/ram.c for the layout of sections and of memory. The state of a
 * device has no length, but memory comes before that of all devices.
 */
#include "stream-pass.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/array.h"

/* ---- memory ---- */

/* Bytes of leaves that a stream may have before its own bytes count. */
#define LEAVES_MARGIN (64UL << 20)

/* The version of the section of memory, by register_savevm_live(). */
#define RAM_SECTION 4

/* QEMU migration/ram.c: the low bits of a page's offset. */
enum {
	RAM_ZERO = 0x02,
	RAM_MEM_SIZE = 0x04,
	RAM_PAGE = 0x08,
	RAM_EOS = 0x10,
	RAM_CONTINUE = 0x20,
	RAM_XBZRLE = 0x40,
	RAM_HOOK = 0x80,
	RAM_COMPRESS_PAGE = 0x100,
	RAM_MULTIFD_FLUSH = 0x200,
};

/* The block @name; *@first_ret is its first page. */
static struct vl_block *find_block(const struct vl_stream *s, const char *name, uint64_t *first_ret)
{
	*first_ret = 0;
	for (size_t i = 0; i < s->nr_blocks; i++) {
		if (!strcmp(s->blocks[i].name, name))
			return &s->blocks[i];
		*first_ret += s->blocks[i].size / VL_PAGE_SIZE;
	}
	return NULL;
}

/* Page @page, which is behind all that have been added, lies at @at. */
static struct vl_error *add_run(struct vl_cursor *c, uint64_t page, uint64_t at)
{
	struct vl_stream *s = c->s;
	struct vl_page_run *last = s->nr_runs ? &s->runs[s->nr_runs - 1] : NULL;
	const uint64_t step = last && last->nr == 1 ? at - last->at : last ? last->step : 0;

	if (last && last->page + last->nr == page && at - last->at == last->nr * step &&
	    (at & VL_FILLED ? !step : at > last->at)) {
		last->step = step;
		last->nr++;
		return NULL;
	}
	if (s->nr_runs == VL_INDEX_MAX / sizeof(*s->runs))
		return vl_index_full();
	if (!vl_grow(s->runs, c->cap_runs, s->nr_runs, 1024))
		return vl_error_nomem();
	s->runs[s->nr_runs++] = (struct vl_page_run){ page, 1, at, 0 };
	return NULL;
}

/*
 * The next 64 pages of a block, of which those lie at @at that are set in @word, the others are
 * zeros, of a stream that may be cut off.
 */
static struct vl_error *add_known(struct vl_cursor *c, uint64_t first, uint64_t nr, uint64_t word,
				  uint64_t at)
{
	struct vl_error *err = NULL;

	for (uint64_t i = 0; !err && i < nr; i++) {
		const uint64_t place = at + i * VL_PAGE_SIZE;

		if (!(word >> i & 1))
			err = add_run(c, first + i, VL_FILLED);
		else if (place <= c->s->bytes.size - VL_PAGE_SIZE)
			err = add_run(c, first + i, place);
		else
			c->cut = true;
	}
	return err;
}

/* Add those of a block's @pages that the bitmap at @map shows. Each has its place behind @at. */
static struct vl_error *add_places(struct vl_cursor *c, uint64_t map, uint64_t pages, uint64_t at)
{
	const uint64_t bytes = (pages + 63) / 64 * 8;
	const struct vl_bytes *b = &c->s->bytes;
	struct vl_error *err;
	uint64_t words[512];

	for (uint64_t done = 0; done < bytes; done += sizeof(words)) {
		size_t n = bytes - done < sizeof(words) ? bytes - done : sizeof(words);

		if (vl_bytes_read(b, map + done, words, n) != (int64_t)n)
			return vl_cut_off(c);
		for (size_t i = 0; c->partial && i < n / 8; i++) {
			const uint64_t page = (done / 8 + i) * 64;

			err = add_known(c, c->nr_pages + page,
					pages - page < 64 ? pages - page : 64, le64toh(words[i]),
					at + page * VL_PAGE_SIZE);
			if (err)
				return err;
		}
		for (size_t i = 0; !c->partial && i < n / 8; i++)
			for (uint64_t w = le64toh(words[i]); w; w &= w - 1) {
				uint64_t page = (done / 8 + i) * 64 + (uint64_t)__builtin_ctzll(w);
				uint64_t place = at + page * VL_PAGE_SIZE;

				if (page >= pages)
					break;
				if (place > b->size - VL_PAGE_SIZE)
					return vl_cut_off(c);
				err = add_run(c, c->nr_pages + page, place);
				if (err)
					return err;
			}
	}
	return NULL;
}

/* Behind a block's size: where its pages are, each at a place of its own. */
static struct vl_error *take_places(struct vl_cursor *c, const struct vl_block *b)
{
	const uint64_t pages = b->size / VL_PAGE_SIZE, bitmap = (pages + 63) / 64 * 8;
	const struct vl_bytes *bytes = &c->s->bytes;
	uint64_t page_size, map, at, base, here;
	uint32_t version;
	struct vl_error *err = vl_take32(c, &version);

	err = err ? err : vl_take64(c, &page_size);
	err = err ? err : vl_take64(c, &map);
	err = err ? err : vl_take64(c, &at);
	if (err)
		return err;
	if (version != 1 || page_size != VL_PAGE_SIZE)
		return vl_damaged_at(c, "its memory is mapped in an unknown way");
	/* The places are offsets in the file. The bitmap follows, and shows where it begins. */
	here = c->at;
	base = bytes->nr ? bytes->pieces[0].file : 0;
	if (map != base + here)
		return vl_damaged_at(c, "the map of its pages is not behind a block's size");
	if (at < map || at - map < bitmap || at - base > bytes->size)
		return vl_damaged_at(c, "the pages of a block begin before its map ends");
	at -= base;
	/* The file may end before the block's last page. */
	err = add_places(c, here, pages, at);
	c->at = at + b->size;
	return err;
}

static struct vl_error *take_blocks(struct vl_cursor *c, uint64_t total)
{
	struct vl_stream *s = c->s;
	struct vl_error *err;
	uint64_t first;

	if (s->nr_blocks || c->leaves)
		return vl_damaged_at(c, "it has two lists of memory");
	/* The stream has each page, if only as a byte of zero. */
	if (total / VL_PAGE_SIZE > s->bytes.size / sizeof(uint64_t) ||
	    total / VL_PAGE_SIZE > VL_STREAM_PAGES_MAX)
		return vl_cut_off(c);
	/*
	 * This memory is first touched when a page is found: a guest that is mostly zeros costs
	 * little.
	 */
	if (!c->mapped) {
		c->leaves = calloc(total / VL_PAGE_SIZE / VL_LEAF + 1, sizeof(*c->leaves));
		if (!c->leaves)
			return vl_error_nomem();
		c->nr_leaves = total / VL_PAGE_SIZE / VL_LEAF + 1;
	}
	while (total) {
		struct vl_block *b = reallocarray(s->blocks, s->nr_blocks + 1, sizeof(*b));

		if (!b)
			return vl_error_nomem();
		s->blocks = b;
		b += s->nr_blocks;
		memset(b, 0, sizeof(*b));
		err = vl_take_name(c, b->name);
		err = err ? err : vl_take64(c, &b->size);
		if (err)
			return err;
		if (b->size > total || !b->size || b->size % VL_PAGE_SIZE ||
		    s->nr_blocks >= VL_BLOCKS_MAX || find_block(s, b->name, &first))
			return vl_damaged_at(c, "its list of memory blocks is invalid");
		total -= b->size;
		s->nr_blocks++;
		err = c->mapped ? take_places(c, b) : NULL;
		if (err)
			return err;
		c->nr_pages += b->size / VL_PAGE_SIZE;
	}
	return NULL;
}

static struct vl_error *set_page(struct vl_cursor *c, uint64_t page, uint64_t at)
{
	uint64_t **leaf = &c->leaves[(c->first + page) / VL_LEAF];

	if (!*leaf && !at)
		return NULL;
	if (!*leaf) {
		/*
		 * QEMU writes the pages of a leaf one by one, in more bytes than it has. Few pages
		 * far apart would take much more memory of us than of the file.
		 */
		if (c->leaf_bytes > LEAVES_MARGIN && c->leaf_bytes - LEAVES_MARGIN > c->at)
			return vl_damaged_at(c, "its pages lie farther apart than any guest's");
		*leaf = calloc(VL_LEAF, sizeof(**leaf));
		if (!*leaf)
			return vl_error_nomem();
		c->leaf_bytes += VL_LEAF * sizeof(**leaf);
	}
	(*leaf)[(c->first + page) % VL_LEAF] = at;
	return NULL;
}

/* The place of a page that is @fill all over. Zeros need none, unless a page may be missing. */
static uint64_t filled(const struct vl_cursor *c, unsigned char fill)
{
	return fill || c->partial ? VL_FILLED | fill : 0;
}

/* Take the page whose offset and flags are @head. A later one at the same place replaces it. */
static struct vl_error *take_page(struct vl_cursor *c, uint64_t head)
{
	const uint64_t page = head / VL_PAGE_SIZE;
	const unsigned char *fill;
	struct vl_error *err;
	char name[256];

	if (!(head & RAM_CONTINUE)) {
		err = vl_take_name(c, name);
		if (err)
			return err;
		c->block = find_block(c->s, name, &c->first);
	}
	if (!c->block || !c->leaves || page >= c->block->size / VL_PAGE_SIZE)
		return vl_damaged_at(c, "a page lies outside of all memory blocks");
	if (head & RAM_PAGE) {
		err = set_page(c, page, c->at);
		return err ? err : vl_skip(c, VL_PAGE_SIZE);
	}
	err = vl_take(c, 1, &fill);
	return err ? err : set_page(c, page, filled(c, *fill));
}

#define AGAIN_HINT "save the guest without that"

/*
 * The bytes in front of a page whose block is that of the last page. FILLED: with the byte behind
 * them that fills the page.
 */
#define HEAD 8UL
#define FILLED_SIZE (HEAD + 1)

/*
 * Take pages of the block of the last one as long as they lie in the mapped bytes: nearly all pages
 * of a stream, most of them zeros. What is left is taken, or refused, by take_page().
 */
static struct vl_error *take_pages(struct vl_cursor *c)
{
	const uint64_t pages = c->block && c->leaves ? c->block->size / VL_PAGE_SIZE : 0;
	size_t left;
	const unsigned char *p = vl_mapped(c, &left);

	while (left >= FILLED_SIZE) {
		const uint64_t head = vl_be64(p), page = head / VL_PAGE_SIZE;
		const uint64_t flags = head & (VL_PAGE_SIZE - 1);
		struct vl_error *err = NULL;
		size_t n = FILLED_SIZE;

		if (page >= pages ||
		    (flags != (RAM_ZERO | RAM_CONTINUE) && flags != (RAM_PAGE | RAM_CONTINUE)))
			break;
		if (flags & RAM_PAGE) {
			n = HEAD + VL_PAGE_SIZE;
			if (n > left)
				break;
			err = set_page(c, page, c->at + HEAD);
		} else if (filled(c, p[HEAD]) || c->leaves[(c->first + page) / VL_LEAF]) {
			err = set_page(c, page, filled(c, p[HEAD]));
		}
		if (err)
			return err;
		c->at += n;
		p += n;
		left -= n;
	}
	return NULL;
}

/* What a section with memory has from here on, to its end. */
static struct vl_error *take_ram(struct vl_cursor *c)
{
	struct vl_error *err;
	uint64_t head;

	for (;;) {
		uint64_t flags;

		err = take_pages(c);
		err = err ? err : vl_take64(c, &head);
		if (err)
			return err;
		flags = head & (VL_PAGE_SIZE - 1);
		if (flags == RAM_EOS)
			return NULL;
		if (flags == RAM_MULTIFD_FLUSH)
			continue;
		if (flags == RAM_MEM_SIZE)
			err = take_blocks(c, head - flags);
		else if (flags & RAM_XBZRLE)
			err = vl_stream_not_read("pages that are differences (capability xbzrle)",
						 AGAIN_HINT);
		else if (flags & RAM_COMPRESS_PAGE)
			err = vl_stream_not_read("compressed pages (capability compress)",
						 AGAIN_HINT);
		else if ((flags & ~(uint64_t)RAM_CONTINUE) == RAM_ZERO ||
			 (flags & ~(uint64_t)RAM_CONTINUE) == RAM_PAGE)
			err = take_page(c, head);
		else
			err = vl_damaged_at(c, "a page has an unknown kind");
		if (err)
			return err;
	}
}

/* ---- sections ---- */

/* QEMU migration/savevm.c: commands of a stream. */
enum {
	CMD_OPEN_RETURN_PATH = 1,
	CMD_PING,
	CMD_POSTCOPY_ADVISE,
};

static struct vl_error *take_command(struct vl_cursor *c)
{
	const unsigned char *p;
	struct vl_error *err = vl_take(c, 4, &p);
	unsigned cmd, len;

	if (err)
		return err;
	cmd = (unsigned)p[0] << 8 | p[1];
	len = (unsigned)p[2] << 8 | p[3];
	if (cmd == CMD_POSTCOPY_ADVISE && len == 16) {
		err = vl_take(c, 16, &p);
		/* If blocks had huge pages, the list would have their size. */
		if (err || vl_be64(p) == VL_PAGE_SIZE)
			return err;
	}
	if (cmd != CMD_OPEN_RETURN_PATH && cmd != CMD_PING)
		return vl_stream_not_read("a migration by postcopy", AGAIN_HINT);
	if (len != (cmd == CMD_PING ? 4 : 0))
		return vl_damaged_at(c, "a command has a wrong length");
	return vl_skip(c, len);
}

/* A section that begins: only memory is written in parts in the streams that are understood. */
static struct vl_error *take_start(struct vl_cursor *c)
{
	struct vl_error *err;
	uint32_t instance, version;
	char name[256], text[300];

	err = vl_take32(c, &c->ram_id);
	err = err ? err : vl_take_name(c, name);
	err = err ? err : vl_take32(c, &instance);
	err = err ? err : vl_take32(c, &version);
	if (err)
		return err;
	if (strcmp(name, "ram")) {
		for (char *p = name; *p; p++)
			if (*p <= ' ' || *p > '~')
				*p = '?';
		snprintf(text, sizeof(text), "data of '%s' among the memory", name);
		return vl_stream_not_read(text, AGAIN_HINT);
	}
	if (c->has_ram)
		return vl_damaged_at(c, "its memory begins twice");
	if (version != RAM_SECTION)
		return vl_stream_not_read("memory of another version than 4",
					  "save the guest by a newer QEMU");
	c->has_ram = true;
	return take_ram(c);
}

static struct vl_error *take_part(struct vl_cursor *c, bool last)
{
	struct vl_error *err;
	uint32_t id;

	err = vl_take32(c, &id);
	if (err)
		return err;
	if (!c->has_ram || id != c->ram_id || c->ram_ended)
		return vl_damaged_at(c, "a part belongs to a section that has not begun");
	c->ram_ended = last;
	return take_ram(c);
}

/* Sections up to the first whose state is that of a device. */
static struct vl_error *take_sections(struct vl_cursor *c)
{
	struct vl_error *err = NULL;
	const unsigned char *p;

	for (;;) {
		uint32_t id;

		err = vl_take(c, 1, &p);
		if (err)
			return err;
		switch (*p) {
		case VM_CONFIGURATION:
			err = vl_take_configuration(c);
			break;
		case VM_COMMAND:
			err = take_command(c);
			break;
		case VM_START:
			err = take_start(c);
			break;
		case VM_PART:
		case VM_END:
			err = take_part(c, *p == VM_END);
			break;
		case VM_FOOTER:
			err = vl_take32(c, &id);
			if (!err && id != c->ram_id)
				err = vl_damaged_at(c, "a section ends as another one");
			/*
			 * Streams of old machines have no footer: then the next section ends the
			 * memory.
			 */
			if (!err && c->ram_ended)
				return NULL;
			break;
		case VM_FULL:
		case VM_EOF:
			if (c->ram_ended) {
				c->at--;
				return NULL;
			}
			/* fallthrough */
		default:
			return vl_damaged_at(c, c->has_ram ? "its memory does not end" :
							     "its memory does not begin");
		}
		if (err)
			return err;
	}
}

static struct vl_error *open_stream(struct vl_cursor *c)
{
	const unsigned char *p;
	struct vl_error *err = vl_take(c, 8, &p);

	if (err)
		return err;
	if (memcmp(p, "QEVM", 4))
		return vl_damaged_at(c, "it does not begin as one");
	if (vl_be32(p + 4) != 3)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "the migration stream has version %u",
						  vl_be32(p + 4)),
				     "version 3 is understood");
	err = take_sections(c);
	if (err && c->cut && c->partial && c->s->nr_blocks) {
		vl_error_destroy(err);
		err = NULL;
	}
	if (err)
		return err;
	if (!c->s->nr_blocks)
		return vl_damaged_at(c, "it holds no memory");
	for (uint64_t i = 0; i < c->nr_leaves && !err; i++)
		for (uint64_t k = 0; c->leaves[i] && k < VL_LEAF && !err; k++)
			if (c->leaves[i][k])
				err = add_run(c, i * VL_LEAF + k, c->leaves[i][k]);
	c->s->cut = c->cut;
	return err || c->cut ? err : vl_stream_read_state(c->s, c->at);
}

struct vl_error *vl_stream_index(const struct vl_bytes *bytes, bool partial, struct vl_index *ret)
{
	struct vl_stream s = { .bytes = *bytes };
	struct vl_cursor c = { .s = &s, .partial = partial };
	struct vl_error *err;
	struct stat st;

	c.file_size = fstat(bytes->fd, &st) ? 0 : (uint64_t)st.st_size;
	err = open_stream(&c);
	if (!err)
		err = vl_stream_put(&s, ret);
	vl_cursor_deinit(&c);
	s.bytes = (struct vl_bytes){ .fd = -1 };
	vl_stream_deinit(&s);
	return err;
}
