/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../vmst/contact.h"
#include "collect.h"
#include "totals.h"

#define PAGE 4096UL
#define PF_KTHREAD 0x00200000U /* include/linux/sched.h */
#define MAX_RT_PRIO 100	       /* include/linux/sched/prio.h */
#define DEFAULT_PRIO 120

/* The kinds of pages that are counted, include/linux/mm_types_task.h. */
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };

/* Of struct percpu_counter, 40 bytes; more with lock debugging. */
#define COUNTER_MAX 128
/* Of a process; the rest of its time is then missing. */
#define MAX_THREADS 65536
#define MAX_COMMAND 1024U
/* What looks unchanged is read again every so many samples. */
#define ROUND 64

/* What the walk brings of a task: out of its task_struct only. */
struct record {
	uint64_t task, start, mm, signal, cred, parent, sum_exec;
	uint64_t state_long; /* before "sched: Change task_struct::state" (5.14) */
	int32_t pid, prio, static_prio;
	uint32_t state, exit_state, flags;
	char comm[16];
};

/*
 * What that points to, which is elsewhere in memory: read only of a process that may have
 * changed. Where the guest's memory cannot be mapped each page costs.
 */
struct far {
	uint64_t sum_sched, pgd, total_vm, arg_start, arg_end;
	int32_t ppid, threads;
	uint32_t uid, euid;
	/* Pages: as they are, or in each a struct percpu_counter. */
	int64_t rss[NR_MM_COUNTERS];
	unsigned char counters[NR_MM_COUNTERS * COUNTER_MAX];
};

#define OUT(member) offsetof(struct record, member), sizeof(((struct record *)0)->member)

struct vl_top {
	struct vl_subject *s;
	const struct vl_layout *layout;
	struct vl_totals totals;
	uint64_t init;	       /* init_task */
	uint32_t counter_size; /* of struct percpu_counter; 0: pages are plain counts */
	struct vl_fields fields;
	/* Which task of the last sample is at an address: an index + 1. */
	uint32_t *slots;
	size_t nr_slots;
	unsigned round;
	/* For the gathering of what each CPU counted by itself. */
	struct vl_get *gets;
	int32_t (*parts)[NR_MM_COUNTERS];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void choose_fields(struct vl_top *t)
{
	struct vl_fields *fs = &t->fields;

	*fs = (struct vl_fields){ .layout = t->layout };
	vl_fields_add_plain(fs, VL_FIELD_ADDRESS, offsetof(struct record, task));
	vl_fields_add(fs, VL_F_TASK_TGID, OUT(pid));
	vl_fields_add(fs, VL_F_TASK_COMM, OUT(comm));
	if (vl_fields_add(fs, VL_F_TASK_STATE, OUT(state)) < 0)
		vl_fields_add(fs, VL_F_TASK_STATE_LONG, OUT(state_long));
	vl_fields_add(fs, VL_F_TASK_EXIT_STATE, OUT(exit_state));
	if (vl_fields_add(fs, VL_F_TASK_START, OUT(start)) < 0)
		vl_fields_add(fs, VL_F_TASK_REAL_START, OUT(start));
	vl_fields_add(fs, VL_F_TASK_PRIO, OUT(prio));
	vl_fields_add(fs, VL_F_TASK_STATIC_PRIO, OUT(static_prio));
	vl_fields_add(fs, VL_F_TASK_FLAGS, OUT(flags));
	vl_fields_add(fs, VL_F_TASK_SUM_EXEC, OUT(sum_exec));
	vl_fields_add(fs, VL_F_TASK_SIGNAL, OUT(signal));
	vl_fields_add(fs, VL_F_TASK_REAL_CRED, OUT(cred));
	vl_fields_add(fs, VL_F_TASK_REAL_PARENT, OUT(parent));
	vl_fields_add(fs, VL_F_TASK_MM, OUT(mm));
}

struct vl_error *vl_top_open(struct vl_subject *s, struct vl_top **ret)
{
	const enum vl_field need[] = { VL_F_TASK_TASKS, VL_F_TASK_TGID, VL_F_TASK_SUM_EXEC };
	struct vl_top *t = calloc(1, sizeof(*t));
	struct vl_error *err;
	uint32_t size;

	if (!t)
		return vl_error_nomem();
	t->s = s;
	t->layout = vl_kernel_layout(s->contact->kernel);
	err = vl_need_fields(s, need, sizeof(need) / sizeof(need[0]), "the task list");
	if (!err)
		err = vl_need_symbol(s, "init_task", "the task list", &t->init);
	if (!err)
		err = vl_totals_init(&t->totals, s);
	if (err) {
		free(t);
		return err;
	}
	size = vl_offset(t->layout, VL_F_SIZE_PCPU_COUNTER);
	if (!vl_has(t->layout, VL_F_MM_RSS_COUNT) && size <= COUNTER_MAX)
		t->counter_size = size;
	choose_fields(t);
	t->gets = calloc(t->totals.nr_online + 1, sizeof(*t->gets));
	t->parts = calloc(t->totals.nr_online + 1, sizeof(*t->parts));
	if (!t->gets || !t->parts) {
		vl_top_close(t);
		return vl_error_nomem();
	}
	*ret = t;
	return NULL;
}

void vl_top_close(struct vl_top *t)
{
	if (!t)
		return;
	vl_totals_deinit(&t->totals);
	free(t->slots);
	free(t->gets);
	free(t->parts);
	free(t);
}

void vl_top_sample_deinit(struct vl_top_sample *sample)
{
	free(sample->cpus);
	free(sample->tasks);
	free(sample->text);
	*sample = (struct vl_top_sample){ .at_ns = 0 };
}

/* ---- who was there before ---- */

static size_t slot_of(const struct vl_top *t, uint64_t task)
{
	/* Fibonacci hashing. */
	return (task >> 6) * 0x9e3779b97f4a7c15 >> 20 & (t->nr_slots - 1);
}

static bool index_last(struct vl_top *t, const struct vl_top_sample *last)
{
	size_t want = 64;

	while (want < last->nr_tasks * 2)
		want *= 2;
	if (want > t->nr_slots) {
		free(t->slots);
		t->slots = calloc(want, sizeof(*t->slots));
		t->nr_slots = t->slots ? want : 0;
	} else {
		memset(t->slots, 0, t->nr_slots * sizeof(*t->slots));
	}
	for (size_t i = 0; t->slots && i < last->nr_tasks; i++) {
		size_t slot = slot_of(t, last->tasks[i].task);

		while (t->slots[slot])
			slot = (slot + 1) & (t->nr_slots - 1);
		t->slots[slot] = (uint32_t)i + 1;
	}
	return t->slots;
}

static const struct vl_top_task *find_last(const struct vl_top *t, const struct vl_top_sample *last,
					   const struct record *r)
{
	for (size_t slot = slot_of(t, r->task); t->slots[slot];
	     slot = (slot + 1) & (t->nr_slots - 1)) {
		const struct vl_top_task *p = &last->tasks[t->slots[slot] - 1];

		if (p->task == r->task && p->pid == r->pid && p->start == r->start)
			return p;
	}
	return NULL;
}

/* ---- CPU time ---- */

/* The time that all threads of a process had; those that ended are in its signal_struct. */
static uint64_t cpu_time(const struct vl_top *t, const struct record *r, const struct far *f)
{
	uint32_t node = vl_offset(t->layout, VL_F_TASK_THREAD_NODE);
	const struct vl_walk_field field = { .kind = VL_FIELD_BYTES,
					     .size = 8,
					     .offset = { t->layout->offset[VL_F_TASK_SUM_EXEC] } };
	size_t max = f->threads > 1 && f->threads <= MAX_THREADS ? (size_t)f->threads + 8 : 0;
	uint64_t sum = f->sum_sched, few[64], *each = few;
	struct vl_walked walked = { .nr = 0 };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = r->signal + vl_offset(t->layout, VL_F_SIGNAL_THREAD_HEAD),
		.node = node,
		.fields = &field,
		.nr_fields = 1,
		.stride = sizeof(*each),
		.max = max,
	};

	if (!max || !node || !r->signal || !vl_has(t->layout, VL_F_SIGNAL_THREAD_HEAD))
		return sum + r->sum_exec;
	if (max > sizeof(few) / sizeof(few[0]))
		each = malloc(max * sizeof(*each));
	if (!each)
		return sum + r->sum_exec;
	w.records = each;
	/* Threads come and go: what was found before it broke is the better part. */
	vl_walk(t->s->reader, &t->s->space, &w, &walked);
	for (size_t i = 0; i < walked.nr && i < max; i++)
		sum += each[i];
	if (!walked.nr)
		sum += r->sum_exec;
	if (each != few)
		free(each);
	return sum;
}

static int32_t tenths(uint64_t part, uint64_t whole)
{
	return whole ? (int32_t)((double)part * 1000 / (double)whole + 0.5) : 0;
}

/* @f: NULL when no thread of it has run. */
static void set_cpu(const struct vl_top *t, struct vl_top_task *p, const struct record *r,
		    const struct far *f, const struct vl_top_task *was, uint64_t elapsed)
{
	uint64_t most = elapsed * (t->totals.nr_online ? t->totals.nr_online : 1), used;

	p->cpu_ns = f ? cpu_time(t, r, f) : was->cpu_ns;
	p->cpu = VL_TOP_UNKNOWN;
	if (!was)
		return;
	/* A thread was missed. */
	if (p->cpu_ns < was->cpu_ns)
		p->cpu_ns = was->cpu_ns;
	used = p->cpu_ns - was->cpu_ns;
	if (elapsed)
		p->cpu = tenths(used < most ? used : most, elapsed);
}

/* ---- memory ---- */

static uint64_t word_at(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * Add to @pages what each CPU has counted by itself; as these counters are made by
 * one allocation they stand side by side ("lib/percpu_counter: introduce
 * percpu_counter_init_many", 6.6), else each is read.
 */
static void add_parts(struct vl_top *t, const struct far *f, int64_t pages[NR_MM_COUNTERS])
{
	uint32_t at = vl_offset(t->layout, VL_F_PCPU_COUNTER_CPUS);
	const struct vl_totals *cpus = &t->totals;
	uint64_t where[NR_MM_COUNTERS];
	bool together = true;

	for (size_t k = 0; k < NR_MM_COUNTERS; k++) {
		where[k] = word_at(f->counters + k * t->counter_size + at);
		together = together && where[k] == where[0] + 4 * k;
		if (!where[k])
			return;
	}
	for (size_t k = 0; k < (together ? 1 : NR_MM_COUNTERS); k++) {
		for (size_t i = 0; i < cpus->nr_online; i++)
			t->gets[i] = (struct vl_get){
				.va = cpus->offsets[cpus->online[i]] + where[k],
				.buf = &t->parts[i][k],
				.len = (uint32_t)(together ? sizeof(t->parts[i]) : 4),
			};
		vl_gather(t->s->reader, &t->s->space, t->gets, cpus->nr_online);
	}
	for (size_t i = 0; i < cpus->nr_online; i++)
		for (size_t k = 0; k < NR_MM_COUNTERS; k++)
			pages[k] += t->parts[i][k];
}

static uint64_t bytes_of(int64_t pages)
{
	/* Wrong by what other CPUs have not told yet; more than any guest has is garbage. */
	return pages > 0 && pages < 1L << 40 ? (uint64_t)pages * PAGE : 0;
}

static void set_memory(struct vl_top *t, struct vl_top_task *p, const struct far *f)
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
		add_parts(t, f, pages);
	}
	for (size_t k = 0; k < NR_MM_COUNTERS; k++)
		pages[k] = pages[k] > 0 ? pages[k] : 0;
	p->shr = bytes_of(pages[MM_FILEPAGES] + pages[MM_SHMEMPAGES]);
	p->res = p->shr + bytes_of(pages[MM_ANONPAGES]);
}

/* ---- command lines ---- */

static bool room_for(struct vl_top_sample *s, size_t len)
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

/* Read the arguments as /proc/PID/cmdline has them, with blanks for the NULs between. */
static void read_command(struct vl_top *t, const struct far *f, struct vl_top_task *p,
			 struct vl_top_sample *ret)
{
	uint64_t len = f->arg_end - f->arg_start, done = 0;
	struct vl_space space;
	char *text;

	if (!p->mm || !f->pgd || f->arg_end <= f->arg_start)
		return;
	len = len < MAX_COMMAND ? len : MAX_COMMAND;
	if (!room_for(ret, len) || vl_reader_pgd(t->s->reader, f->pgd, false, &space))
		return;
	text = ret->text + ret->text_len;
	while (done < len) {
		uint64_t va = f->arg_start + done, n = PAGE - va % PAGE;

		n = n < len - done ? n : len - done;
		if (vl_read(t->s->reader, &space, va, text + done, n))
			break;
		done += n;
	}
	while (done && !text[done - 1])
		done--;
	for (uint64_t i = 0; i < done; i++)
		text[i] = text[i] ? text[i] : ' ';
	p->text = (uint32_t)ret->text_len;
	p->text_len = (uint32_t)done;
	ret->text_len += done;
}

static void copy_command(const struct vl_top_sample *last, const struct vl_top_task *was,
			 struct vl_top_task *p, struct vl_top_sample *ret)
{
	if (!was->text_len || !room_for(ret, was->text_len))
		return;
	memcpy(ret->text + ret->text_len, last->text + was->text, was->text_len);
	p->text = (uint32_t)ret->text_len;
	p->text_len = was->text_len;
	ret->text_len += was->text_len;
}

/* ---- samples ---- */

/* Who is read, and what was known of him. */
struct reading {
	const struct record *r;
	const struct vl_top_task *was; /* NULL: he is new */
	struct far *far;	       /* NULL: nothing of it can have changed */
};

/* What has not run has neither other pages nor another name. */
static bool is_same(const struct record *r, const struct vl_top_task *was)
{
	return was && was->mm == r->mm && was->leader_ns == r->sum_exec && was->threads <= 1 &&
	       was->cred == r->cred && was->parent == r->parent &&
	       !memcmp(was->comm, r->comm, sizeof(r->comm));
}

struct gets {
	const struct vl_top *t;
	struct vl_get *get;
	size_t nr;
};

/* All that is read of a far one. */
#define FAR_GETS 10

static void get(struct gets *g, uint64_t base, enum vl_field f, void *buf, size_t len)
{
	if (base && vl_has(g->t->layout, f))
		g->get[g->nr++] = (struct vl_get){ .va = base + vl_offset(g->t->layout, f),
						   .buf = buf,
						   .len = (uint32_t)len };
}

static void get_far(struct gets *g, const struct record *r, struct far *f)
{
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
}

/* Read of all that need it, as one request. *@far_ret is malloc'ed; NULL without memory. */
static struct vl_error *read_far(struct vl_top *t, struct reading *all, size_t nr,
				 struct far **far_ret)
{
	struct gets g = { .t = t };
	size_t want = 0;

	for (size_t i = 0; i < nr; i++)
		want += !is_same(all[i].r, all[i].was) || (i + t->round) % ROUND == 0;
	*far_ret = calloc(want + 1, sizeof(**far_ret));
	g.get = calloc(want * FAR_GETS + 1, sizeof(*g.get));
	if (!*far_ret || !g.get) {
		free(g.get);
		return vl_error_nomem();
	}
	want = 0;
	for (size_t i = 0; i < nr; i++) {
		if (is_same(all[i].r, all[i].was) && (i + t->round) % ROUND != 0)
			continue;
		all[i].far = *far_ret + want++;
		get_far(&g, all[i].r, all[i].far);
	}
	/* What cannot be read is zeros: a process that is about to end. */
	vl_gather(t->s->reader, &t->s->space, g.get, g.nr);
	free(g.get);
	return NULL;
}

static void take_task(struct vl_top *t, const struct reading *from,
		      const struct vl_top_sample *last, struct vl_top_sample *ret)
{
	struct vl_top_task *p = &ret->tasks[ret->nr_tasks];
	const struct vl_top_task *was = from->was;
	const struct record *r = from->r;
	const struct far *f = from->far;

	*p = (struct vl_top_task){
		.task = r->task,
		.start = r->start,
		.mm = r->mm,
		.cred = r->cred,
		.parent = r->parent,
		.leader_ns = r->sum_exec,
		.pid = r->pid,
		.ppid = f ? f->ppid : was->ppid,
		.threads = f ? f->threads : was->threads,
		.priority = r->prio - MAX_RT_PRIO,
		.nice = r->static_prio - DEFAULT_PRIO,
		.uid = f ? f->uid : was->uid,
		.euid = f ? f->euid : was->euid,
		.state = vl_task_letter(r->state | (uint32_t)r->state_long, r->exit_state),
		.kernel = r->flags & PF_KTHREAD,
	};
	memcpy(p->comm, r->comm, sizeof(p->comm));
	set_cpu(t, p, r, f, was, last ? ret->at_ns - last->at_ns : 0);
	if (f) {
		set_memory(t, p, f);
		read_command(t, f, p, ret);
	} else {
		p->virt = was->virt;
		p->res = was->res;
		p->shr = was->shr;
		copy_command(last, was, p, ret);
	}
	p->mem = tenths(p->res, ret->mem.total);
	ret->nr_tasks++;
	ret->nr_threads += p->threads > 0 ? (size_t)p->threads : 0;
	ret->nr_kernel += p->kernel;
	ret->nr_running += p->state == 'R';
}

static struct vl_error *take_records(struct vl_top *t, const struct record *r, size_t nr,
				     const struct vl_top_sample *last, struct vl_top_sample *ret)
{
	struct vl_top_task *more = reallocarray(ret->tasks, nr + 1, sizeof(*more));
	struct reading *all = calloc(nr + 1, sizeof(*all));
	struct vl_error *err = NULL;
	struct far *far = NULL;

	if (more)
		ret->tasks = more;
	if (!more || !all || (last && !index_last(t, last)))
		err = vl_error_nomem();
	for (size_t i = 0; !err && i < nr; i++)
		all[i] = (struct reading){ &r[i], last ? find_last(t, last, &r[i]) : NULL, NULL };
	if (!err)
		err = read_far(t, all, nr, &far);
	for (size_t i = 0; !err && i < nr; i++)
		take_task(t, &all[i], last, ret);
	free(far);
	free(all);
	return err;
}

static struct vl_error *take_tasks(struct vl_top *t, const struct vl_top_sample *last,
				   struct vl_top_sample *ret)
{
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(t->layout, VL_F_TASK_TASKS),
		.head = t->init + vl_offset(t->layout, VL_F_TASK_TASKS),
		.fields = t->fields.f,
		.nr_fields = t->fields.nr,
		.stride = sizeof(struct record),
		.max = last ? last->nr_tasks + last->nr_tasks / 8 + 64 : 0,
	};
	struct vl_error *err, *more;
	size_t nr;

	err = vl_collect(t->s, &w, "the task list", &nr);
	more = take_records(t, w.records, nr, last, ret);
	free(w.records);
	free(w.status);
	if (!err)
		return more;
	vl_error_destroy(more);
	return err;
}

struct vl_error *vl_top_sample(struct vl_top *t, const struct vl_top_sample *last,
			       struct vl_top_sample *ret)
{
	struct vl_reader_stats stats;
	struct vl_error *err;

	ret->at_ns = now_ns();
	ret->nr_tasks = ret->nr_threads = ret->nr_kernel = ret->nr_running = 0;
	ret->text_len = 0;
	t->round++;
	vl_totals_sample(&t->totals, last, ret);
	err = take_tasks(t, last, ret);
	vl_reader_stats(t->s->reader, &stats);
	ret->requests = stats.requests;
	ret->cost_ns = now_ns() - ret->at_ns;
	return err;
}
