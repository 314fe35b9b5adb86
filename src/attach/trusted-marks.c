/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Marks: what each page of the text had when the whole text was compared. If a run finds the same
 * bytes, it need not judge some hundred thousand sites again. A mark is a hash with a secret key,
 * so the guest cannot make other bytes with the same mark.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../trust/index.h"
#include "trusted.h"

#define WORDS (VL_PAGE_SIZE / sizeof(uint64_t))

struct vl_trusted_marks {
	uint64_t maker; /* vl_trust_maker(): the same judgement */
	uint64_t image; /* vl_trusted_kept.image */
	uint64_t va;	/* of the text */
	uint64_t nr;
	uint64_t key[WORDS];
	struct mark {
		uint64_t low, high; /* the hash */
		uint64_t right;	    /* not 0: all of the page is legal, by the text alone */
	} pages[];
};

static size_t size_of(uint64_t nr)
{
	return sizeof(struct vl_trusted_marks) + nr * sizeof(struct mark);
}

/*
 * NH: two pages that differ have the same hash for one key of 2^64 (T. Krovetz, W. Dai, "VHASH
 * Security", 2007).
 */
static struct mark hash(const struct vl_trusted_marks *m, const void *page)
{
	unsigned __int128 sum = 0;
	const unsigned char *p = page;
	uint64_t a, b;

	for (size_t i = 0; i < WORDS; i += 2, p += 16) {
		memcpy(&a, p, sizeof(a));
		memcpy(&b, p + 8, sizeof(b));
		sum += (unsigned __int128)(a + m->key[i]) * (b + m->key[i + 1]);
	}
	return (struct mark){ .low = (uint64_t)sum, .high = (uint64_t)(sum >> 64) };
}

static bool are_of(const struct vl_trusted_marks *m, const struct vl_trusted_marks *now)
{
	return m->maker == now->maker && m->image == now->image && m->va == now->va &&
	       m->nr == now->nr;
}

void vl_trusted_marks_take(struct vl_trusted *t, const struct vl_trusted_kept *kept)
{
	struct vl_trusted_marks now = { .maker = vl_trust_maker(), .image = kept->image };
	size_t len;

	if (!kept->image)
		return;
	now.va = vl_trust_text(t->trust, &len);
	now.nr = len / VL_PAGE_SIZE;
	t->marks = calloc(1, size_of(now.nr));
	if (!t->marks)
		return;
	if (kept->len == size_of(now.nr)) {
		memcpy(t->marks, kept->bytes, kept->len);
		t->marked = are_of(t->marks, &now);
	}
	if (t->marked)
		return;
	memcpy(t->marks, &now, sizeof(now));
	/* No system's limit for one call is below 256 bytes. */
	for (size_t at = 0; at < sizeof(now.key); at += 256)
		if (getrandom((char *)t->marks->key + at, 256, 0) != 256) {
			free(t->marks);
			t->marks = NULL;
			return;
		}
}

enum vl_trusted_mark vl_trusted_marked(const struct vl_trusted *t, uint64_t at, const void *page)
{
	const struct mark *kept;
	struct mark now;

	if (!t->marked || at / VL_PAGE_SIZE >= t->marks->nr)
		return VL_MARK_NONE;
	kept = &t->marks->pages[at / VL_PAGE_SIZE];
	now = hash(t->marks, page);
	if (now.low != kept->low || now.high != kept->high)
		return VL_MARK_CHANGED;
	return kept->right ? VL_MARK_RIGHT : VL_MARK_SAME;
}

void vl_trusted_mark(struct vl_trusted *t, uint64_t at, const void *page, bool right)
{
	if (!t->marks || at / VL_PAGE_SIZE >= t->marks->nr)
		return;
	t->marks->pages[at / VL_PAGE_SIZE] = hash(t->marks, page);
	t->marks->pages[at / VL_PAGE_SIZE].right = right;
}

size_t vl_trusted_marks_write(const struct vl_trusted *t, void *buf, size_t size)
{
	size_t len = t->marks ? size_of(t->marks->nr) : 0;

	if (!t->marked || !t->marks_new || len > size)
		return 0;
	memcpy(buf, t->marks, len);
	return len;
}
