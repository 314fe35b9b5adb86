/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A struct vl_sys over the host's own kernel, to test the redirection with no guest. */
#ifndef VLENS_TEST_HOSTSYS_H
#define VLENS_TEST_HOSTSYS_H

#include <stdbool.h>

#include "syscall/sys.h"

struct hostsys_options {
	const char *root;	 /* "/etc/passwd" is root/etc/passwd if that exists; or NULL */
	unsigned int fail_every; /* every Nth call: VL_ERR_BLOCKED; 0: never */
	const char *fail_path;	 /* every call with this string: VL_ERR_BLOCKED; or NULL */
	unsigned int gone_after; /* the guest is gone after N calls; 0: never */
	unsigned int call_us;	 /* each call takes so long more */
	long clock_offset;	 /* seconds that the guest's date differs */
	bool brief;		 /* each answer ends its epoch */
	pid_t pid;		 /* of the identity */
	const char *lie_of;	 /* this call, or "all", */
	int64_t lie;		 /* returns this when it goes well */
};

struct vl_sys *hostsys_create(const struct hostsys_options *o);
void hostsys_destroy(struct vl_sys *sys);

#endif
