/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest, opened: the target, what is known of its kernel, and the epochs in
 * which its kernel answers.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/deadline.h"
#include "../attach/pulse.h"

/* What clones have counted so far, those that are gone and this one. */
static void add_counts(const struct vl_guest *g, uint64_t *calls_ret, struct vl_vcpu_count *ret)
{
	struct vl_vcpu_count now = { 0 };

	if (g->clone)
		vl_clone_count(g->clone, &now);
	*calls_ret = g->kernel_calls + (g->clone ? g->clone->nr_calls : 0);
	*ret = (struct vl_vcpu_count){ g->vcpu.entries + now.entries, g->vcpu.exits + now.exits };
}

/* The next epoch makes them anew; what they counted is kept. */
static void forget_clone(struct vl_guest *g)
{
	uint64_t pages, copies;

	add_counts(g, &g->kernel_calls, &g->vcpu);
	vl_epoch_learn(g);
	if (g->view) {
		vl_view_count(g->view, &pages, &copies);
		g->copies += copies;
	}
	vl_clone_destroy(g->clone);
	vl_view_destroy(g->view);
	g->clone = NULL;
	g->view = NULL;
}

struct vl_error *vl_guest_contact(struct vl_guest *g, bool anew)
{
	struct vl_error *err;
	bool runs;

	g->want = VL_WANT_NOTHING;
	if (!g->contact) {
		err = vl_contact_make(g->target, anew, &g->contact);
		if (!err && g->uses & VL_GUEST_ASK)
			vl_workset_find_still(&g->workset, g->contact);
		return err;
	}
	err = vl_pulse_look(g->contact, &runs);
	if (err || (runs && vl_contact_holds(g->contact)))
		return err;
	g->want = VL_WANT_CONTACT;
	return vl_error_new(VL_ERR_KERNEL, "the kernel that is known no longer runs");
}

/*
 * What is kept from epoch to epoch, and could be old: the kernel's text and constants as they
 * were copied, and code as it was translated. All is compared when a run begins, and in a long
 * one again and again. The kernel patches its text rarely, and to compare it takes 2 ms. Code
 * of modules comes and goes; what has run of it is some pages, which take 20 us.
 */
#define LOOK_NS 1000000000L
#define LOOK_CODE_NS 10000000L

static bool is_old(struct vl_guest *g)
{
	int64_t now = vl_now_ns();
	bool all = now - g->looked_ns >= LOOK_NS;

	if (!vl_target_is_live(g->target) || now - g->looked_code_ns < LOOK_CODE_NS)
		return false;
	g->looked_code_ns = now;
	if (all)
		g->looked_ns = now;
	return vl_view_still_changed(g->view, all);
}

/*
 * Start over where the kernel's text cannot be told from what a refresh copies again, too, as
 * that would undo what was patched.
 */
static void forget_old(struct vl_guest *g)
{
	if (g->clone && !g->suspect && g->workset.still[0].size && !is_old(g))
		return;
	forget_clone(g);
	g->looked_ns = g->looked_code_ns = vl_now_ns();
	g->born_epoch = g->sys.epoch;
	g->suspect = false;
}

static struct vl_error *guest_begin(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_error *err;

	if (sys->open)
		return NULL;
	sys->missed = 0;
	g->memo.engineless = false;
	forget_old(g);
	err = vl_epoch_open(g);
	if (err && g->memo.engineless && !g->emulator && vl_emulator_is_built()) {
		g->want = VL_WANT_EMULATOR;
		/* Why the engine before it was left says more than that there is no other. */
		if (!*g->no_kvm)
			return err;
		vl_error_destroy(err);
		return vl_error_new(VL_ERR_OS, "%s", g->no_kvm);
	}
	/* A guest that was reset still has the old kernel's text in its memory for
	 * a while: ask the vCPUs. */
	if (err && (err->code == VL_ERR_CRASHED || err->code == VL_ERR_KERNEL) && !g->anew) {
		vl_error_destroy(err);
		g->want = VL_WANT_CONTACT_ANEW;
		err = vl_error_new(VL_ERR_KERNEL, "what is known of the kernel is wrong");
	}
	if (err)
		return err;
	g->epochs++;
	sys->open = 1;
	return NULL;
}

static struct vl_error *guest_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
				   size_t nr, int64_t *ret)
{
	struct vl_guest *g = vl_guest_of(sys);

	if (!g->clone)
		return vl_error_new(VL_ERR_ARG, "a call outside of an epoch");
	sys->missed = 0;
	if (g->ask.cut)
		return vl_epoch_again(g);
	return vl_epoch_called(g, vl_clone_syscall(g->clone, name, args, nr, ret));
}

static struct vl_error *guest_settle(struct vl_sys *sys)
{
	sys->missed = 0;
	return vl_epoch_settle(vl_guest_of(sys));
}

static void guest_end(struct vl_sys *sys)
{
	if (!sys->open)
		return;
	vl_epoch_close(vl_guest_of(sys));
	sys->open = 0;
	sys->epoch++;
}

static uint64_t guest_push(struct vl_sys *sys, const void *buf, size_t len)
{
	struct vl_guest *g = vl_guest_of(sys);

	return g->clone ? vl_clone_user_push(g->clone, buf, len) : 0;
}

static void guest_pull(struct vl_sys *sys, uint64_t addr, void *buf, size_t len)
{
	struct vl_guest *g = vl_guest_of(sys);

	if (g->clone)
		vl_clone_user_pull(g->clone, addr, buf, len);
}

static void guest_reset(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);

	if (g->clone)
		vl_clone_user_reset(g->clone);
}

const struct vl_sys_ops vl_guest_ops = {
	.call = guest_call,
	.settle = guest_settle,
	.push = guest_push,
	.pull = guest_pull,
	.reset = guest_reset,
	.begin = guest_begin,
	.end = guest_end,
};

void vl_guest_hang_up(struct vl_guest *g)
{
	vl_target_rest(g->target);
}

void vl_guest_rest(struct vl_guest *g)
{
	g->sys.ops->end(&g->sys);
	vl_broker_learn(g);
	if (g->label)
		vl_workset_save(&g->workset, g->target, g->label);
	g->workset.changed = false;
	vl_guest_hang_up(g);
}

/* A dump needs no haste, and a guest that is not paused has no moment. */
static bool wants_workset(const struct vl_guest *g)
{
	return vl_target_is_live(g->target) && g->pauses;
}

struct vl_error *vl_guest_next(struct vl_guest *g, const char *label,
			       const struct vl_pause_budget *budget)
{
	bool relabelled = false;
	struct vl_stats now;
	char *copy = NULL;

	vl_guest_rest(g);
	g->base = (struct vl_stats){ 0 };
	vl_guest_stats(g, &now);
	g->base = now;
	vl_target_paused_reset(g->target);
	vl_target_set_budget(g->target, budget);
	g->anew = false;
	g->first = false;
	if (!wants_workset(g) || (label && g->label && !strcmp(label, g->label)))
		goto out;
	if (label) {
		copy = strdup(label);
		if (!copy)
			return vl_error_nomem();
	}
	free(g->label);
	g->label = copy;
	relabelled = true;
	/* Another program asks other questions. */
	vl_ahead_destroy(g->ahead);
	g->ahead = vl_ahead_create();
	vl_workset_deinit(&g->workset);
	vl_workset_load(&g->workset, g->target, g->label);
out:
	vl_broker_next(g, relabelled);
	return NULL;
}

bool vl_guest_ready(const struct vl_guest *g)
{
	return g->clone && vl_epoch_copies(g);
}

struct vl_error *vl_guest_open(const char *spec, const struct vl_guest_options *opts,
			       struct vl_guest **ret)
{
	struct vl_guest *g = calloc(1, sizeof(*g));
	struct vl_error *err;

	if (!g)
		return vl_error_nomem();
	g->sys.ops = &vl_broker_ops;
	g->sys.own_files = 1;
	g->as = opts->as;
	g->uses = opts->uses ? opts->uses : VL_GUEST_ASK;
	g->engine = opts->engine;
	g->explain = opts->explain;
	g->distrusts = opts->anew;
	g->executor = opts->executor;
	g->budget_ns = VL_BUDGET_NS;
	g->ahead = vl_ahead_create();
	err = vl_target_open(spec, &opts->target, &g->target);
	if (!err && !vl_target_is_live(g->target))
		g->budget_ns = VL_BUDGET_DUMP_NS;
	g->pauses = opts->target.pause != VL_PAUSE_NONE;
	if (!err && opts->label && g->uses & VL_GUEST_ASK && wants_workset(g)) {
		g->label = strdup(opts->label);
		if (!g->label)
			err = vl_error_nomem();
		else
			vl_workset_load(&g->workset, g->target, g->label);
	}
	if (err) {
		vl_target_close(g->target);
		vl_ahead_destroy(g->ahead);
		free(g);
		return err;
	}
	*ret = g;
	return NULL;
}

void vl_guest_close(struct vl_guest *g)
{
	if (!g)
		return;
	vl_guest_rest(g);
	vl_broker_stop(g);
	vl_workset_deinit(&g->workset);
	vl_ahead_destroy(g->ahead);
	free(g->label);
	free(g->words);
	vl_error_destroy(g->why);
	vl_reader_close(g->reader);
	vl_contact_destroy(g->contact);
	vl_target_close(g->target);
	free(g);
}

struct vl_sys *vl_guest_sys(struct vl_guest *g)
{
	/* Its box takes some milliseconds. What fails fails again when it is needed. */
	vl_error_destroy(vl_broker_start(g));
	return &g->sys;
}

static enum vl_kernel_fate fate_of(const struct vl_guest *g)
{
	if (!g->contact || !g->contact->kernel)
		return VL_KERNEL_RUNS;
	return vl_pulse_captures(g->contact) ? VL_KERNEL_CAPTURES :
	       vl_pulse_crashed(g->contact)  ? VL_KERNEL_CRASHED :
					       VL_KERNEL_RUNS;
}

void vl_guest_figures(const struct vl_guest *g, struct vl_stats *ret)
{
	struct vl_vcpu_count vcpu;

	*ret = (struct vl_stats){ .epochs = g->epochs };
	add_counts(g, &ret->kernel_calls, &vcpu);
	ret->kvm_entries = vcpu.entries;
	ret->kvm_exits = vcpu.exits;
	snprintf(ret->engine, sizeof(ret->engine), "%s", g->clone ? g->clone->ops->name : "vmst");
	snprintf(ret->no_kvm, sizeof(ret->no_kvm), "%s",
		 *g->no_kvm ? g->no_kvm :
		 g->clone   ? g->clone->why :
			      "");
	if (g->view)
		vl_view_count(g->view, &ret->pages_touched, &ret->pages_copied);
	ret->pages_copied += g->copies;
	ret->answers = g->answers;
	ret->fate = fate_of(g);
}

void vl_guest_stats(struct vl_guest *g, struct vl_stats *ret)
{
	vl_broker_figures(g, ret);
	ret->epochs -= g->base.epochs;
	ret->kernel_calls -= g->base.kernel_calls;
	ret->kvm_entries -= g->base.kvm_entries;
	ret->kvm_exits -= g->base.kvm_exits;
	ret->pages_copied -= g->base.pages_copied;
	ret->answers.paused -= g->base.answers.paused;
	ret->answers.validated -= g->base.answers.validated;
	ret->answers.running -= g->base.answers.running;
	ret->first_contact = g->first;
	memcpy(ret->kernel, g->build_id, sizeof(g->build_id));
	vl_box_describe(&g->box_is, ret->box);
	snprintf(ret->no_box, sizeof(ret->no_box), "%s", g->box_is.missing);
	ret->paused_ns = vl_target_paused_ns(g->target, &ret->paused_longest_ns);
	ret->pauses = vl_target_nr_pauses(g->target);
}

const char *vl_version(void)
{
	return VLENS_VERSION;
}

const char *vl_features(void)
{
	return VLENS_FEATURES;
}

bool vl_guest_is_live(const struct vl_guest *g)
{
	return vl_target_is_live(g->target);
}

struct vl_error *vl_guest_reader(struct vl_guest *g, struct vl_reader **ret)
{
	const struct vl_reader_options o = { .engine = g->engine };
	struct vl_error *err = NULL;

	if (!g->contact)
		err = vl_contact_make(g->target, false, &g->contact);
	if (!err && !g->reader)
		err = vl_reader_open(g->target, g->contact, &o, &g->reader);
	if (!err)
		*ret = g->reader;
	return err;
}

struct vl_error *vl_guest_alive(struct vl_guest *g)
{
	return vl_target_alive(g->target);
}

pid_t vl_guest_pid(const struct vl_guest *g)
{
	return vl_target_pid(g->target);
}
