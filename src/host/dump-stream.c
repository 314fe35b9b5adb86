/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of a migration stream: which of the stream's blocks are its RAM, and where they lie. A
 * stream does not say that. It names the blocks, and the clock chip's memory has the sizes of RAM
 * below and above 4 GiB.
 */
#include "dump.h"

#include <inttypes.h>
#include <string.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/number.h"
#include "pages.h"
#include "stream.h"

/* QEMU hw/i386/pc.c: memory that does not fit below 4 GiB follows from there on. */
#define HIGH (1ULL << 32)

/* A part of a block, and where it lies. */
struct place {
	uint64_t gpa, size;
	uint64_t first; /* its first page in the stream */
};

struct memory {
	struct vl_stream stream;
	bool flat; /* all of it is at one place, and no part's place is known */
	struct place *places;
	size_t nr;
};

/* ---- pages ---- */

/* The place that page @gpa is in, and the page's number in the stream. NULL: it is in none. */
static const struct place *find_page(const struct memory *m, uint64_t gpa, uint64_t *page_ret)
{
	size_t i = vl_bisect(k, m->nr, m->places[k].gpa <= gpa);
	const struct place *p = i ? &m->places[i - 1] : NULL;

	if (!p || gpa - p->gpa >= p->size)
		return NULL;
	*page_ret = p->first + (gpa - p->gpa) / VL_PAGE_SIZE;
	return p;
}

static struct vl_error *read_page(void *ctx, uint64_t gpa, void *buf)
{
	const struct memory *m = ctx;
	uint64_t page;
	const struct place *p = find_page(m, gpa, &page);

	if (p && !vl_stream_has_page(&m->stream, page))
		return vl_page_lacking(gpa);
	if (p && vl_stream_read_page(&m->stream, page, buf))
		return NULL;
	return vl_error_fault(
		gpa, "cannot read guest memory at physical address 0x%" PRIx64 " of the stream",
		gpa);
}

/* Most pages of a guest may be zeros. */
static uint64_t next_page(void *ctx, uint64_t gpa)
{
	const struct memory *m = ctx;
	uint64_t page, next;
	const struct place *p = find_page(m, gpa, &page);

	if (!p)
		return gpa;
	next = vl_stream_next_page(&m->stream, page);
	/* The caller asks about each range. */
	return next - p->first < p->size / VL_PAGE_SIZE ?
		       p->gpa + (next - p->first) * VL_PAGE_SIZE :
		       p->gpa + p->size;
}

static void close_memory(void *ctx)
{
	struct memory *m = ctx;

	vl_stream_deinit(&m->stream);
	free(m->places);
	free(m);
}

static uint64_t cut_off(void *ctx, uint64_t all)
{
	const struct memory *m = ctx;
	uint64_t nr = 0;

	for (size_t i = 0; i < m->nr; i++)
		nr += vl_stream_count_pages(&m->stream, m->places[i].first,
					    m->places[i].size / VL_PAGE_SIZE);
	return nr < all ? all - nr : 0;
}

static const struct vl_pages_ops stream_ops = {
	.what = "in a migration stream",
	.read = read_page,
	.next = next_page,
	.cut_off = cut_off,
	.close = close_memory,
};

/* ---- which blocks are RAM ---- */

/* Names of QEMU's blocks that are no RAM, as they begin. */
static const char *const no_ram[] = {
	"pc.bios", "pc.rom", "isa-bios", "system.flash", "vga.", "qxl.", "tpm", "bochs-display",
};

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len >= n && !strcmp(s + len - n, end);
}

static bool is_ram(const struct vl_block *b)
{
	/* A name with a '/' is that of a device's block, or of a ROM. */
	if (strncmp(b->name, "/objects/", 9) && strchr(b->name, '/'))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(no_ram); i++)
		if (!strncmp(b->name, no_ram[i], strlen(no_ram[i])))
			return false;
	return !ends_with(b->name, ".rom") && !ends_with(b->name, "vram");
}

/* The number at the end of @name, behind its first *@stem_ret characters; -1: there is none. */
static long number_of(const char *name, size_t *stem_ret)
{
	size_t len = strlen(name), stem = len;
	long n;

	while (stem && name[stem - 1] >= '0' && name[stem - 1] <= '9')
		stem--;
	*stem_ret = stem;
	return len - stem < 9 && vl_number(name + stem, 0, LONG_MAX, &n) ? n : -1;
}

/*
 * The blocks that are RAM, in the order of their numbers: QEMU has the largest first. A machine
 * with several NUMA nodes has a block for each, one behind the other, and so have its memory
 * modules.
 */
struct blocks {
	const struct vl_block **list;
	size_t nr;
};

static int by_number(const void *a, const void *b)
{
	const struct vl_block *x = *(const struct vl_block *const *)a;
	const struct vl_block *y = *(const struct vl_block *const *)b;
	size_t stem_x, stem_y;
	long nx = number_of(x->name, &stem_x), ny = number_of(y->name, &stem_y);
	int names = strncmp(x->name, y->name, stem_x > stem_y ? stem_x : stem_y);

	return names ? names : nx < ny ? -1 : nx > ny;
}

/* Do the names of @b[@from] to @b[@to] (exclusive) differ by their numbers only? */
static bool are_numbered(const struct blocks *b, size_t from, size_t to)
{
	size_t stem, other;

	if (to - from < 2)
		return true;
	number_of(b->list[from]->name, &stem);
	for (size_t i = from; i < to; i++)
		if (number_of(b->list[i]->name, &other) < 0 || other != stem ||
		    strncmp(b->list[i]->name, b->list[from]->name, stem) != 0)
			return false;
	return true;
}

static struct vl_error *cannot_place(const struct blocks *b)
{
	char names[512] = "";

	for (size_t i = 0; i < b->nr; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%.63s", b->list[i]->name);
		for (char *p = name; *p; p++)
			if (*p <= ' ' || *p > '~')
				*p = '?';
		vl_append(names, sizeof(names), "%s%s", i ? ", " : "", name);
	}
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the stream has several blocks of memory (%s) without "
					  "their addresses",
					  names),
			     "restore it, then: vlens dump GUEST FILE");
}

/*
 * Find the blocks that make up the @size bytes that a machine starts with: [*@from_ret, *@to_ret)
 * of @b.
 */
static bool find_main(const struct blocks *b, uint64_t size, size_t *from_ret, size_t *to_ret)
{
	for (size_t from = 0; from < b->nr; from++) {
		uint64_t sum = 0;

		for (size_t to = from; to < b->nr && sum < size;) {
			sum += b->list[to++]->size;
			if (sum != size || !are_numbered(b, from, to))
				continue;
			*from_ret = from;
			*to_ret = to;
			return true;
		}
	}
	return false;
}

/* ---- where they lie ---- */

/* Place @size bytes of @b, from byte @first of it on. */
static void add_place(struct memory *m, uint64_t gpa, uint64_t size, const struct vl_block *b,
		      uint64_t first)
{
	for (const struct vl_block *before = m->stream.blocks; before < b; before++)
		first += before->size;
	if (size)
		m->places[m->nr++] = (struct place){ gpa, size, first / VL_PAGE_SIZE };
}

/* QEMU hw/i386/pc.c, pc_memory_init(): memory modules lie on the next GiB. */
#define MODULES_ALIGN (1ULL << 30)

static void place_all(struct memory *m, const struct blocks *b, size_t from, size_t to)
{
	const struct vl_stream *s = &m->stream;
	uint64_t at = 0, high = HIGH + s->high;

	for (size_t i = from; i < to; i++) {
		uint64_t size = b->list[i]->size, low = at < s->low ? s->low - at : 0;

		low = low < size ? low : size;
		add_place(m, at, low, b->list[i], 0);
		add_place(m, HIGH + at + low - s->low, size - low, b->list[i], low);
		at += size;
	}
	high = (high + MODULES_ALIGN - 1) & ~(MODULES_ALIGN - 1);
	for (size_t i = 0; i < b->nr; i++) {
		if (i >= from && i < to)
			continue;
		add_place(m, high, b->list[i]->size, b->list[i], 0);
		high += b->list[i]->size;
	}
}

static int by_gpa(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

static bool are_modules(const struct blocks *b, size_t from, size_t to)
{
	struct blocks rest = { b->list + (from ? 0 : to), b->nr - (to - from) };

	return (!from || to == b->nr) && are_numbered(&rest, 0, rest.nr);
}

static struct vl_error *place(struct memory *m, struct blocks *b)
{
	struct vl_stream *s = &m->stream;
	uint64_t size = s->low + s->high;
	size_t from, to;

	for (size_t i = 0; i < s->nr_blocks; i++)
		if (is_ram(&s->blocks[i]))
			b->list[b->nr++] = &s->blocks[i];
	if (!b->nr)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the stream holds no RAM"),
				     "is it of a whole machine?");
	qsort(b->list, b->nr, sizeof(*b->list), by_number);
	/* The guest can write these sizes: believe them if they are those of the blocks. */
	if (size && s->low < HIGH && s->low % VL_PAGE_SIZE == 0 && find_main(b, size, &from, &to) &&
	    are_modules(b, from, to)) {
		place_all(m, b, from, to);
	} else if (b->nr == 1) {
		add_place(m, 0, b->list[0]->size, b->list[0], 0);
		m->flat = true;
	} else {
		return cannot_place(b);
	}
	qsort(m->places, m->nr, sizeof(*m->places), by_gpa);
	return NULL;
}

/* Below this size no hypervisor's memory has a hole. */
#define NO_HOLE (2ULL << 30)

static struct vl_error *add_ranges(struct vl_target *t, struct vl_dump *d, struct memory *m)
{
	for (size_t i = 0; i < m->nr; i++) {
		struct vl_error *err = vl_ram_add(t, &(struct vl_ram){
							     .gpa = m->places[i].gpa,
							     .size = m->places[i].size,
							     .fd = -1,
							     .page_size = VL_PAGE_SIZE,
						     });

		if (err)
			return err;
	}
	/* Drop the registers: they lead to page tables whose place is not known. */
	if (m->flat && m->places[0].size > NO_HOLE)
		return NULL;
	d->nr_vcpus = m->stream.nr_vcpus;
	d->vcpus = vl_taken(m->stream.vcpus);
	d->registers = d->nr_vcpus ? vl_taken(m->stream.registers) : NULL;
	return NULL;
}

struct vl_error *vl_dump_set_stream(struct vl_target *t, struct vl_dump *d, struct vl_index *ix)
{
	_cleanup_free_ const struct vl_block **list = NULL;
	struct memory *m = calloc(1, sizeof(*m));
	struct vl_piece piece = { .size = 0 };
	struct vl_error *err;

	if (!m)
		return vl_error_nomem();
	err = vl_stream_open(ix, d->fd, &m->stream);
	if (!err) {
		list = calloc(m->stream.nr_blocks, sizeof(*list));
		m->places = calloc(2 * m->stream.nr_blocks, sizeof(*m->places));
		err = list && m->places ? place(m, &(struct blocks){ .list = list }) :
					  vl_error_nomem();
	}
	if (!err)
		err = add_ranges(t, d, m);
	if (err) {
		close_memory(m);
		return err;
	}
	piece.size = m->flat && !d->nr_vcpus ? m->places[0].size : 0;
	err = vl_pages_set(t, &stream_ops, m, d->fd);
	if (!err)
		err = vl_ram_finish(t);
	return err || !piece.size ? err : vl_ram_unplaced(t, &piece, 1);
}

/* In the box. */
static struct vl_error *index_stream(const struct vl_index_job *job, struct vl_index *ret)
{
	struct vl_bytes bytes;
	struct vl_error *err = vl_bytes_whole(&bytes, job->fd, job->at, job->size);

	if (!err)
		err = vl_stream_index(&bytes, job->partial, ret);
	vl_bytes_deinit(&bytes);
	return err;
}

struct vl_error *vl_dump_load_stream_at(struct vl_target *t, struct vl_dump *d, uint64_t at)
{
	const struct vl_index_job job = {
		"stream3", index_stream, d->fd, at, d->size, NULL, false
	};
	struct vl_index ix;
	struct vl_error *err = vl_index_open(t, &job, &ix);

	if (err)
		return err;
	err = vl_dump_set_stream(t, d, &ix);
	vl_index_deinit(&ix);
	return err;
}

struct vl_error *vl_dump_load_stream(struct vl_target *t, struct vl_dump *d)
{
	return vl_dump_load_stream_at(t, d, 0);
}
