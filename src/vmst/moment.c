/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "moment.h"

#include <time.h>

#include "../target/port.h"
#define MAX_CPUS 8192

struct percpu_vars {
	uint64_t offsets, preempt, current;
	uint32_t nr;
	int32_t pid_at;
};

static bool read_virt(const struct vl_contact *c, uint64_t va, void *buf, size_t len)
{
	return vl_target_read_virt(c->target, &c->pt, va, buf, len);
}

static bool find_vars(const struct vl_contact *c, struct percpu_vars *v)
{
	const struct vl_layout *l = vl_kernel_layout(c->kernel);
	uint64_t hot = vl_symbol(c->kernel, "pcpu_hot"), ids = vl_symbol(c->kernel, "nr_cpu_ids");

	v->offsets = vl_symbol(c->kernel, "__per_cpu_offset");
	v->preempt = vl_symbol(c->kernel, "__preempt_count");
	v->current = vl_symbol(c->kernel, "current_task");
	if (!v->preempt && hot && vl_has(l, VL_F_HOT_PREEMPT))
		v->preempt = hot + (uint64_t)l->offset[VL_F_HOT_PREEMPT];
	if (!v->current && hot && vl_has(l, VL_F_HOT_TASK))
		v->current = hot + (uint64_t)l->offset[VL_F_HOT_TASK];
	v->pid_at = l->offset[VL_F_TASK_PID];
	return v->offsets && v->preempt && v->current && ids &&
	       read_virt(c, ids, &v->nr, sizeof(v->nr)) && v->nr && v->nr <= MAX_CPUS;
}

struct cpu {
	uint32_t depth;
	bool idle;
};

/*
 * How deep a CPU is in something: 0 is user mode, or kernel code that could be
 * preempted. The idle task runs with a depth of 1, which is nothing. Higher
 * bits count the interrupts that are being served (include/linux/preempt.h).
 */
static struct cpu look(const struct vl_contact *c, const struct percpu_vars *v, unsigned cpu)
{
	uint64_t base, task;
	uint32_t count;
	int32_t pid;

	if (!read_virt(c, v->offsets + 8UL * cpu, &base, sizeof(base)) || !base ||
	    !read_virt(c, base + v->preempt, &count, sizeof(count)))
		return (struct cpu){ ~0u, false };
	count &= 0x7fffffff; /* x86 keeps an inverted "need to reschedule" on top */
	if (count == 1 && read_virt(c, base + v->current, &task, sizeof(task)) &&
	    read_virt(c, task + (uint64_t)v->pid_at, &pid, sizeof(pid)) && !pid)
		return (struct cpu){ 0, true };
	return (struct cpu){ count, false };
}

unsigned vl_moment_cpu(const struct vl_contact *contact, unsigned before)
{
	struct percpu_vars v;
	uint32_t best = ~0u;
	unsigned ret = 0;

	if (!find_vars(contact, &v))
		return 0;
	for (unsigned i = 0; i < v.nr; i++) {
		unsigned cpu = (before + i) % v.nr;
		struct cpu c = look(contact, &v, cpu);

		/* Its per-CPU data and slabs stand still. */
		if (c.idle)
			return cpu;
		if (c.depth < best) {
			best = c.depth;
			ret = cpu;
		}
	}
	return ret;
}

struct vl_error *vl_moment_pause(const struct vl_contact *contact, unsigned tries,
				 unsigned *cpu_ret)
{
	uint64_t enough = vl_target_pause_left(contact->target) / 2;
	struct percpu_vars v;
	bool known;

	*cpu_ret = 0;
	if (vl_target_port(contact->target))
		return vl_target_pause_at_moment(contact->target, tries, cpu_ret);
	known = find_vars(contact, &v);
	for (unsigned try = 0;; try++) {
		struct vl_error *err = vl_target_pause(contact->target);
		uint32_t best = ~0u, worst = 0;
		/* Odd steps, so as not to keep in step with the guest. */
		struct timespec wait = { .tv_nsec = 40000 + 17000 * (try % 7) };

		if (err || !known)
			return err;
		for (unsigned cpu = 0; cpu < v.nr; cpu++) {
			uint32_t d = look(contact, &v, cpu).depth;

			if (d < best) {
				best = d;
				*cpu_ret = cpu;
			}
			/* A CPU that cannot be read is one that never came up. */
			if (d != ~0u && d > worst)
				worst = d;
		}
		if (!worst || try == tries || vl_target_pause_left(contact->target) <= enough ||
		    !vl_target_is_live(contact->target))
			return NULL;
		err = vl_target_resume(contact->target);
		if (err)
			return err;
		nanosleep(&wait, NULL);
	}
}
