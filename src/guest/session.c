/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session, in the worker: the clone, the snapshot that it runs in, and the epochs in
 * which the guest's kernel answers. It is made when the first epoch begins.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "../attach/pulse.h"

/* The counts of all clones, this one and earlier ones. */
static void add_counts(const struct vl_session *s, uint64_t *calls_ret, struct vl_vcpu_count *ret)
{
	struct vl_vcpu_count now = { 0 };

	if (s->clone)
		vl_clone_count(s->clone, &now);
	*calls_ret = s->kernel_calls + (s->clone ? s->clone->nr_calls : 0);
	*ret = (struct vl_vcpu_count){ s->vcpu.entries + now.entries, s->vcpu.exits + now.exits };
}

/* Destroy clone and snapshot, and keep their counts; the next epoch makes new ones. */
void vl_session_forget(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	uint64_t pages, copies;

	if (!s)
		return;
	add_counts(s, &s->kernel_calls, &s->vcpu);
	vl_epoch_learn(g);
	if (s->snapshot) {
		vl_snapshot_count(s->snapshot, &pages, &copies);
		s->copies += copies;
	}
	vl_clone_destroy(s->clone);
	vl_snapshot_destroy(s->snapshot);
	s->clone = NULL;
	s->snapshot = NULL;
}

struct vl_error *vl_session_attach(struct vl_guest *g, bool anew)
{
	struct vl_error *err;
	bool runs;

	g->want = VL_WANT_NOTHING;
	if (!g->raw.attach) {
		err = vl_attach_make(g->raw.target, anew, &g->raw.attach);
		if (!err && g->uses & VL_GUEST_ASK)
			vl_workset_find_still(&g->workset, g->raw.attach);
		return err;
	}
	if (vl_attach_types_came(g->raw.attach)) {
		g->want = VL_WANT_ATTACH;
		return vl_error_new(VL_ERR_KERNEL, "types were added for the kernel");
	}
	err = vl_pulse_check(g->raw.attach, &runs);
	if (err || runs)
		return err;
	g->want = VL_WANT_ATTACH;
	return vl_error_new(VL_ERR_KERNEL, "the kernel that is known no longer runs");
}

/*
 * Copies of the kernel's text and constants, and translated code, are kept from epoch to epoch,
 * and can get stale. They are compared when a run begins, and at these intervals in a long run.
 * The kernel patches its text rarely, and to compare all takes 2 ms. Code of modules comes and
 * goes; only some pages of it have run, and to compare these takes 20 us.
 */
#define COMPARE_NS 1000000000L
#define COMPARE_CODE_NS 10000000L

static bool is_stale(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	int64_t now = vl_now_ns();
	bool all = now - s->compared_ns >= COMPARE_NS;

	if (!vl_target_is_live(g->raw.target) || now - s->compared_code_ns < COMPARE_CODE_NS)
		return false;
	s->compared_code_ns = now;
	if (all)
		s->compared_ns = now;
	return vl_snapshot_still_changed(s->snapshot, all);
}

/*
 * Make clone and snapshot anew if they are stale. Also if the still memory is not known: then a
 * refresh would copy the kernel's text again and undo the clone's patches.
 */
static void forget_stale(struct vl_guest *g)
{
	struct vl_session *s = g->session;

	if (s->clone && !s->suspect && g->workset.still[0].size && !is_stale(g))
		return;
	vl_session_forget(g);
	s->compared_ns = s->compared_code_ns = vl_now_ns();
	s->born_epoch = g->sys.epoch;
	if (s->suspect)
		g->code = NULL;
	s->suspect = false;
}

static struct vl_error *open_epoch(struct vl_guest *g)
{
	struct vl_session *s = g->session;
	struct vl_error *err;

	forget_stale(g);
	err = vl_epoch_open(g);
	if (!err || err->code == VL_ERR_TARGET || !vl_code_blame(g))
		return err;
	vl_error_destroy(err);
	/* The copies failed because the kernel had gone, so allow copies again. */
	s->ask = (struct vl_asking){ 0 };
	s->misses = 0;
	forget_stale(g);
	return vl_epoch_open(g);
}

/*
 * Pages that a call may read for the first time and still count as one that has no end. More of
 * them take their time from a slow disk, and are there when the call is tried again.
 */
#define ENDLESS_PAGES 16

/*
 * A call over a dump that exceeded its budget would do so each time. The next ones get less: one
 * wrong list is a sign of more. Returns @err.
 */
struct vl_error *vl_session_endless(struct vl_guest *g, struct vl_error *err)
{
	struct vl_session *s = g->session;
	uint64_t copies, before = s->pages_before;

	if (vl_target_is_live(g->raw.target))
		return err;
	copies = s->snapshot ? vl_snapshot_copied(s->snapshot) : 0;
	s->pages_before = copies;
	if (!err || err->code != VL_ERR_CRASHED || !s->clone || !s->clone->endless ||
	    copies - before > ENDLESS_PAGES)
		return err;
	err->code = VL_ERR_ENDLESS;
	s->budget_ns = VL_BUDGET_MAX_NS;
	return err;
}

void vl_session_cut(struct vl_guest *g)
{
	struct vl_session *s = g->session;

	s->ask.cut = true;
	if (!vl_target_is_live(g->raw.target) && s->clone && s->clone->endless)
		s->budget_ns = VL_BUDGET_MAX_NS;
}

static struct vl_session *make_session(const struct vl_guest *g)
{
	struct vl_session *s = calloc(1, sizeof(*s));

	if (s)
		s->budget_ns = vl_target_is_live(g->raw.target) ? VL_BUDGET_NS : VL_BUDGET_DUMP_NS;
	return s;
}

static struct vl_error *guest_begin(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_session *s;
	struct vl_error *err;

	if (sys->open)
		return NULL;
	if (!g->session)
		g->session = make_session(g);
	s = g->session;
	if (!s)
		return vl_error_nomem();
	if (g->sibling)
		vl_session_forget(g->sibling);
	sys->missed = 0;
	s->memo.no_executor = false;
	err = open_epoch(g);
	if (err && s->memo.no_executor && !g->emulator && vl_emulator_is_built()) {
		g->want = VL_WANT_EMULATOR;
		/* Why the last executor failed says more than that there is no other. */
		if (!*g->no_kvm)
			return err;
		vl_error_destroy(err);
		return vl_error_new(VL_ERR_OS, "%s", g->no_kvm);
	}
	/* A guest that was reset still has the old kernel's text in memory for a while: make a
	 * first attach, from the vCPUs. */
	if (err && (err->code == VL_ERR_CRASHED || err->code == VL_ERR_KERNEL) && !g->anew) {
		vl_error_destroy(err);
		g->want = VL_WANT_ATTACH_ANEW;
		err = vl_error_new(VL_ERR_KERNEL,
				   "the stored facts about the guest's kernel are wrong");
	}
	if (err)
		return err;
	s->epochs++;
	sys->open = 1;
	return NULL;
}

static struct vl_error *guest_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
				   size_t nr, int64_t *ret)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_session *s = g->session;

	if (!s || !s->clone)
		return vl_error_new(VL_ERR_ARG, "a call outside of an epoch");
	sys->missed = 0;
	if (s->ask.cut)
		return vl_epoch_again(g);
	return vl_epoch_called(g, vl_clone_syscall(s->clone, name, args, nr, ret));
}

static struct vl_error *guest_validate(struct vl_sys *sys)
{
	sys->missed = 0;
	return vl_epoch_validate(vl_guest_of(sys));
}

static void guest_end(struct vl_sys *sys)
{
	if (!sys->open)
		return;
	vl_epoch_close(vl_guest_of(sys));
	sys->open = 0;
	sys->epoch++;
}

/* NULL: there is none so far. */
static struct vl_clone *clone_of(struct vl_sys *sys)
{
	const struct vl_session *s = vl_guest_of(sys)->session;

	return s ? s->clone : NULL;
}

static uint64_t guest_push(struct vl_sys *sys, const void *buf, size_t len)
{
	struct vl_clone *clone = clone_of(sys);

	return clone ? vl_clone_user_push(clone, buf, len) : 0;
}

static void guest_pull(struct vl_sys *sys, uint64_t addr, void *buf, size_t len)
{
	struct vl_clone *clone = clone_of(sys);

	if (clone)
		vl_clone_user_pull(clone, addr, buf, len);
}

static void guest_reset(struct vl_sys *sys)
{
	struct vl_clone *clone = clone_of(sys);

	if (clone)
		vl_clone_user_reset(clone);
}

const struct vl_sys_ops vl_guest_ops = {
	.call = guest_call,
	.validate = guest_validate,
	.push = guest_push,
	.pull = guest_pull,
	.reset = guest_reset,
	.begin = guest_begin,
	.end = guest_end,
};

static enum vl_kernel_fate fate_of(const struct vl_guest *g)
{
	if (!g->raw.attach || !g->raw.attach->kernel)
		return VL_KERNEL_RUNS;
	return vl_pulse_captures(g->raw.attach) ? VL_KERNEL_CAPTURES :
	       vl_pulse_crashed(g->raw.attach)	? VL_KERNEL_CRASHED :
						  VL_KERNEL_RUNS;
}

void vl_guest_figures(struct vl_guest *g, struct vl_stats *ret)
{
	const struct vl_session *s = g->session;
	struct vl_vcpu_count vcpu;

	*ret = (struct vl_stats){ .engine = "vmst", .fate = fate_of(g) };
	ret->bare =
		g->raw.attach && g->raw.attach->kernel && vl_kernel_is_bare(g->raw.attach->kernel);
	snprintf(ret->no_kvm, sizeof(ret->no_kvm), "%s", g->no_kvm);
	vl_session_trust_figures(g, &ret->trusted);
	if (!s)
		return;
	ret->epochs = s->epochs;
	add_counts(s, &ret->kernel_calls, &vcpu);
	ret->kvm_entries = vcpu.entries;
	ret->kvm_exits = vcpu.exits;
	if (s->clone)
		snprintf(ret->engine, sizeof(ret->engine), "%s", s->clone->ops->name);
	if (s->clone && !*g->no_kvm)
		snprintf(ret->no_kvm, sizeof(ret->no_kvm), "%s", s->clone->why);
	if (s->snapshot)
		vl_snapshot_count(s->snapshot, &ret->pages_touched, &ret->pages_copied);
	ret->pages_copied += s->copies;
	ret->answers = s->answers;
}
