/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What src/base/ has for everybody: the clock. */
#include "base/array.h"
#include "base/clock.h"
#include "tap.h"

static void test_clock(void)
{
	static const uint64_t some[] = { 0, 1, 999999999, 1000000000, 1000000001, 86400000000000 };
	uint64_t before = vl_now_ns();
	bool same = true;

	for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
		struct timespec ts = vl_ns_timespec(some[i]);

		same = same && ts.tv_nsec < VL_NSEC_PER_SEC && vl_timespec_ns(ts) == some[i];
	}
	ok(same, "nanoseconds and a struct timespec are one and the same");
	ok(vl_ns_timespec(1500000000).tv_sec == 1 &&
		   vl_ns_timespec(1500000000).tv_nsec == 500000000,
	   "1.5 s are a second and a half");
	ok(before && vl_now_ns() >= before, "the clock does not go back");
	ok(vl_clock_ns(CLOCK_REALTIME) > 1000000000 * (uint64_t)VL_NSEC_PER_SEC,
	   "the time of day counts from 1970");
}

int main(void)
{
	test_clock();
	return tap_end();
}
