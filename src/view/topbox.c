/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parcel.h"

#include <stdlib.h>
#include <string.h>

#include "sample.h"

void vl_parcel_put_sample(struct vl_parcel *p, const struct vl_top_sample *s)
{
	struct vl_top_sample head = *s;

	head.cpus = NULL;
	head.tasks = NULL;
	head.text = NULL;
	vl_parcel_put(p, &head, sizeof(head));
	vl_parcel_put(p, s->cpus, s->nr_cpus * sizeof(*s->cpus));
	vl_parcel_put(p, s->tasks, s->nr_tasks * sizeof(*s->tasks));
	vl_parcel_put(p, s->text, s->text_len);
}

/* Tenths of a percent of one CPU, or of all. */
static int32_t part(int32_t tenths)
{
	return tenths < 0 ? VL_TOP_UNKNOWN : tenths > 1000 ? 1000 : tenths;
}

static void check_cpu(struct vl_top_cpu *c)
{
	/* A bool is 0 or 1. */
	unsigned char idles;

	memcpy(&idles, &c->idles, 1);
	c->idles = idles & 1;
	c->busy = part(c->busy);
	c->lost = part(c->lost);
	for (size_t i = 0; i < VL_NR_USES; i++)
		c->use[i] = part(c->use[i]);
}

/* Is a text of @len bytes at @at in the @all bytes of a sample? */
static bool is_inside(uint32_t at, uint32_t len, size_t all)
{
	return at <= all && len <= all - at;
}

static bool check_task(struct vl_top_task *t, size_t text_len)
{
	/* A bool is 0 or 1. */
	unsigned char kernel, cut;

	memcpy(&kernel, &t->kernel, 1);
	memcpy(&cut, &t->cut, 1);
	t->kernel = kernel & 1;
	t->cut = cut & 1;
	t->mem = part(t->mem);
	if (t->cpu < 0)
		t->cpu = VL_TOP_UNKNOWN;
	return is_inside(t->text, t->text_len, text_len) &&
	       is_inside(t->box, t->box_len, text_len) &&
	       is_inside(t->unit, t->unit_len, text_len) && t->state >= ' ' && t->state <= '~';
}

/* A bool of a sample that was sent: it may have any bits. */
static bool bit(const bool *b)
{
	unsigned char v;

	memcpy(&v, b, 1);
	return v & 1;
}

/* Take all fields but the lists. */
static void take_head(struct vl_top_sample *s, const struct vl_top_sample *h)
{
	s->uptime = h->uptime;
	memcpy(s->release, h->release, sizeof(s->release) - 1);
	memcpy(s->node, h->node, sizeof(s->node) - 1);
	s->release[sizeof(s->release) - 1] = s->node[sizeof(s->node) - 1] = '\0';
	s->busy = part(h->busy);
	s->lost = part(h->lost);
	s->mem = h->mem;
	s->swap = h->swap;
	memcpy(s->load, h->load, sizeof(s->load));
	s->no_load = bit(&h->no_load);
	s->no_swap = bit(&h->no_swap);
	s->no_available = bit(&h->no_available);
	s->no_counts = bit(&h->no_counts);
	s->nr_threads = h->nr_threads;
	s->nr_kernel = h->nr_kernel;
	s->nr_running = h->nr_running;
	s->requests = h->requests;
}

/* Make room for @nr elements of @size bytes at *@at, and take them. */
static bool take_list(struct vl_parcel *p, void *at, size_t nr, size_t size)
{
	const void *bytes =
		nr <= vl_parcel_left(p) / size ? vl_parcel_take_bytes(p, nr * size) : NULL;
	void *more;

	if (!bytes)
		return false;
	memcpy(&more, at, sizeof(more));
	more = realloc(more, nr * size + 1);
	if (!more)
		return false;
	memcpy(at, &more, sizeof(more));
	memcpy(more, bytes, nr * size);
	return true;
}

static bool take_lists(struct vl_parcel *p, const struct vl_top_sample *h, struct vl_top_sample *s)
{
	if (h->nr_cpus > VL_MAX_CPUS || h->text_len > UINT32_MAX ||
	    !take_list(p, &s->cpus, h->nr_cpus, sizeof(*s->cpus)) ||
	    !take_list(p, &s->tasks, h->nr_tasks, sizeof(*s->tasks)) ||
	    !take_list(p, &s->text, h->text_len, 1))
		return false;
	s->text_cap = h->text_len;
	for (size_t i = 0; i < h->nr_cpus; i++)
		check_cpu(&s->cpus[i]);
	for (size_t i = 0; i < h->nr_tasks; i++)
		if (!check_task(&s->tasks[i], h->text_len))
			return false;
	s->nr_cpus = h->nr_cpus;
	s->nr_tasks = h->nr_tasks;
	s->text_len = h->text_len;
	return true;
}

bool vl_parcel_take_sample(struct vl_parcel *p, struct vl_top_sample *s)
{
	struct vl_top_sample head;

	vl_parcel_take(p, &head, sizeof(head));
	s->nr_cpus = s->nr_tasks = s->text_len = s->text_cap = 0;
	if (!p->bad && take_lists(p, &head, s)) {
		take_head(s, &head);
		return true;
	}
	p->bad = true;
	return false;
}
