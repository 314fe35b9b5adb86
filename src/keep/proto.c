/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/dirs.h"
#include "../base/hash.h"
#include "../base/number.h"
#include "../host/drivers.h"

/* Timeout for a keeper to accept a connection. */
#define DIAL_US 100000
/* Longer than vl_keep_is_idle() holds the lock. */
#define POLL_US 200

struct vl_error *vl_keep_message_init(struct vl_keep_message *m)
{
	*m = (struct vl_keep_message){ .data = malloc(VL_KEEP_MESSAGE_MAX) };
	return m->data ? NULL : vl_error_nomem();
}

void vl_keep_message_deinit(struct vl_keep_message *m)
{
	free(m->data);
	m->data = NULL;
}

void vl_keep_put(struct vl_keep_message *m, const void *data, size_t len)
{
	if (m->bad || len > VL_KEEP_MESSAGE_MAX - m->len) {
		m->bad = true;
		return;
	}
	memcpy(m->data + m->len, data, len);
	m->len += len;
}

void vl_keep_put_string(struct vl_keep_message *m, const char *s)
{
	vl_keep_put(m, s, strlen(s) + 1);
}

void vl_keep_get(struct vl_keep_message *m, void *ret, size_t len)
{
	memset(ret, 0, len);
	if (m->bad || len > m->len - m->at) {
		m->bad = true;
		return;
	}
	memcpy(ret, m->data + m->at, len);
	m->at += len;
}

const char *vl_keep_get_string(struct vl_keep_message *m)
{
	const char *s = m->data + m->at;
	const char *end = m->bad ? NULL : memchr(s, 0, m->len - m->at);

	if (!end) {
		m->bad = true;
		return "";
	}
	m->at += (size_t)(end - s) + 1;
	return s;
}

bool vl_keep_send(int sock, const struct vl_keep_message *m, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { m->data, m->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (m->bad) {
		errno = EMSGSIZE;
		return false;
	}
	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)),
						 .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)m->len;
}

bool vl_keep_receive(int sock, struct vl_keep_message *m, int *fd_ret)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { m->data, VL_KEEP_MESSAGE_MAX };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (fd_ret)
		*fd_ret = -1;
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
		int fd;

		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		if (fd_ret)
			*fd_ret = fd;
		else
			close(fd);
	}
	m->len = n > 0 ? (size_t)n : 0;
	m->at = 0;
	m->bad = n <= 0 || msg.msg_flags & MSG_TRUNC;
	return n > 0;
}

/* Append the identity and times of @path, which change with the file, if it exists. */
static void put_stamp(char *buf, size_t size, const char *path)
{
	struct stat st;

	if (path && !stat(path, &st))
		vl_append(buf, size, "%lu %ld.%09ld ", (unsigned long)st.st_ino,
			  (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/*
 * The trusted kernel of a keeper. It is read once, so another file of that name has another keeper.
 * Each addition to the store and each removal changes the store's directory.
 */
static void trusted_of(const struct vl_keep_options *k, char *buf, size_t size)
{
	const char *path = k->guest.trusted;
	_cleanup_free_ char *store = NULL;

	*buf = '\0';
	if (!path)
		return;
	if (k->guest.unverified)
		snprintf(buf, size, "unverified ");
	if (strcmp(path, VL_TRUSTED_AUTO) != 0) {
		put_stamp(buf, size, path);
	} else if (!vl_discard(vl_trust_dir(&store))) {
		put_stamp(buf, size, store);
		put_stamp(buf, size, vl_trust_root_dir());
	}
	vl_append(buf, size, "%s%s", path, store ? store : "");
}

char *vl_keep_key(const struct vl_keep_options *k)
{
	const char *uri = k->guest.target.uri ? k->guest.target.uri : "";
	const char *env = getenv("LIBVIRT_DEFAULT_URI"), *cache = getenv("VLENS_CACHE_DIR");
	_cleanup_free_ char *cwd = NULL;
	char trusted[PATH_MAX + 256];
	char *key;

	if (vl_spec_is_relative(k->spec))
		cwd = getcwd(NULL, 0);
	trusted_of(k, trusted, sizeof(trusted));
	if (asprintf(&key, "%s\n%s\n%s\n%s\n%d\n%d\n%d\n%s\n%s", k->spec, uri, env ? env : "",
		     cache ? cache : "", (int)k->guest.as, (int)k->guest.netns,
		     (int)k->guest.executor, cwd ? cwd : "", trusted) < 0)
		return NULL;
	return key;
}

char *vl_keep_path(const char *key, unsigned int slot, const char *suffix)
{
	/* Keys may collide here: a keeper compares the key itself. */
	return vl_run_path("keep-%016" PRIx64 ".%u.%s", vl_hash_text(key), slot, suffix);
}

bool vl_keep_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return false;
	strcpy(ret->sun_path, path);
	return true;
}

/* The number of our namespace, from "mnt:[4026531841]"; to open it takes 10 times as long. */
static uint64_t namespace_of(const char *link)
{
	char text[64];
	ssize_t n = readlink(link, text, sizeof(text) - 1);
	const char *number;

	text[n > 0 ? n : 0] = '\0';
	number = strchr(text, '[');
	return number ? vl_front_u64(number + 1, 10) : 0;
}

void vl_keep_self(const char *program, struct vl_keep_self *ret)
{
	static const char *const links[] = { "/proc/self/ns/mnt", "/proc/self/ns/pid",
					     "/proc/self/ns/user", "/proc/self/ns/net" };
	struct stat st;

	*ret = (struct vl_keep_self){
		.sizes = (uint64_t)sizeof(struct vl_keep_request) << 32 |
			 sizeof(struct vl_keep_reply),
		.uid = geteuid(),
	};
	if (!stat(program ? program : "/proc/self/exe", &st)) {
		ret->program[0] = st.st_dev;
		ret->program[1] = st.st_ino;
		ret->program[2] = vl_timespec_ns(st.st_ctim);
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		ret->namespaces[i] = namespace_of(links[i]);
	if (!stat("/", &st))
		ret->root = st.st_ino;
}

int vl_keep_lock(const char *key, unsigned int slot)
{
	_cleanup_free_ char *path = vl_keep_path(key, slot, "lock");
	bool patient = true;
	struct stat st;
	int fd = -1;

	for (int tries = 0; path && tries < 8; tries++) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -2;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			fd = -1;
			/* vl_keep_is_idle() may hold it for an instant: try once more. */
			if (!patient)
				break;
			patient = false;
			usleep(POLL_US);
			continue;
		}
		/* A keeper that ended meanwhile has unlinked the file: lock the new one. */
		if (!fstat(fd, &st) && st.st_nlink)
			break;
		close(fd);
		fd = -1;
	}
	return path ? fd : -2;
}

bool vl_keep_is_idle(const char *key, unsigned int slot)
{
	char *path = vl_keep_path(key, slot, "lock");
	/* The file exists: the tool that started the keeper made it. */
	int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
	bool idle = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB);

	free(path);
	if (fd >= 0)
		close(fd);
	return idle;
}

int vl_keep_connect(const char *key, unsigned int slot, pid_t *pid_ret)
{
	/* The queue of a keeper that hangs fills up: use a timeout. */
	const struct timeval soon = { 0, DIAL_US }, ever = { 0, 0 };
	char *path = vl_keep_path(key, slot, "sock");
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd = -1;

	if (path && vl_keep_address(path, &address))
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	free(path);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)) ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &ever, sizeof(ever)) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.uid != geteuid()) {
		close(fd);
		return -1;
	}
	*pid_ret = peer.pid;
	return fd;
}
