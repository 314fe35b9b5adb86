/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program can connect to no service; if it fails, the message names the address. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../base/array.h"
#include "refuse.h"
#include "fds.h"
#include "handlers.h"
#include "pathname.h"
#include "trap.h"

/* Is it a service that libraries try first, and can do without? */
static bool is_optional(const struct vl_file *f, const struct sockaddr_un *sa)
{
	static const char *const places[] = {
		"/run/nscd",	       "/var/run/nscd", "/dev/log", "/run/systemd/journal",
		"/run/systemd/userdb", "/tmp/.X11-unix"
	};

	if (sa->sun_family != AF_UNIX) /* getaddrinfo() connects to learn its own address */
		return !f || f->type != SOCK_STREAM;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (vl_path_below(sa->sun_path + !sa->sun_path[0], places[i]))
			return true;
	return false;
}

/* The address @sa in words. */
static void describe(const struct sockaddr_un *sa, char *ret, size_t size)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	char host[INET6_ADDRSTRLEN] = "";

	if (sa->sun_family == AF_UNIX) {
		snprintf(ret, size, "%s%.107s", sa->sun_path[0] ? "" : "@",
			 sa->sun_path + !sa->sun_path[0]);
	} else if (sa->sun_family == AF_INET || sa->sun_family == AF_INET6) {
		inet_ntop(sa->sun_family,
			  sa->sun_family == AF_INET ? (const void *)&in->sin_addr :
						      (const void *)&in6->sin6_addr,
			  host, sizeof(host));
		snprintf(ret, size, "port %u of %s", ntohs(in->sin_port), host);
	} else {
		snprintf(ret, size, "a socket");
	}
}

/* connect(fd, addr, len): refused, as services of this host do not know the guest */
struct vl_error *vl_h_connect(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_ours(t->args[0]) ? vl_fd_find(t, t->args[0]) : NULL;
	union {
		struct sockaddr_un un;
		char bytes[sizeof(struct sockaddr_un) + 1]; /* and a NUL */
	} sa = { .bytes = "" };
	size_t len = t->args[2] < sizeof(sa.un) ? t->args[2] : sizeof(sa.un);
	char what[160];

	t->ret = vl_mem_read(t, t->args[1], &sa, len);
	if (t->ret || (f && f->domain == AF_NETLINK))
		return NULL;
	vl_deny_as(t, ECONNREFUSED);
	if (!is_optional(f, &sa.un)) {
		describe(&sa.un, what, sizeof(what));
		vl_refused(t, VL_REFUSED_SERVICE, what);
	}
	return NULL;
}
