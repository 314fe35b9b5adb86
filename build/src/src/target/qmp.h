/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small client of the QEMU Monitor Protocol on a Unix socket. Every wait has
 * a limit and so has every message; events are skipped.
 */
#ifndef VLENS_TARGET_QMP_H
#define VLENS_TARGET_QMP_H

#include <stdbool.h>
#include <sys/types.h>

#include <json-c/json.h>

#include "error.h"

struct vl_qmp;

/*
 * Connect to the socket at @path. Nothing is said yet: the greeting is awaited
 * at the first command, so that a connection that only asks for the pid costs
 * the monitor nothing.
 */
struct vl_error *vl_qmp_connect(const char *path, struct vl_qmp **ret);
/* The same over a connected socket, which the client then owns. */
struct vl_error *vl_qmp_attach(int fd, struct vl_qmp **ret);
void vl_qmp_close(struct vl_qmp *q);

/* The process that listens on the socket, 0 if unknown. */
pid_t vl_qmp_pid(const struct vl_qmp *q);
int vl_qmp_fd(const struct vl_qmp *q);
/* Has the connection failed for good, as against a command refused? */
bool vl_qmp_is_broken(const struct vl_qmp *q);

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
