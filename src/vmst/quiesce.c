/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "quiesce.h"

#include "../host/proxy.h"

/* The memory to read: the guest's as it is now, or a snapshot's. */
struct source {
	struct vl_target *target;
	struct vl_snapshot *snapshot;
};

static bool read_virt(struct source s, const struct vl_quiesce *q, uint64_t va, void *buf,
		      size_t len)
{
	return s.snapshot ? vl_snapshot_read(s.snapshot, &q->pt, va, buf, len) :
			    vl_target_read_virt(s.target, &q->pt, va, buf, len);
}

void vl_quiesce_find(const struct vl_attach *attach, struct vl_quiesce *ret)
{
	const struct vl_layout *l = vl_kernel_layout(attach->kernel);
	uint64_t hot = vl_symbol(attach->kernel, "pcpu_hot");
	uint64_t ids = vl_symbol(attach->kernel, "nr_cpu_ids");
	bool up = vl_kernel_is_up(attach->kernel);
	struct vl_quiesce q = { .pt = attach->pt, .nr = 1 };

	q.offsets = vl_symbol(attach->kernel, "__per_cpu_offset");
	q.preempt = vl_symbol(attach->kernel, "__preempt_count");
	q.current = vl_symbol(attach->kernel, "current_task");
	if (!q.preempt && hot && vl_has(l, VL_F_HOT_PREEMPT))
		q.preempt = hot + (uint64_t)l->offset[VL_F_HOT_PREEMPT];
	if (!q.current && hot && vl_has(l, VL_F_HOT_TASK))
		q.current = hot + (uint64_t)l->offset[VL_F_HOT_TASK];
	q.pid_at = (uint64_t)l->offset[VL_F_TASK_PID];
	if (!q.preempt || !q.current ||
	    (!up && (!q.offsets || !ids ||
		     !read_virt((struct source){ .target = attach->target }, &q, ids, &q.nr,
				sizeof(q.nr)) ||
		     q.nr > VL_QUIESCE_CPUS)))
		q.nr = 0;
	*ret = q;
}

struct cpu {
	uint32_t depth;
	bool idle;
};

/*
 * The preemption depth of a CPU; ~0 if it cannot be read. 0 is user mode, or kernel code that
 * can be preempted. The idle task runs at depth 1, which counts as 0. Higher bits count the
 * interrupts that are being served (include/linux/preempt.h). A kernel without
 * CONFIG_PREEMPT_COUNT counts these only, and its idle task has depth 0.
 */
static struct cpu look(struct source t, const struct vl_quiesce *q, unsigned cpu)
{
	uint64_t base = 0, task;
	uint32_t count;
	int32_t pid;

	if ((q->offsets &&
	     (!read_virt(t, q, q->offsets + 8UL * cpu, &base, sizeof(base)) || !base)) ||
	    !read_virt(t, q, base + q->preempt, &count, sizeof(count)))
		return (struct cpu){ ~0u, false };
	count &= 0x7fffffff; /* x86 keeps an inverted "need to reschedule" on top */
	if (count <= 1 && read_virt(t, q, base + q->current, &task, sizeof(task)) &&
	    read_virt(t, q, task + q->pid_at, &pid, sizeof(pid)) && !pid)
		return (struct cpu){ 0, true };
	return (struct cpu){ count, false };
}

/* The largest depth of all CPUs; *@cpu_ret is the CPU with the smallest. */
static uint32_t look_at_all(struct source s, const struct vl_quiesce *q, unsigned *cpu_ret)
{
	uint32_t best = ~0u, worst = 0;

	for (unsigned cpu = 0; cpu < q->nr; cpu++) {
		uint32_t d = look(s, q, cpu).depth;

		if (d < best) {
			best = d;
			*cpu_ret = cpu;
		}
		/* The data of a CPU that never came up cannot be read. */
		if (d != ~0u && d > worst)
			worst = d;
	}
	return worst;
}

bool vl_quiesce_is_good(struct vl_snapshot *v, const struct vl_quiesce *q, unsigned *cpu_ret)
{
	*cpu_ret = 0;
	return !look_at_all((struct source){ .snapshot = v }, q, cpu_ret);
}

unsigned vl_quiesce_cpu(const struct vl_attach *attach, unsigned before)
{
	struct vl_quiesce q;
	uint32_t best = ~0u;
	unsigned ret = 0;

	vl_quiesce_find(attach, &q);
	for (unsigned i = 0; i < q.nr; i++) {
		unsigned cpu = (before + i) % q.nr;
		struct cpu c = look((struct source){ .target = attach->target }, &q, cpu);

		/* The per-CPU data and slabs of an idle CPU do not change. */
		if (c.idle)
			return cpu;
		if (c.depth < best) {
			best = c.depth;
			ret = cpu;
		}
	}
	return ret;
}

struct vl_error *vl_quiesce_pause(struct vl_target *t, const struct vl_quiesce *q, unsigned tries,
				  unsigned *cpu_ret)
{
	uint64_t enough = vl_target_pause_left(t) / 2;

	*cpu_ret = 0;
	if (vl_target_proxy(t))
		return vl_target_pause_quiesced(t, q, tries, cpu_ret);
	for (unsigned try = 0;; try++) {
		struct vl_error *err = vl_target_pause(t);
		uint32_t worst;
		/* Uneven waits, so as not to run in step with the guest. */
		struct timespec wait = { .tv_nsec = 40000 + 17000 * (try % 7) };

		if (err || !q->nr)
			return err;
		worst = look_at_all((struct source){ .target = t }, q, cpu_ret);
		if (!worst || try == tries || vl_target_pause_left(t) <= enough ||
		    !vl_target_is_live(t))
			return NULL;
		err = vl_target_resume(t);
		if (err)
			return err;
		nanosleep(&wait, NULL);
	}
}
