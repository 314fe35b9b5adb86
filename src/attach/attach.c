/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "attach.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/append.h"
#include "../base/cleanup.h"
#include "pulse.h"
#include "refusal.h"
#include "system.h"
#include "trusted.h"

#define RUN_FORMAT "vlens-run-4"
/* Longest wait for another tool's first attach; what remains is enough for our own. */
#define TURN_NS (VL_ATTACH_MAX_NS / 5 * 3)

void vl_attach_save(const struct vl_attach *c)
{
	_cleanup_free_ char *text = NULL;
	char probe[2 * sizeof(c->probe) + 1] = "", sites[VL_MAX_TSC_SITES * 17 + 1] = "";
	int n;

	vl_append_hex(probe, sizeof(probe), c->probe, sizeof(c->probe));
	for (size_t i = 0; i < VL_MAX_TSC_SITES && c->tsc_sites[i]; i++)
		vl_append(sites, sizeof(sites), " %" PRIx64, c->tsc_sites[i]);
	n = asprintf(&text,
		     RUN_FORMAT " %s %s %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
				" %" PRIx64 " %d %u %u %s %d %" PRId64 " %" PRId64 "%s\n",
		     c->key, c->build_id[0] ? c->build_id : "-", c->cr0, c->cr4, c->efer, c->base,
		     c->entry, c->pt.root, c->pt.levels, c->number, c->place, probe, c->has_anchor,
		     c->anchor_lo, c->anchor_hi, sites);
	if (n < 0)
		return;
	vl_error_destroy(vl_kept_store(c->target, VL_KEPT_ATTACH, NULL, text, (size_t)n));
}

/* Read the run's file; false if there is none or its format is another. */
static bool load_run(struct vl_attach *c)
{
	char *text, probe[2 * sizeof(c->probe) + 1];
	int anchor, n, end = 0, more;
	size_t len;

	if (vl_discard(vl_kept_load(c->target, VL_KEPT_ATTACH, NULL, &text, &len)))
		return false;
	n = sscanf(text,
		   RUN_FORMAT " %64[0-9a-f] %64[-0-9a-f] %" SCNx64 " %" SCNx64 " %" SCNx64
			      " %" SCNx64 " %" SCNx64 " %" SCNx64 " %d %u %u %64[0-9a-f]"
			      " %d %" SCNd64 " %" SCNd64 "%n",
		   c->key, c->build_id, &c->cr0, &c->cr4, &c->efer, &c->base, &c->entry,
		   &c->pt.root, &c->pt.levels, &c->number, &c->place, probe, &anchor, &c->anchor_lo,
		   &c->anchor_hi, &end);
	for (size_t i = 0; n == 15 && i < VL_MAX_TSC_SITES; i++, end += more)
		if (sscanf(text + end, " %" SCNx64 "%n", &c->tsc_sites[i], &more) != 1)
			break;
	free(text);
	if (n != 15 || !vl_is_key(c->key) || strlen(probe) != 2 * sizeof(c->probe) ||
	    (c->pt.levels != 4 && c->pt.levels != 5))
		return false;
	if (!strcmp(c->build_id, "-"))
		c->build_id[0] = '\0';
	for (size_t i = 0; i < sizeof(c->probe); i++) {
		unsigned byte;

		sscanf(probe + 2 * i, "%2x", &byte);
		c->probe[i] = (unsigned char)byte;
	}
	c->has_anchor = anchor;
	return !vl_discard(vl_target_place(c->target, c->place));
}

bool vl_attach_types_came(const struct vl_attach *c)
{
	return vl_kernel_layout(c->kernel)->derived && vl_types_are_added(c->target, c->build_id);
}

/* Is the kernel of the run's file the one that is asked for? */
static bool is_asked_for(const struct vl_attach *c)
{
	unsigned int asked = vl_target_kernel(c->target);

	/* If there are registers, no other kernel was searched for. */
	return c->number == asked || (!c->number && asked == 1 && !vl_target_has_vcpus(c->target));
}

/* Is the kernel of the run's file still there, and in the cache? Loads it. */
static bool still_there(struct vl_attach *c)
{
	if (!vl_pulse_holds(c))
		return false;
	vl_kernel_load(c->target, c->key, c->base, &c->kernel);
	if (c->kernel && vl_attach_types_came(c)) {
		vl_kernel_destroy(c->kernel);
		c->kernel = NULL;
	}
	return c->kernel;
}

/* Fill @c from the run's file. c->kernel stays NULL if that kernel no longer runs. */
static struct vl_error *take_known(struct vl_attach *c, bool *crashed_ret)
{
	struct vl_error *err;
	bool runs;

	*crashed_ret = false;
	if (!load_run(c) || !is_asked_for(c) || !still_there(c))
		return NULL;
	err = vl_pulse_check(c, &runs);
	c->known = !err && runs;
	if (c->known)
		return NULL;
	*crashed_ret = !err && vl_pulse_crashed(c);
	vl_kernel_destroy(c->kernel);
	c->kernel = NULL;
	return err;
}

/* The error if another system runs in the guest than a 64-bit Linux; NULL: none is found. */
static struct vl_error *other_system(struct vl_target *t, struct vl_deadline deadline)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	struct vl_system system;
	size_t nr;

	if (vl_discard(vl_target_vcpus(t, &vcpus, &nr)))
		return NULL;
	for (size_t i = 0; i < nr; i++)
		if (vl_system_find(vl_system_read, t, &vcpus[i], deadline, &system))
			return vl_system_error(&system);
	return NULL;
}

/* The first attach failed with @err: name the system that the guest runs instead. */
static struct vl_error *explain(struct vl_attach *c, struct vl_error *err, bool crashed,
				struct vl_deadline deadline)
{
	struct vl_error *other;
	enum vl_life life;

	if (err->code != VL_ERR_KERNEL && err->code != VL_ERR_BOOTING)
		return err;
	life = vl_pulse_life(c->target);
	if (life == VL_LIFE_FIRMWARE) {
		vl_error_destroy(err);
		return vl_error_hint(vl_error_new(VL_ERR_FIRMWARE,
						  "the guest is in its firmware or boot "
						  "loader: no kernel runs"),
				     "%s", vl_target_wait_hint(c->target));
	}
	if (crashed) {
		err->code = VL_ERR_DOWN;
		err = vl_error_prefix(err, "the guest has crashed");
		return vl_error_hint(err,
				     "wait until its capture kernel has booted, or it restarts");
	}
	other = other_system(c->target, deadline);
	if (other) {
		vl_error_destroy(err);
		return other;
	}
	if (life != VL_LIFE_LOW)
		return err;
	err->code = VL_ERR_FIRMWARE;
	err = vl_error_prefix(err, "the guest is in its firmware or boot loader, or runs no Linux");
	return vl_error_hint(err, "%s; vmem and vpeek with an address still work",
			     vl_target_wait_hint(c->target));
}

static struct vl_error *boot(struct vl_attach *c, bool crashed, struct vl_deadline deadline)
{
	struct vl_target *t = c->target;
	struct vl_error *err;

	memset(c, 0, sizeof(*c));
	c->target = t;
	err = vl_boot(c, deadline);
	if (err) {
		err = explain(c, err, crashed, deadline);
		/* After a timeout the next try may find more. */
		if (err->code == VL_ERR_KERNEL && !vl_late(deadline))
			vl_refusal_keep(t, err);
		return err;
	}
	vl_pulse_start(c);
	vl_attach_save(c);
	return NULL;
}

/*
 * Make the first attach, or take what another tool has stored while we waited for our turn.
 * A file that was there at @since is of no use. With @anew a stored refusal is ignored.
 */
static struct vl_error *first_attach(struct vl_attach *c, bool anew, bool crashed,
				     const struct timespec *since, struct vl_deadline deadline)
{
	struct vl_error *err = NULL;

	if (vl_kept_turn(c->target, since, TURN_NS))
		err = take_known(c, &crashed);
	if (!err && !c->kernel && !anew)
		err = vl_refusal_find(c->target);
	if (!err && !c->kernel)
		err = boot(c, crashed, deadline);
	vl_kept_end_turn(c->target);
	return err;
}

struct vl_error *vl_attach_make(struct vl_target *t, bool anew, struct vl_attach **ret)
{
	struct vl_deadline deadline = vl_attach_deadline(t);
	struct vl_attach *c = calloc(1, sizeof(*c));
	struct vl_error *err = NULL;
	bool crashed = false;
	struct timespec now;

	if (!c)
		return vl_error_nomem();
	c->target = t;
	/* File times come from the coarse clock, which is up to a tick behind CLOCK_REALTIME. */
	now = vl_ns_timespec(vl_clock_ns(CLOCK_REALTIME_COARSE));
	if (!anew)
		err = take_known(c, &crashed);
	if (!err && !c->kernel)
		err = first_attach(c, anew, crashed, &now, deadline);
	if (err) {
		vl_attach_destroy(c);
		return err;
	}
	vl_attach_note_end(c);
	*ret = c;
	return NULL;
}

void vl_attach_destroy(struct vl_attach *c)
{
	if (!c)
		return;
	vl_trusted_destroy(c->trusted);
	vl_kernel_destroy(c->kernel);
	free(c);
}
