/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Until when something may go on that a guest's memory makes take long. */
#ifndef VLENS_DEADLINE_H
#define VLENS_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* A moment of the host's CLOCK_MONOTONIC in ns; 0: none. */
struct vl_deadline {
	int64_t at_ns;
};

static inline int64_t vl_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static inline struct vl_deadline vl_deadline_in(int64_t ns)
{
	return (struct vl_deadline){ vl_monotonic_ns() + ns };
}

static inline bool vl_late(struct vl_deadline d)
{
	return d.at_ns && vl_monotonic_ns() > d.at_ns;
}

#endif
