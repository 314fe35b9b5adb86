/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address of a QMP monitor, and connections to it. */
#ifndef VLENS_HOST_CONNECT_H
#define VLENS_HOST_CONNECT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

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

/* The text for @a in messages: "PATH", "@NAME" or "HOST:PORT". */
const char *vl_connect_name(const struct vl_qmp_address *a, char *buf, size_t size);

#endif
