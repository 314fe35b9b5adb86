/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's side of a box, as box.c, loan.c and server.c know it. */
#ifndef VLENS_BOX_INTERNAL_H
#define VLENS_BOX_INTERNAL_H

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "box.h"

/* The thread that tells the worker a message, and serves what it asks: vl_box_tell_apart(). */
struct vl_server {
	bool on;
	pthread_t thread;
	int cpu; /* the caller's */
	struct vl_message message;
	vl_box_serve_fn serve;
	void *ctx;
	uint64_t timeout_ns;
	bool late; /* the timeout was over before the reply */
};

struct vl_box {
	pid_t pid;
	int pidfd, link; /* our end: the other one closes when the worker ends */
	int wire_fd;	 /* -1: the wire is in no file */
	int lender;	 /* connection to the process whose child it is; -1: our child */
	struct vl_wire *wire;
	struct vl_box_report report;
	cpu_set_t cpus, all; /* that it may use now; that the broker may when it is not pinned */
	struct vl_server server;
	const char *does;
	rlim_t seconds; /* of CPU time that it may use; 0: not limited by us */
	bool ready, gone, late, patient;
	int status; /* as waitpid gives it; -1: not known */
};

/* NULL: out of memory. */
struct vl_box *vl_box_new(const char *does);
bool vl_box_has_ended(const struct vl_box *b);
/* Wait for the worker's report, at most @timeout_ns. */
struct vl_error *vl_box_ready(struct vl_box *b, uint64_t timeout_ns);
/* LEFT: it has asked what is not served here, or has sent what no worker sends. */
enum vl_box_outcome {
	VL_BOX_REPLIED,
	VL_BOX_ANSWERED,
	VL_BOX_LEFT,
	VL_BOX_ENDED,
	VL_BOX_LATE,
};

/*
 * Serve what the worker asks until it replies; or, if @answers is not 0, until it has given so
 * many answers.
 */
enum vl_box_outcome vl_box_listen(struct vl_box *b, uint32_t answers, struct vl_message *m,
				  uint64_t timeout_ns, vl_box_serve_fn serve, void *ctx);
/* Let the worker use @cpus. */
bool vl_box_allow_cpus(struct vl_box *b, const cpu_set_t *cpus);
/* Wait until the thread of vl_box_tell_apart() has ended, if there is one. */
void vl_box_end_server(struct vl_box *b);
/* Close our side of the wire: the worker is lent from now on, or gone. */
void vl_box_hang_up(struct vl_box *b);

#endif
