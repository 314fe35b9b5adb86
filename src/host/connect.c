/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU may live in a mount namespace of its own (a container, systemd's PrivateTmp). Its paths
 * are then looked up below /proc/PID/root. The container controls the files there, so links are
 * followed within that root only, and the owner of the connection is checked afterwards
 * (monitor.c). A QEMU in a network namespace of its own has another loopback.
 */
#include "qmp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "../base/number.h"
#include "internal.h"
#include "proc.h"
#include "../base/hash.h"

/* A loopback connection takes no time, unless the listener's queue is full. */
#define TCP_TIMEOUT_MS 1000
/* /proc/net/tcp of a busy server: 150 bytes a connection. */
#define TABLE_MAX (64U << 20)

static bool parse_port(const char *text, uint16_t *ret)
{
	long v;

	if (*text < '0' || *text > '9' || !vl_number(text, 1, 65535, &v))
		return false;
	*ret = (uint16_t)v;
	return true;
}

bool vl_qmp_parse_tcp(const char *text, struct vl_qmp_address *ret)
{
	struct vl_qmp_address a = { .kind = VL_QMP_TCP };
	const char *colon, *host = text;
	size_t len;

	if (!strncmp(text, "tcp:", 4) && strchr(text + 4, ':'))
		host += 4;
	colon = strrchr(host, ':');
	if (!colon || strchr(host, '/') || !parse_port(colon + 1, &a.port))
		return false;
	len = (size_t)(colon - host);
	if (*host == '[') {
		if (len < 2 || host[len - 1] != ']')
			return false;
		host++;
		len -= 2;
	}
	if (len >= sizeof(a.path))
		return false;
	memcpy(a.path, host, len);
	*ret = a;
	return true;
}

/* The address to connect to. A listener on any address is reached by the loopback. */
static bool address_of(const char *host, uint16_t port, struct sockaddr_storage *sa,
		       socklen_t *len_ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;

	memset(sa, 0, sizeof(*sa));
	if (!*host || !strcmp(host, "localhost"))
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		if (in->sin_addr.s_addr == htonl(INADDR_ANY))
			in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		*len_ret = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return false;
	if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		in6->sin6_addr = in6addr_loopback;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	*len_ret = sizeof(*in6);
	return true;
}

bool vl_qmp_is_loopback(const char *host)
{
	struct sockaddr_storage sa;
	socklen_t len;

	if (!address_of(host, 1, &sa, &len))
		return false;
	if (sa.ss_family == AF_INET)
		return ntohl(((struct sockaddr_in *)&sa)->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&sa)->sin6_addr);
}

/* ---- paths ---- */

/* Open @path below the link @file ("root", "cwd") of process @pid; or -errno. */
static int open_below(pid_t pid, const char *file, const char *path, uint64_t resolve)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = resolve | RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int dir = -1;
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/%s", (int)pid, file);
	dir = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/*
 * The directory in which the process was started, malloc'ed, or NULL. -daemonize changes to "/",
 * but PWD stays in the environment.
 */
static char *started_in(pid_t pid)
{
	_cleanup_free_ char *env = NULL;
	char file[64];
	size_t len;

	snprintf(file, sizeof(file), "/proc/%d/environ", (int)pid);
	if (vl_read_file(AT_FDCWD, file, 4 << 20, &env, &len) < 0) {
		env = NULL;
		return NULL;
	}
	for (const char *p = env; p < env + len; p += strlen(p) + 1)
		if (!strncmp(p, "PWD=/", 5))
			return strdup(p + 4);
	return NULL;
}

static int open_relative(pid_t pid, const char *path)
{
	_cleanup_free_ char *pwd = NULL, *full = NULL;
	int fd = open_below(pid, "cwd", path, RESOLVE_BENEATH);

	/* "../x", or a link that leads out of cwd: try once more, following no links. */
	if (fd == -EXDEV)
		fd = open_below(pid, "cwd", path, RESOLVE_NO_SYMLINKS);
	if (fd != -ENOENT)
		return fd;
	pwd = started_in(pid);
	if (!pwd || asprintf(&full, "%s/%s", pwd, path) < 0) {
		full = NULL;
		return fd;
	}
	return open_below(pid, "root", full, RESOLVE_IN_ROOT);
}

/* Open the path of @a by O_PATH; or -errno. */
static int open_path(const struct vl_qmp_address *a)
{
	int fd = -ENOENT, own;

	if (a->pid && *a->path == '/')
		fd = open_below(a->pid, "root", a->path, RESOLVE_IN_ROOT);
	else if (a->pid)
		fd = open_relative(a->pid, a->path);
	if (fd >= 0 || (a->pid && *a->path != '/'))
		return fd;
	/* We may not look into its root, or it has changed the root since (-chroot). */
	own = open(a->path, O_PATH | O_CLOEXEC);
	if (own < 0)
		return a->pid && fd != -EACCES && fd != -EPERM ? fd : -errno;
	return own;
}

static int connect_unix(const struct vl_qmp_address *a, int *fd_ret)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int at = open_path(a);
	struct stat st;
	int fd, err;

	if (at < 0)
		return at;
	if (fstat(at, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", at);
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		err = errno;
		if (err == EINTR)
			continue;
		close(fd);
		return -err;
	}
	*fd_ret = fd;
	return 0;
}

/* ---- the network ---- */

static bool same_network(pid_t pid)
{
	struct stat own, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return stat("/proc/self/ns/net", &own) < 0 || stat(path, &theirs) < 0 ||
	       (own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino);
}

/*
 * A socket in the network namespace of process @pid. A socket stays in the namespace in which it
 * was made, so this thread enters it for one system call only.
 */
static int socket_in(pid_t pid, int family)
{
	_cleanup_close_ int own = -1, theirs = -1;
	char path[64];
	int fd, err;

	if (!pid || same_network(pid)) {
		fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		return fd < 0 ? -errno : fd;
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	theirs = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || theirs < 0 || setns(theirs, CLONE_NEWNET) < 0)
		return -errno;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = errno;
	/* Nothing else may run in the other namespace. */
	if (setns(own, CLONE_NEWNET) < 0)
		abort();
	return fd < 0 ? -err : fd;
}

static int finish_connect(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int err = 0;

	while (poll(&pfd, 1, TCP_TIMEOUT_MS) < 0)
		if (errno != EINTR)
			return -errno;
	if (!pfd.revents)
		return -EAGAIN;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : -err;
}

static int connect_network(const struct vl_qmp_address *a, int *fd_ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len;
	int fd, r;

	if (a->kind == VL_QMP_ABSTRACT) {
		struct sockaddr_un *un = (struct sockaddr_un *)&sa;
		size_t n = strlen(a->path);

		if (n >= sizeof(un->sun_path))
			return -ENAMETOOLONG;
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path + 1, a->path, n);
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
	} else if (!address_of(a->path, a->port, &sa, &len)) {
		return -EADDRNOTAVAIL;
	}
	fd = socket_in(a->pid, sa.ss_family);
	if (fd < 0)
		return fd;
	do
		r = connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
	while (r == -EINTR);
	if (r == -EINPROGRESS)
		r = finish_connect(fd);
	if (r < 0)
		close(fd);
	else
		*fd_ret = fd;
	return r;
}

int vl_connect(const struct vl_qmp_address *a, int *fd_ret)
{
	return a->kind == VL_QMP_UNIX ? connect_unix(a, fd_ret) : connect_network(a, fd_ret);
}

bool vl_connect_key(const struct vl_qmp_address *a, char *buf, size_t size)
{
	_cleanup_close_ int at = -1;
	struct stat st;
	char path[64];

	if (a->kind == VL_QMP_UNIX) {
		at = open_path(a);
		if (at < 0 || fstat(at, &st) < 0)
			return false;
		/*
		 * The name has the time, too, because the file system uses an inode's number again.
		 */
		snprintf(buf, size, "unix-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx",
			 (uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_ctim.tv_sec,
			 (unsigned long)st.st_ctim.tv_nsec);
		return true;
	}
	if (a->pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)a->pid);
	if (stat(a->pid ? path : "/proc/self/ns/net", &st) < 0)
		return false;
	snprintf(buf, size, "net-%" PRIx64 "-%u-%" PRIx64, (uint64_t)st.st_ino, a->port,
		 vl_hash_text(a->kind == VL_QMP_ABSTRACT ? a->path : ""));
	return true;
}

/* ---- listeners ---- */

/* Is @ino the inode of a socket in @table that listens on @port? proc(5), /proc/net/tcp. */
static bool in_table(const char *table, uint16_t port, uint64_t ino)
{
	for (const char *p = strchr(table, '\n'); p; p = strchr(p, '\n')) {
		unsigned int local, state;
		uint64_t inode;

		p++;
		if (sscanf(p, "%*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*u %*u %" SCNu64, &local,
			   &state, &inode) == 3 &&
		    local == port && state == 0x0a /* TCP_LISTEN */ && inode == ino)
			return true;
	}
	return false;
}

/* Does process @pid have socket @ino open, or (@ino 0) a listener on the TCP port of @a? */
static bool has_socket(pid_t pid, uint64_t ino, const struct vl_qmp_address *a)
{
	_cleanup_free_ char *tcp = NULL, *tcp6 = NULL;
	char **const tables[] = { &tcp, &tcp6 };
	char path[64], link[64];
	bool found = false;
	struct dirent *de;
	DIR *dir;

	for (int i = 0; !ino && i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)(a->pid ? a->pid : getpid()),
			 i ? "tcp6" : "tcp");
		if (vl_read_file(AT_FDCWD, path, TABLE_MAX, tables[i], NULL) < 0)
			*tables[i] = NULL;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && !found && (de = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);
		uint64_t own;

		link[n < 0 ? 0 : n] = '\0';
		if (sscanf(link, "socket:[%" SCNu64 "]", &own) != 1)
			continue;
		found = ino && own == ino;
		for (int i = 0; !found && i < 2; i++)
			found = *tables[i] && in_table(*tables[i], a->port, own);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* A question about the sockets that are bound to a file. */
struct bound {
	const struct stat *st;
	bool listens;	/* true: find the socket that listens; false: one of a client */
	uint64_t found; /* its inode; a client's is that of its own socket; 0: none */
};

/* The data of attribute @type of @msg, at least @size bytes; NULL: it has none. */
static const void *attribute(const struct nlmsghdr *h, int type, size_t size)
{
	const struct unix_diag_msg *msg = NLMSG_DATA(h);
	const struct rtattr *at = (const struct rtattr *)(msg + 1);
	int len = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*msg));

	for (; RTA_OK(at, len); at = RTA_NEXT(at, len))
		if (at->rta_type == type && RTA_PAYLOAD(at) >= size)
			return RTA_DATA(at);
	return NULL;
}

/*
 * Take one answer of sock_diag(7). A connection that was not accepted yet has no inode: its client
 * waits as we do.
 */
static void take_socket(const struct nlmsghdr *h, struct bound *b)
{
	const struct unix_diag_msg *msg = NLMSG_DATA(h);
	const void *name = attribute(h, UNIX_DIAG_VFS, sizeof(struct unix_diag_vfs));
	const void *other = attribute(h, UNIX_DIAG_PEER, sizeof(uint32_t));
	struct unix_diag_vfs vfs;
	uint32_t peer;

	if (!name || b->found || !msg->udiag_ino || (!b->listens && !other))
		return;
	memcpy(&vfs, name, sizeof(vfs));
	/* The kernel's own form of a device number, include/linux/kdev_t.h. */
	if (vfs.udiag_vfs_ino != (uint32_t)b->st->st_ino ||
	    vfs.udiag_vfs_dev != (major(b->st->st_dev) << 20 | minor(b->st->st_dev)))
		return;
	b->found = msg->udiag_ino;
	if (b->listens)
		return;
	memcpy(&peer, other, sizeof(peer));
	b->found = peer;
}

/* States of a socket, include/net/tcp_states.h. */
enum { IS_CONNECTED = 1, IS_LISTENING = 10 };

static void ask_sockets(struct bound *b)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} ask = { { .nlmsg_len = sizeof(ask),
		    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		  { .sdiag_family = AF_UNIX,
		    .udiag_states = 1U << (b->listens ? IS_LISTENING : IS_CONNECTED),
		    .udiag_show = UDIAG_SHOW_VFS | UDIAG_SHOW_PEER } };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	_Alignas(struct nlmsghdr) char buf[32768];

	if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0)
		return;
	for (;;) {
		/* The kernel has put its answer into the queue: do not wait. */
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *h = (const struct nlmsghdr *)buf;

		if (n <= 0)
			return;
		for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
				return;
			take_socket(h, b);
		}
	}
}

/* The inode of the socket that listens at the file @st; 0: the kernel lists none. */
static uint64_t listener_of(const struct stat *st)
{
	struct bound b = { .st = st, .listens = true };

	ask_sockets(&b);
	return b.found;
}

pid_t vl_connect_holder(const struct vl_qmp_address *a)
{
	_cleanup_close_ int at = a->kind == VL_QMP_UNIX ? open_path(a) : -1;
	_cleanup_free_ pid_t *pids = NULL;
	struct stat st;
	struct bound b = { .st = &st };
	size_t nr;

	if (at < 0 || fstat(at, &st) < 0)
		return 0;
	ask_sockets(&b);
	nr = b.found ? vl_proc_pids(&pids) : 0;
	for (size_t i = 0; i < nr; i++)
		if (has_socket(pids[i], b.found, a))
			return pids[i];
	return 0;
}

bool vl_connect_listens(const struct vl_qmp_address *a, pid_t pid)
{
	_cleanup_close_ int at = -1;
	struct stat st;
	uint64_t ino;

	if (a->kind == VL_QMP_TCP)
		return has_socket(pid, 0, a);
	at = a->kind == VL_QMP_UNIX ? open_path(a) : -1;
	ino = at >= 0 && fstat(at, &st) == 0 ? listener_of(&st) : 0;
	return ino && has_socket(pid, ino, a);
}

const char *vl_connect_name(const struct vl_qmp_address *a, char *buf, size_t size)
{
	if (a->kind == VL_QMP_TCP)
		snprintf(buf, size, strchr(a->path, ':') ? "[%s]:%u" : "%s:%u",
			 *a->path ? a->path : "localhost", a->port);
	else
		snprintf(buf, size, a->kind == VL_QMP_ABSTRACT ? "@%s" : "%s", a->path);
	return buf;
}
