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

/* A time of the host's CLOCK_MONOTONIC in ns; 0: no deadline. */
struct vl_deadline {
	uint64_t at_ns;
};

static inline struct vl_deadline vl_deadline_in(uint64_t ns)
{
	return (struct vl_deadline){ vl_now_ns() + ns };
}

static inline bool vl_late(struct vl_deadline d)
{
	return d.at_ns && vl_now_ns() > d.at_ns;
}

#endif
