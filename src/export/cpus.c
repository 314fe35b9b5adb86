/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The time of each CPU in each mode, as /proc/stat has it. */
#include <stdio.h>

#include "../base/array.h"
#include "collect.h"

/* enum cpu_usage_stat, include/linux/kernel_stat.h, by node_exporter's names. */
enum { IDLE = 5, IOWAIT = 6 };
static const char *const modes[] = { "user", "nice", "system", "softirq",
				     "irq",  "idle", "iowait", "steal" };

/*
 * get_idle_time(), fs/proc/stat.c: where a CPU that is idle stops its tick, its sleeps are counted
 * apart, and ticks do not count (until 7.x, which has them in its times). The sleep that lasts is
 * added when it ends.
 */
static void take_sleeps(const struct vl_collector *c, uint64_t offset,
			uint64_t times[ARRAY_SIZE(modes)])
{
	uint64_t sched = vl_symbol(c->k, "tick_cpu_sched"), idle, iowait;

	if (!sched || !vl_has(c->l, VL_F_TICK_IDLE_SLEEP) || !vl_has(c->l, VL_F_TICK_IOWAIT_SLEEP))
		return;
	sched += offset;
	idle = vl_export_word(c, sched + vl_offset(c->l, VL_F_TICK_IDLE_SLEEP));
	iowait = vl_export_word(c, sched + vl_offset(c->l, VL_F_TICK_IOWAIT_SLEEP));
	/* With nohz=off both stay 0. */
	if (!idle && !iowait)
		return;
	times[IDLE] = idle;
	times[IOWAIT] = iowait;
}

void vl_export_cpus(struct vl_collector *c)
{
	const struct vl_totals *cpus = &c->top->totals;
	uint64_t base = vl_symbol(c->k, "kernel_cpustat");

	if (!vl_symbol_is(c->k, "kernel_cpustat") || !vl_has(c->l, VL_F_CPUSTAT_TIMES))
		return;
	base += vl_offset(c->l, VL_F_CPUSTAT_TIMES);
	for (size_t i = 0; i < cpus->nr_online; i++) {
		uint64_t times[ARRAY_SIZE(modes)], offset = cpus->offsets[cpus->online[i]];
		char number[16];

		if (!vl_export_read(c, base + offset, times, sizeof(times)))
			continue;
		take_sleeps(c, offset, times);
		snprintf(number, sizeof(number), "%u", cpus->online[i]);
		for (size_t m = 0; m < ARRAY_SIZE(modes); m++)
			VL_SAMPLE(c->t, CPU, times[m], number, modes[m]);
	}
}
