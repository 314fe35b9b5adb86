/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "internal.h"

/*
 * Pages that are kept: page tables are walked entry by entry. A page's number gives the one slot
 * that may hold it. Readers and snapshots keep the pages that they have read themselves.
 */
#define KEPT 64

struct vl_pages {
	const struct vl_pages_ops *ops;
	void *ctx;
	int fd;
	bool unpacks;
	pthread_mutex_t lock; /* a snapshot's filler reads beside the main thread */
	uint64_t gpas[KEPT];  /* 1: none */
	unsigned char kept[KEPT][VL_PAGE_SIZE];
};

struct vl_error *vl_pages_set(struct vl_target *t, const struct vl_pages_ops *ops, void *ctx,
			      int fd)
{
	struct vl_pages *p = calloc(1, sizeof(*p));

	if (!p) {
		ops->close(ctx);
		return vl_error_nomem();
	}
	p->ops = ops;
	p->ctx = ctx;
	p->fd = fd;
	pthread_mutex_init(&p->lock, NULL);
	for (size_t i = 0; i < KEPT; i++)
		p->gpas[i] = 1;
	vl_pages_deinit(t);
	t->pages = p;
	return NULL;
}

void vl_pages_deinit(struct vl_target *t)
{
	struct vl_pages *p = t->pages;

	if (!p)
		return;
	p->ops->close(p->ctx);
	pthread_mutex_destroy(&p->lock);
	free(p);
	t->pages = NULL;
}

void vl_target_unpack(struct vl_target *t)
{
	if (t->pages)
		t->pages->unpacks = true;
}

const char *vl_target_packed(const struct vl_target *t)
{
	return t->pages ? t->pages->ops->what : NULL;
}

int vl_target_packed_fd(const struct vl_target *t)
{
	return t->pages ? t->pages->fd : -1;
}

static struct vl_error *read_page(struct vl_pages *p, uint64_t page, void *buf, struct vl_waits *w)
{
	const uint64_t begun = vl_wait_begin(w);
	struct vl_error *err = p->ops->read(p->ctx, page, buf);

	vl_wait_end(w, begun);
	return err;
}

/* Read a part of the page at @page. */
static struct vl_error *read_part(struct vl_pages *p, uint64_t page, size_t off, void *buf,
				  size_t len, struct vl_waits *w)
{
	size_t i = page / VL_PAGE_SIZE % KEPT;
	struct vl_error *err;

	if (p->gpas[i] != page && len == VL_PAGE_SIZE)
		return read_page(p, page, buf, w);
	if (p->gpas[i] != page) {
		p->gpas[i] = 1;
		err = read_page(p, page, p->kept[i], w);
		if (err)
			return err;
		p->gpas[i] = page;
	}
	memcpy(buf, p->kept[i] + off, len);
	return NULL;
}

struct vl_error *vl_pages_read(struct vl_target *t, uint64_t gpa, void *buf, size_t len,
			       struct vl_waits *w)
{
	struct vl_pages *p = t->pages;
	struct vl_error *err = NULL;
	char *out = buf;

	if (!p->unpacks)
		return vl_error_new(VL_ERR_ARG, "packed memory is read by workers only");
	pthread_mutex_lock(&p->lock);
	while (len && !err) {
		size_t off = gpa % VL_PAGE_SIZE, left = VL_PAGE_SIZE - off;
		size_t n = len < left ? len : left;

		err = read_part(p, gpa - off, off, out, n, w);
		out += n;
		gpa += n;
		len -= n;
	}
	pthread_mutex_unlock(&p->lock);
	return err;
}

uint64_t vl_pages_next(const struct vl_target *t, uint64_t gpa)
{
	return t->pages->ops->next ? t->pages->ops->next(t->pages->ctx, gpa) : gpa;
}

uint64_t vl_pages_cut_off(const struct vl_target *t, uint64_t all)
{
	struct vl_pages *p = t->pages;
	uint64_t nr = 0;

	if (!p || !p->ops->cut_off)
		return 0;
	pthread_mutex_lock(&p->lock);
	nr = p->ops->cut_off(p->ctx, all);
	pthread_mutex_unlock(&p->lock);
	return nr < all ? nr : all;
}

bool vl_pages_left_out(const struct vl_target *t, uint64_t gpa)
{
	struct vl_pages *p = t->pages;
	bool is;

	if (!p || !p->ops->left_out)
		return false;
	pthread_mutex_lock(&p->lock);
	is = p->ops->left_out(p->ctx, gpa);
	pthread_mutex_unlock(&p->lock);
	return is;
}

struct vl_error *vl_page_lacking(uint64_t gpa)
{
	return vl_error_hint(vl_error_new(VL_ERR_LACKING,
					  "the page at 0x%" PRIx64 " is not in the file",
					  (uint64_t)(gpa - gpa % VL_PAGE_SIZE)),
			     "views of memory, as vpslist, show what is in it");
}
