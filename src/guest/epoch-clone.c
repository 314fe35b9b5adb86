/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of both kinds of epochs: a snapshot, pauses of the guest, a clone. */
#include "internal.h"
#include "../attach/trusted.h"
#include "../view/collect.h"
#include "../view/scan.h"
#include "../vmst/quiesce.h"

/* Can a clone be made? A kernel without types needs all of these fields to be derived. */
static struct vl_error *bears(const struct vl_guest *g)
{
	/* Fields for identity, time and warnings. Those of locks only make calls faster. */
	static const enum vl_field fields[] = {
		VL_F_TASK_PID,	  VL_F_TASK_TGID,	 VL_F_TASK_TASKS,
		VL_F_TASK_FILES,  VL_F_FILES_COUNT,	 VL_F_THREAD_INFO_FLAGS,
		VL_F_TK_MONO,	  VL_F_TKR_CLOCK,	 VL_F_TKR_LAST,
		VL_F_TKR_MULT,	  VL_F_TKR_SHIFT,	 VL_F_TKR_XTIME_NSEC,
		VL_F_TKR_BASE,	  VL_F_CLOCKSOURCE_READ, VL_F_CLOCKEVENT_NEXT,
		VL_F_TICK_EVTDEV, VL_F_TICK_IDLE_ENTRY,	 VL_F_RQ_CLOCK,
		VL_F_BUG_FLAGS,	  VL_F_SIZE_BUG,	 VL_F_CPU_CAPS,
		VL_NR_FIELDS,
	};
	/* clang-format off */
	static const char *const symbols[] = {
		"init_task", "current_task", "__preempt_count", "start_secondary?__per_cpu_offset",
		"start_secondary?nr_cpu_ids",
		"runqueues", "tick_cpu_sched", "tick_cpu_device", "tk_core|timekeeper_data",
		"boot_cpu_data", "__start___bug_table", "__stop___bug_table", "panic_cpu", NULL,
	};
	/* clang-format on */
	/* Without these, a call that would sleep, or that faults, goes on in the wrong place. */
	static const char *const functions[] = { "__schedule", "fixup_exception", NULL };
	const struct vl_kernel *k = g->raw.attach->kernel;
	struct vl_error *err;
	bool timeless = vl_kernel_layout(k)->derived && !vl_kernel_timekeeper(k);

	err = vl_scan_bears(&g->raw, timeless ? NULL : fields, "answers of its kernel");
	if (!err)
		err = vl_symbols_bear(&g->raw, symbols, "answers of its kernel");
	if (!err && vl_kernel_is_bare(k))
		err = vl_symbols_bear(&g->raw, functions, "answers of its kernel");
	return err;
}

struct vl_error *vl_epoch_clone(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	const struct vl_clone_start start = {
		.attach = g->raw.attach,
		.snapshot = s->snapshot,
		.executor = g->executor,
		.cpu = s->cpu,
		.as = g->as,
		.netns = g->netns,
		.budget_ns = s->budget_ns,
		.kept = g->code,
		.kept_size = g->code_size,
		.live = s->ask.on && !s->ask.taken,
		.unverified = g->unverified,
		.verifier = g->raw.attach->trusted ? &vl_session_verifier : NULL,
		.verifier_ctx = g,
	};
	struct vl_error *err = bears(g);

	if (!err)
		err = vl_clone_make(&start, &s->memo, &s->clone);
	s->memo.know_mounts &= !err || !s->ask.on;
	if (!err)
		g->sys.self = s->memo.self;
	return err;
}

struct vl_error *vl_epoch_snapshot(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	const struct vl_target_proxy *proxy = vl_target_proxy(g->raw.target);
	const struct vl_machine_host *host = proxy ? &proxy->machine : NULL;
	struct vl_error *err;

	if (s->snapshot)
		return NULL;
	err = vl_snapshot_create(g->raw.target, vl_vcpu_wants_shared(g->executor, host),
				 &s->snapshot);
	if (!err)
		vl_snapshot_set_still(s->snapshot, g->workset.still);
	if (!err && g->raw.attach->trusted) {
		vl_snapshot_set_filter(s->snapshot, vl_trusted_filter, g->raw.attach->trusted);
		vl_session_forget_modules(g);
		err = vl_trusted_compare(g->raw.attach->trusted);
	}
	return err;
}

struct vl_error *vl_epoch_pause(struct vl_guest *g, unsigned tries)
{
	struct vl_session *s = g->session;
	struct vl_quiesce m;
	struct vl_error *err;

	vl_quiesce_find(g->raw.attach, &m);
	err = vl_quiesce_pause(g->raw.target, &m, tries, &s->cpu);
	if (!err)
		g->raw.attach->paused_host_ns = vl_now_ns();
	return err;
}
