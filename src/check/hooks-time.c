/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that the kernel calls later: timers, high-resolution timers, work. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "hooks.h"

/* CONFIG_NR_CPUS is at most this (arch/x86/Kconfig). */
#define CPUS_MAX 8192
/* Timers of one tree, and levels of a wheel: a bound against a hostile guest. */
#define TREE_MAX (1UL << 20)
#define WHEEL_MAX 1024
/* HRTIMER_MAX_CLOCK_BASES, include/linux/hrtimer.h. */
#define CLOCKS_MAX 8

/* A timer, a high-resolution timer or work, and its function. */
struct later {
	uint64_t at, fn;
};

/*
 * Check a function that is called later. In a file that was written while the guest ran, timers and
 * work are of several points in time, and memory of some holds other data by now.
 */
static void check_function(struct vl_checker *c, const char *check, const char *what, uint64_t at,
			   uint64_t fn)
{
	const struct vl_hook h = { check, at, what, fn, false };

	if (!vl_target_moved(c->g->target))
		vl_hook_check(c, &h);
	else if (!vl_hook_is_fine(c, &h))
		c->nr_doubtful++;
}

static void show_doubtful(struct vl_checker *c)
{
	char found[96];

	snprintf(found, sizeof(found),
		 "%" PRIu64 " lead to no code; the file was written while the guest ran",
		 c->nr_doubtful);
	if (c->nr_doubtful)
		vl_check_show(c, &(struct vl_check_row){ .class = VL_CHECK_NOTE,
							 .unsure = true,
							 .check = "timers",
							 .what = "timers and work",
							 .found = found });
}

/* ---- timers ---- */

/* A timer of delayed work only starts the work, whose function counts. */
static uint64_t function_of(struct vl_checker *c, const struct later *t)
{
	uint64_t fn;

	if (t->fn != vl_symbol(c->k, "delayed_work_timer_fn") || !t->fn ||
	    !vl_has(c->l, VL_F_DWORK_TIMER) || !vl_has(c->l, VL_F_DWORK_FUNC))
		return t->fn;
	return vl_hook_word(c,
			    t->at - vl_offset(c->l, VL_F_DWORK_TIMER) +
				    vl_offset(c->l, VL_F_DWORK_FUNC),
			    &fn) ?
		       fn :
		       t->fn;
}

/* Collect and check one kind; a running guest changes these lists all the time. */
static void check_later(struct vl_checker *c, struct vl_walk *w, enum vl_field fn,
			const char *check, const char *what)
{
	struct vl_fields fs = { .layout = c->l };
	const struct later *t;
	struct vl_error *err;
	size_t nr;

	w->stride = sizeof(struct later);
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct later, at));
	vl_fields_add(&fs, fn, offsetof(struct later, fn), 8);
	err = vl_collect(c->g, w, &fs, check, &nr);
	t = w->records;
	for (size_t i = 0; i < nr; i++)
		check_function(c, check, what, t[i].at, function_of(c, &t[i]));
	free(w->records);
	if (err)
		vl_hook_incomplete(c, check, "a list");
	vl_error_destroy(err);
}

static void check_timers(struct vl_checker *c, uint64_t percpu)
{
	/* "timers: Implement the hierarchical pull model" (6.9): one more base */
	size_t nr = vl_symbol(c->k, "timer_expire_remote") ? 3 : 2;
	uint64_t at = vl_symbol(c->k, "timer_bases");
	size_t size = vl_offset(c->l, VL_F_SIZE_TIMER_BASE);
	uint32_t vectors = vl_offset(c->l, VL_F_TIMER_VECTORS);

	if (!vl_has(c->l, VL_F_TIMER_FUNCTION) || !vl_has(c->l, VL_F_TIMER_ENTRY) || !vectors ||
	    size <= vectors || (size - vectors) / 8 > WHEEL_MAX)
		return;
	for (size_t i = 0; i < nr; i++) {
		struct vl_walk w = {
			.kind = VL_WALK_CHAIN,
			.head = at + percpu + i * size + vectors,
			.node = vl_offset(c->l, VL_F_TIMER_ENTRY),
			.nr_heads = (uint32_t)(size - vectors) / 8,
			.head_stride = 8,
		};

		check_later(c, &w, VL_F_TIMER_FUNCTION, "timers", "a timer");
	}
}

/* ---- high-resolution timers ---- */

static void check_hrtimer(void *ctx, uint64_t node)
{
	struct vl_checker *c = ctx;
	uint64_t timer = node - vl_offset(c->l, VL_F_HRTIMER_NODE), fn;

	if (vl_hook_word(c, timer + vl_offset(c->l, VL_F_HRTIMER_FUNCTION), &fn))
		check_function(c, "timers", "a timer", timer, fn);
}

static void check_hrtimers(struct vl_checker *c, uint64_t percpu)
{
	uint64_t at =
		vl_symbol(c->k, "hrtimer_bases") + percpu + vl_offset(c->l, VL_F_HRTIMER_CLOCKS);
	size_t size = vl_offset(c->l, VL_F_SIZE_HRTIMER_CLOCK);

	if (!vl_symbol_is(c->k, "hrtimer_bases") || !size || !vl_has(c->l, VL_F_HRTIMER_ACTIVE) ||
	    !vl_has(c->l, VL_F_HRTIMER_NODE) || !vl_has(c->l, VL_F_HRTIMER_FUNCTION))
		return;
	for (size_t i = 0; i < CLOCKS_MAX; i++) {
		uint64_t first;

		if (vl_hook_word(c, at + i * size + vl_offset(c->l, VL_F_HRTIMER_ACTIVE), &first) &&
		    !vl_tree_each(c->g, first, TREE_MAX, check_hrtimer, c))
			vl_hook_incomplete(c, "timers", "a tree");
	}
}

/* ---- work ---- */

static struct vl_error *check_work(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = vl_walk_idr(c->g, "worker_pool_idr", 8);
	const uint64_t *pool;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(c->l, VL_F_POOL_WORKLIST) || !vl_has(c->l, VL_F_WORK_FUNC))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect(c->g, &w, &fs, "the pools of workers", &nr);
	pool = w.records;
	for (size_t i = 0; i < nr; i++) {
		struct vl_walk waits = {
			.kind = VL_WALK_LIST,
			.head = pool[i] + vl_offset(c->l, VL_F_POOL_WORKLIST),
			.node = vl_offset(c->l, VL_F_WORK_ENTRY),
		};
		struct vl_walk runs = {
			.kind = VL_WALK_LIST,
			.head = pool[i] + vl_offset(c->l, VL_F_POOL_WORKERS),
			.node = vl_offset(c->l, VL_F_WORKER_NODE),
		};

		check_later(c, &waits, VL_F_WORK_FUNC, "work", "work that waits");
		if (vl_has(c->l, VL_F_POOL_WORKERS) && vl_has(c->l, VL_F_WORKER_FUNC))
			check_later(c, &runs, VL_F_WORKER_FUNC, "work", "work that runs");
	}
	free(w.records);
	return err;
}

struct vl_error *vl_check_later(struct vl_checker *c)
{
	_cleanup_free_ uint64_t *percpu = NULL;
	uint64_t at = 0, cpus = 1, number = vl_symbol(c->k, "nr_cpu_ids");
	bool up = vl_kernel_is_up(c->k);
	struct vl_error *err =
		up ? NULL : vl_need_symbol(c->g, "__per_cpu_offset", "its CPUs", &at);
	uint32_t nr;

	if (err)
		return err;
	if (number && !vl_read_u32(c->g->reader, &c->g->space, number, &nr))
		cpus = nr < CPUS_MAX ? nr : CPUS_MAX;
	percpu = calloc(cpus, sizeof(*percpu));
	if (!percpu)
		return vl_error_nomem();
	if (!up)
		err = vl_read_error(
			vl_read(c->g->reader, &c->g->space, at, percpu, cpus * sizeof(*percpu)),
			at);
	for (uint64_t i = 0; !err && i < cpus; i++) {
		if (!percpu[i] && !up)
			continue;
		if (vl_symbol_is(c->k, "timer_bases"))
			check_timers(c, percpu[i]);
		check_hrtimers(c, percpu[i]);
	}
	if (!err)
		err = check_work(c);
	show_doubtful(c);
	return err;
}
