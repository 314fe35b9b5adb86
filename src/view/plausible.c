/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sample.h"

#include <inttypes.h>
#include <string.h>

#include "../base/array.h"

#define YEAR_NS (365UL * 24 * 3600 * 1000000000)
/* Times the guest's RAM: memory may have been plugged in since its map was made. */
#define RAM_TIMES 16

/* The limits of figures, by the name of their column. */
static const struct limit {
	const char *column;
	int64_t least, most; /* inclusive; times in ns */
	bool of_ram;	     /* `most` is a multiple of the guest's RAM */
} limits[] = {
	/* PID_MAX_LIMIT, include/linux/threads.h; 0 is the idle task, or no parent. */
	{ "PID", 0, 4 << 20, false },
	{ "PPID", 0, 4 << 20, false },
	{ "THREADS", 0, 4 << 20, false },
	/*
	 * MAX_NICE and the like, include/linux/sched/prio.h; -101 is a task of the deadline
	 * class.
	 */
	{ "NICE", -20, 19, false },
	{ "PRI", -101, 39, false },
	{ "START", 0, 100 * YEAR_NS, false },
	{ "TIME", 0, 100 * YEAR_NS, false },
	{ "UPTIME", 0, 100 * YEAR_NS, false },
	/* Five levels of paging, include/asm/page_64_types.h. */
	{ "VSZ_BYTES", 0, 1L << 56, false },
	/*
	 * A page counts as often as it is mapped, a page of a memfd many times. So RAM is not a
	 * limit.
	 */
	{ "RSS_BYTES", 0, 1L << 56, false },
	{ "TOTAL_BYTES", 0, RAM_TIMES, true },
	{ "USED_BYTES", 0, RAM_TIMES, true },
	{ "FREE_BYTES", 0, RAM_TIMES, true },
	{ "SHARED_BYTES", 0, RAM_TIMES, true },
	{ "CACHE_BYTES", 0, RAM_TIMES, true },
	{ "AVAILABLE_BYTES", 0, RAM_TIMES, true },
	/* No machine has 128 TiB of swap. */
	{ "SWAP_TOTAL_BYTES", 0, 1L << 47, false },
	{ "SWAP_USED_BYTES", 0, 1L << 47, false },
	{ "SWAP_FREE_BYTES", 0, 1L << 47, false },
	/* The load counts tasks, here in hundredths. */
	{ "LOAD", 0, 100L * (4 << 20), false },
};

static const struct limit *limit_of(const char *column)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (!strcmp(limits[i].column, column))
			return &limits[i];
	return NULL;
}

static int64_t ram_of(struct vl_target *target)
{
	const struct vl_ram *ram;
	uint64_t bytes = 0;
	size_t nr;

	ram = vl_target_ram(target, &nr);
	for (size_t i = 0; i < nr; i++)
		bytes += ram[i].size;
	return bytes < 1UL << 56 ? (int64_t)bytes : 1L << 56;
}

static bool fits(const struct limit *l, int64_t value, int64_t ram)
{
	return value >= l->least && value <= (l->of_ram ? l->most * ram : l->most);
}

/* Is the figure within its limits? The first that is not sets *@err. */
static bool check(struct vl_target *target, const char *column, int64_t value,
		  struct vl_error **err)
{
	const struct limit *l = limit_of(column);
	bool fit = fits(l, value, l->of_ram ? ram_of(target) : 0);

	if (!fit && !*err)
		*err = vl_error_hint(vl_error_new(VL_ERR_KERNEL,
						  "the guest's memory does not look like a running "
						  "kernel's: %s cannot be %" PRId64,
						  column, value),
				     "that is left out; try again");
	return fit;
}

struct vl_error *vl_plausible_table(struct vl_target *target, struct vl_table *t)
{
	struct vl_error *err = NULL;

	for (size_t k = 0; k < t->nr_columns; k++) {
		const struct limit *l = limit_of(t->columns[k].name);
		enum vl_cell_kind kind = t->columns[k].kind;

		/* Addresses have no limit. */
		if (!l ||
		    (kind != VL_CELL_INT && kind != VL_CELL_UINT && kind != VL_CELL_SECONDS) ||
		    (l->of_ram && kind != VL_CELL_UINT))
			continue;
		for (size_t i = 0; i < t->nr_rows; i++) {
			struct vl_cell *c = &t->cells[i * t->nr_columns + k];

			if (c->kind != kind)
				continue;
			if (!check(target, t->columns[k].name, c->i, &err))
				*c = (struct vl_cell){ .kind = VL_CELL_NONE };
		}
	}
	t->partial = err != NULL;
	return err;
}

struct vl_error *vl_plausible_totals(struct vl_target *target, struct vl_top_sample *sample)
{
	struct vl_error *err = NULL;

	if (!check(target, "UPTIME", (int64_t)sample->uptime, &err))
		sample->uptime = 0;
	if (!check(target, "TOTAL_BYTES", (int64_t)sample->mem.total, &err))
		memset(&sample->mem, 0, sizeof(sample->mem));
	if (!check(target, "SWAP_TOTAL_BYTES", (int64_t)sample->swap.total, &err))
		memset(&sample->swap, 0, sizeof(sample->swap));
	for (size_t i = 0; i < 3; i++)
		if (!check(target, "LOAD", sample->load[i], &err))
			memset(sample->load, 0, sizeof(sample->load));
	return err;
}

struct vl_error *vl_plausible_tasks(struct vl_target *target, struct vl_top_sample *sample)
{
	const struct limit *pid = limit_of("PID"), *threads = limit_of("THREADS"),
			   *start = limit_of("START"), *rss = limit_of("RSS_BYTES");
	struct vl_error *err = NULL;
	int64_t ram = ram_of(target);
	size_t kept = 0;

	for (size_t i = 0; i < sample->nr_tasks; i++) {
		const struct vl_top_task *p = &sample->tasks[i];

		if ((fits(pid, p->pid, ram) && fits(threads, p->threads, ram) &&
		     fits(start, (int64_t)p->start, ram) && fits(rss, (int64_t)p->res, ram)) ||
		    (check(target, "PID", p->pid, &err) &&
		     check(target, "THREADS", p->threads, &err) &&
		     check(target, "START", (int64_t)p->start, &err) &&
		     check(target, "RSS_BYTES", (int64_t)p->res, &err)))
			sample->tasks[kept++] = *p;
	}
	sample->nr_tasks = kept;
	return err;
}
