/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's text of a watch: a copy is made, and some pages at a time are compared with it,
 * round and round. A kernel changes its own text, at sites that it has tables of. The event names
 * the kind of site, which is no verdict. vcheck and `vlens trust verify` judge.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/append.h"
#include "../base/array.h"
#include "../base/clock.h"
#include "watching.h"

#define PAGE 4096UL
#define BATCH 16U /* pages that are compared at a time */
#define WEIGHT 2
/* A change is over when the page is the same after this time: it takes steps, with an int3. */
#define RESTS (20 * VL_NSEC_PER_MSEC)
/*
 * After this time the change is reported even if it goes on: text that changes all the time must
 * not go unseen.
 */
#define MOST_CHANGING VL_NSEC_PER_SEC
#define NEAR 5 /* bytes between two changes of one site: an instruction that is replaced */
#define MOST_BYTES 16
#define MOST_SITES (1UL << 20) /* of a table */
#define ENTRY 16	       /* bytes at the start of a function where a tracer is called */

static struct vl_watch_page *pending(struct vl_watch_text *t, size_t page)
{
	for (size_t i = 0; i < t->nr_pages; i++)
		if (t->pages[i].number == page)
			return &t->pages[i];
	return NULL;
}

/* ---- the kind of a site ---- */

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Read a table of sites: each entry of @size bytes begins with the distance to its site. */
static void read_sites(struct vl_watcher *w, const char *from, const char *to, size_t size,
		       struct vl_watch_sites *s)
{
	uint64_t start = vl_symbol(w->g->attach->kernel, from),
		 end = vl_symbol(w->g->attach->kernel, to);
	unsigned char *bytes;
	size_t nr;

	s->read = true;
	if (!start || end <= start || (end - start) / size > MOST_SITES)
		return;
	nr = (end - start) / size;
	bytes = malloc(nr * size);
	s->at = calloc(nr, sizeof(*s->at));
	if (bytes && s->at && !vl_read(w->g->reader, &w->g->space, start, bytes, nr * size)) {
		for (size_t i = 0; i < nr; i++) {
			int32_t distance;

			memcpy(&distance, bytes + i * size, sizeof(distance));
			s->at[i] = start + i * size + (uint64_t)(int64_t)distance;
		}
		s->nr = nr;
		qsort(s->at, nr, sizeof(*s->at), compare);
	}
	free(bytes);
}

/* Is there a site in [@va, @va + @len), or one whose instruction of up to 5 bytes reaches there? */
static bool has_site(const struct vl_watch_sites *s, uint64_t va, size_t len)
{
	size_t low = 0, high = s->nr;

	while (low < high) {
		size_t mid = (low + high) / 2;

		/* Bit 0 of a static call's site is a flag. */
		if ((s->at[mid] & ~1UL) + NEAR <= va)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->nr && (s->at[low] & ~1UL) < va + len;
}

static const char *kind_of(struct vl_watcher *w, uint64_t va, size_t len, const unsigned char *new,
			   const char *symbol, uint64_t offset)
{
	struct vl_watch_text *t = &w->text;

	if (!t->labels.read)
		read_sites(w, "__start___jump_table", "__stop___jump_table", 16, &t->labels);
	if (!t->calls.read)
		read_sites(w, "__start_static_call_sites", "__stop_static_call_sites", 8,
			   &t->calls);
	if (has_site(&t->labels, va, len))
		return "jump label";
	if (has_site(&t->calls, va, len) || (symbol && !strncmp(symbol, "__SCT__", 7)))
		return "static call";
	if (*new == 0xcc)
		return "breakpoint";
	if (symbol && offset < ENTRY)
		return "entry of a function";
	return "code";
}

/* ---- changes ---- */

static void put_hex(char *text, size_t size, const unsigned char *bytes, size_t len)
{
	vl_append_hex(text, size, bytes, len < MOST_BYTES ? len : MOST_BYTES);
	if (len > MOST_BYTES)
		vl_append(text, size, "...");
}

static void tell(struct vl_watcher *w, uint64_t va, const unsigned char *old,
		 const unsigned char *new, size_t len)
{
	struct vl_watch_event *e = vl_watch_add(w, VL_WATCH_TEXT);
	char name[sizeof(e->name)], text[4 * MOST_BYTES + 64] = "";
	const char *symbol;
	uint64_t offset = 0;
	int n;

	if (!e)
		return;
	symbol = vl_symbol_at(w->g->attach->kernel, va, &offset);
	n = snprintf(name, sizeof(name), "%s+0x%llx", symbol ? symbol : "?",
		     (unsigned long long)(symbol ? offset : va));
	vl_watch_name(e, name, (size_t)n < sizeof(name) ? (size_t)n : sizeof(name) - 1);
	vl_append(text, sizeof(text), "%s: ", kind_of(w, va, len, new, symbol, offset));
	put_hex(text, sizeof(text), old, len);
	vl_append(text, sizeof(text), " to ");
	put_hex(text, sizeof(text), new, len);
	vl_watch_text(e, text, strlen(text));
}

/* Add an event for each run of bytes in which the page @new differs from @old. */
static void tell_page(struct vl_watcher *w, uint64_t va, const unsigned char *old,
		      const unsigned char *new)
{
	for (size_t i = 0; i < PAGE; i++) {
		size_t end = i + 1;

		if (old[i] == new[i])
			continue;
		for (size_t k = end; k < PAGE && k < end + NEAR; k++)
			if (old[k] != new[k])
				end = k + 1;
		tell(w, va + i, old + i, new + i, end - i);
		i = end;
	}
}

/* ---- pages ---- */

static bool read_page(struct vl_watcher *w, size_t page, unsigned char *buf)
{
	return !vl_read(w->g->reader, &w->g->space, w->text.start + page * PAGE, buf, PAGE);
}

const unsigned char *vl_text_at_rest(const struct vl_watch_page *p, const unsigned char *was,
				     const unsigned char *buf, uint64_t now)
{
	if (buf && !memcmp(buf, p->bytes, PAGE))
		return buf;
	if (now - p->first_ns < MOST_CHANGING)
		return NULL;
	/* The page may be unchanged now, and have been changed a moment ago. */
	return buf && memcmp(buf, was, PAGE) ? buf : p->bytes;
}

struct vl_watch_page *vl_text_oldest(struct vl_watch_text *t)
{
	struct vl_watch_page *oldest = &t->pages[0];

	for (size_t i = 1; i < t->nr_pages; i++)
		if (t->pages[i].first_ns < oldest->first_ns)
			oldest = &t->pages[i];
	return oldest;
}

/* Add events for the page @p, which has @bytes. */
static void tell_pending(struct vl_watcher *w, const struct vl_watch_page *p,
			 const unsigned char *bytes)
{
	unsigned char *was = w->text.copy + p->number * PAGE;

	tell_page(w, w->text.start + p->number * PAGE, was, bytes);
	memcpy(was, bytes, PAGE);
}

static void look_at(struct vl_watcher *w, size_t page, uint64_t now)
{
	struct vl_watch_text *t = &w->text;
	unsigned char buf[PAGE], *was = t->copy + page * PAGE;
	struct vl_watch_page *p;

	if (!read_page(w, page, buf))
		return;
	if (!t->known[page]) {
		memcpy(was, buf, PAGE);
		t->known[page] = true;
		return;
	}
	if (!memcmp(was, buf, PAGE) || pending(t, page))
		return;
	if (t->nr_pages < ARRAY_SIZE(t->pages)) {
		p = &t->pages[t->nr_pages++];
	} else {
		p = vl_text_oldest(t);
		tell_pending(w, p, p->bytes);
	}
	p->number = page;
	p->first_ns = p->since_ns = now;
	memcpy(p->bytes, buf, PAGE);
}

/* Add events for pages that have changed and now rest, or change for long. */
static void look_at_pending(struct vl_watcher *w, uint64_t now)
{
	struct vl_watch_text *t = &w->text;
	unsigned char buf[PAGE];
	size_t kept = 0;

	for (size_t i = 0; i < t->nr_pages; i++) {
		struct vl_watch_page *p = &t->pages[i];
		const unsigned char *told = NULL;

		if (now - p->since_ns >= RESTS) {
			bool is_read = read_page(w, p->number, buf);

			told = vl_text_at_rest(p, t->copy + p->number * PAGE, is_read ? buf : NULL,
					       now);
			if (told) {
				tell_pending(w, p, told);
			} else if (is_read) {
				memcpy(p->bytes, buf, PAGE);
				p->since_ns = now;
			}
		}
		if (told)
			continue;
		if (kept != i)
			t->pages[kept] = *p;
		kept++;
	}
	t->nr_pages = kept;
}

static bool open_text(struct vl_watcher *w)
{
	struct vl_watch_text *t = &w->text;
	const struct vl_kernel *k = w->g->attach->kernel;
	uint64_t start = vl_symbol(k, "_stext"), end = vl_symbol(k, "_etext");

	t->tried = true;
	if (!start)
		start = vl_symbol(k, "_text");
	start &= ~(PAGE - 1);
	end &= ~(PAGE - 1);
	if (!start || end <= start || end - start > VL_TEXT_MAX)
		return false;
	t->start = start;
	t->copy = malloc(end - start);
	t->known = calloc((end - start) / PAGE, sizeof(*t->known));
	if (t->copy && t->known)
		t->nr = (end - start) / PAGE;
	return t->nr;
}

void vl_watch_texts(struct vl_watcher *w, uint64_t now)
{
	struct vl_watch_text *t = &w->text;

	if (!(w->o.groups & VL_WATCH_TEXTS) || !vl_watch_due(&t->job, now))
		return;
	if (!t->tried)
		open_text(w);
	if (!t->nr)
		return;
	if (t->nr_pages)
		look_at_pending(w, now);
	for (unsigned i = 0; i < BATCH; i++) {
		look_at(w, t->next, now);
		t->next = t->next + 1 < t->nr ? t->next + 1 : 0;
	}
	vl_watch_did(w, &t->job, now, WEIGHT, 0);
}

void vl_watch_texts_close(struct vl_watcher *w)
{
	free(w->text.copy);
	free(w->text.known);
	free(w->text.labels.at);
	free(w->text.calls.at);
}
