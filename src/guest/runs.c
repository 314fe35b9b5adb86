/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker between two runs: it takes figures and the working set, and begins the next run. */
#include "internal.h"

#include <stdlib.h>

void vl_broker_take_figures(struct vl_guest *g)
{
	struct vl_stats *now = &g->now;

	memcpy(now, vl_box_wire(g->box)->window, sizeof(*now));
	now->engine[sizeof(now->engine) - 1] = '\0';
	now->no_kvm[sizeof(now->no_kvm) - 1] = '\0';
	for (size_t i = 0; i < VL_TRUSTED_SHOWN; i++)
		now->trusted.found[i][VL_TRUSTED_TEXT - 1] =
			now->trusted.idle[i][VL_TRUSTED_TEXT - 1] = '\0';
	g->now_known = true;
}

static bool figures(struct vl_guest *g, struct vl_stats *ret)
{
	struct vl_message m = { .op = VL_OP_STATS };

	if (!g->attached || !(g->uses & VL_GUEST_ASK || g->trusted))
		return false;
	if (!g->now_known) {
		if (vl_discard(vl_broker_ask(g, &m, VL_CALL_NS)))
			return false;
		vl_broker_take_figures(g);
	}
	*ret = g->now;
	return true;
}

void vl_broker_figures(struct vl_guest *g, struct vl_stats *ret)
{
	struct vl_stats now = { .engine = "vmst" };
	const struct vl_stats *gone = &g->gone;

	if (!figures(g, &now) || now.fate > VL_KERNEL_CAPTURES)
		now.fate = gone->fate;
	*ret = (struct vl_stats){
		.epochs = gone->epochs + now.epochs,
		.kernel_calls = gone->kernel_calls + now.kernel_calls,
		.kvm_entries = gone->kvm_entries + now.kvm_entries,
		.kvm_exits = gone->kvm_exits + now.kvm_exits,
		.pages_copied = gone->pages_copied + now.pages_copied,
		.pages_touched = now.pages_touched,
		.answers = {
			gone->answers.paused + now.answers.paused,
			gone->answers.validated + now.answers.validated,
			gone->answers.running + now.answers.running,
		},
		.bare = now.bare,
		.fate = now.fate,
	};
	ret->trusted = now.trusted;
	memcpy(ret->engine, now.engine, sizeof(ret->engine));
	memcpy(ret->no_kvm, now.no_kvm, sizeof(ret->no_kvm));
}

static void take_workset(struct vl_guest *g, size_t nr)
{
	uint64_t *gpas = malloc(nr * sizeof(*gpas) + 1);

	if (!gpas)
		return;
	memcpy(gpas, vl_box_wire(g->box)->window, nr * sizeof(*gpas));
	if (!vl_workset_sane(gpas, nr)) {
		free(gpas);
		return;
	}
	free(g->workset.gpas);
	g->workset.gpas = gpas;
	g->workset.nr = nr;
	g->workset.changed = true;
}

void vl_broker_learn(struct vl_guest *g)
{
	struct vl_message m = { .op = VL_OP_LEARN };

	if (!g->attached || !(g->uses & VL_GUEST_ASK) ||
	    vl_discard(vl_broker_ask(g, &m, VL_CALL_NS)))
		return;
	if (m.value[VL_LEARNED_CHANGED] && m.value[VL_LEARNED_PAGES] <= VL_WORKSET_MAX)
		take_workset(g, m.value[VL_LEARNED_PAGES]);
	if (m.value[VL_LEARNED_FAILED])
		vl_broker_drop_code(g);
	if (m.value[VL_LEARNED_CODE])
		vl_broker_keep_code(g);
}

void vl_broker_next(struct vl_guest *g, bool relabelled)
{
	struct vl_message m = { .op = VL_OP_NEXT,
				.value = { relabelled, g->workset.nr, g->may_run } };

	g->deaths = 0;
	g->begun_ns = vl_now_ns();
	g->lost_ns = g->endless_ns = g->cut_ns = 0;
	g->endless_why[0] = '\0';
	g->sys.ready = 0;
	/* A worker without an attach has the options of the last run: replace it. */
	if (!g->attached) {
		vl_broker_stop(g);
		return;
	}
	if (g->workset.nr && g->workset.nr <= VL_WORKSET_MAX)
		memcpy(vl_box_wire(g->box)->window, g->workset.gpas,
		       g->workset.nr * sizeof(*g->workset.gpas));
	vl_error_destroy(vl_broker_ask(g, &m, VL_CALL_NS));
}
