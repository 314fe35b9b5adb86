/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's clocks, in nanoseconds, and deadlines. */
#ifndef VLENS_BASE_CLOCK_H
#define VLENS_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define VL_NSEC_PER_SEC 1000000000L
#define VL_NSEC_PER_MSEC 1000000L
#define VL_NSEC_PER_USEC 1000L

static inline uint64_t vl_timespec_ns(struct timespec ts)
{
	return (uint64_t)ts.tv_sec * VL_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline struct timespec vl_ns_timespec(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / VL_NSEC_PER_SEC), (long)(ns % VL_NSEC_PER_SEC) };
}

/* The time of @clock, which must exist on this host. */
static inline uint64_t vl_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return vl_timespec_ns(ts);
}

/* The same for a clock that may have ended with its process. False: it has; *@ret stays. */
static inline bool vl_clock_try_ns(clockid_t clock, uint64_t *ret)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return false;
	*ret = vl_timespec_ns(ts);
	return true;
}

/* The time of CLOCK_MONOTONIC, on which all our deadlines and durations are based. */
static inline uint64_t vl_now_ns(void)
{
	return vl_clock_ns(CLOCK_MONOTONIC);
}

/*
 * The time that a process has waited for files. Work on a guest's data has a time limit, because
 * the guest decides how long it takes. A slow file system is not the guest's doing, so waits are
 * added to the limit. Processes may share one of these.
 */
struct vl_waits {
	_Atomic uint64_t ns;	/* of waits that have ended */
	_Atomic uint64_t since; /* CLOCK_MONOTONIC: the present one began; 0: there is none */
};

/*
 * ns: shorter times are work, not waits. To read 16 pages that the host's kernel has, or to
 * unpack one page, takes some 10 us; a local disk takes 100 us and more.
 */
#define VL_WAIT_LEAST_NS 50000UL

/*
 * Call this before a read that may wait; with @w NULL it is not counted. Pass the result to
 * vl_wait_end().
 */
static inline uint64_t vl_wait_begin(struct vl_waits *w)
{
	uint64_t none = 0, now = w ? vl_now_ns() : 0;

	if (w)
		atomic_compare_exchange_strong(&w->since, &none, now);
	return now;
}

static inline void vl_wait_end(struct vl_waits *w, uint64_t begun)
{
	uint64_t took;

	if (!w)
		return;
	took = vl_now_ns() - begun;
	/* Add before @since is cleared: a reader may count this wait twice, but never misses it. */
	if (took >= VL_WAIT_LEAST_NS)
		atomic_fetch_add(&w->ns, took);
	atomic_compare_exchange_strong(&w->since, &begun, 0);
}

/* All waits so far, in ns; of NULL: 0. */
static inline uint64_t vl_waited_ns(const struct vl_waits *w)
{
	uint64_t since = w ? atomic_load(&w->since) : 0, ns = w ? atomic_load(&w->ns) : 0;
	uint64_t took = since ? vl_now_ns() - since : 0;

	return ns + (took >= VL_WAIT_LEAST_NS ? took : 0);
}

/* Deadlines for work whose length depends on the guest's memory. */

/* The times are in ns; 0: no deadline. */
struct vl_deadline {
	uint64_t at_ns;		      /* of the host's CLOCK_MONOTONIC */
	uint64_t cpu_ns;	      /* of the thread's CPU time: an earlier end; 0: none */
	uint64_t low_ns;	      /* of CLOCK_MONOTONIC: before it @cpu_ns cannot be reached */
	const struct vl_waits *waits; /* what is waited from now on is added; NULL: nothing */
	uint64_t waited_ns;	      /* of @waits, before */
};

static inline struct vl_deadline vl_deadline_in(uint64_t ns)
{
	return (struct vl_deadline){ .at_ns = vl_now_ns() + ns };
}

/*
 * A deadline that passes when this thread has used @cpu_ns of CPU time. On a busy host that can
 * take long, so it passes after @ns in any case.
 */
static inline struct vl_deadline vl_deadline_of_work(uint64_t cpu_ns, uint64_t ns)
{
	const uint64_t now = vl_now_ns();

	return (struct vl_deadline){ .at_ns = now + ns,
				     .cpu_ns = vl_clock_ns(CLOCK_THREAD_CPUTIME_ID) + cpu_ns,
				     .low_ns = now + cpu_ns };
}

/* The same deadline, later by the waits of @w from now on. */
static inline struct vl_deadline vl_deadline_besides(struct vl_deadline d, const struct vl_waits *w)
{
	d.waits = w;
	d.waited_ns = vl_waited_ns(w);
	return d;
}

/* The deadline as a time of CLOCK_MONOTONIC, with the waits up to now. */
static inline uint64_t vl_deadline_at(struct vl_deadline d)
{
	return d.at_ns + (vl_waited_ns(d.waits) - d.waited_ns);
}

/* The ns that are left of it. */
static inline uint64_t vl_left_ns(struct vl_deadline d)
{
	const uint64_t at = vl_deadline_at(d), now = vl_now_ns();

	return at > now ? at - now : 0;
}

static inline bool vl_late(struct vl_deadline d)
{
	const uint64_t now = d.at_ns ? vl_now_ns() : 0;

	/* The clock of CPU time is a system call, unlike the other one. */
	return (now > d.at_ns && now > vl_deadline_at(d)) ||
	       (d.cpu_ns && now > d.low_ns && vl_clock_ns(CLOCK_THREAD_CPUTIME_ID) > d.cpu_ns);
}

#endif
