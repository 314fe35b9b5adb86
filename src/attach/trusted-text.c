/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares the whole text of a guest with the trusted one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "trusted.h"

/* The code of the functions that read a clocksource, in its trusted form. */
struct clocks {
	struct vl_function code[VL_MAX_CLOCKS];
	size_t nr;
	unsigned char *bytes[VL_MAX_CLOCKS]; /* in one buffer, the first of them */
};

static void clocks_free(struct clocks **c)
{
	if (*c)
		free(*(*c)->bytes);
	free(*c);
	*c = NULL;
}

static struct clocks *find_clocks(const struct vl_attach *a, const struct vl_trusted *t)
{
	struct clocks *c = calloc(1, sizeof(*c));
	size_t len = 0;

	if (!c)
		return NULL;
	c->nr = vl_trust_clocks(t->trust, a->kernel, c->code);
	for (size_t i = 0; i < c->nr; i++)
		len += c->code[i].len;
	*c->bytes = malloc(len + 1);
	for (size_t i = 1; i < c->nr && *c->bytes; i++)
		c->bytes[i] = c->bytes[i - 1] + c->code[i - 1].len;
	if (!*c->bytes)
		clocks_free(&c);
	return c;
}

static void ignore(void *ctx, const struct vl_trust_finding *f)
{
	(void)ctx, (void)f;
}

/*
 * Keep the trusted form of what @text, the @len bytes that the guest has at @va, has of the
 * functions.
 */
static void keep_clocks(struct vl_trusted *t, struct clocks *c, uint64_t va,
			const unsigned char *text, size_t len)
{
	const struct vl_trust_memory memory = { vl_trusted_read, t };

	for (size_t i = 0; i < c->nr; i++) {
		uint64_t start = c->code[i].va, end = start + c->code[i].len;
		uint64_t from = start > va ? start : va, to = end < va + len ? end : va + len;

		if (from < to)
			vl_error_destroy(vl_trust_check(t->trust, &memory, from, text + (from - va),
							to - from, c->bytes[i] + (from - start),
							ignore, NULL));
	}
}

/*
 * Bytes that are read at a time, by one request. They stay in the CPU's cache until they are
 * compared.
 */
#define PIECE (64 * VL_PAGE_SIZE)

/* The @len bytes of guest memory at @gpa, where they are mapped in one piece; else NULL. */
static const unsigned char *mapped(struct vl_target *t, uint64_t gpa, size_t len)
{
	const unsigned char *first = vl_target_page(t, gpa);

	for (size_t at = VL_PAGE_SIZE; first && at < len; at += VL_PAGE_SIZE)
		if (vl_target_page(t, gpa + at) != first + at)
			return NULL;
	return first;
}

/* Forget what was found, to compare all again. */
static void begin(struct vl_trusted *t)
{
	t->nr_found = 0;
	t->nr_all = t->nr_attached = 0;
	t->nr_kept = 0;
}

/*
 * Compare the @len bytes of @text, which are @at bytes from the start of the guest's. False: a page
 * has changed since it got its mark, so all have to be compared again, as sites depend on others.
 */
static bool compare_piece(struct vl_trusted *t, uint64_t at, const unsigned char *text, size_t len)
{
	unsigned char page[VL_PAGE_SIZE];
	size_t skipped = 0, left = len % VL_PAGE_SIZE;

	if (!t->marks) {
		vl_trusted_check(t, t->trust, t->va + at, text, len, NULL);
		return true;
	}
	for (size_t i = 0; i < len - left; i += VL_PAGE_SIZE) {
		switch (vl_trusted_marked(t, at + i, text + i)) {
		case VL_MARK_CHANGED:
			return false;
		case VL_MARK_RIGHT:
			skipped++;
			break;
		case VL_MARK_SAME:
			vl_trusted_check(t, t->trust, t->va + at + i, text + i, VL_PAGE_SIZE, NULL);
			break;
		case VL_MARK_NONE:
			/*
			 * A running guest may change the page while it is judged, but not the copy
			 * that gets the mark.
			 */
			memcpy(page, text + i, VL_PAGE_SIZE);
			vl_trusted_check_page(t, at + i, page);
			break;
		}
	}
	if (left)
		vl_trusted_check(t, t->trust, t->va + at + len - left, text + len - left, left,
				 NULL);
	pthread_mutex_lock(&t->lock);
	t->nr_pages += skipped;
	pthread_mutex_unlock(&t->lock);
	return true;
}

/* Compare the whole text, by the buffer @buf of PIECE bytes; *@ret: compare_piece(). */
static struct vl_error *compare_text(struct vl_trusted *t, unsigned char *buf,
				     struct clocks *clocks, bool *ret)
{
	struct vl_error *err = NULL;
	const unsigned char *text;
	size_t size;

	*ret = true;
	vl_trust_text(t->trust, &size);
	for (size_t at = 0, len; *ret && !err && at < size; at += len) {
		len = size - at < PIECE ? size - at : PIECE;
		text = mapped(t->attach->target, t->gpa + at, len);
		if (!text) {
			err = vl_target_read(t->attach->target, t->gpa + at, buf, len);
			text = buf;
		}
		if (err)
			break;
		*ret = compare_piece(t, at, text, len);
		keep_clocks(t, clocks, t->va + at, text, len);
	}
	if (!err)
		return NULL;
	vl_error_destroy(err);
	return vl_error_fault(t->va, "the kernel's text cannot be read");
}

struct vl_error *vl_trusted_take_text(struct vl_attach *a, struct vl_trusted *t)
{
	_cleanup_free_ unsigned char *buf = malloc(PIECE);
	__attribute__((cleanup(clocks_free))) struct clocks *clocks = find_clocks(a, t);
	struct vl_error *err;
	bool same;

	if (!buf || !clocks)
		return vl_error_nomem();
	begin(t);
	t->whole = true;
	err = compare_text(t, buf, clocks, &same);
	if (!err && !same) {
		t->marked = false;
		begin(t);
		err = compare_text(t, buf, clocks, &same);
	}
	t->whole = false;
	if (err)
		return err;
	t->marks_new |= t->marks && !t->marked;
	t->marked = t->marks;
	if (t->nr_all > VL_TRUSTED_FINDINGS_MAX)
		return vl_error_new(
			VL_ERR_KERNEL,
			"the guest's text is not that of the trusted kernel: it differs "
			"in %" PRIu64 " places",
			t->nr_all);
	memset(a->tsc_sites, 0, sizeof(a->tsc_sites));
	for (size_t i = 0; i < clocks->nr; i++)
		vl_tsc_find(clocks->bytes[i], clocks->code[i].len, clocks->code[i].va,
			    a->tsc_sites);
	t->current = true;
	return NULL;
}
