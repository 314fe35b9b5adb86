/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket that the exporter listens on. */
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "http.h"
#include "../options.h"

#define BACKLOG 64

static struct vl_error *cannot(const char *address)
{
	return vl_error_new(VL_ERR_OS, "cannot listen on %s: %s", address, strerror(errno));
}

/* Remove a socket that nobody listens on any more. One whose queue is full (EAGAIN) is in use. */
static void remove_stale(const struct sockaddr_un *un)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 || lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) && errno == ECONNREFUSED)
		unlink(un->sun_path);
}

static struct vl_error *listen_unix(const char *address, const char *path, int *fd_ret)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int failed;

	if (!*path || strlen(path) >= sizeof(un.sun_path))
		return vl_error_new(VL_ERR_ARG, "'%s' is not the path of a socket", path);
	strcpy(un.sun_path, path);
	remove_stale(&un);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* For the owner and the group. No thread has been started yet. */
	mask = umask(0117);
	failed = fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un));
	umask(mask);
	if (failed || listen(fd, BACKLOG))
		return cannot(address);
	*fd_ret = vl_taken_fd(&fd);
	return NULL;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static int bind_to(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && !bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* "HOST:PORT", "[::1]:PORT", ":PORT". False: it is none of them. */
static bool split(const char *address, char host[256], char port[32])
{
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;
	long number;

	/* getaddrinfo() cuts larger numbers. */
	if (colon && isdigit((unsigned char)colon[1]) && !vl_number(colon + 1, 0, 65535, &number))
		return false;
	if (!colon || !colon[1] || strlen(colon + 1) >= 32 || len >= 256)
		return false;
	strcpy(port, colon + 1);
	if (len > 1 && *address == '[' && colon[-1] == ']') {
		address++;
		len -= 2;
	} else if (memchr(address, ':', len)) {
		return false;
	}
	memcpy(host, address, len);
	host[len] = '\0';
	return true;
}

static struct vl_error *listen_inet(const char *address, const struct web_config *c, int *fd_ret)
{
	const struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	bool guarded = c->cert || c->nr_users;
	char host[256], port[32];
	struct vl_error *err = NULL;
	struct addrinfo *list;
	int failed, fd;

	if (!split(address, host, port))
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "'%s' is not an address", address),
				     "it is HOST:PORT or unix:PATH");
	failed = getaddrinfo(*host ? host : NULL, port, &want, &list);
	if (failed)
		return vl_error_new(VL_ERR_ARG, "'%s' is not an address: %s", address,
				    gai_strerror(failed));
	if (!guarded && !is_loopback(list->ai_addr)) {
		err = vl_error_hint(vl_error_new(VL_ERR_ARG,
						 "%s can be reached from other hosts, whose users "
						 "could then read what the guests run",
						 address),
				    "listen on 127.0.0.1, or have TLS or users with --%s",
				    option_name(OPT_WEB_CONFIG));
	} else {
		fd = bind_to(list);
		if (fd < 0)
			err = cannot(address);
		else
			*fd_ret = fd;
	}
	freeaddrinfo(list);
	return err;
}

struct vl_error *http_listen(const char *address, const struct web_config *c, int *fd_ret,
			     const char **path_ret)
{
	*path_ret = NULL;
	if (strncmp(address, "unix:", 5) != 0)
		return listen_inet(address, c, fd_ret);
	*path_ret = address + 5;
	return listen_unix(address, *path_ret, fd_ret);
}
