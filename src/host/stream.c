/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pass over a migration stream: QEMU docs/devel/migration/main.rst, "Stream structure";
 * migration/savevm.c and migration/ram.c for the layout of sections and of memory. The state of a
 * device has no length, but memory comes before that of all devices.
 */
#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "internal.h"

/* ---- bytes ---- */

struct vl_error *vl_bytes_add(struct vl_bytes *b, uint64_t file, uint64_t size)
{
	struct vl_span *last = b->nr ? &b->pieces[b->nr - 1] : NULL, *more;

	if (last && (file == VL_HOLE ? last->file == VL_HOLE :
				       last->file != VL_HOLE && last->file + last->size == file)) {
		last->size += size;
		b->size += size;
		return NULL;
	}
	/* The sizes at which the array grows are the powers of two. */
	if (!(b->nr & (b->nr - 1))) {
		more = reallocarray(b->pieces, b->nr ? 2 * b->nr : 1, sizeof(*more));
		if (!more)
			return vl_error_nomem();
		b->pieces = more;
	}
	b->pieces[b->nr++] = (struct vl_span){ b->size, size, file };
	b->size += size;
	return NULL;
}

struct vl_error *vl_bytes_whole(struct vl_bytes *b, int fd, uint64_t at, uint64_t end)
{
	*b = (struct vl_bytes){ .fd = fd };
	return end > at ? vl_bytes_add(b, at, end - at) : NULL;
}

int64_t vl_bytes_read(const struct vl_bytes *b, uint64_t at, void *buf, size_t len)
{
	size_t done = 0, i = vl_bisect(k, b->nr, b->pieces[k].at <= at);

	for (i -= !!i; i < b->nr && done < len; i++) {
		const struct vl_span *p = &b->pieces[i];
		uint64_t off = at + done - p->at;
		size_t n;
		ssize_t got;

		if (off >= p->size)
			break;
		n = len - done < p->size - off ? len - done : p->size - off;
		if (p->file == VL_HOLE) {
			memset((char *)buf + done, 0, n);
			done += n;
			continue;
		}
		do {
			got = pread(b->fd, (char *)buf + done, n, (off_t)(p->file + off));
			if (got < 0 && errno != EINTR)
				return -1;
			if (!got)
				return (int64_t)done;
			if (got > 0) {
				done += (size_t)got;
				off += (uint64_t)got;
				n -= (size_t)got;
			}
		} while (n);
	}
	return (int64_t)done;
}

void vl_bytes_deinit(struct vl_bytes *b)
{
	free(b->pieces);
	*b = (struct vl_bytes){ .fd = -1 };
}

/* ---- the cursor ---- */

/* Headers of pages lie 4 KiB apart: a read of many costs less than many reads. */
#define BUFFER (256UL << 10)

struct cursor {
	struct vl_stream *s;
	uint64_t at;   /* in the stream */
	uint64_t from; /* what the buffer holds: @len bytes at @from */
	size_t len;
	unsigned char *buf;
	struct vl_block *block; /* of the last page */
	uint32_t ram_id;	/* of the section with memory */
	bool has_ram, ram_ended, mapped;
};

static struct vl_error *ended(const struct cursor *c)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the stream is truncated: it ends at %" PRIu64
					  " bytes, within the guest's memory",
					  c->s->bytes.size),
			     "is it still being written? else make it again; was the disk full?");
}

static struct vl_error *damaged(const struct cursor *c, const char *what)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the stream is damaged: %s, at byte %" PRIu64, what,
					  c->at),
			     "make it again");
}

static struct vl_error *not_read(const char *what, const char *hint)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "the stream has %s, which is not read", what), "%s",
		hint);
}

/* Take the next @n bytes, of at most 256 or so. */
static struct vl_error *take(struct cursor *c, size_t n, const unsigned char **ret)
{
	if (c->at < c->from || c->at - c->from > c->len || c->len - (c->at - c->from) < n) {
		int64_t got = vl_bytes_read(&c->s->bytes, c->at, c->buf, BUFFER);

		if (got < 0)
			return vl_error_hint(vl_error_new(VL_ERR_TARGET,
							  "cannot read the stream: %s",
							  strerror(errno)),
					     "is the disk in order?");
		c->from = c->at;
		c->len = (size_t)got;
		if (c->len < n)
			return ended(c);
	}
	*ret = c->buf + (c->at - c->from);
	c->at += n;
	return NULL;
}

static struct vl_error *take32(struct cursor *c, uint32_t *ret)
{
	const unsigned char *p;
	struct vl_error *err = take(c, 4, &p);

	if (!err)
		*ret = vl_be32(p);
	return err;
}

static struct vl_error *take64(struct cursor *c, uint64_t *ret)
{
	const unsigned char *p;
	struct vl_error *err = take(c, 8, &p);

	if (!err)
		*ret = vl_be64(p);
	return err;
}

/* Take a string that follows its length, a byte. */
static struct vl_error *take_name(struct cursor *c, char ret[256])
{
	const unsigned char *p;
	struct vl_error *err = take(c, 1, &p);
	size_t len;

	if (err)
		return err;
	len = *p;
	err = take(c, len, &p);
	if (err)
		return err;
	memcpy(ret, p, len);
	ret[len] = '\0';
	return NULL;
}

static struct vl_error *skip(struct cursor *c, uint64_t n)
{
	if (n > c->s->bytes.size || c->at > c->s->bytes.size - n)
		return ended(c);
	c->at += n;
	return NULL;
}

/* ---- memory ---- */

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

/* An entry of vl_block.pages: where the page lies in the stream, a byte that fills it, or 0. */
#define FILLED (1ULL << 63)

/* More are of no machine: a block is a memory module, or a ROM of a device. */
#define BLOCKS_MAX 4096

static struct vl_block *find_block(const struct vl_stream *s, const char *name)
{
	for (size_t i = 0; i < s->nr_blocks; i++)
		if (!strcmp(s->blocks[i].name, name))
			return &s->blocks[i];
	return NULL;
}

/* Behind a block's size: where its pages are, each at a place of its own. */
static struct vl_error *take_places(struct cursor *c, struct vl_block *b)
{
	const uint64_t pages = b->size / VL_PAGE_SIZE, bitmap = (pages + 63) / 64 * 8;
	const struct vl_bytes *bytes = &c->s->bytes;
	uint64_t page_size, map, at, base, here;
	unsigned char part[4096];
	uint32_t version;
	struct vl_error *err = take32(c, &version);

	err = err ? err : take64(c, &page_size);
	err = err ? err : take64(c, &map);
	err = err ? err : take64(c, &at);
	if (err)
		return err;
	if (version != 1 || page_size != VL_PAGE_SIZE)
		return damaged(c, "its memory is mapped in an unknown way");
	/* The places are offsets in the file. The bitmap follows, and shows where it begins. */
	here = c->at;
	base = bytes->nr ? bytes->pieces[0].file : 0;
	if (map != base + here)
		return damaged(c, "the map of its pages is not behind a block's size");
	if (at < map || at - map < bitmap || at - base > bytes->size)
		return damaged(c, "the pages of a block begin before its map ends");
	at -= base;
	/* What is behind the last page that was written may be a hole that was never made. */
	for (uint64_t i = 0; i < pages; i++) {
		if (!(i % (8 * sizeof(part)))) {
			size_t n = bitmap - i / 8 < sizeof(part) ? bitmap - i / 8 : sizeof(part);

			if (vl_bytes_read(bytes, here + i / 8, part, n) != (int64_t)n)
				return ended(c);
		}
		if (!(part[i / 8 % sizeof(part)] & 1 << i % 8))
			continue;
		b->pages[i] = at + i * VL_PAGE_SIZE;
		if (b->pages[i] > bytes->size - VL_PAGE_SIZE)
			return ended(c);
	}
	c->at = at + b->size;
	return NULL;
}

static struct vl_error *take_blocks(struct cursor *c, uint64_t total)
{
	struct vl_stream *s = c->s;
	struct vl_error *err;

	if (s->nr_blocks)
		return damaged(c, "it has two lists of memory");
	/* Each page is in it, be it as a byte of zero: this bounds the memory that we need. */
	if (total / VL_PAGE_SIZE > s->bytes.size / sizeof(*s->blocks->pages))
		return ended(c);
	while (total) {
		struct vl_block *b = reallocarray(s->blocks, s->nr_blocks + 1, sizeof(*b));

		if (!b)
			return vl_error_nomem();
		s->blocks = b;
		b += s->nr_blocks;
		memset(b, 0, sizeof(*b));
		err = take_name(c, b->name);
		err = err ? err : take64(c, &b->size);
		if (err)
			return err;
		if (b->size > total || !b->size || b->size % VL_PAGE_SIZE ||
		    s->nr_blocks >= BLOCKS_MAX || find_block(s, b->name))
			return damaged(c, "the list of its memory is none");
		total -= b->size;
		/* Not touched before a page is found: a guest that is mostly zeros costs little. */
		b->pages = calloc(b->size / VL_PAGE_SIZE, sizeof(*b->pages));
		if (!b->pages)
			return vl_error_nomem();
		s->nr_blocks++;
		err = c->mapped ? take_places(c, b) : NULL;
		if (err)
			return err;
	}
	return NULL;
}

/* Take the page whose offset and flags are @head. A later one at the same place replaces it. */
static struct vl_error *take_page(struct cursor *c, uint64_t head)
{
	const uint64_t page = head / VL_PAGE_SIZE;
	const unsigned char *fill;
	struct vl_error *err;
	char name[256];

	if (!(head & RAM_CONTINUE)) {
		err = take_name(c, name);
		if (err)
			return err;
		c->block = find_block(c->s, name);
	}
	if (!c->block || page >= c->block->size / VL_PAGE_SIZE)
		return damaged(c, "a page is of no block of its memory");
	if (head & RAM_PAGE) {
		c->block->pages[page] = c->at;
		return skip(c, VL_PAGE_SIZE);
	}
	err = take(c, 1, &fill);
	if (!err)
		c->block->pages[page] = *fill ? FILLED | *fill : 0;
	return err;
}

#define AGAIN_HINT "save the guest without that"

/* What a section with memory has from here on, to its end. */
static struct vl_error *take_ram(struct cursor *c)
{
	struct vl_error *err;
	uint64_t head;

	for (;;) {
		uint64_t flags;

		err = take64(c, &head);
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
			err = not_read("pages that are differences (capability xbzrle)",
				       AGAIN_HINT);
		else if (flags & RAM_COMPRESS_PAGE)
			err = not_read("compressed pages (capability compress)", AGAIN_HINT);
		else if ((flags & ~(uint64_t)RAM_CONTINUE) == RAM_ZERO ||
			 (flags & ~(uint64_t)RAM_CONTINUE) == RAM_PAGE)
			err = take_page(c, head);
		else
			err = damaged(c, "a page is of an unknown kind");
		if (err)
			return err;
	}
}

bool vl_stream_read_page(const struct vl_stream *s, const struct vl_block *b, uint64_t page,
			 void *buf)
{
	const uint64_t at = b->pages[page];

	if (!at || at & FILLED) {
		memset(buf, (unsigned char)at, VL_PAGE_SIZE);
		return true;
	}
	errno = 0;
	return vl_bytes_read(&s->bytes, at, buf, VL_PAGE_SIZE) == (int64_t)VL_PAGE_SIZE;
}

/* ---- sections ---- */

/* QEMU migration/savevm.h: what a section begins with. */
enum {
	VM_EOF = 0x00,
	VM_START = 0x01,
	VM_PART = 0x02,
	VM_END = 0x03,
	VM_FULL = 0x04,
	VM_SUBSECTION = 0x05,
	VM_CONFIGURATION = 0x07,
	VM_COMMAND = 0x08,
	VM_FOOTER = 0x7e,
};

/* QEMU migration/savevm.c: commands of a stream. */
enum {
	CMD_OPEN_RETURN_PATH = 1,
	CMD_PING,
	CMD_POSTCOPY_ADVISE,
};

/* QEMU's names of its machines that are PCs. */
static const char *const pcs[] = { "pc", "q35", "isapc", "microvm", "xenfv", "nitro" };

static struct vl_error *check_machine(const struct vl_stream *s)
{
	for (size_t i = 0; i < sizeof(pcs) / sizeof(*pcs); i++)
		if (!strncmp(s->machine, pcs[i], strlen(pcs[i])))
			return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the stream is of a machine '%s', which is no PC",
					  s->machine),
			     "only x86-64 guests are understood");
}

static struct vl_error *take_capabilities(struct cursor *c)
{
	struct vl_error *err;
	uint32_t nr;
	char name[256];

	err = take32(c, &nr);
	while (!err && nr--) {
		err = take_name(c, name);
		if (err)
			break;
		if (!strcmp(name, "mapped-ram"))
			c->mapped = true;
		else if (!strcmp(name, "x-ignore-shared"))
			err = vl_error_hint(vl_error_new(VL_ERR_TARGET,
							 "the stream was made with "
							 "x-ignore-shared: the guest's memory "
							 "is not in it"),
					    "the memory is in the file of its memory backend");
	}
	return err;
}

static struct vl_error *take_configuration(struct cursor *c)
{
	struct vl_stream *s = c->s;
	const unsigned char *p;
	struct vl_error *err;
	uint32_t len, bits, version;
	char name[256];

	err = take32(c, &len);
	if (err)
		return err;
	if (!len || len >= sizeof(s->machine))
		return damaged(c, "the name of its machine is none");
	err = take(c, len, &p);
	if (err)
		return err;
	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return damaged(c, "the name of its machine is none");
	memcpy(s->machine, p, len);
	err = check_machine(s);
	while (!err) {
		err = take(c, 1, &p);
		if (err || *p != VM_SUBSECTION)
			break;
		err = take_name(c, name);
		err = err ? err : take32(c, &version);
		if (err)
			break;
		if (!strcmp(name, "configuration/capabilities")) {
			err = take_capabilities(c);
		} else if (!strcmp(name, "configuration/uuid")) {
			err = skip(c, 16);
		} else if (!strcmp(name, "configuration/target-page-bits")) {
			err = take32(c, &bits);
			if (!err && bits != 12)
				err = not_read("pages that are not of 4 KiB",
					       "only x86-64 guests are understood");
		} else {
			err = damaged(c, "its configuration is of an unknown kind");
		}
	}
	if (!err)
		c->at--;
	return err;
}

static struct vl_error *take_command(struct cursor *c)
{
	const unsigned char *p;
	struct vl_error *err = take(c, 4, &p);
	unsigned cmd, len;

	if (err)
		return err;
	cmd = (unsigned)p[0] << 8 | p[1];
	len = (unsigned)p[2] << 8 | p[3];
	if (cmd == CMD_POSTCOPY_ADVISE && len == 16) {
		err = take(c, 16, &p);
		/* Blocks of huge pages would have the size of these in the list. */
		if (err || vl_be64(p) == VL_PAGE_SIZE)
			return err;
	}
	if (cmd != CMD_OPEN_RETURN_PATH && cmd != CMD_PING)
		return not_read("a migration by postcopy", AGAIN_HINT);
	return skip(c, len);
}

/* A section that begins: only memory is written in parts in the streams that are understood. */
static struct vl_error *take_start(struct cursor *c)
{
	struct vl_error *err;
	uint32_t instance, version;
	char name[256], text[300];

	err = take32(c, &c->ram_id);
	err = err ? err : take_name(c, name);
	err = err ? err : take32(c, &instance);
	err = err ? err : take32(c, &version);
	if (err)
		return err;
	if (strcmp(name, "ram")) {
		for (char *p = name; *p; p++)
			if (*p <= ' ' || *p > '~')
				*p = '?';
		snprintf(text, sizeof(text), "data of '%s' among the memory", name);
		return not_read(text, AGAIN_HINT);
	}
	if (c->has_ram)
		return damaged(c, "its memory begins twice");
	if (version != 4)
		return not_read("memory of another version than 4",
				"save the guest by a newer QEMU");
	c->has_ram = true;
	return take_ram(c);
}

static struct vl_error *take_part(struct cursor *c, bool last)
{
	struct vl_error *err;
	uint32_t id;

	err = take32(c, &id);
	if (err)
		return err;
	if (!c->has_ram || id != c->ram_id || c->ram_ended)
		return damaged(c, "a part is of a section that has not begun");
	c->ram_ended = last;
	return take_ram(c);
}

/* Sections up to the first whose state is that of a device. */
static struct vl_error *take_sections(struct cursor *c)
{
	struct vl_error *err = NULL;
	const unsigned char *p;

	for (;;) {
		uint32_t id;

		err = take(c, 1, &p);
		if (err)
			return err;
		switch (*p) {
		case VM_CONFIGURATION:
			err = take_configuration(c);
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
			err = take32(c, &id);
			if (!err && id != c->ram_id)
				err = damaged(c, "a section ends as another one");
			/* Old machines have none: then the next section ends the memory. */
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
			return damaged(c, c->has_ram ? "its memory does not end" :
						       "its memory does not begin");
		}
		if (err)
			return err;
	}
}

static struct vl_error *open_stream(struct cursor *c)
{
	const unsigned char *p;
	struct vl_error *err = take(c, 8, &p);

	if (err)
		return err;
	if (memcmp(p, "QEVM", 4))
		return damaged(c, "it does not begin as one");
	if (vl_be32(p + 4) != 3)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "the migration stream is of version %u",
						  vl_be32(p + 4)),
				     "version 3 is understood");
	err = take_sections(c);
	if (err)
		return err;
	if (!c->s->nr_blocks)
		return damaged(c, "it holds no memory");
	return vl_stream_read_state(c->s, c->at);
}

struct vl_error *vl_stream_open(const struct vl_bytes *bytes, struct vl_stream *ret)
{
	struct cursor c = { .s = ret };
	struct vl_error *err;

	*ret = (struct vl_stream){ .bytes = *bytes };
	c.buf = malloc(BUFFER);
	err = c.buf ? open_stream(&c) : vl_error_nomem();
	free(c.buf);
	return err;
}

void vl_stream_deinit(struct vl_stream *s)
{
	for (size_t i = 0; i < s->nr_blocks; i++)
		free(s->blocks[i].pages);
	free(s->blocks);
	free(s->vcpus);
	vl_bytes_deinit(&s->bytes);
	*s = (struct vl_stream){ .bytes.fd = -1 };
}
