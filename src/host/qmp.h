/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small client of the QEMU Monitor Protocol. The other side may be hostile: every wait has a
 * timeout, all waits together have a deadline, and a message has a maximal size. Events are
 * skipped.
 */
#ifndef VLENS_HOST_QMP_H
#define VLENS_HOST_QMP_H

#include <stdbool.h>
#include <sys/types.h>

#include <json-c/json.h>

#include "connect.h"
#include "error.h"

struct vl_qmp;

/*
 * Connect to the monitor at @a, and send nothing. NULL, and *@ret is NULL: its queue was full
 * until @deadline (CLOCK_MONOTONIC, ns).
 */
struct vl_error *vl_qmp_connect(const struct vl_qmp_address *a, uint64_t deadline,
				struct vl_qmp **ret);
/* The same over a connected socket, which the client then owns. */
struct vl_error *vl_qmp_attach(int fd, struct vl_qmp **ret);
void vl_qmp_close(struct vl_qmp *q);

/* The process that listens on the socket; 0: not known, as over TCP before vl_qmp_set_pid(). */
pid_t vl_qmp_pid(const struct vl_qmp *q);
void vl_qmp_set_pid(struct vl_qmp *q, pid_t pid);
int vl_qmp_fd(const struct vl_qmp *q);
/* Has the connection failed for good? A command that was refused does not break it. */
bool vl_qmp_is_broken(const struct vl_qmp *q);

/*
 * Wait for the greeting until @deadline, then negotiate. NULL and false in *@greeted_ret: there was
 * no greeting yet, as a monitor talks to one client at a time; call again to go on waiting.
 */
struct vl_error *vl_qmp_greet(struct vl_qmp *q, uint64_t deadline, bool *greeted_ret);

/* The error for a monitor that sends no greeting; it names the reason. */
struct vl_error *vl_qmp_silent(const struct vl_qmp *q);

/* Set the deadline for all further commands together. */
void vl_qmp_set_deadline(struct vl_qmp *q, uint64_t deadline);

/*
 * Run @command with @args (consumed, may be NULL), and pass descriptor @fd along unless it is -1.
 * *@ret (@ret may be NULL) is its result, owned by the caller (json_object_put). VL_ERR_TARGET,
 * with QEMU's description, when QEMU refuses the command.
 */
struct vl_error *vl_qmp_execute(struct vl_qmp *q, const char *command, json_object *args, int fd,
				json_object **ret);

/* Run a human monitor command; *@ret is malloc'ed. Fits vl_hmp_fn. */
struct vl_error *vl_qmp_hmp(void *qmp, const char *line, char **ret);

#endif
