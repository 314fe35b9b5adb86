/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's side of a box, as box.c and loan.c know it. */
#ifndef VLENS_BOX_INTERNAL_H
#define VLENS_BOX_INTERNAL_H

#include <sched.h>

#include "box.h"

struct vl_box {
	pid_t pid;
	int pidfd, link; /* our end: the other one closes when the worker ends */
	int wire_fd;	 /* -1: the wire is in no file */
	int lender;	 /* connection to the process whose child it is; -1: our child */
	struct vl_wire *wire;
	struct vl_box_report report;
	cpu_set_t cpus, all; /* that it may use now; that the broker may when it is not pinned */
	const char *does;
	bool ready, gone, late;
	int status; /* as waitpid gives it; -1: not known */
};

/* NULL: out of memory. */
struct vl_box *vl_box_new(const char *does);
bool vl_box_has_ended(const struct vl_box *b);
/* Wait for the worker's report, at most @timeout_ns. */
struct vl_error *vl_box_ready(struct vl_box *b, uint64_t timeout_ns);
/* Close our side of the wire: the worker is lent from now on, or gone. */
void vl_box_hang_up(struct vl_box *b);

#endif
