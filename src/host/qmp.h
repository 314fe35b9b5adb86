/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP monitors: their addresses, and a client. */
#ifndef VLENS_HOST_QMP_H
#define VLENS_HOST_QMP_H

#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

struct vl_qmp;

/* The address of a QMP monitor, and connections to it. */

enum vl_qmp_kind {
	VL_QMP_UNIX,	 /* a path */
	VL_QMP_ABSTRACT, /* a name in the abstract namespace */
	VL_QMP_TCP,	 /* a host and a port */
};

struct vl_qmp_address {
	enum vl_qmp_kind kind;
	/*
	 * The process in whose namespaces (mount and network) the address is valid; 0: our own.
	 */
	pid_t pid;
	char path[PATH_MAX]; /* of the socket, or the host as it was written */
	uint16_t port;
};

/*
 * Parse @text as host and port of a TCP socket: [tcp:]HOST:PORT, where HOST may be an IPv6
 * address in brackets, or empty. False: it has another form.
 */
bool vl_qmp_parse_tcp(const char *text, struct vl_qmp_address *ret);

/*
 * Is @host, as the user wrote it, this machine's loopback, or any of its addresses ("0.0.0.0",
 * "")? The only name that is known is "localhost".
 */
bool vl_qmp_is_loopback(const char *host);

/*
 * Connect to @a. Returns 0, and *@fd_ret is a connected non-blocking socket; or -errno. -EAGAIN:
 * the listener's queue is full; -ENOTSOCK: something else is at the path. Waits a second at most.
 */
int vl_connect(const struct vl_qmp_address *a, int *fd_ret);

/*
 * A name for the socket, fit for a file name. Different spellings of one address have the same
 * name. False: there is no such socket.
 */
bool vl_connect_key(const struct vl_qmp_address *a, char *buf, size_t size);

/*
 * Does process @pid listen at @a? Makes no connection. A path is found only if the listener is in
 * our network namespace: the kernel lists sockets of paths by that namespace, too.
 */
bool vl_connect_listens(const struct vl_qmp_address *a, pid_t pid);

/*
 * The process that has the connection at @a, of which a monitor serves one at a time. 0: none, or
 * it is not known: over TCP, in another network namespace, or of another user.
 */
pid_t vl_connect_holder(const struct vl_qmp_address *a);

/* The text for @a in messages: "PATH", "@NAME" or "HOST:PORT". */
const char *vl_connect_name(const struct vl_qmp_address *a, char *buf, size_t size);

/*
 * A small client of the QEMU Monitor Protocol. The other side may be hostile: every wait has a
 * timeout, all waits together have a deadline, and a message has a maximal size. Events are
 * skipped.
 */

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

/*
 * The error for a monitor that sends no greeting, with the reason. NULL: it is a QEMU's, so it
 * talks to another client.
 */
struct vl_error *vl_qmp_silent(const struct vl_qmp *q);

/*
 * The error for a monitor of QEMU (process @pid, 0: not known) that is busy with another client
 * (process @holder, 0: not known).
 */
struct vl_error *vl_qmp_busy(pid_t pid, pid_t holder) __attribute__((returns_nonnull));

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
