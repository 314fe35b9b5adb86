/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "sample.h"

#define PF_KTHREAD 0x00200000U /* include/linux/sched.h */
#define MAX_RT_PRIO 100	       /* include/linux/sched/prio.h */
#define DEFAULT_PRIO 120

/* Limit of threads that are read; a process with more lacks their time. */
#define MAX_THREADS 65536
/* A process that looks unchanged is read again once in so many samples. */
#define ROUND 64

#define OUT(member) offsetof(struct task_record, member), sizeof(((struct task_record *)0)->member)

const enum vl_field vl_top_fields[] = {
	VL_F_TASK_TASKS,
	VL_F_TASK_TGID,
	VL_F_TASK_COMM,
	VL_F_TASK_STATE,
	VL_F_TASK_EXIT_STATE,
	VL_F_TASK_START,
	VL_F_TASK_PRIO,
	VL_F_TASK_STATIC_PRIO,
	VL_F_TASK_FLAGS,
	VL_F_TASK_SUM_EXEC,
	VL_F_TASK_SIGNAL,
	VL_F_TASK_REAL_CRED,
	VL_F_TASK_REAL_PARENT,
	VL_F_TASK_MM,
	VL_F_TASK_THREAD_NODE,
	VL_F_SIGNAL_THREADS,
	VL_F_SIGNAL_SUM_SCHED,
	VL_F_SIGNAL_THREAD_HEAD,
	VL_F_CRED_UID,
	VL_F_CRED_EUID,
	VL_F_MM_PGD,
	VL_F_MM_TOTAL_VM,
	VL_F_MM_ARG_START,
	VL_F_MM_ARG_END,
	VL_F_MM_RSS,
	VL_F_MM_RSS_COUNT,
	VL_F_PCPU_COUNTER_COUNT,
	VL_F_PCPU_COUNTER_CPUS,
	VL_NR_FIELDS,
};

static void choose_fields(struct vl_top *t)
{
	struct vl_fields *fs = &t->fields;

	*fs = (struct vl_fields){ .layout = t->layout };
	vl_fields_add_plain(fs, VL_FIELD_ADDRESS, offsetof(struct task_record, task));
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
	vl_fields_add(fs, VL_F_TASK_CGROUPS, OUT(groups));
	vl_fields_note_lacks(fs, offsetof(struct task_record, lacks));
}

struct vl_fields vl_top_task_fields(void)
{
#define PART(what, first, last) \
	[VL_TOP_LACKS_##what] = { \
		.out = offsetof(struct vl_top_task, first), \
		.size = offsetof(struct vl_top_task, last) + \
			sizeof(((struct vl_top_task *)0)->last) - \
			offsetof(struct vl_top_task, first) \
	}
	return (struct vl_fields){
		.f = { PART(PPID, ppid, ppid), PART(THREADS, threads, threads),
		       PART(UID, uid, euid), PART(STATE, state, state), PART(START, start, start),
		       PART(PRIORITY, priority, priority), PART(NICE, nice, nice),
		       PART(KERNEL, kernel, kernel), PART(COMM, comm, comm), PART(CPU, cpu_ns, cpu),
		       PART(VIRT, virt, virt), PART(RES, res, shr), PART(MM, mm, mm),
		       PART(GROUPS, groups, groups) },
		.nr = VL_TOP_NR_LACKS,
		.notes_lacks = true,
		.lacks = offsetof(struct vl_top_task, lacks),
		.computed = { { offsetof(struct vl_top_task, mem), sizeof(int32_t),
				offsetof(struct vl_top_task, res) } },
		.nr_computed = 1,
	};
#undef PART
}

/* The fields that could not be read for @r, or that lie behind a pointer that could not be. */
static uint32_t lacks_of(const struct vl_top *t, const struct task_record *r)
{
#define PART(member, what) \
	{ \
		offsetof(struct task_record, member), VL_TOP_LACKS_##what \
	}
	static const struct {
		size_t at;
		enum vl_top_lacks what;
	} parts[] = {
		PART(parent, PPID),	 PART(signal, THREADS),
		PART(signal, CPU),	 PART(sum_exec, CPU),
		PART(cred, UID),	 PART(state, STATE),
		PART(state_long, STATE), PART(exit_state, STATE),
		PART(start, START),	 PART(prio, PRIORITY),
		PART(static_prio, NICE), PART(flags, KERNEL),
		PART(comm, COMM),	 PART(mm, VIRT),
		PART(mm, RES),		 PART(mm, MM),
		PART(groups, GROUPS),
	};
#undef PART
	uint32_t lacks = 0;

	for (size_t i = 0; r->lacks && i < ARRAY_SIZE(parts); i++)
		if (vl_record_lacks(&t->fields, r, parts[i].at))
			lacks |= 1U << parts[i].what;
	return lacks;
}

struct vl_error *vl_top_open(struct vl_raw_guest *g, struct vl_top **ret)
{
	const enum vl_field need[] = { VL_F_TASK_TASKS, VL_F_TASK_TGID, VL_F_TASK_SUM_EXEC };
	struct vl_top *t = calloc(1, sizeof(*t));
	struct vl_error *err;
	uint32_t size;

	if (!t)
		return vl_error_nomem();
	t->g = g;
	t->layout = vl_kernel_layout(g->attach->kernel);
	err = vl_need_fields(g, need, ARRAY_SIZE(need), "the task list");
	if (!err)
		err = vl_need_symbol(g, "init_task", "the task list", &t->init);
	if (!err)
		err = vl_totals_init(&t->totals, g);
	if (err) {
		free(t);
		return err;
	}
	size = vl_offset(t->layout, VL_F_SIZE_PCPU_COUNTER);
	if (!vl_has(t->layout, VL_F_MM_RSS_COUNT) && size <= COUNTER_MAX)
		t->counter_size = size;
	choose_fields(t);
	vl_groups_init(&t->groups, g);
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
	vl_groups_deinit(&t->groups);
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

/* ---- the tasks of the last sample ---- */

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
					   const struct task_record *r)
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

/* signal_struct has the time of threads that ended. */
uint64_t vl_top_cpu_time(const struct vl_top *t, const struct task_record *r,
			 const struct linked *f)
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
	if (max > ARRAY_SIZE(few))
		each = malloc(max * sizeof(*each));
	if (!each)
		return sum + r->sum_exec;
	w.records = each;
	/* Threads come and go: a walk that broke still found most of them. */
	vl_walk(t->g->reader, &t->g->space, &w, &walked);
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

/* @f: NULL when none of its threads has run. */
static void set_cpu(const struct vl_top *t, struct vl_top_task *p, const struct task_record *r,
		    const struct linked *f, const struct vl_top_task *was, uint64_t elapsed)
{
	uint64_t most = elapsed * (t->totals.nr_online ? t->totals.nr_online : 1), used;

	p->cpu_ns = f ? vl_top_cpu_time(t, r, f) : was ? was->cpu_ns : 0;
	p->cpu = VL_TOP_UNKNOWN;
	if (!was)
		return;
	/* The walk missed a thread. */
	if (p->cpu_ns < was->cpu_ns)
		p->cpu_ns = was->cpu_ns;
	used = p->cpu_ns - was->cpu_ns;
	if (elapsed)
		p->cpu = tenths(used < most ? used : most, elapsed);
}

/* ---- samples ---- */

/* A process to read, and its last known state. */
struct reading {
	const struct task_record *r;
	const struct vl_top_task *was; /* NULL: it is new */
	struct linked *linked;	       /* NULL: nothing can have changed */
};

/* A process that has not run has the same pages and name. */
static bool is_same(const struct task_record *r, const struct vl_top_task *was)
{
	return was && was->mm == r->mm && was->leader_ns == r->sum_exec && was->threads <= 1 &&
	       was->cred == r->cred && was->parent == r->parent &&
	       !memcmp(was->comm, r->comm, sizeof(r->comm));
}

/*
 * Read the linked fields of all processes that need it, as one request. *@linked_ret is malloc'ed;
 * NULL without memory.
 */
static struct vl_error *read_linked(struct vl_top *t, struct reading *all, size_t nr,
				    struct linked **linked_ret)
{
	_cleanup_free_ struct vl_get *gets = NULL;
	size_t want = 0, nr_gets = 0;

	for (size_t i = 0; i < nr; i++)
		want += !is_same(all[i].r, all[i].was) || (i + t->round) % ROUND == 0;
	*linked_ret = calloc(want + 1, sizeof(**linked_ret));
	gets = calloc(want * FAR_GETS + 1, sizeof(*gets));
	if (!*linked_ret || !gets)
		return vl_error_nomem();
	want = 0;
	for (size_t i = 0; i < nr; i++) {
		if (is_same(all[i].r, all[i].was) && (i + t->round) % ROUND != 0)
			continue;
		all[i].linked = *linked_ret + want++;
		vl_top_get_linked(t, all[i].r, all[i].linked, gets, &nr_gets);
	}
	if (vl_gather(t->g->reader, &t->g->space, gets, nr_gets))
		vl_top_note_lacks(*linked_ret, want, gets, nr_gets);
	return NULL;
}

/* What is counted of all processes. */
#define COUNTED (1U << VL_TOP_LACKS_THREADS | 1U << VL_TOP_LACKS_KERNEL | 1U << VL_TOP_LACKS_STATE)

static void take_task(struct vl_top *t, const struct reading *from,
		      const struct vl_top_sample *last, struct vl_top_sample *ret)
{
	struct vl_top_task *p = &ret->tasks[ret->nr_tasks];
	const struct vl_top_task *was = from->was;
	const struct task_record *r = from->r;
	const struct linked *f = from->linked;

	*p = (struct vl_top_task){
		.task = r->task,
		.start = r->start,
		.mm = r->mm,
		.cred = r->cred,
		.parent = r->parent,
		.groups = r->groups,
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
		.lacks = lacks_of(t, r) | (f ? f->lacks : was->lacks),
	};
	memcpy(p->comm, r->comm, sizeof(p->comm));
	set_cpu(t, p, r, f, was, last ? ret->at_ns - last->at_ns : 0);
	if (f) {
		vl_top_memory(t, p, f);
		vl_top_command(t, f, p, ret);
	} else {
		p->virt = was->virt;
		p->res = was->res;
		p->shr = was->shr;
		vl_top_copy_command(last, was, p, ret);
	}
	p->mem = tenths(p->res, ret->mem.total);
	ret->nr_tasks++;
	ret->nr_threads += p->threads > 0 ? (size_t)p->threads : 0;
	ret->nr_kernel += p->kernel;
	ret->nr_running += p->state == 'R' && !(p->lacks >> VL_TOP_LACKS_STATE & 1);
	ret->no_counts |= p->lacks & COUNTED;
}

static struct vl_error *take_records(struct vl_top *t, const struct task_record *r, size_t nr,
				     const struct vl_top_sample *last, struct vl_top_sample *ret)
{
	struct vl_top_task *more = reallocarray(ret->tasks, nr + 1, sizeof(*more));
	struct reading *all = calloc(nr + 1, sizeof(*all));
	struct vl_error *err = NULL;
	struct linked *linked = NULL;

	if (more)
		ret->tasks = more;
	if (!more || !all || (last && !index_last(t, last)))
		err = vl_error_nomem();
	for (size_t i = 0; !err && i < nr; i++)
		all[i] = (struct reading){ &r[i], last ? find_last(t, last, &r[i]) : NULL, NULL };
	if (!err)
		err = read_linked(t, all, nr, &linked);
	for (size_t i = 0; !err && i < nr; i++)
		take_task(t, &all[i], last, ret);
	free(linked);
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
		.stride = sizeof(struct task_record),
		.max = last ? last->nr_tasks + last->nr_tasks / 8 + 64 : 0,
	};
	struct vl_error *err, *more;
	size_t nr;

	err = vl_collect(t->g, &w, &t->fields, "the task list", &nr);
	err = vl_records_keep(&w, &t->fields, offsetof(struct task_record, pid), "processes", err,
			      &nr);
	more = take_records(t, w.records, nr, last, ret);
	ret->no_counts |= err != NULL;
	free(w.records);
	if (!err)
		return more;
	vl_error_destroy(more);
	return err;
}

struct vl_error *vl_top_sample(struct vl_top *t, const struct vl_top_sample *last,
			       struct vl_top_sample *ret)
{
	struct vl_error *err, *wrong;
	struct vl_reader_stats stats;

	ret->at_ns = vl_now_ns();
	ret->nr_tasks = ret->nr_threads = ret->nr_kernel = ret->nr_running = 0;
	ret->no_counts = false;
	ret->text_len = 0;
	t->round++;
	wrong = vl_totals_sample(&t->totals, last, ret);
	err = take_tasks(t, last, ret);
	vl_top_containers(t, ret);
	if (!wrong)
		wrong = vl_plausible_tasks(t->g->target, ret);
	else
		vl_error_destroy(vl_plausible_tasks(t->g->target, ret));
	if (err)
		vl_error_destroy(wrong);
	else
		err = wrong;
	vl_reader_stats(t->g->reader, &stats);
	ret->requests = stats.requests;
	ret->cost_ns = vl_now_ns() - ret->at_ns;
	return err;
}
