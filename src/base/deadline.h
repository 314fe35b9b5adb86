/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deadlines for work whose length depends on the guest's memory. */
#ifndef VLENS_DEADLINE_H
#define VLENS_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

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
