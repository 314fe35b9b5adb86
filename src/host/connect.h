/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a QMP monitor listens, and how we get there. */
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
	 * Whose view of the file system and of the network it is meant in. 0: our own.
	 * A QEMU may be in namespaces of its own.
	 */
	pid_t pid;
	char path[PATH_MAX]; /* of the socket, or the host as it was written */
	uint16_t port;
};

/*
 * Take @text as host and port of a TCP socket: [tcp:]HOST:PORT, HOST possibly an IPv6
 * address in brackets, or empty. False: it is none.
 */
bool vl_qmp_parse_tcp(const char *text, struct vl_qmp_address *ret);

/*
 * Is a host as it was written this machine's loopback, or (as "0.0.0.0" and "") any of its
 * addresses? No name is looked up but "localhost".
 */
bool vl_qmp_is_loopback(const char *host);

/*
 * Connect to @a. 0, and *@fd_ret is a connected non-blocking socket; or -errno: -EAGAIN when the
 * listener's queue is full, -ENOTSOCK when something else is at the path. Waits for nothing
 * longer than a second.
 */
int vl_connect(const struct vl_qmp_address *a, int *fd_ret);

/*
 * A name for the socket, fit for a file name, the same however it was written; false when it
 * is not there.
 */
bool vl_connect_key(const struct vl_qmp_address *a, char *buf, size_t size);

/*
 * Does process @pid listen at @a? Without a connection; of a path only where both are in our
 * network namespace, by which the kernel lists such sockets, too.
 */
bool vl_connect_listens(const struct vl_qmp_address *a, pid_t pid);

/* How @a is written in messages: "socket PATH", "HOST:PORT". */
const char *vl_connect_name(const struct vl_qmp_address *a, char *buf, size_t size);

#endif
