/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pass.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/bisect.h"
#include "../base/hash.h"

/* Read at once: fits into a CPU's cache. */
#define CHUNK_PAGES 256UL
#define CHUNK (CHUNK_PAGES * VL_PAGE_SIZE)

/* Pages that are copied in a pause: 10 ms are enough for 40 MiB on a quick host. */
#define HELD_MAX 16384UL
/* Pages that are copied between two looks at the clock. */
#define BATCH 64UL

/* Memory that is zeros, and takes none until it is touched. */
static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct vl_error *vl_passes_init(struct vl_passes *p, struct vl_target *t)
{
	struct vl_error *err = vl_memory_open(t, &p->memory);

	for (size_t i = 0; i < p->memory.nr_ram; i++)
		p->nr_pages += p->memory.ram[i].size / VL_PAGE_SIZE;
	if (err)
		return err;
	p->sums_size = p->nr_pages * sizeof(*p->sums) + 1;
	p->marks_size = p->nr_pages / 8 + sizeof(*p->marks);
	p->filled_size = (p->nr_pages / CHUNK_PAGES + 1) * sizeof(*p->filled);
	p->sums = reserve(p->sums_size);
	p->marks = reserve(p->marks_size);
	p->filled = reserve(p->filled_size);
	/* One page more, for the note that crosses a page. */
	p->chunk = reserve(CHUNK);
	return p->sums && p->marks && p->filled && p->chunk ? NULL : vl_error_nomem();
}

static void release(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

void vl_passes_deinit(struct vl_passes *p)
{
	release(p->sums, p->sums_size);
	release(p->marks, p->marks_size);
	release(p->filled, p->filled_size);
	release(p->chunk, CHUNK);
	release(p->held.copy, p->held.cap * VL_PAGE_SIZE);
	free(p->held.index);
	vl_memory_close(&p->memory);
}

/* Where a pass is. */
struct pass {
	struct vl_passes *p;
	unsigned int what;
	size_t range;
	uint64_t first; /* number of the range's first page */
	uint64_t at;	/* in the file: of the range's first byte */
	size_t held;	/* the next of the held pages */
};

static bool is_zero(const unsigned char *page)
{
	const uint64_t *w = (const uint64_t *)page;
	uint64_t any = 0;

	/* By lines: most pages differ from zeros in the first ones. */
	for (size_t i = 0; i < VL_PAGE_SIZE / sizeof(*w); i += 8) {
		any = w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] |
		      w[i + 7];
		if (any)
			return false;
	}
	return true;
}

static void mark(struct vl_passes *p, uint64_t page)
{
	uint64_t bit = 1ULL << page % 64;

	p->nr_marked += !(p->marks[page / 64] & bit);
	p->marks[page / 64] |= bit;
}

/* Note what page @n has now; true: the file must have it. */
static bool note(struct pass *s, uint64_t n, const unsigned char *page)
{
	struct vl_passes *p = s->p;
	const uint64_t sum = is_zero(page) ? 0 : vl_sum(page, VL_PAGE_SIZE) | 1;
	const bool changed = p->sums[n] != sum;

	if (!p->sums[n] != !sum)
		p->filled[n / CHUNK_PAGES] += sum ? 1U : -1U;
	/* To write a zero would give the page memory. */
	if (changed)
		p->sums[n] = sum;
	if (!(s->what & VL_PASS_COMPARE))
		return sum;
	p->result->changed += changed;
	if (changed && s->what & VL_PASS_MARK)
		mark(p, n);
	return changed;
}

/* If page @n was copied in the pause, have that copy in @page. */
static bool take_held(struct pass *s, uint64_t n, unsigned char *page)
{
	const struct vl_held_pages *h = &s->p->held;

	while (s->held < h->nr && h->index[s->held] < n)
		s->held++;
	if (s->held == h->nr || h->index[s->held] != n)
		return false;
	memcpy(page, h->copy + s->held * VL_PAGE_SIZE, VL_PAGE_SIZE);
	return true;
}

/* Write the pages of @wanted, bits by the number of the page in the chunk. */
static struct vl_error *put_pages(struct pass *s, uint64_t off, const bool *wanted, size_t nr)
{
	struct vl_passes *p = s->p;
	struct vl_error *err = NULL;

	for (size_t i = 0, from; !err && i < nr; i++) {
		for (from = i; i < nr && wanted[i];)
			i++;
		if (i > from)
			err = vl_output_put(p->out, s->at + off + from * VL_PAGE_SIZE,
					    p->chunk + from * VL_PAGE_SIZE,
					    (i - from) * VL_PAGE_SIZE);
	}
	return err;
}

static struct vl_error *add_pages(struct pass *s, const bool *full, size_t nr)
{
	struct vl_passes *p = s->p;
	struct vl_error *err = NULL;

	for (size_t i = 0, from; !err && i < nr;) {
		for (from = i; i < nr && full[i] == full[from];)
			i++;
		err = full[from] ? vl_output_add(p->out, p->chunk + from * VL_PAGE_SIZE,
						 (i - from) * VL_PAGE_SIZE) :
				   vl_output_skip(p->out, (i - from) * VL_PAGE_SIZE);
	}
	return err;
}

/* The chunk has the @len bytes at @off of the range. */
static struct vl_error *take_chunk(struct pass *s, uint64_t off, size_t len)
{
	bool wanted[CHUNK_PAGES], full[CHUNK_PAGES];
	struct vl_passes *p = s->p;
	size_t nr = len / VL_PAGE_SIZE;

	for (size_t i = 0; i < nr; i++) {
		unsigned char *page = p->chunk + i * VL_PAGE_SIZE;
		uint64_t n = s->first + off / VL_PAGE_SIZE + i;

		if (take_held(s, n, page))
			wanted[i] = false;
		else
			wanted[i] = note(s, n, page);
		full[i] = p->sums[n];
		if (full[i])
			vl_head_look(p->head, page, i + 1 < nr ? page + VL_PAGE_SIZE : NULL);
	}
	if (!(s->what & VL_PASS_WRITE))
		return NULL;
	return p->out->is_stream ? add_pages(s, full, nr) : put_pages(s, off, wanted, nr);
}

/* Pages of a hole are zeros: those that were not have changed. */
static struct vl_error *take_hole(struct pass *s, uint64_t from, uint64_t to)
{
	static const unsigned char zeros[VL_PAGE_SIZE] __attribute__((aligned(64)));
	struct vl_passes *p = s->p;
	struct vl_error *err = NULL;
	uint64_t n = s->first + from / VL_PAGE_SIZE, end = s->first + to / VL_PAGE_SIZE;

	if (s->what & VL_PASS_WRITE && p->out->is_stream)
		err = vl_output_skip(p->out, to - from);
	while (!err && n < end) {
		const uint64_t off = (n - s->first) * VL_PAGE_SIZE;

		if (!p->filled[n / CHUNK_PAGES]) {
			n = (n / CHUNK_PAGES + 1) * CHUNK_PAGES;
			continue;
		}
		if (p->sums[n] && note(s, n, zeros) && s->what & VL_PASS_WRITE &&
		    !p->out->is_stream)
			err = vl_output_put(p->out, s->at + off, zeros, VL_PAGE_SIZE);
		n++;
	}
	return err;
}

static struct vl_error *take_run(struct pass *s, const struct vl_run *run)
{
	struct vl_passes *p = s->p;
	const struct vl_save_options *o = p->options;
	uint64_t lost = 0;

	for (uint64_t off = run->from; off < run->to;) {
		size_t len = run->to - off < CHUNK ? (size_t)(run->to - off) : CHUNK;
		struct vl_error *err;

		if (o->stop && o->stop(o->ctx))
			return vl_error_new(VL_ERR_ARG, "interrupted");
		err = vl_memory_read(&p->memory, s->range, off, p->chunk, len, &lost);
		if (!err)
			err = take_chunk(s, off, len);
		if (err)
			return err;
		off += len;
	}
	p->result->unreadable += lost;
	return NULL;
}

static struct vl_error *take_range(struct pass *s)
{
	struct vl_memory *m = &s->p->memory;
	const uint64_t size = m->ram[s->range].size;
	struct vl_error *err = NULL;
	struct vl_run run;

	for (uint64_t off = 0; !err && off < size; off = run.to) {
		err = vl_memory_next(m, s->range, off, &run);
		if (!err && run.from > off)
			err = take_hole(s, off, run.from);
		if (!err)
			err = take_run(s, &run);
	}
	return err;
}

static uint64_t count_used(const struct vl_passes *p)
{
	uint64_t used = 0;

	for (uint64_t i = 0; i <= p->nr_pages / CHUNK_PAGES; i++)
		used += p->filled[i];
	return used;
}

struct vl_error *vl_pass(struct vl_passes *p, unsigned int what)
{
	struct pass s = { .p = p, .what = what, .at = p->head->size };
	struct vl_error *err = NULL;

	p->result->unreadable = 0;
	p->result->changed = 0;
	for (; !err && s.range < p->memory.nr_ram; s.range++) {
		const struct vl_ram *r = &p->memory.ram[s.range];

		err = take_range(&s);
		s.first += r->size / VL_PAGE_SIZE;
		s.at += r->size;
	}
	p->result->used = count_used(p);
	return err;
}

struct vl_error *vl_passes_data(struct vl_passes *p, uint64_t *ret)
{
	struct vl_memory *m = &p->memory;
	struct vl_error *err = NULL;
	struct vl_run run;

	*ret = 0;
	for (size_t i = 0; i < m->nr_ram; i++)
		for (uint64_t off = 0; !err && off < m->ram[i].size; off = run.to) {
			err = vl_memory_next(m, i, off, &run);
			*ret += err ? 0 : run.to - run.from;
		}
	return err;
}

/* ---- the pause ---- */

/* The address of page @n in the guest. *@range is a place to begin to look. */
static uint64_t address_of(const struct vl_memory *m, uint64_t n)
{
	uint64_t off = n * VL_PAGE_SIZE;
	size_t i = 0;

	while (off >= m->ram[i].size)
		off -= m->ram[i++].size;
	return m->ram[i].gpa + off;
}

static struct vl_error *copy_batch(struct vl_passes *p, size_t from, size_t nr)
{
	struct vl_held_pages *h = &p->held;
	uint64_t gpas[BATCH];
	void *to[BATCH];

	for (size_t i = 0; i < nr; i++) {
		gpas[i] = address_of(&p->memory, h->index[from + i]);
		to[i] = h->copy + (from + i) * VL_PAGE_SIZE;
	}
	return vl_target_read_pages(p->memory.t, gpas, to, nr);
}

struct vl_error *vl_held_prepare(struct vl_passes *p)
{
	struct vl_held_pages *h = &p->held;

	h->cap = p->nr_marked < HELD_MAX ? p->nr_marked : HELD_MAX;
	h->index = calloc(h->cap + 1, sizeof(*h->index));
	h->cap += !h->cap;
	h->copy = reserve(h->cap * VL_PAGE_SIZE);
	if (!h->index || !h->copy)
		return vl_error_nomem();
	for (uint64_t w = 0; w <= p->nr_pages / 64; w++)
		for (uint64_t bits = p->marks[w]; bits && h->nr < h->cap; bits &= bits - 1)
			h->index[h->nr++] = w * 64 + (unsigned int)__builtin_ctzll(bits);
	return vl_held_copy(p, UINT64_MAX);
}

struct vl_error *vl_held_copy(struct vl_passes *p, uint64_t deadline)
{
	struct vl_held_pages *h = &p->held;
	struct vl_error *err = NULL;
	size_t done = 0;

	while (!err && done < h->nr && vl_now_ns() < deadline) {
		size_t n = h->nr - done < BATCH ? h->nr - done : BATCH;

		err = copy_batch(p, done, n);
		done += err ? 0 : n;
	}
	h->nr = done;
	/* A page that cannot be read is left to the passes, which look at each alone. */
	return err && err->code == VL_ERR_FAULT ? (vl_error_destroy(err), NULL) : err;
}

struct vl_error *vl_held_write(struct vl_passes *p)
{
	const struct vl_held_pages *h = &p->held;
	struct vl_error *err = NULL;
	size_t range = 0;
	uint64_t first = 0, at = p->head->size;

	p->result->held = h->nr;
	for (size_t i = 0; !err && i < h->nr; i++) {
		const unsigned char *page = h->copy + i * VL_PAGE_SIZE;
		const struct vl_ram *r = &p->memory.ram[range];
		const uint64_t n = h->index[i];
		struct pass s = { .p = p };

		for (; n - first >= r->size / VL_PAGE_SIZE; r = &p->memory.ram[++range]) {
			first += r->size / VL_PAGE_SIZE;
			at += r->size;
		}
		note(&s, n, page);
		if (!p->out->is_stream)
			err = vl_output_put(p->out, at + (n - first) * VL_PAGE_SIZE, page,
					    VL_PAGE_SIZE);
	}
	return err;
}
