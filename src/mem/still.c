/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "still.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/array.h"

/* Pages read in one go. */
#define BATCH 64

/* The kernel's text and constants are smaller; a longer region gets no checksums. */
#define MAX_SIZE (256u << 20)

void vl_still_set(struct vl_still *s, const struct vl_snapshot_still *still)
{
	vl_still_deinit(s);
	memcpy(s->at, still, sizeof(s->at));
	for (size_t i = 0; i < VL_MAX_STILL; i++)
		if (s->at[i].size && s->at[i].size <= MAX_SIZE)
			s->sums[i] = calloc(s->at[i].size / VL_PAGE_SIZE, sizeof(*s->sums[i]));
}

void vl_still_deinit(struct vl_still *s)
{
	for (size_t i = 0; i < VL_MAX_STILL; i++)
		free((void *)s->sums[i]);
	free(s->code);
	memset(s, 0, sizeof(*s));
}

/* The region that @gpa is in; VL_MAX_STILL: none. */
static size_t region_of(const struct vl_still *s, uint64_t gpa)
{
	size_t i = 0;

	while (i < VL_MAX_STILL && (gpa < s->at[i].gpa || gpa - s->at[i].gpa >= s->at[i].size))
		i++;
	return i;
}

bool vl_still_has(const struct vl_still *s, uint64_t gpa)
{
	return region_of(s, gpa) < VL_MAX_STILL;
}

static uint64_t add(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15;
	return sum ^ sum >> 32;
}

/* Independent sums: the steps of a single one would wait for each other. */
#define LANES 8

uint64_t vl_page_sum(const void *page)
{
	uint64_t lane[LANES], sum = 0xcbf29ce484222325;
	const uint64_t *word = page;

	for (size_t k = 0; k < LANES; k++)
		lane[k] = sum + k;
	for (size_t i = 0; i < VL_PAGE_SIZE / sizeof(*word); i += LANES)
		for (size_t k = 0; k < LANES; k++)
			lane[k] = add(lane[k], word[i + k]);
	for (size_t k = 0; k < LANES; k++)
		sum = add(sum, lane[k]);
	return sum ? sum : 1;
}

void vl_still_note(struct vl_still *s, uint64_t gpa, const void *page)
{
	size_t i = region_of(s, gpa);
	uint64_t none = 0;

	if (i < VL_MAX_STILL && s->sums[i])
		atomic_compare_exchange_strong(&s->sums[i][(gpa - s->at[i].gpa) / VL_PAGE_SIZE],
					       &none, vl_page_sum(page));
}

uint64_t vl_still_noted(const struct vl_still *s, uint64_t gpa)
{
	size_t i = region_of(s, gpa);

	return i < VL_MAX_STILL && s->sums[i] ?
		       atomic_load(&s->sums[i][(gpa - s->at[i].gpa) / VL_PAGE_SIZE]) :
		       0;
}

void vl_still_filter(struct vl_still *s, uint64_t gpa, unsigned char *pages, size_t nr)
{
	for (size_t i = 0; s->filter && i < nr; i++, gpa += VL_PAGE_SIZE, pages += VL_PAGE_SIZE) {
		if (!vl_still_has(s, gpa))
			continue;
		vl_still_note(s, gpa, pages);
		s->filter(s->filter_ctx, gpa, pages);
	}
}

bool vl_still_note_code(struct vl_still *s, uint64_t gpa, const void *page)
{
	if (!vl_grow(s->code, s->cap_code, s->nr_code, 64))
		return false;
	s->code[s->nr_code++] = (struct vl_still_code){ gpa, vl_page_sum(page) };
	return true;
}

struct batch {
	uint64_t gpas[BATCH], sums[BATCH];
	void *bufs[BATCH];
	size_t nr;
	unsigned char pages[BATCH][VL_PAGE_SIZE];
};

static bool differs(struct batch *b, struct vl_target *t)
{
	bool changed = false;

	if (b->nr && !vl_discard(vl_target_read_pages(t, b->gpas, b->bufs, b->nr)))
		for (size_t i = 0; i < b->nr; i++)
			changed |= vl_page_sum(b->pages[i]) != b->sums[i];
	b->nr = 0;
	return changed;
}

/*
 * Add page @gpa, which had @sum, to the batch. A full batch is compared: true if one of its pages
 * has changed.
 */
static bool look(struct batch *b, struct vl_target *t, uint64_t gpa, uint64_t sum)
{
	const void *page = vl_target_page(t, gpa);

	if (page)
		return vl_page_sum(page) != sum;
	b->gpas[b->nr] = gpa;
	b->sums[b->nr++] = sum;
	return b->nr == BATCH && differs(b, t);
}

bool vl_still_changed(const struct vl_still *s, struct vl_target *t, bool all)
{
	_cleanup_free_ struct batch *b = NULL;
	bool changed = false;

	if (!all && !s->nr_code)
		return false;
	b = aligned_alloc(64, (sizeof(*b) + 63) / 64 * 64);
	if (!b)
		return false;
	b->nr = 0;
	for (size_t i = 0; i < BATCH; i++)
		b->bufs[i] = b->pages[i];
	for (size_t i = 0; !changed && i < s->nr_code; i++)
		changed = look(b, t, s->code[i].gpa, s->code[i].sum);
	for (size_t i = 0; all && i < VL_MAX_STILL; i++)
		for (uint64_t at = 0; s->sums[i] && !changed && at < s->at[i].size;
		     at += VL_PAGE_SIZE) {
			uint64_t sum = atomic_load(&s->sums[i][at / VL_PAGE_SIZE]);

			if (sum)
				changed = look(b, t, s->at[i].gpa + at, sum);
		}
	return changed || differs(b, t);
}
