/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "standby.h"

#include <stdlib.h>

#include "internal.h"
#include "../host/kmod.h"
#include "../base/hash.h"

/* Byte order does not matter: both sides are the same program. */
static uint64_t add(uint64_t hash, uint64_t word)
{
	return vl_hash(hash, &word, sizeof(word));
}

uint64_t vl_guest_print(struct vl_guest *g)
{
	uint64_t h = vl_hash_text(vl_target_run_id(g->raw.target));
	const struct vl_ram *ram;
	size_t nr;

	ram = vl_target_ram(g->raw.target, &nr);
	for (size_t i = 0; i < nr; i++) {
		h = add(add(add(h, ram[i].gpa), ram[i].size), ram[i].hva);
		h = add(add(add(h, ram[i].fd >= 0), ram[i].fd_offset), ram[i].page_size);
	}
	return h;
}

struct vl_error *vl_guest_make_standby(struct vl_guest *g, struct vl_box **ret)
{
	struct vl_guest reads = {
		.sys = g->sys,
		.raw.target = g->raw.target,
		.uses = VL_GUEST_READ,
		.pauses = g->pauses,
	};
	struct vl_box_options o;

	*ret = NULL;
	if (vl_ram_by_kmod(g->raw.target))
		return NULL;
	vl_worker_options(&reads, &o);
	o.name = "vlens-standby";
	o.lendable = true;
	/* Share the empty namespaces of the keeper's own worker. */
	o.beside = g->box;
	return vl_box_launch(&o, ret);
}

void vl_guest_use_lender(struct vl_guest *g, vl_lend_fn *lend, void *ctx)
{
	if (g->uses != VL_GUEST_READ || g->engine || g->explain ||
	    !vl_target_is_live(g->raw.target))
		return;
	g->lend = lend;
	g->lend_ctx = ctx;
}

bool vl_standby_take(struct vl_guest *g)
{
	if (g->lend && !vl_ram_by_kmod(g->raw.target))
		g->box = g->lend(g->lend_ctx, vl_guest_print(g));
	return g->box;
}

bool vl_standby_lost(struct vl_guest *g)
{
	bool lost = g->lend && g->lost;

	g->lost = false;
	if (lost)
		g->lend = NULL;
	return lost;
}
