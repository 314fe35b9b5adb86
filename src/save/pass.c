/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pass.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/bisect.h"
#include "../base/hash.h"

/* Bytes that are read at once; they fit into a CPU's cache. */
#define CHUNK_PAGES 256UL
#define CHUNK (CHUNK_PAGES * VL_PAGE_SIZE)

void *vl_pass_reserve(size_t size)
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
	p->sums = vl_pass_reserve(p->sums_size);
	p->marks = vl_pass_reserve(p->marks_size);
	p->filled = vl_pass_reserve(p->filled_size);
	/* One page more, for the note that crosses a page. */
	p->chunk = vl_pass_reserve(CHUNK);
	p->data = vl_pass_reserve(p->marks_size);
	p->looked = vl_pass_reserve(p->marks_size);
	return p->sums && p->marks && p->filled && p->chunk && p->data && p->looked ?
		       NULL :
		       vl_error_nomem();
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
	release(p->data, p->marks_size);
	release(p->looked, p->marks_size);
	release(p->held.copy, p->held.cap * VL_PAGE_SIZE);
	free(p->held.pages);
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

uint64_t vl_pass_sum(const unsigned char *page)
{
	return is_zero(page) ? 0 : vl_sum(page, VL_PAGE_SIZE) | 1;
}

bool vl_pass_note(struct vl_passes *p, uint64_t n, uint64_t sum)
{
	const bool changed = p->sums[n] != sum;

	if (!p->sums[n] != !sum)
		p->filled[n / CHUNK_PAGES] += sum ? 1U : -1U;
	/* To write a zero would give the page memory. */
	if (changed)
		p->sums[n] = sum;
	return changed;
}

void vl_passes_unmark(struct vl_passes *p)
{
	memset(p->marks, 0, p->marks_size);
	p->nr_marked = 0;
}

/* Note what page @n has now; true: the file must have it. */
static bool note(struct pass *s, uint64_t n, const unsigned char *page)
{
	struct vl_passes *p = s->p;
	const uint64_t sum = vl_pass_sum(page);
	const bool changed = vl_pass_note(p, n, sum);

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

	while (s->held < h->nr && h->pages[s->held].n < n)
		s->held++;
	if (s->held == h->nr || h->pages[s->held].n != n)
		return false;
	memcpy(page, h->copy + h->pages[s->held].slot * VL_PAGE_SIZE, VL_PAGE_SIZE);
	return true;
}

/* Does the file have the content that page @n had in the pause? A stream is still to be written. */
static bool is_final(const struct vl_passes *p, uint64_t n)
{
	return !p->out->is_stream && p->looked[n / 64] >> n % 64 & 1;
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

		p->data[n / 64] |= 1ULL << n % 64;
		if (is_final(p, n) || take_held(s, n, page))
			wanted[i] = false;
		else
			wanted[i] = note(s, n, page);
		full[i] = p->sums[n];
		if (full[i])
			vl_head_find_note(p->head, page, i + 1 < nr ? page + VL_PAGE_SIZE : NULL);
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
		if (p->sums[n] && !is_final(p, n) && note(s, n, zeros) && s->what & VL_PASS_WRITE &&
		    !p->out->is_stream)
			err = vl_output_put(p->out, s->at + off, zeros, VL_PAGE_SIZE);
		n++;
	}
	return err;
}

struct vl_error *vl_passes_go_on(const struct vl_passes *p)
{
	const struct vl_save_options *o = p->options;

	if (o->stop && o->stop(o->ctx))
		return vl_error_new(VL_ERR_ARG, "interrupted");
	if (vl_target_pause_depth(p->memory.t) && !vl_target_is_paused(p->memory.t))
		return vl_error_new(VL_ERR_BLOCKED, "the pause is over");
	return NULL;
}

static struct vl_error *take_run(struct pass *s, const struct vl_run *run)
{
	struct vl_passes *p = s->p;
	uint64_t lost = 0;

	for (uint64_t off = run->from; off < run->to;) {
		size_t len = run->to - off < CHUNK ? (size_t)(run->to - off) : CHUNK;
		struct vl_error *err = vl_passes_go_on(p);

		if (!err)
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

void vl_passes_count(struct vl_passes *p)
{
	p->result->used = 0;
	for (uint64_t i = 0; i <= p->nr_pages / CHUNK_PAGES; i++)
		p->result->used += p->filled[i];
}

struct vl_error *vl_pass(struct vl_passes *p, unsigned int what)
{
	struct pass s = { .p = p, .what = what, .at = p->head->size };
	struct vl_error *err = NULL;

	p->result->unreadable = 0;
	p->result->changed = 0;
	vl_memory_forget(&p->memory);
	for (; !err && s.range < p->memory.nr_ram; s.range++) {
		const struct vl_ram *r = &p->memory.ram[s.range];

		err = take_range(&s);
		s.first += r->size / VL_PAGE_SIZE;
		s.at += r->size;
	}
	vl_passes_count(p);
	return err;
}

struct vl_error *vl_passes_data(struct vl_passes *p, uint64_t *ret)
{
	struct vl_memory *m = &p->memory;
	struct vl_error *err = NULL;
	struct vl_run run;

	*ret = 0;
	vl_memory_forget(m);
	for (size_t i = 0; i < m->nr_ram; i++)
		for (uint64_t off = 0; !err && off < m->ram[i].size; off = run.to) {
			err = vl_memory_next(m, i, off, &run);
			*ret += err ? 0 : run.to - run.from;
		}
	return err;
}
