/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's clocks, in nanoseconds, and deadlines. */
#ifndef VLENS_BASE_CLOCK_H
#define VLENS_BASE_CLOCK_H

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

/* The time of CLOCK_MONOTONIC, on which all our deadlines and durations are based. */
static inline uint64_t vl_now_ns(void)
{
	return vl_clock_ns(CLOCK_MONOTONIC);
}

/* Deadlines for work whose length depends on the guest's memory. */

/* The times are in ns; 0: no deadline. */
struct vl_deadline {
	uint64_t at_ns;	 /* of the host's CLOCK_MONOTONIC */
	uint64_t cpu_ns; /* of the thread's CPU time: an earlier end; 0: none */
	uint64_t low_ns; /* of CLOCK_MONOTONIC: before it @cpu_ns cannot be reached */
};

static inline struct vl_deadline vl_deadline_in(uint64_t ns)
{
	return (struct vl_deadline){ .at_ns = vl_now_ns() + ns };
}

/*
 * The end of this thread's work after @cpu_ns of CPU time. A busy host gives the thread little of
 * a CPU, so that this may be long; @ns bounds it.
 */
static inline struct vl_deadline vl_deadline_of_work(uint64_t cpu_ns, uint64_t ns)
{
	const uint64_t now = vl_now_ns();

	return (struct vl_deadline){ .at_ns = now + ns,
				     .cpu_ns = vl_clock_ns(CLOCK_THREAD_CPUTIME_ID) + cpu_ns,
				     .low_ns = now + cpu_ns };
}

static inline bool vl_late(struct vl_deadline d)
{
	const uint64_t now = d.at_ns ? vl_now_ns() : 0;

	/* The clock of CPU time is a system call, unlike the other one. */
	return now > d.at_ns ||
	       (d.cpu_ns && now > d.low_ns && vl_clock_ns(CLOCK_THREAD_CPUTIME_ID) > d.cpu_ns);
}

#endif
