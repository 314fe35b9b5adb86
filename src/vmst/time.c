/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's time. A clone has no running clock: its clocksource is made to
 * answer one value, the guest's present.
 *
 * Memory does not show the present exactly: the timekeeper knows the last tick, and an idle guest
 * stops its tick. But the present has bounds. The lower one is the latest point in time of which
 * the guest left a trace: the timekeeper's last update, and when each CPU last went idle. The upper
 * one is the next event for which a CPU has programmed its timer, as it has not come yet. A live
 * guest's clock also runs at the rate of ours, so the bounds of every pass, taken relative to the
 * host's clock, hold for the later ones: they are kept, and each pass narrows them. If they
 * contradict each other the guest was stopped in between, and what was known is dropped.
 */
#include <string.h>

#include "../base/array.h"
#include "clone.h"

/* A timer interrupt can be this late before we doubt that the guest ran. */
#define LATE_NS (VL_NSEC_PER_SEC / 20)
/* A CPU without a next event (KTIME_MAX), or a far one, bounds nothing. */
#define FAR_NS (10 * VL_NSEC_PER_SEC)
#define MAX_CPUS 8192
/* TICKDEV_MODE_PERIODIC, kernel/time/tick-sched.h */
#define MODE_PERIODIC 0

/* The clocks of a guest that runs are set at most once in this time. */
#define LIVE_NS (VL_NSEC_PER_SEC / 200)

/* Offsets in the clone's page of clocks. */
enum { CLOCK_CYCLES = 0, CLOCK_SCHED = 8 };

struct clocks {
	uint64_t read_fn;
	uint64_t cycles; /* at the last tick */
	uint32_t mult, shift;
	int64_t mono, lo, hi; /* monotonic ns: at the last tick, bounds of now */
	uint64_t sched;	      /* the latest run queue clock, ns */
};

/*
 * A guest that runs is read past the snapshot: what its clocks are read from changes all the
 * time, and is not part of an answer.
 */
static bool read_clock(struct vl_clone *c, uint64_t va, void *buf, size_t len)
{
	return c->live ? vl_target_read_virt(c->attach->target, &c->attach->pt, va, buf, len) :
			 vl_clone_read(c, va, buf, len);
}

static bool read_field(struct vl_clone *c, uint64_t base, enum vl_field f, void *buf, size_t len)
{
	const struct vl_layout *l = vl_kernel_layout(c->attach->kernel);

	return vl_has(l, f) && read_clock(c, base + (uint64_t)l->offset[f], buf, len);
}

static bool read_timekeeper(struct vl_clone *c, struct clocks *ck)
{
	const struct vl_layout *l = vl_kernel_layout(c->attach->kernel);
	uint64_t tk = vl_kernel_timekeeper(c->attach->kernel), tkr, clock, nsec;
	int64_t base;

	if (!tk || !vl_has(l, VL_F_TK_MONO))
		return false;
	tkr = tk + (uint64_t)l->offset[VL_F_TK_MONO];
	if (!read_field(c, tkr, VL_F_TKR_CLOCK, &clock, 8) ||
	    !read_field(c, tkr, VL_F_TKR_LAST, &ck->cycles, 8) ||
	    !read_field(c, tkr, VL_F_TKR_MULT, &ck->mult, 4) ||
	    !read_field(c, tkr, VL_F_TKR_SHIFT, &ck->shift, 4) ||
	    !read_field(c, tkr, VL_F_TKR_XTIME_NSEC, &nsec, 8) ||
	    !read_field(c, tkr, VL_F_TKR_BASE, &base, 8) ||
	    !read_field(c, clock, VL_F_CLOCKSOURCE_READ, &ck->read_fn, 8))
		return false;
	if (!ck->mult || ck->shift > 63)
		return false;
	ck->mono = ck->lo = base + (int64_t)(nsec >> ck->shift);
	ck->hi = ck->lo + FAR_NS;
	return true;
}

/*
 * During an update the timekeeper is inconsistent: read it until two reads agree, 5 times at
 * most.
 */
static bool read_live(struct vl_clone *c, struct clocks *ck)
{
	struct clocks second = { 0 };

	for (int i = 0; i < 5; i++) {
		if (!read_timekeeper(c, ck) || !read_timekeeper(c, &second))
			return false;
		if (!memcmp(ck, &second, sizeof(second)))
			return true;
	}
	return true;
}

static void read_cpus(struct vl_clone *c, struct clocks *ck)
{
	const struct vl_kernel *k = c->attach->kernel;
	uint64_t offsets = vl_symbol(k, "__per_cpu_offset"), rq = vl_symbol(k, "runqueues");
	uint64_t sched = vl_symbol(k, "tick_cpu_sched"), device = vl_symbol(k, "tick_cpu_device");
	uint64_t ids = vl_symbol(k, "nr_cpu_ids");
	bool up = vl_kernel_is_up(k);
	bool periodic = device;
	uint32_t nr = 1;

	if (!ids || !read_clock(c, ids, &nr, sizeof(nr)) || nr > MAX_CPUS)
		nr = 1;
	for (uint32_t cpu = 0; (offsets || up) && cpu < nr; cpu++) {
		uint64_t percpu = 0, evtdev, clock;
		uint32_t mode;
		int64_t ns;

		if (!up && !read_clock(c, offsets + 8UL * cpu, &percpu, 8))
			continue;
		if (rq && read_field(c, percpu + rq, VL_F_RQ_CLOCK, &clock, 8) && clock > ck->sched)
			ck->sched = clock;
		if (sched && read_field(c, percpu + sched, VL_F_TICK_IDLE_ENTRY, &ns, 8) &&
		    ns > ck->lo && ns < ck->mono + 100 * FAR_NS)
			ck->lo = ns;
		periodic = periodic && read_field(c, percpu + device, VL_F_TICK_MODE, &mode, 4) &&
			   mode == MODE_PERIODIC;
		if (device && read_field(c, percpu + device, VL_F_TICK_EVTDEV, &evtdev, 8) &&
		    evtdev && read_field(c, evtdev, VL_F_CLOCKEVENT_NEXT, &ns, 8) &&
		    ns >= ck->mono && ns < ck->hi)
			ck->hi = ns;
	}
	/* A tick that never stops has just updated the timekeeper. */
	if (periodic)
		ck->hi = ck->mono;
	/* An event that is due means that its time is about now. */
	if (ck->hi < ck->lo)
		ck->hi = ck->lo;
	ck->hi += LATE_NS;
}

/* Write an int3 over the reads of the TSC that are inlined into the timekeeping code. */
static void patch_tsc(struct vl_clone *c)
{
	uint64_t va;

	for (size_t i = 0; i < VL_MAX_TSC_SITES && (va = c->attach->tsc_sites[i]); i++) {
		struct vl_tsc_site *t = &c->tsc_sites[c->nr_tsc_sites];
		unsigned char code[5];

		if (!vl_clone_read(c, va, code, sizeof(code)))
			continue;
		t->va = va;
		t->len = !memcmp(code, "\x0f\xae\xe8\x0f\x31", 5) ? 5 :
			 !memcmp(code, "\x0f\x31", 2)		  ? 2 :
			 !memcmp(code, "\x0f\x01\xf9", 3)	  ? 3 :
								    0;
		if (t->len && vl_clone_replace(c, va, "\xcc", 1))
			c->nr_tsc_sites++;
	}
}

/* Make the clock functions return the values of our page of clocks. */
static void patch_clocks(struct vl_clone *c, uint64_t read_fn)
{
	static const char *const sched_clocks[] = { "sched_clock", "sched_clock_noinstr",
						    "native_sched_clock", "kvm_sched_clock_read",
						    "pvclock_clocksource_read_nowd" };

	if (!c->ops->set_tsc)
		patch_tsc(c);
	vl_clone_return_from(c, read_fn, c->clocks_va + CLOCK_CYCLES);
	for (size_t i = 0; i < ARRAY_SIZE(sched_clocks); i++) {
		uint64_t va = vl_symbol(c->attach->kernel, sched_clocks[i]);

		if (va && va != read_fn)
			vl_clone_return_from(c, va, c->clocks_va + CLOCK_SCHED);
	}
	c->clock_fn = read_fn;
}

/* Narrow the bounds by those of earlier passes over this live guest, and keep the result. */
static void use_anchor(struct clocks *ck, struct vl_attach *attach)
{
	int64_t host = attach->paused_host_ns ? attach->paused_host_ns : (int64_t)vl_now_ns();
	int64_t lo = ck->lo - host, hi = ck->hi - host;

	if (attach->has_anchor) {
		int64_t l = lo > attach->anchor_lo ? lo : attach->anchor_lo;
		int64_t h = hi < attach->anchor_hi ? hi : attach->anchor_hi;

		if (l <= h) {
			lo = l;
			hi = h;
		}
	}
	attach->anchor_changed |=
		!attach->has_anchor || lo != attach->anchor_lo || hi != attach->anchor_hi;
	attach->has_anchor = true;
	attach->anchor_lo = lo;
	attach->anchor_hi = hi;
	ck->lo = lo + host;
	ck->hi = hi + host;
}

void vl_clone_touch_time(struct vl_clone *c)
{
	struct clocks ck = { 0 };

	c->live = false;
	if (read_timekeeper(c, &ck))
		read_cpus(c, &ck);
}

void vl_clone_set_time(struct vl_clone *c, struct vl_attach *attach)
{
	struct clocks ck = { 0 };
	int64_t now = vl_now_ns();

	if (c->live && c->time_ns && now - c->time_ns < LIVE_NS)
		return;
	if (!(c->live ? read_live(c, &ck) : read_timekeeper(c, &ck)))
		return;
	c->time_ns = now;
	read_cpus(c, &ck);
	if (vl_target_is_live(attach->target))
		use_anchor(&ck, attach);
	now = ck.lo + (ck.hi - ck.lo) / 2;
	if (now > ck.mono) {
		ck.cycles += (uint64_t)(((unsigned __int128)(now - ck.mono) << ck.shift) / ck.mult);
		ck.sched += (uint64_t)(now - ck.mono);
	}
	c->tsc = ck.cycles;
	if (c->ops->set_tsc)
		c->ops->set_tsc(c->executor, c->tsc);
	vl_clone_write(c, c->clocks_va + CLOCK_CYCLES, &ck.cycles, 8);
	vl_clone_write(c, c->clocks_va + CLOCK_SCHED, &ck.sched, 8);
	/* A guest can change its clocksource between two passes. */
	if (ck.read_fn != c->clock_fn)
		patch_clocks(c, ck.read_fn);
}
