/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "livetasks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "objects.h"
#include "sample.h"

/* include/linux/sched.h */
#define TASK_SLEEPS 0x3U /* interruptible, uninterruptible */
#define TASK_DEAD 0x80U
#define TASK_NEW 0x800U
#define PF_EXITING 0x4U
/* THREAD_SIZE is 16 KiB, and 32 KiB with KASAN: arch/x86/include/asm/page_64_types.h. */
#define STACK_MAX (32U << 10)
/* PID_MAX_LIMIT, include/linux/threads.h. */
#define PID_MAX (4 << 20)

void vl_live_tasks_deinit(struct vl_live_tasks *t)
{
	free(t->v);
	*t = (struct vl_live_tasks){ .nr = 0 };
}

/* No thread can leave its process, so a leader that is another process's is a false one. */
static bool is_first(struct vl_raw_guest *g, const struct vl_live_task *t, uint64_t leader)
{
	int32_t tgid;
	const struct vl_part parts[] = { VL_PART(TASK_TGID, tgid) };

	return t->pid == t->tgid || !vl_object(g, leader, parts, 1) || tgid != t->tgid;
}

/*
 * A task that is asleep or waits for a CPU has its registers on its stack, where the scheduler
 * finds them by thread.sp; of a task that runs that is the place of the last time. The stack of a
 * task that has ended is freed, and that of a copy that fork() still makes is another one.
 */
static bool read_task(struct vl_raw_guest *g, uint64_t at, struct vl_live_task *ret)
{
	uint64_t stack, sp, mm, long_state, leader;
	uint32_t state, exit_state, flags;
	const struct vl_part parts[] = {
		VL_PART(TASK_STACK, stack),
		VL_PART(TASK_SP, sp),
		VL_PART(TASK_STATE, state),
		/* Before "sched: Change task_struct::state" (5.14). */
		VL_PART(TASK_STATE_LONG, long_state),
		VL_PART(TASK_EXIT_STATE, exit_state),
		VL_PART(TASK_FLAGS, flags),
		VL_PART(TASK_MM, mm),
		VL_PART(TASK_PID, ret->pid),
		VL_PART(TASK_TGID, ret->tgid),
		VL_PART(TASK_LEADER, leader),
		VL_PART(TASK_COMM, ret->comm),
	};

	ret->at = at;
	if (!vl_object(g, at, parts, 2) || !stack || stack % VL_PAGE_SIZE || sp <= stack ||
	    sp - stack > STACK_MAX || vl_object_lacks(g, at, parts, ARRAY_SIZE(parts)))
		return false;
	state |= (uint32_t)long_state;
	if (state == TASK_DEAD || state == TASK_NEW)
		return false;
	/* The task has left its memory, and no longer sleeps: it only waits for its last switch. */
	if (exit_state && flags & PF_EXITING && !mm && !(state & TASK_SLEEPS))
		return false;
	ret->first = is_first(g, ret, leader);
	return ret->pid >= 0 && ret->pid <= PID_MAX && ret->tgid >= 0 && ret->tgid <= PID_MAX;
}

static void add_task(struct vl_raw_guest *g, struct vl_live_tasks *l, uint64_t at)
{
	struct vl_live_task t;

	if (!at || !read_task(g, at, &t))
		return;
	if (!vl_grow(l->v, l->cap, l->nr, 256)) {
		l->full = true;
		return;
	}
	l->v[l->nr++] = t;
}

static int by_address(const void *a, const void *b)
{
	const struct vl_live_task *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static void sort(struct vl_live_tasks *l)
{
	size_t nr = 0;

	if (l->nr)
		qsort(l->v, l->nr, sizeof(*l->v), by_address);
	for (size_t i = 0; i < l->nr; i++)
		if (!i || l->v[i].at != l->v[i - 1].at)
			l->v[nr++] = l->v[i];
	l->nr = nr;
}

/* Remove the tasks with the id 0. */
static void remove_zero(struct vl_live_tasks *l)
{
	size_t nr = 0;

	for (size_t i = 0; i < l->nr; i++)
		if (l->v[i].pid || l->v[i].tgid)
			l->v[nr++] = l->v[i];
	l->nr = nr;
}

static uint64_t word(struct vl_raw_guest *g, uint64_t va)
{
	uint64_t v;

	return vl_read_u64(g->reader, &g->space, va, &v) ? 0 : v;
}

/* Remove the idle task of each CPU, which is in no list; the order stays. */
static struct vl_error *remove_idle(struct vl_raw_guest *g, struct vl_live_tasks *l)
{
	const enum vl_field need[] = { VL_F_RQ_IDLE, VL_F_TASK_STACK, VL_F_TASK_SP };
	const struct vl_layout *layout = vl_kernel_layout(g->attach->kernel);
	struct vl_totals cpus = { .g = g };
	uint64_t rq;
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "the run queues");

	if (!err)
		err = vl_need_symbol(g, "runqueues", "the run queues", &rq);
	if (!err)
		err = vl_totals_init(&cpus, g);
	for (size_t i = 0; !err && i < cpus.nr_possible; i++) {
		uint64_t idle = word(g, rq + cpus.offsets[i] + vl_offset(layout, VL_F_RQ_IDLE));
		size_t at = vl_bisect(k, l->nr, l->v[k].at < idle);

		/* Each CPU has one: the file lacks that memory. */
		if (!idle)
			remove_zero(l);
		if (at < l->nr && l->v[at].at == idle) {
			memmove(&l->v[at], &l->v[at + 1], (l->nr - at - 1) * sizeof(*l->v));
			l->nr--;
		}
	}
	vl_totals_deinit(&cpus);
	return err;
}

static struct vl_error *end(struct vl_raw_guest *g, struct vl_live_tasks *l, struct vl_error *err)
{
	sort(l);
	if (!err && l->full)
		return vl_error_nomem();
	return err ? err : remove_idle(g, l);
}

/* ---- the CPUs ---- */

/* Entities of one CPU's run queue: every one is a task, or a group's. */
#define QUEUE_MAX (1U << 16)
/* MAX_RT_PRIO, include/linux/sched/prio.h. */
#define RT_PRIORITIES 100

/* The queues of one CPU, those of its groups of tasks included, and what they hold. */
struct queues {
	struct vl_raw_guest *g;
	const struct vl_layout *l;
	struct vl_live_tasks *tasks;
	uint64_t rq;
	uint64_t *v; /* struct cfs_rq or rt_rq */
	size_t nr, cap;
	size_t left; /* entities that may still be seen */
};

/* Add the queue of the group whose entity is at @entity; false: it is a task's. */
static bool add_group(struct queues *q, uint64_t entity, enum vl_field group)
{
	/* Kernels without groups have no such field. */
	uint64_t queue = vl_has(q->l, group) ? word(q->g, entity + vl_offset(q->l, group)) : 0;

	if (!queue)
		return false;
	if (q->nr < QUEUE_MAX && vl_grow(q->v, q->cap, q->nr, 16))
		q->v[q->nr++] = queue;
	return true;
}

static void see_fair(struct queues *q, uint64_t entity)
{
	if (!add_group(q, entity, VL_F_SE_GROUP))
		add_task(q->g, q->tasks, entity - vl_offset(q->l, VL_F_TASK_SE));
}

static void see_fair_node(void *ctx, uint64_t node)
{
	struct queues *q = ctx;

	see_fair(q, node - vl_offset(q->l, VL_F_SE_NODE));
}

static void see_deadline_node(void *ctx, uint64_t node)
{
	struct queues *q = ctx;
	uint64_t entity = node - vl_offset(q->l, VL_F_DL_NODE);

	/* "sched/deadline: Introduce deadline servers" (6.8): those are in struct rq. */
	if (entity - q->rq >= vl_offset(q->l, VL_F_SIZE_RQ))
		add_task(q->g, q->tasks, entity - vl_offset(q->l, VL_F_TASK_DL));
}

static void walk_tree(struct queues *q, uint64_t root, void (*see)(void *ctx, uint64_t node))
{
	/*
	 * The tree of a running guest changes. A later pass finds the tasks that this one misses.
	 */
	vl_tree_each(q->g, word(q->g, root), QUEUE_MAX, see, q);
}

static void see_fair_queues(struct queues *q)
{
	const struct vl_layout *l = q->l;

	if (!vl_has(l, VL_F_RQ_CFS) || !vl_has(l, VL_F_CFS_TREE) || !vl_has(l, VL_F_SE_NODE) ||
	    !vl_has(l, VL_F_TASK_SE) || !vl_grow(q->v, q->cap, 0, 16))
		return;
	q->nr = 0;
	q->v[q->nr++] = q->rq + vl_offset(l, VL_F_RQ_CFS);
	for (size_t i = 0; i < q->nr; i++) {
		/* The entity that runs is not in the tree; its group's others are. */
		uint64_t curr = vl_has(l, VL_F_CFS_CURR) ?
					word(q->g, q->v[i] + vl_offset(l, VL_F_CFS_CURR)) :
					0;

		if (curr)
			see_fair(q, curr);
		walk_tree(q, q->v[i] + vl_offset(l, VL_F_CFS_TREE), see_fair_node);
	}
}

static void see_realtime_queues(struct queues *q)
{
	const struct vl_layout *l = q->l;
	struct vl_fields fs = { .layout = l };

	if (!vl_has(l, VL_F_RQ_RT) || !vl_has(l, VL_F_RT_QUEUE) || !vl_has(l, VL_F_RT_NODE) ||
	    !vl_has(l, VL_F_TASK_RT) || !vl_grow(q->v, q->cap, 0, 16))
		return;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	q->nr = 0;
	q->v[q->nr++] = q->rq + vl_offset(l, VL_F_RQ_RT);
	for (size_t i = 0; i < q->nr; i++) {
		struct vl_walk w = {
			.kind = VL_WALK_LIST,
			.head = q->v[i] + vl_offset(l, VL_F_RT_QUEUE),
			.nr_heads = RT_PRIORITIES,
			.head_stride = 16,
			.node = vl_offset(l, VL_F_RT_NODE),
			.stride = 8,
		};
		const uint64_t *entity;
		size_t nr;

		vl_error_destroy(vl_collect(q->g, &w, &fs, "a run queue", &nr));
		entity = w.records;
		for (size_t k = 0; k < nr; k++)
			if (!add_group(q, entity[k], VL_F_RT_GROUP))
				add_task(q->g, q->tasks, entity[k] - vl_offset(l, VL_F_TASK_RT));
		free(w.records);
	}
}

/* The task that runs on the CPU whose per-CPU variables are at @percpu. */
static uint64_t current_task(struct vl_raw_guest *g, uint64_t percpu)
{
	const struct vl_kernel *k = g->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);

	if (vl_symbol_is(k, "pcpu_hot") && vl_has(l, VL_F_HOT_TASK))
		return word(g, vl_symbol(k, "pcpu_hot") + percpu + vl_offset(l, VL_F_HOT_TASK));
	return vl_symbol_is(k, "current_task") ? word(g, vl_symbol(k, "current_task") + percpu) : 0;
}

struct vl_error *vl_live_tasks_on_cpus(struct vl_raw_guest *g, struct vl_live_tasks *ret)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t rq = vl_symbol(g->attach->kernel, "runqueues");
	struct queues q = { .g = g, .l = l, .tasks = ret };
	struct vl_totals cpus;
	struct vl_error *err = vl_totals_init(&cpus, g);

	for (size_t i = 0; !err && i < cpus.nr_online; i++) {
		uint64_t percpu = cpus.offsets[cpus.online[i]];

		q.rq = rq + percpu;
		add_task(g, ret, current_task(g, percpu));
		if (vl_has(l, VL_F_RQ_CURR))
			add_task(g, ret, word(g, q.rq + vl_offset(l, VL_F_RQ_CURR)));
		see_fair_queues(&q);
		see_realtime_queues(&q);
		if (vl_has(l, VL_F_RQ_DL) && vl_has(l, VL_F_DL_NODE) && vl_has(l, VL_F_TASK_DL))
			walk_tree(&q, q.rq + vl_offset(l, VL_F_RQ_DL), see_deadline_node);
	}
	if (!err)
		vl_totals_deinit(&cpus);
	free(q.v);
	return end(g, ret, err);
}

/* ---- the allocator ---- */

/* Pages whose struct pages are read at a time: those of 2 MiB, which come and go together. */
#define PAGES 512U
/* MAX_ORDER of any configuration, include/linux/mmzone.h; and struct page with all options. */
#define ORDER_MAX 10U
#define PAGE_STRUCT_MAX 256U

/* A slab (include/linux/slub_def.h, mm/slab.h): pages with objects of one size. */
struct slabs {
	struct vl_raw_guest *g;
	struct vl_live_tasks *tasks;
	uint64_t cache, direct, pages; /* the kmem_cache; the direct map; the struct pages */
	uint32_t page_size, cache_at;  /* bytes of a struct page; the place of its cache */
	uint32_t size, pad, order;     /* of an object, and before it; pages are 1 << order */
	uint64_t left;		       /* objects that fit into the guest's RAM */
};

/* The word of variable @name, which KASLR has set; without KASLR it is a constant. */
static uint64_t base_of(struct vl_raw_guest *g, const char *name, uint64_t levels4,
			uint64_t levels5)
{
	uint64_t at = vl_symbol(g->attach->kernel, name);

	if (at)
		return word(g, at);
	return g->space.levels == 5 ? levels5 : levels4;
}

static struct vl_error *find_slabs(struct vl_raw_guest *g, struct slabs *s)
{
	const enum vl_field need[] = { VL_F_SIZE_PAGE, VL_F_CACHE_SIZE, VL_F_CACHE_ORDER,
				       VL_F_TASK_STACK, VL_F_TASK_SP };
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	enum vl_field cache = vl_has(l, VL_F_SLAB_CACHE) ? VL_F_SLAB_CACHE : VL_F_PAGE_CACHE;
	const struct vl_part parts[] = {
		VL_PART(CACHE_SIZE, s->size),
		VL_PART(CACHE_LEFT_PAD, s->pad),
		VL_PART(CACHE_ORDER, s->order),
	};
	uint64_t at, bytes = 0;
	const struct vl_ram *ram;
	size_t nr;
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "the slab of tasks");

	if (!err)
		err = vl_need_fields(g, &cache, 1, "the slab of tasks");
	if (!err)
		err = vl_need_symbol(g, "task_struct_cachep", "the slab of tasks", &at);
	if (err)
		return err;
	s->cache = word(g, at);
	/* Documentation/arch/x86/x86_64/mm.rst */
	s->direct = base_of(g, "page_offset_base", 0xffff888000000000, 0xff11000000000000);
	s->pages = base_of(g, "vmemmap_base", 0xffffea0000000000, 0xffd4000000000000);
	s->page_size = vl_offset(l, VL_F_SIZE_PAGE);
	s->cache_at = vl_offset(l, cache);
	vl_object(g, s->cache, parts, ARRAY_SIZE(parts));
	/* OO_SHIFT, mm/slub.c: the number of objects is in the lower half. */
	s->order >>= 16;
	/*
	 * The end of thread_struct is as long as the CPU's registers are, so it is at most BTF's
	 * size.
	 */
	if (!s->cache || s->order > ORDER_MAX || s->size <= vl_offset(l, VL_F_TASK_SP) ||
	    s->size > VL_PAGE_SIZE << s->order || s->pad > s->size || s->page_size % 8 ||
	    s->cache_at % 8 || s->cache_at >= s->page_size || s->page_size > PAGE_STRUCT_MAX)
		return vl_error_new(VL_ERR_KERNEL,
				    "the slab of tasks makes no sense: objects of %" PRIu32
				    " bytes in pages of order %" PRIu32,
				    s->size, s->order);
	ram = vl_target_ram(g->target, &nr);
	for (size_t i = 0; i < nr; i++)
		bytes += ram[i].size;
	s->left = bytes / s->size;
	return NULL;
}

/* Add the tasks of the slab at guest-physical address @gpa. */
static struct vl_error *see_slab(struct slabs *s, uint64_t gpa)
{
	uint64_t start = s->direct + gpa, size = (uint64_t)VL_PAGE_SIZE << s->order;

	for (uint64_t at = 0; at + s->size <= size; at += s->size) {
		if (!s->left--)
			return vl_error_new(VL_ERR_KERNEL,
					    "the slab of tasks is larger than the memory");
		add_task(s->g, s->tasks, start + at + s->pad);
	}
	return NULL;
}

static struct vl_error *see_pages(struct slabs *s, uint64_t gpa, uint32_t nr, uint8_t *buf)
{
	uint64_t at = s->pages + gpa / VL_PAGE_SIZE * s->page_size, cache;
	struct vl_error *err = NULL;

	/* Not all of the RAM is the kernel's: the firmware keeps some. */
	if (vl_read(s->g->reader, &s->g->space, at, buf, (size_t)nr * s->page_size))
		return NULL;
	for (uint32_t i = 0; !err && i < nr; i++) {
		memcpy(&cache, buf + (size_t)i * s->page_size + s->cache_at, 8);
		if (cache == s->cache)
			err = see_slab(s, gpa + (uint64_t)i * VL_PAGE_SIZE);
	}
	return err;
}

struct vl_error *vl_live_tasks_in_slab(struct vl_raw_guest *g, struct vl_live_tasks *ret)
{
	struct slabs s = { .g = g, .tasks = ret };
	struct vl_error *err = find_slabs(g, &s);
	_cleanup_free_ uint8_t *buf = err ? NULL : malloc((size_t)PAGES * s.page_size);
	const struct vl_ram *ram;
	size_t nr;

	if (err)
		return err;
	if (!buf)
		return vl_error_nomem();
	ram = vl_target_ram(g->target, &nr);
	for (size_t i = 0; !err && i < nr; i++) {
		uint64_t last = ram[i].gpa + ram[i].size;

		for (uint64_t gpa = ram[i].gpa, next; !err && gpa < last; gpa = next) {
			next = gpa - gpa % (PAGES * VL_PAGE_SIZE) + PAGES * VL_PAGE_SIZE;
			if (next > last)
				next = last;
			err = see_pages(&s, gpa, (uint32_t)((next - gpa) / VL_PAGE_SIZE), buf);
		}
	}
	return end(g, ret, err);
}

/* ---- parents and their children ---- */

/* Add the tasks of the list at @head, which is linked at @node; their number counts in *@left. */
static void see_list(struct vl_raw_guest *g, struct vl_live_tasks *l, uint64_t head,
		     enum vl_field node, size_t *left)
{
	struct vl_fields fs = { .layout = vl_kernel_layout(g->attach->kernel) };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = head,
		.node = vl_offset(fs.layout, node),
		.stride = 8,
	};
	const uint64_t *at;
	size_t nr;

	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	/* A list that has gone with its task is not an error: others are complete. */
	vl_error_destroy(vl_collect(g, &w, &fs, "the children", &nr));
	at = w.records;
	for (size_t i = 0; i < nr && *left; i++, --*left)
		add_task(g, l, at[i]);
	free(w.records);
}

static bool has(const struct vl_live_tasks *l, uint64_t at)
{
	size_t i = vl_bisect(k, l->nr, l->v[k].at < at);

	return i < l->nr && l->v[i].at == at;
}

/* Add to @all the tasks that only @found has; @found keeps only these. */
static void take_new(struct vl_live_tasks *all, struct vl_live_tasks *found)
{
	size_t nr = 0;

	sort(found);
	for (size_t i = 0; i < found->nr; i++)
		if (!has(all, found->v[i].at))
			found->v[nr++] = found->v[i];
	found->nr = nr;
	for (size_t i = 0; i < nr; i++) {
		if (!vl_grow(all->v, all->cap, all->nr, 256)) {
			all->full = true;
			break;
		}
		all->v[all->nr++] = found->v[i];
	}
	sort(all);
}

struct vl_error *vl_live_tasks_of_parents(struct vl_raw_guest *g, struct vl_live_tasks *ret)
{
	const enum vl_field need[] = { VL_F_TASK_CHILDREN, VL_F_TASK_SIBLING, VL_F_TASK_SIGNAL,
				       VL_F_SIGNAL_THREAD_HEAD, VL_F_TASK_THREAD_NODE };
	struct vl_fields fs = { .layout = vl_kernel_layout(g->attach->kernel) };
	struct vl_walk w = { .stride = 8 };
	struct vl_live_tasks now = { .nr = 0 };
	size_t nr, left = VL_COLLECT_MAX;
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "the children");

	if (err)
		return err;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect_tasks(g, &w, &fs, &nr);
	for (size_t i = 0; i < nr; i++)
		add_task(g, &now, ((const uint64_t *)w.records)[i]);
	free(w.records);
	add_task(g, &now, vl_symbol(g->attach->kernel, "init_task"));
	/* Each round has the children and threads of those that the last one has found. */
	for (take_new(ret, &now); !err && now.nr && left;) {
		struct vl_live_tasks next = { .nr = 0 };

		for (size_t i = 0; i < now.nr && left; i++) {
			uint64_t at = now.v[i].at;
			uint64_t signal = word(g, at + vl_offset(fs.layout, VL_F_TASK_SIGNAL));

			see_list(g, &next, at + vl_offset(fs.layout, VL_F_TASK_CHILDREN),
				 VL_F_TASK_SIBLING, &left);
			if (signal && now.v[i].first)
				see_list(g, &next,
					 signal + vl_offset(fs.layout, VL_F_SIGNAL_THREAD_HEAD),
					 VL_F_TASK_THREAD_NODE, &left);
		}
		ret->full |= next.full;
		take_new(ret, &next);
		vl_live_tasks_deinit(&now);
		now = next;
	}
	vl_live_tasks_deinit(&now);
	if (!err && !left)
		err = vl_error_new(VL_ERR_KERNEL, "the lists of children have more than %u tasks",
				   VL_COLLECT_MAX);
	return end(g, ret, err);
}
