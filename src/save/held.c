/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "held.h"

#include <string.h>

/*
 * So many marked pages are copied between two reads of the clock; of other pages, those of one word
 * of bits.
 */
#define BATCH 16UL

/* Where page @n lies. */
struct place {
	size_t range;
	uint64_t off;  /* in the range, in bytes */
	uint64_t left; /* pages from there to the end of the range */
};

static struct place place_of(const struct vl_memory *m, uint64_t n)
{
	struct place p = { .off = n * VL_PAGE_SIZE };

	while (p.off >= m->ram[p.range].size)
		p.off -= m->ram[p.range++].size;
	p.left = (m->ram[p.range].size - p.off) / VL_PAGE_SIZE;
	return p;
}

static bool has(const uint64_t *bits, uint64_t n)
{
	return bits[n / 64] >> n % 64 & 1;
}

static void set(uint64_t *bits, uint64_t n)
{
	bits[n / 64] |= 1ULL << n % 64;
}

static struct vl_error *copy_batch(struct vl_passes *p, size_t from, size_t nr)
{
	const struct vl_held_pages *h = &p->held;
	uint64_t gpas[BATCH];
	void *to[BATCH];

	for (size_t i = 0; i < nr; i++) {
		const struct place at = place_of(&p->memory, h->pages[from + i].n);

		gpas[i] = p->memory.ram[at.range].gpa + at.off;
		to[i] = h->copy + (from + i) * VL_PAGE_SIZE;
	}
	return vl_target_read_pages(p->memory.t, gpas, to, nr);
}

static struct vl_error *copy_marked(struct vl_passes *p, uint64_t deadline)
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
	for (size_t i = 0; i < done; i++)
		set(p->looked, h->pages[i].n);
	/* A page that cannot be read is left to the passes, which look at each alone. */
	return err && err->code == VL_ERR_FAULT ? (vl_error_destroy(err), NULL) : err;
}

/* Look at @nr pages from @n on, which lie in one range, and copy those that have changed. */
static struct vl_error *look_at(struct vl_passes *p, uint64_t n, const struct place *at, size_t nr)
{
	struct vl_held_pages *h = &p->held;
	uint64_t lost = 0;
	struct vl_error *err =
		vl_memory_read(&p->memory, at->range, at->off, p->chunk, nr * VL_PAGE_SIZE, &lost);

	for (size_t i = 0; !err && i < nr; i++, n++) {
		const unsigned char *page = p->chunk + i * VL_PAGE_SIZE;

		if (has(p->looked, n))
			continue;
		if (vl_pass_sum(page) != p->sums[n]) {
			if (h->nr == h->cap)
				return NULL;
			memcpy(h->copy + h->nr * VL_PAGE_SIZE, page, VL_PAGE_SIZE);
			h->pages[h->nr] = (struct vl_held_page){ n, h->nr };
			h->nr++;
		}
		set(p->looked, n);
	}
	return err;
}

/* Look at the pages of word @w of the bitmaps that are set in @bits. */
static struct vl_error *look_at_word(struct vl_passes *p, uint64_t w, uint64_t bits)
{
	struct vl_error *err = NULL;

	while (!err && bits) {
		const unsigned int first = (unsigned int)__builtin_ctzll(bits);
		const uint64_t others = ~(bits >> first);
		const uint64_t n = w * 64 + first;
		const struct place at = place_of(&p->memory, n);
		/* The shift brought zeros in, so only a full word has no other bit. */
		uint64_t nr = others ? (uint64_t)__builtin_ctzll(others) : 64;

		nr = nr < at.left ? nr : at.left;
		err = look_at(p, n, &at, (size_t)nr);
		bits &= nr + first < 64 ? ~0ULL << (nr + first) : 0;
	}
	return err;
}

/* No time is left, or no room. */
static bool is_over(const struct vl_passes *p, uint64_t deadline)
{
	return p->held.nr == p->held.cap || vl_now_ns() >= deadline;
}

/*
 * Look at the memory that the passes have read: with @hot where pages are marked, else elsewhere.
 */
static struct vl_error *look_again(struct vl_passes *p, bool hot, uint64_t deadline, bool *all)
{
	struct vl_error *err = NULL;

	for (uint64_t w = 0; !err && *all && w <= p->nr_pages / 64; w++) {
		const uint64_t bits = p->data[w] & ~p->looked[w];

		if (!bits || hot != (p->marks[w] != 0))
			continue;
		*all = !is_over(p, deadline);
		if (*all)
			err = look_at_word(p, w, bits);
	}
	return err;
}

/* Look at the pages of @run, whose first one is page @n, that lay in no run before. */
static struct vl_error *look_at_run(struct vl_passes *p, uint64_t n, uint64_t nr, uint64_t deadline,
				    bool *all)
{
	const uint64_t end = n + nr;
	struct vl_error *err = NULL;

	for (uint64_t next; !err && *all && n < end; n = next) {
		const uint64_t w = n / 64;
		uint64_t bits = ~p->data[w] & ~p->looked[w] & ~0ULL << n % 64;

		next = (w + 1) * 64;
		if (next > end) {
			bits &= ~(~0ULL << end % 64);
			next = end;
		}
		if (!bits)
			continue;
		*all = !is_over(p, deadline);
		if (*all)
			err = look_at_word(p, w, bits);
	}
	return err;
}

/* Look at memory that the guest has first touched since the last pass. */
static struct vl_error *look_for_more(struct vl_passes *p, uint64_t deadline, bool *all)
{
	struct vl_memory *m = &p->memory;
	struct vl_error *err = NULL;
	struct vl_run run;
	uint64_t first = 0;

	/* One step of the search may take long, and cannot be ended. */
	*all = *all && deadline > 2 * p->held.walk_ns &&
	       vl_now_ns() < deadline - 2 * p->held.walk_ns;
	vl_memory_forget(m);
	for (size_t i = 0; i < m->nr_ram; first += m->ram[i++].size / VL_PAGE_SIZE)
		for (uint64_t off = 0; !err && *all && off < m->ram[i].size; off = run.to) {
			err = vl_memory_next(m, i, off, &run);
			if (!err)
				err = look_at_run(p, first + run.from / VL_PAGE_SIZE,
						  (run.to - run.from) / VL_PAGE_SIZE, deadline,
						  all);
		}
	return err;
}

struct vl_error *vl_held_prepare(struct vl_passes *p)
{
	struct vl_held_pages *h = &p->held;
	uint64_t begun, bytes;
	struct vl_error *err;

	h->cap = p->nr_pages < VL_HELD_MAX ? p->nr_pages : VL_HELD_MAX;
	h->pages = calloc(h->cap + 1, sizeof(*h->pages));
	h->copy = vl_pass_reserve(h->cap * VL_PAGE_SIZE);
	if (!h->pages || !h->copy)
		return vl_error_nomem();
	for (uint64_t w = 0; w <= p->nr_pages / 64; w++)
		for (uint64_t bits = p->marks[w]; bits && h->nr < h->cap; bits &= bits - 1) {
			h->pages[h->nr].n = w * 64 + (unsigned int)__builtin_ctzll(bits);
			h->pages[h->nr].slot = h->nr;
			h->nr++;
		}
	begun = vl_now_ns();
	err = vl_passes_data(p, &bytes);
	h->walk_ns = vl_now_ns() - begun;
	return err ? err : copy_marked(p, UINT64_MAX);
}

void vl_held_begin(struct vl_passes *p, size_t nr)
{
	p->held.nr = nr;
	p->held.all = false;
	memset(p->looked, 0, p->marks_size);
}

struct vl_error *vl_held_copy(struct vl_passes *p, uint64_t deadline)
{
	const size_t wanted = p->held.nr;
	struct vl_error *err = copy_marked(p, deadline);
	/* Marked pages that are left are read first. */
	bool all = p->held.nr == wanted || vl_now_ns() < deadline;

	if (!err)
		err = look_again(p, true, deadline, &all);
	if (!err)
		err = look_again(p, false, deadline, &all);
	if (!err)
		err = look_for_more(p, deadline, &all);
	p->held.all = !err && all && !is_over(p, UINT64_MAX);
	return err;
}

static int by_number(const void *a, const void *b)
{
	const struct vl_held_page *x = a, *y = b;

	return x->n < y->n ? -1 : x->n > y->n;
}

struct vl_error *vl_held_write(struct vl_passes *p)
{
	const struct vl_held_pages *h = &p->held;
	struct vl_error *err = NULL;

	qsort(h->pages, h->nr, sizeof(*h->pages), by_number);
	p->result->held = h->nr;
	for (size_t i = 0; !err && i < h->nr; i++) {
		const unsigned char *page = h->copy + h->pages[i].slot * VL_PAGE_SIZE;
		const uint64_t n = h->pages[i].n;

		vl_pass_note(p, n, vl_pass_sum(page));
		if (!p->out->is_stream)
			err = vl_output_put(p->out, p->head->size + n * VL_PAGE_SIZE, page,
					    VL_PAGE_SIZE);
	}
	vl_passes_count(p);
	return err;
}
