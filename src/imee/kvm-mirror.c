/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine on processors that cannot walk the guest's own tables: requests go through a
 * mirror of them (mirror.h). Addresses that are known are filled in before a request, those
 * that the agent finds by itself while it waits.
 */
#include <stdlib.h>

#include "kvm.h"

/* Tries of requests whose tables changed meanwhile. */
#define TRIES_CHANGED 8

/*
 * Mirror all pages that a request surely uses. False: no room. Pages behind an unmapped one are
 * refreshed, too: the guest may map that one before the agent asks for it, and the agent would
 * then go on to stale entries.
 */
static bool map_request(struct vl_kvm *k, const struct agent_request *rq)
{
	uint64_t len = rq->op == AGENT_OP_READ ? rq->left : 1, gpa;

	for (uint64_t at = 0; at < len; at += VL_PAGE_SIZE - (rq->va + at) % VL_PAGE_SIZE)
		if (mirror_map(k->mirror, &k->space, rq->va + at, &gpa) == MIRROR_FULL)
			return false;
	return true;
}

/*
 * Fill the mirror for @nr requests; returns its root, or 0. The agent's page comes last:
 * whatever the requests changed, it is in place, and stays so while the vCPU runs.
 */
static uint64_t prepare(struct vl_kvm *k, const struct agent_request *rqs, unsigned nr)
{
	bool all = false;
	uint64_t root, gpa;

	for (unsigned i = 0; i < nr; i++)
		all |= rqs[i].op == AGENT_OP_WALK;
	root = mirror_begin(k->mirror, &k->space, all);
	if (!root)
		return 0;
	for (unsigned i = 0; i < nr; i++)
		if (!map_request(k, &rqs[i]))
			return 0;
	if (mirror_map(k->mirror, &k->space, k->va, &gpa) || (gpa & VL_PAGE_MASK) != k->overlay)
		return 0;
	k->asked = 0;
	k->mirror->running = true;
	return root;
}

static bool serve_mirrored(struct vl_kvm *k, unsigned nr)
{
	struct agent_request saved[AGENT_NR_REQUESTS];
	uint32_t first = k->ring->posted;

	for (unsigned i = 0; i < nr; i++)
		saved[i] = k->ring->requests[(first + i) % AGENT_NR_REQUESTS];
	for (int tries = 0; tries < TRIES_CHANGED; tries++) {
		uint64_t root = prepare(k, saved, nr);

		if (!root)
			return false;
		for (unsigned i = 0; i < nr; i++) {
			struct agent_request *rq =
				&k->ring->requests[(first + i) % AGENT_NR_REQUESTS];

			*rq = saved[i];
			rq->cr3 = root;
		}
		/* A retry is posted by setting served back. */
		if (tries)
			k->redone++;
		if (!kvm_post(k, tries ? &k->ring->served : &k->ring->posted,
			      tries ? first : first + nr))
			return false;
		if (mirror_holds(k->mirror))
			return true;
	}
	return false;
}

bool kvm_serve(struct vl_kvm *k, unsigned nr)
{
	if (k->mirror)
		return serve_mirrored(k, nr);
	return kvm_post(k, &k->ring->posted, k->ring->posted + nr);
}

struct vl_error *vl_kvm_mirror(struct vl_raw *e)
{
	struct vl_kvm *k = kvm_of(e);
	struct vl_error *err;

	if (k->mirror)
		return NULL;
	kvm_quiesce(k);
	k->mirror = calloc(1, sizeof(*k->mirror));
	if (!k->mirror)
		return vl_error_nomem();
	err = kvm_vm_add_mirror(k);
	if (!err)
		err = mirror_init(k->mirror, k->walk, (mirror_page *)k->mirror_pages,
				  k->exchange_gpa + KVM_MIRROR_OFFSET);
	k->mirror->own = k->exchange_gpa;
	k->mirror->own_size = KVM_MIRROR_OFFSET + MIRROR_TABLES * VL_PAGE_SIZE;
	return err;
}

void kvm_mirror_destroy(struct vl_kvm *k)
{
	if (k->mirror)
		mirror_deinit(k->mirror);
	free(k->mirror);
}
