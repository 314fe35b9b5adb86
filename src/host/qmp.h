/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small client of the QEMU Monitor Protocol. What it talks to may be hostile: every wait
 * has an end, all of them together, too, and so has every message; events are skipped.
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
 * Connect to the monitor at @a. Nothing is said yet. NULL, and *@ret is NULL: until
 * @deadline (CLOCK_MONOTONIC, ns) there was no room in its queue.
 */
struct vl_error *vl_qmp_connect(const struct vl_qmp_address *a, uint64_t deadline,
				struct vl_qmp **ret);
/* The same over a connected socket, which the client then owns. */
struct vl_error *vl_qmp_attach(int fd, struct vl_qmp **ret);
void vl_qmp_close(struct vl_qmp *q);

/* The process that listens on the socket, 0 if unknown, as over TCP until it is set. */
pid_t vl_qmp_pid(const struct vl_qmp *q);
void vl_qmp_set_pid(struct vl_qmp *q, pid_t pid);
int vl_qmp_fd(const struct vl_qmp *q);
/* Has the connection failed for good, as against a command refused? */
bool vl_qmp_is_broken(const struct vl_qmp *q);

/*
 * Await the greeting until @deadline, and negotiate. A monitor talks to one client at a time:
 * NULL and false in *@greeted_ret: it has said nothing yet, and may be asked again.
 */
struct vl_error *vl_qmp_greet(struct vl_qmp *q, uint64_t deadline, bool *greeted_ret);

/* The error for a monitor that says nothing: who or what is in the way? */
struct vl_error *vl_qmp_silent(const struct vl_qmp *q);

/* Whatever is asked from now on has to be answered by @deadline. */
void vl_qmp_set_deadline(struct vl_qmp *q, uint64_t deadline);

/*
 * Run @command with @args (consumed, may be NULL), passing descriptor @fd along
 * unless it is -1. *@ret (may be NULL) is what it returned, owned by the
 * caller (json_object_put). VL_ERR_TARGET with QEMU's own words on failure.
 */
struct vl_error *vl_qmp_execute(struct vl_qmp *q, const char *command, json_object *args, int fd,
				json_object **ret);

/* Run a human monitor command; *@ret is malloc'ed. Fits vl_hmp_fn. */
struct vl_error *vl_qmp_hmp(void *qmp, const char *line, char **ret);

#endif
