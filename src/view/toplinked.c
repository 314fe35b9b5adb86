/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"

#define PAGE 4096UL
#define MAX_COMMAND 1024U

struct gets {
	const struct vl_top *t;
	struct vl_get *get;
	size_t nr;
};

static void get(struct gets *g, uint64_t base, enum vl_field f, void *buf, size_t len)
{
	if (base && vl_has(g->t->layout, f))
		g->get[g->nr++] = (struct vl_get){ .va = base + vl_offset(g->t->layout, f),
						   .buf = buf,
						   .len = (uint32_t)len };
}

void vl_top_get_linked(const struct vl_top *t, const struct task_record *r, struct linked *f,
		       struct vl_get *gets, size_t *nr)
{
	struct gets all = { .t = t, .get = gets, .nr = *nr }, *g = &all;

	get(g, r->parent, VL_F_TASK_TGID, &f->ppid, sizeof(f->ppid));
	get(g, r->signal, VL_F_SIGNAL_THREADS, &f->threads, sizeof(f->threads));
	get(g, r->signal, VL_F_SIGNAL_SUM_SCHED, &f->sum_sched, sizeof(f->sum_sched));
	get(g, r->cred, VL_F_CRED_UID, &f->uid, sizeof(f->uid));
	get(g, r->cred, VL_F_CRED_EUID, &f->euid, sizeof(f->euid));
	get(g, r->mm, VL_F_MM_PGD, &f->pgd, sizeof(f->pgd));
	get(g, r->mm, VL_F_MM_TOTAL_VM, &f->total_vm, sizeof(f->total_vm));
	get(g, r->mm, VL_F_MM_ARG_START, &f->arg_start, sizeof(f->arg_start));
	get(g, r->mm, VL_F_MM_ARG_END, &f->arg_end, sizeof(f->arg_end));
	if (g->t->counter_size)
		get(g, r->mm, VL_F_MM_RSS, f->counters,
		    (size_t)NR_MM_COUNTERS * g->t->counter_size);
	else
		get(g, r->mm, VL_F_MM_RSS_COUNT, f->rss, sizeof(f->rss));
	*nr = all.nr;
}

void vl_top_note_lacks(struct linked *f, size_t of, const struct vl_get *gets, size_t nr)
{
#define PART(member, what) \
	{ \
		offsetof(struct linked, member), \
			offsetof(struct linked, member) + sizeof(f->member), VL_TOP_LACKS_##what \
	}
	static const struct {
		size_t from, to;
		enum vl_top_lacks what;
	} parts[] = {
		PART(ppid, PPID), PART(threads, THREADS), PART(sum_sched, CPU), PART(uid, UID),
		PART(euid, UID),  PART(total_vm, VIRT),	  PART(rss, RES),	PART(counters, RES),
	};
#undef PART
	for (size_t i = 0; i < nr; i++) {
		size_t at = (size_t)((char *)gets[i].buf - (char *)f);

		if (!gets[i].status || at / sizeof(*f) >= of)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
			if (at % sizeof(*f) >= parts[k].from && at % sizeof(*f) < parts[k].to)
				f[at / sizeof(*f)].lacks |= 1U << parts[k].what;
	}
}

/* ---- memory ---- */

static uint64_t word_at(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * Add each CPU's own counts to @pages. False: some could not be read. Counters of one allocation are adjacent ("kernel/fork:
 * group allocation/free of per-cpu counters for mm struct", 6.6); others are read one by one.
 */
static bool add_parts(struct vl_top *t, const struct linked *f, int64_t pages[NR_MM_COUNTERS])
{
	uint32_t at = vl_offset(t->layout, VL_F_PCPU_COUNTER_CPUS);
	const struct vl_totals *cpus = &t->totals;
	uint64_t where[NR_MM_COUNTERS];
	bool together = true, all = true;

	for (size_t k = 0; k < NR_MM_COUNTERS; k++) {
		where[k] = word_at(f->counters + k * t->counter_size + at);
		together = together && where[k] == where[0] + 4 * k;
		if (!where[k])
			return true;
	}
	for (size_t k = 0; k < (together ? 1 : NR_MM_COUNTERS); k++) {
		for (size_t i = 0; i < cpus->nr_online; i++)
			t->gets[i] = (struct vl_get){
				.va = cpus->offsets[cpus->online[i]] + where[k],
				.buf = &t->parts[i][k],
				.len = (uint32_t)(together ? sizeof(t->parts[i]) : 4),
			};
		all &= !vl_gather(t->g->reader, &t->g->space, t->gets, cpus->nr_online);
	}
	for (size_t i = 0; i < cpus->nr_online; i++)
		for (size_t k = 0; k < NR_MM_COUNTERS; k++)
			pages[k] += t->parts[i][k];
	return all;
}

static uint64_t bytes_of(int64_t pages)
{
	/* Off by the counts that CPUs keep for themselves; more than any guest has is garbage. */
	return pages > 0 && pages < 1L << 40 ? (uint64_t)pages * PAGE : 0;
}

void vl_top_memory(struct vl_top *t, struct vl_top_task *p, const struct linked *f)
{
	int64_t pages[NR_MM_COUNTERS];

	if (!p->mm)
		return;
	p->virt = bytes_of((int64_t)f->total_vm);
	memcpy(pages, f->rss, sizeof(pages));
	if (t->counter_size) {
		for (size_t k = 0; k < NR_MM_COUNTERS; k++)
			pages[k] = (int64_t)word_at(f->counters + k * t->counter_size +
						    vl_offset(t->layout, VL_F_PCPU_COUNTER_COUNT));
		if (!add_parts(t, f, pages))
			p->lacks |= 1U << VL_TOP_LACKS_RES;
	}
	/* A part of a sum is no sum. */
	if (p->lacks >> VL_TOP_LACKS_RES & 1)
		return;
	for (size_t k = 0; k < NR_MM_COUNTERS; k++)
		pages[k] = pages[k] > 0 ? pages[k] : 0;
	p->shr = bytes_of(pages[MM_FILEPAGES] + pages[MM_SHMEMPAGES]);
	p->res = p->shr + bytes_of(pages[MM_ANONPAGES]);
}

/* ---- command lines ---- */

bool vl_top_room(struct vl_top_sample *s, size_t len)
{
	size_t want = s->text_cap ? s->text_cap : 16384;
	char *more;

	if (s->text_len + len <= s->text_cap)
		return true;
	while (want < s->text_len + len)
		want *= 2;
	if (want > UINT32_MAX)
		return false;
	more = realloc(s->text, want);
	if (!more)
		return false;
	s->text = more;
	s->text_cap = want;
	return true;
}

/* Read from the @done-th byte at @start on, up to @len of them. Returns how many there are. */
static uint64_t read_text(struct vl_top *t, const struct vl_space *space, uint64_t start,
			  uint64_t done, uint64_t len, char *text)
{
	while (done < len) {
		uint64_t va = start + done, n = PAGE - va % PAGE;

		n = n < len - done ? n : len - done;
		if (vl_read(t->g->reader, space, va, text + done, n))
			break;
		done += n;
	}
	return done;
}

void vl_top_command(struct vl_top *t, const struct linked *f, struct vl_top_task *p,
		    struct vl_top_sample *ret)
{
	uint64_t len = f->arg_end - f->arg_start, done;
	struct vl_space space;
	char *text, last;

	if (!p->mm || !f->pgd || f->arg_end <= f->arg_start)
		return;
	p->cut = len > MAX_COMMAND;
	len = len < MAX_COMMAND ? len : MAX_COMMAND;
	if (!vl_top_room(ret, MAX_COMMAND) || vl_reader_pgd(t->g->reader, f->pgd, false, &space))
		return;
	text = ret->text + ret->text_len;
	done = read_text(t, &space, f->arg_start, 0, len, text);
	/*
	 * A program that overwrites the end of its arguments has given itself a title, which goes
	 * on up to a NUL: get_mm_cmdline(), fs/proc/base.c.
	 */
	if (done == len && !vl_read(t->g->reader, &space, f->arg_end - 1, &last, sizeof(last)) &&
	    last) {
		done = read_text(t, &space, f->arg_start, done, MAX_COMMAND, text);
		done = strnlen(text, done);
	}
	while (done && !text[done - 1])
		done--;
	for (uint64_t i = 0; i < done; i++)
		text[i] = text[i] ? text[i] : ' ';
	p->text = (uint32_t)ret->text_len;
	p->text_len = (uint32_t)done;
	ret->text_len += done;
}

void vl_top_copy_command(const struct vl_top_sample *last, const struct vl_top_task *was,
			 struct vl_top_task *p, struct vl_top_sample *ret)
{
	if (!was->text_len || !vl_top_room(ret, was->text_len))
		return;
	memcpy(ret->text + ret->text_len, last->text + was->text, was->text_len);
	p->cut = was->cut;
	p->text = (uint32_t)ret->text_len;
	p->text_len = was->text_len;
	ret->text_len += was->text_len;
}
