/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens and closes a guest, and begins and ends its runs. */
#include "internal.h"
#include "spool.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/process.h"
#include "../host/pages.h"

void vl_guest_hang_up(struct vl_guest *g)
{
	vl_target_rest(g->raw.target);
}

void vl_guest_rest(struct vl_guest *g)
{
	g->sys.ops->end(&g->sys);
	vl_broker_learn(g);
	if (g->label)
		vl_workset_save(&g->workset, g->raw.target, g->label);
	g->workset.changed = false;
	vl_guest_hang_up(g);
}

/* A dump is not paused, so nothing is copied ahead. */
static bool wants_workset(const struct vl_guest *g)
{
	return vl_target_is_live(g->raw.target) && (g->pauses || g->may_run);
}

static void begin_count(struct vl_guest *g)
{
	struct vl_stats now;

	g->base = (struct vl_stats){ 0 };
	vl_guest_stats(g, &now);
	g->base = now;
}

struct vl_error *vl_guest_next(struct vl_guest *g, const char *label,
			       const struct vl_pause_budget *budget, bool freeze)
{
	const bool may_run = !freeze && vl_target_freezes(g->raw.target);
	bool begun = g->next_begun && g->may_run == may_run, relabelled;
	char *copy = NULL;

	if (!g->next_begun) {
		vl_guest_rest(g);
		begin_count(g);
	}
	vl_target_paused_reset(g->raw.target);
	vl_target_set_budget(g->raw.target, budget);
	g->may_run = may_run;
	g->anew = false;
	g->first = false;
	relabelled = wants_workset(g) && !(label && g->label && !strcmp(label, g->label));
	if (relabelled) {
		if (label) {
			copy = strdup(label);
			if (!copy)
				return vl_error_nomem();
		}
		free(g->label);
		g->label = copy;
		/* Another program asks other questions: forget the lists. */
		vl_ahead_destroy(g->ahead);
		g->ahead = vl_ahead_create();
		vl_workset_deinit(&g->workset);
		vl_workset_load(&g->workset, g->raw.target, g->label);
	} else if (g->ahead) {
		/* Drop answers that were not used: they are older than this run. */
		vl_ahead_drop(g->ahead);
	}
	if (relabelled || !begun)
		vl_broker_next(g, relabelled);
	g->next_begun = true;
	return NULL;
}

bool vl_guest_ready(const struct vl_guest *g)
{
	return g->session && g->session->clone && vl_epoch_copies(g);
}

bool vl_guest_lacks_files(const struct vl_guest *g)
{
	size_t nr;
	const struct vl_ram *ram = vl_target_ram(g->raw.target, &nr);

	for (size_t i = 0; i < nr; i++)
		if (ram[i].fd < 0)
			return !vl_target_packed(g->raw.target);
	return false;
}

bool vl_guest_alone(const struct vl_guest *g)
{
	return vl_guest_ready(g) && vl_epoch_runs(g);
}

struct vl_error *vl_guest_open(const char *spec, const struct vl_guest_options *opts,
			       struct vl_guest **ret)
{
	struct vl_guest *g = calloc(1, sizeof(*g));
	struct vl_target_options target = opts->target;
	struct vl_error *err;

	if (!g)
		return vl_error_nomem();
	g->sys.ops = &vl_broker_ops;
	g->sys.own_files = 1;
	g->as = opts->as;
	g->netns = opts->netns;
	g->uses = opts->uses ? opts->uses : VL_GUEST_ASK;
	g->engine = opts->engine;
	g->explain = opts->explain;
	g->trusted = opts->trusted;
	g->unverified = opts->unverified;
	g->distrusts = opts->anew;
	g->executor = opts->executor;
	g->ahead = vl_ahead_create();
	g->prefetches.listing = -1;
	g->begun_ns = vl_now_ns();
	target.unpack = vl_spool_unpack;
	target.index = vl_spool_index;
	err = vl_target_open(spec, &target, &g->raw.target);
	g->pauses = opts->target.pause != VL_PAUSE_NONE;
	g->may_run = opts->target.pause == VL_PAUSE_AUTO || !g->pauses;
	if (!err && opts->label && g->uses & VL_GUEST_ASK && wants_workset(g)) {
		g->label = strdup(opts->label);
		if (!g->label)
			err = vl_error_nomem();
		else
			vl_workset_load(&g->workset, g->raw.target, g->label);
	}
	if (err) {
		vl_target_close(g->raw.target);
		vl_ahead_destroy(g->ahead);
		free(g);
		return err;
	}
	/* For vl_guest_shortfall(). The first request reports an error. */
	if (opts->target.partial && g->uses & VL_GUEST_ASK)
		vl_error_destroy(vl_broker_ready(g, true));
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
	vl_prefetches_deinit(&g->prefetches);
	free(g->label);
	free(g->words);
	vl_error_destroy(g->raw.why);
	vl_reader_close(g->raw.reader);
	vl_attach_destroy(g->raw.attach);
	vl_target_close(g->raw.target);
	free(g);
}

void vl_guest_leave(struct vl_guest *g)
{
	/* A worker of a dump has the file mapped until it has ended. */
	if (g)
		g->leaves = vl_target_is_live(g->raw.target) && vl_process_has_reaper();
	vl_guest_close(g);
}

struct vl_sys *vl_guest_sys(struct vl_guest *g)
{
	/* Start it now, as its box takes some milliseconds. The first request reports an error. */
	vl_error_destroy(vl_broker_start(g));
	/* A worker without an attach does not know it. Assume a copy, as in the last run. */
	if (!g->attached)
		g->sys.alone = g->label && g->workset.nr && g->may_run;
	return &g->sys;
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
	ret->first_attach = g->first;
	memcpy(ret->kernel, g->build_id, sizeof(g->build_id));
	vl_box_describe(&g->box_is, ret->box);
	snprintf(ret->no_box, sizeof(ret->no_box), "%s", g->box_is.missing);
	ret->paused_ns = vl_target_paused_ns(g->raw.target, &ret->paused_longest_ns);
	ret->pauses = vl_target_nr_pauses(g->raw.target);
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
	return vl_target_is_live(g->raw.target);
}

uint64_t vl_guest_moved(const struct vl_guest *g)
{
	return vl_target_moved(g->raw.target);
}

bool vl_guest_shortfall(const struct vl_guest *g, struct vl_shortfall *ret)
{
	*ret = g->shortfall;
	return ret->has < ret->of || ret->types;
}

struct vl_error *vl_guest_reader(struct vl_guest *g, struct vl_reader **ret)
{
	const struct vl_reader_options o = { .engine = g->engine };
	struct vl_raw_guest *raw = &g->raw;
	struct vl_error *err = NULL;

	if (!raw->attach)
		err = vl_attach_make(raw->target, false, &raw->attach);
	if (!err && !raw->reader)
		err = vl_reader_open(raw->target, raw->attach, &o, &raw->reader);
	if (err)
		return err;
	raw->space = (struct vl_space){ raw->attach->pt.root, raw->attach->pt.levels };
	*ret = raw->reader;
	return NULL;
}

struct vl_error *vl_guest_alive(struct vl_guest *g)
{
	return vl_target_alive(g->raw.target);
}

pid_t vl_guest_pid(const struct vl_guest *g)
{
	return vl_target_pid(g->raw.target);
}
