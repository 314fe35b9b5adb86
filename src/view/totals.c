/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "collect.h"

#define PAGE 4096UL
#define MAX_NODES 64
#define MAX_ZONES 8

/* enum cpu_usage_stat, include/linux/kernel_stat.h: the order of /proc/stat. */
enum {
	CPUTIME_USER,
	CPUTIME_NICE,
	CPUTIME_SYSTEM,
	CPUTIME_SOFTIRQ,
	CPUTIME_IRQ,
	CPUTIME_IDLE,
	CPUTIME_IOWAIT,
	CPUTIME_STEAL,
	NR_CPUTIMES
};

const char *const vl_totals_symbols[] = {
	"init_task",
	"start_secondary?__per_cpu_offset",
	"start_secondary?nr_cpu_ids",
	"start_secondary?__cpu_online_mask",
	"kernel_cpustat",
	"_totalram_pages",
	"totalreserve_pages",
	"vm_zone_stat",
	"vm_node_stat",
	"si_swapinfo?nr_swap_pages",
	"si_swapinfo?total_swap_pages",
	"node_data|contig_page_data",
	"avenrun",
	"init_uts_ns",
	"tk_core|timekeeper_data",
	NULL,
};

const enum vl_field vl_cpu_fields[] = { VL_F_CPUSTAT_TIMES, VL_F_RQ_CURR, VL_F_RQ_IDLE,
					VL_NR_FIELDS };

const enum vl_field vl_memory_fields[] = {
	VL_F_SIZE_ZONE,
	VL_F_ZONE_WATERMARK,
	VL_F_WMARK_LOW,
	VL_F_NODE_NR_ZONES,
	VL_F_NODE_ZONES,
	VL_F_ZONE_FREE_PAGES,
	VL_F_NODE_ACTIVE_FILE,
	VL_F_NODE_INACTIVE_FILE,
	VL_F_NODE_SLAB_RECLAIMABLE,
	VL_F_NODE_MISC_RECLAIMABLE,
	VL_F_NODE_FILE_PAGES,
	VL_F_NODE_SHMEM,
	VL_NR_FIELDS,
};

static uint64_t symbol(const struct vl_totals *t, const char *name)
{
	return vl_symbol(t->g->attach->kernel, name);
}

static bool read_at(struct vl_totals *t, uint64_t va, void *buf, size_t len)
{
	const bool good = va && !vl_read(t->g->reader, &t->g->space, va, buf, len);

	t->failed |= va && !good;
	return good;
}

static uint64_t read_word(struct vl_totals *t, uint64_t va)
{
	uint64_t v = 0;

	return read_at(t, va, &v, sizeof(v)) ? v : 0;
}

/* A count of pages. CPUs add to it in batches, so it can be negative. */
static uint64_t read_count(struct vl_totals *t, const char *array, enum vl_field index)
{
	const struct vl_layout *l = vl_kernel_layout(t->g->attach->kernel);
	uint64_t va = symbol(t, array);
	int64_t v;

	if (!va || !vl_has(l, index))
		return 0;
	v = (int64_t)read_word(t, va + 8 * vl_offset(l, index));
	return v > 0 ? (uint64_t)v : 0;
}

/* The marks above which memory counts as available: si_mem_available(), mm/show_mem.c. */
static void read_watermarks(struct vl_totals *t)
{
	const struct vl_layout *l = vl_kernel_layout(t->g->attach->kernel);
	uint64_t nodes = symbol(t, "node_data"), alone = symbol(t, "contig_page_data");
	uint32_t size = vl_offset(l, VL_F_SIZE_ZONE), mark = vl_offset(l, VL_F_ZONE_WATERMARK);

	if (!size || !vl_has(l, VL_F_WMARK_LOW))
		return;
	mark += 8 * vl_offset(l, VL_F_WMARK_LOW);
	for (unsigned i = 0; i < MAX_NODES; i++) {
		uint64_t node = nodes ? read_word(t, nodes + 8 * i) : i ? 0 : alone;
		uint32_t nr = 0;

		if (!node || !read_at(t, node + vl_offset(l, VL_F_NODE_NR_ZONES), &nr, sizeof(nr)))
			break;
		for (uint32_t k = 0; k < nr && k < MAX_ZONES; k++)
			t->wmark_low += read_word(t, node + vl_offset(l, VL_F_NODE_ZONES) +
							     k * size + mark);
	}
}

/* Read the variable at @va, if the kernel has it (@va is not 0). */
static struct vl_error *read_known(struct vl_totals *t, uint64_t va, void *buf, size_t len)
{
	return va ? vl_read_error(vl_read(t->g->reader, &t->g->space, va, buf, len), va) : NULL;
}

static struct vl_error *find_cpus(struct vl_totals *t)
{
	bool up = vl_kernel_is_up(t->g->attach->kernel);
	uint64_t offsets = 0, mask[VL_MAX_CPUS / 64] = { 1 };
	struct vl_error *err = NULL;
	uint32_t nr = 1;

	if (!up)
		err = vl_need_symbol(t->g, "__per_cpu_offset", "its CPUs", &offsets);
	if (err)
		return err;
	/* With room for one CPU only it is a constant, and no symbol. */
	err = read_known(t, symbol(t, "nr_cpu_ids"), &nr, sizeof(nr));
	if (!nr || nr > VL_MAX_CPUS)
		nr = 1;
	if (!err && !up)
		err = read_known(t, symbol(t, "__cpu_online_mask"), mask, (nr + 63) / 64 * 8);
	if (err)
		return err;
	t->offsets = calloc(nr, sizeof(*t->offsets));
	t->online = calloc(nr, sizeof(*t->online));
	if (!t->offsets || !t->online)
		return vl_error_nomem();
	t->nr_possible = nr;
	if (!up)
		err = vl_read_error(vl_read(t->g->reader, &t->g->space, offsets, t->offsets,
					    nr * sizeof(*t->offsets)),
				    offsets);
	for (unsigned i = 0; !err && i < nr; i++)
		if (mask[i / 64] >> i % 64 & 1)
			t->online[t->nr_online++] = i;
	return err;
}

/*
 * The kernel counts the pages of its swap cache among others, since b6038942480e ("mm: memcg: add
 * swapcache stat for memcg v2"); before, a function does. One without swap space has none.
 */
static struct vl_error *need_swap_cache(struct vl_totals *t)
{
	static const enum vl_field cache[] = { VL_F_NODE_SWAPCACHE };
	const struct vl_kernel *k = t->g->attach->kernel;

	if (!vl_kernel_layout(k)->derived || vl_symbol_is(k, "total_swapcache_pages") ||
	    !vl_symbol_is(k, "si_swapinfo"))
		return NULL;
	return vl_need_fields(t->g, cache, 1, "memory");
}

struct vl_error *vl_totals_init(struct vl_totals *t, struct vl_raw_guest *g)
{
	struct vl_error *err;

	*t = (struct vl_totals){ .g = g };
	err = need_swap_cache(t);
	if (!err)
		err = find_cpus(t);
	if (err) {
		vl_totals_deinit(t);
		return err;
	}
	t->failed = false;
	read_watermarks(t);
	t->lacks_marks = t->failed;
	return NULL;
}

void vl_totals_deinit(struct vl_totals *t)
{
	free(t->offsets);
	free(t->online);
	*t = (struct vl_totals){ .g = NULL };
}

/* ---- CPUs ---- */

static const struct vl_top_cpu *same_cpu(const struct vl_top_sample *last, size_t i,
					 unsigned number)
{
	return last && i < last->nr_cpus && last->cpus[i].number == number ? &last->cpus[i] : NULL;
}

/* The part of @elapsed ns, in tenths of a percent. */
static int32_t share(uint64_t now, uint64_t before, uint64_t elapsed)
{
	uint64_t d = now > before ? now - before : 0;

	if (!elapsed || d > elapsed)
		return elapsed ? 1000 : VL_TOP_UNKNOWN;
	return (int32_t)((d * 1000 + elapsed / 2) / elapsed);
}

/*
 * Set what is known of the idle time of CPU @i: the sleeps that have ended, and ticks. The sleeps
 * are counted apart, until they are a part of the CPU's times (7.x).
 */
static void sample_idle(struct vl_totals *t, unsigned i, const uint64_t times[NR_CPUTIMES],
			struct vl_top_cpu *c)
{
	const struct vl_layout *l = vl_kernel_layout(t->g->attach->kernel);
	uint64_t sched = symbol(t, "tick_cpu_sched"), rq = symbol(t, "runqueues"), curr, idle;
	bool counts = sched && vl_has(l, VL_F_TICK_IDLE_SLEEP) && vl_has(l, VL_F_TICK_IOWAIT_SLEEP);

	c->waited = times[CPUTIME_IDLE] + times[CPUTIME_IOWAIT];
	c->slept = 0;
	/* In a layout that was derived, a field that is missing may be there. */
	c->idles = !counts && l->derived;
	if (counts) {
		sched += t->offsets[i];
		c->slept = read_word(t, sched + vl_offset(l, VL_F_TICK_IDLE_SLEEP)) +
			   read_word(t, sched + vl_offset(l, VL_F_TICK_IOWAIT_SLEEP));
	}
	if (!rq || !vl_has(l, VL_F_RQ_CURR) || !vl_has(l, VL_F_RQ_IDLE)) {
		c->idles = true;
		return;
	}
	rq += t->offsets[i];
	curr = read_word(t, rq + vl_offset(l, VL_F_RQ_CURR));
	idle = read_word(t, rq + vl_offset(l, VL_F_RQ_IDLE));
	c->idles |= !curr || curr == idle;
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/* The uses of a CPU in @elapsed ns. */
static void sample_cpu(struct vl_top_cpu *c, const uint64_t times[NR_CPUTIMES],
		       const struct vl_top_cpu *was, uint64_t elapsed)
{
	static const struct {
		unsigned char use, time;
	} of[] = {
		{ VL_USE_USER, CPUTIME_USER },	   { VL_USE_NICE, CPUTIME_NICE },
		{ VL_USE_SYSTEM, CPUTIME_SYSTEM }, { VL_USE_IRQ, CPUTIME_IRQ },
		{ VL_USE_IRQ, CPUTIME_SOFTIRQ },   { VL_USE_STEAL, CPUTIME_STEAL },
	};
	uint64_t all = 0, idle, counted;

	memset(c->ns, 0, sizeof(c->ns));
	for (size_t i = 0; i < ARRAY_SIZE(of); i++)
		c->ns[of[i].use] += times[of[i].time];
	for (size_t i = 0; was && i < VL_NR_USES; i++)
		all += grown(c->ns[i], was->ns[i]);
	/*
	 * If the host runs the CPU too little, the guest misses ticks, and counts less than the
	 * time that has passed. As for a program in the guest, the uses are then shares of what was
	 * counted. The time that a CPU sleeps is counted when the sleep ends, so it is not known of
	 * a CPU that is idle now.
	 */
	c->lost = VL_TOP_UNKNOWN;
	if (was && !was->idles && !c->idles && all) {
		idle = grown(c->slept, was->slept);
		counted = grown(c->waited, was->waited);
		counted = all + (idle > counted ? idle : counted);
		c->lost = share(grown(elapsed, counted), 0, elapsed);
		elapsed = counted;
	}
	for (size_t i = 0; i < VL_NR_USES; i++)
		c->use[i] = was ? share(c->ns[i], was->ns[i], elapsed) : VL_TOP_UNKNOWN;
	c->busy = was ? share(all, 0, elapsed) : VL_TOP_UNKNOWN;
}

static void sample_cpus(struct vl_totals *t, const struct vl_top_sample *last,
			struct vl_top_sample *ret)
{
	const struct vl_kernel *k = t->g->attach->kernel;
	/* 7.x has other fields before the times, for idle CPUs. */
	uint32_t at = vl_offset(vl_kernel_layout(k), VL_F_CPUSTAT_TIMES);
	uint64_t base = symbol(t, "kernel_cpustat") + at,
		 elapsed = last ? ret->at_ns - last->at_ns : 0;
	struct vl_top_cpu *more = reallocarray(ret->cpus, t->nr_online, sizeof(*more));
	int64_t busy = 0, lost = 0;

	ret->nr_cpus = 0;
	ret->busy = ret->lost = VL_TOP_UNKNOWN;
	if (!more || !vl_symbol_is(k, "kernel_cpustat") ||
	    !vl_has(vl_kernel_layout(k), VL_F_CPUSTAT_TIMES))
		return;
	ret->cpus = more;
	for (size_t i = 0; i < t->nr_online; i++) {
		unsigned number = t->online[i];
		struct vl_top_cpu *c = &ret->cpus[ret->nr_cpus];
		const struct vl_top_cpu *was = same_cpu(last, ret->nr_cpus, number);
		uint64_t times[NR_CPUTIMES];

		if (!read_at(t, base + t->offsets[number], times, sizeof(times)))
			continue;
		c->number = number;
		sample_idle(t, number, times, c);
		sample_cpu(c, times, was, elapsed);
		busy = c->busy < 0 || busy < 0 ? -1 : busy + c->busy;
		lost += c->lost > 0 ? c->lost : 0;
		ret->nr_cpus++;
	}
	if (!ret->nr_cpus || busy < 0)
		return;
	ret->busy = (int32_t)(busy / (int64_t)ret->nr_cpus);
	ret->lost = (int32_t)(lost / (int64_t)ret->nr_cpus);
}

/* ---- memory ---- */

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void sample_memory(struct vl_totals *t, struct vl_top_sample *ret)
{
	uint64_t total = read_word(t, symbol(t, "_totalram_pages"));
	uint64_t free_pages = read_count(t, "vm_zone_stat", VL_F_ZONE_FREE_PAGES);
	uint64_t files = read_count(t, "vm_node_stat", VL_F_NODE_ACTIVE_FILE) +
			 read_count(t, "vm_node_stat", VL_F_NODE_INACTIVE_FILE);
	uint64_t slab = read_count(t, "vm_node_stat", VL_F_NODE_SLAB_RECLAIMABLE);
	uint64_t reclaimable = slab + read_count(t, "vm_node_stat", VL_F_NODE_MISC_RECLAIMABLE);
	uint64_t cache = read_count(t, "vm_node_stat", VL_F_NODE_FILE_PAGES) + slab;
	uint64_t swapped = read_count(t, "vm_node_stat", VL_F_NODE_SWAPCACHE);
	uint64_t available, shared = read_count(t, "vm_node_stat", VL_F_NODE_SHMEM);
	int64_t swap;

	cache = less(cache, swapped);
	memset(&ret->mem, 0, sizeof(ret->mem));
	/* As in si_mem_available(), mm/show_mem.c. */
	available = less(free_pages, read_word(t, symbol(t, "totalreserve_pages")));
	available += files - least(files / 2, t->wmark_low);
	available += reclaimable - least(reclaimable / 2, t->wmark_low);
	/* A part of a sum is no sum. */
	if (t->failed)
		total = 0;
	ret->no_available = t->lacks_marks;
	/* The limits are checked later, on the whole sample (plausible.c). */
	if (total && total < 1UL << 51) {
		ret->mem.total = total * PAGE;
		ret->mem.free = least(free_pages, total) * PAGE;
		ret->mem.available = least(available, total) * PAGE;
		ret->mem.cache = least(cache, total) * PAGE;
		ret->mem.shared = least(shared, total) * PAGE;
	}
	t->failed = false;
	swap = (int64_t)read_word(t, symbol(t, "nr_swap_pages"));
	ret->swap.total = least(read_word(t, symbol(t, "total_swap_pages")), 1UL << 50) * PAGE;
	ret->swap.free = least(swap > 0 ? (uint64_t)swap * PAGE : 0, ret->swap.total);
	ret->no_swap = t->failed;
}

/* avenrun is in 1/2048 (FSHIFT, include/linux/sched/loadavg.h), rounded as there. */
static void sample_load(struct vl_totals *t, struct vl_top_sample *ret)
{
	uint64_t load[3] = { 0 };

	ret->no_load = !read_at(t, symbol(t, "avenrun"), load, sizeof(load));
	for (size_t i = 0; i < 3; i++)
		ret->load[i] = (uint32_t)(((load[i] & 0xffffffff) + 2048 / 200) * 100 / 2048);
}

static void read_name(struct vl_totals *t, enum vl_field f, char name[65])
{
	const struct vl_layout *l = vl_kernel_layout(t->g->attach->kernel);
	uint64_t uts = symbol(t, "init_uts_ns");

	name[0] = '\0';
	if (uts && vl_has(l, f))
		vl_read_string(t->g->reader, &t->g->space, uts + vl_offset(l, f), name, 65);
}

struct vl_error *vl_totals_sample(struct vl_totals *t, const struct vl_top_sample *last,
				  struct vl_top_sample *ret)
{
	sample_cpus(t, last, ret);
	t->failed = false;
	sample_memory(t, ret);
	sample_load(t, ret);
	read_name(t, VL_F_UTS_RELEASE, ret->release);
	read_name(t, VL_F_UTS_NODENAME, ret->node);
	if (!vl_raw_guest_uptime(t->g, &ret->uptime))
		ret->uptime = 0;
	return vl_plausible_totals(t->g->target, ret);
}

struct vl_error *vl_totals_once(struct vl_raw_guest *g, struct vl_top_sample *ret)
{
	struct vl_totals t;
	struct vl_error *err = vl_totals_init(&t, g);

	if (err)
		return err;
	err = vl_totals_sample(&t, NULL, ret);
	vl_totals_deinit(&t);
	return err;
}
