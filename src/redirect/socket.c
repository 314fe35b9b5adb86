/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets that ask the kernel: netlink, and sockets for ioctls about interfaces (netif.c). A
 * netlink request is sent, and all its answers are received, in one transaction on a socket of
 * the guest that is closed at its end. The program then receives the answers from a queue of
 * ours. Nothing is sent over the guest's network, and no daemon of the host (nscd, userdb,
 * D-Bus) is asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "refuse.h"
#include "fds.h"
#include "handlers.h"
#include "netlink.h"
#include "trap.h"

/* The program's netlink port, "vlen": libnetlink compares it with that of the answers. */
#define PORT 0x766c656e
/* The most bytes in a queue of answers. */
#define QUEUE_MAX (64u << 20)
/* The most pieces of one sendmsg or recvmsg. */
#define PIECES 16

static struct vl_file *socket_of(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_find(t, t->args[0]);

	if (!f)
		vl_fd_pass(t, t->args[0]);
	if (f && f->kind != K_SOCKET) {
		t->ret = -ENOTSOCK;
		return NULL;
	}
	return f;
}

/* Programs only print that the protocol is not supported. */
static const struct vl_error no_netfilter = {
	.code = VL_ERR_KERNEL,
	.message = (char *)"the guest's kernel has not loaded nfnetlink",
	.hint = (char *)"it has no rules of nftables, nor of iptables over it",
};

static struct vl_error *give_socket(struct vl_trap *t, int domain, int type, int protocol)
{
	struct vl_addfd g = {
		.path = "socket:",
		.cloexec = type & SOCK_CLOEXEC,
		.at = -1,
		.file = { .kind = K_SOCKET,
			  .domain = domain,
			  .type = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK),
			  .protocol = protocol },
	};
	struct vl_error *err;
	int64_t fd, ret;

	/* Does the guest's kernel have such sockets? */
	err = VL_GUEST(t->r, "socket", &fd, VL_ARG_INT(domain), VL_ARG_INT(g.file.type),
		       VL_ARG_INT(protocol));
	if (!err && fd == -EPROTONOSUPPORT && protocol == NETLINK_NETFILTER)
		vl_blame(t, &no_netfilter);
	if (err || fd < 0) {
		t->ret = fd;
		return err;
	}
	err = VL_GUEST(t->r, "newfstat", &ret, VL_ARG_INT(fd),
		       VL_ARG_OUT(&g.file.st, sizeof(g.file.st)));
	g.file.has_stat = !ret;
	if (!err)
		err = VL_GUEST(t->r, "close", &ret, VL_ARG_INT(fd));
	return err ? err : vl_fd_hand_over(t, &g);
}

/* socket(domain, type, protocol): all are stand-ins; socketpair() makes real ones */
struct vl_error *vl_h_socket(struct vl_trap *t)
{
	int domain = t->args[0], type = t->args[1], protocol = t->args[2];

	switch (domain) {
	case AF_UNIX: /* interfaces are asked about on it, too (netif.c) */
	case AF_INET:
	case AF_INET6:
		return give_socket(t, domain, type, protocol);
	case AF_NETLINK:
		if (protocol == NETLINK_ROUTE || protocol == NETLINK_SOCK_DIAG ||
		    protocol == NETLINK_GENERIC || protocol == NETLINK_NETFILTER)
			return give_socket(t, domain, type, protocol);
		vl_deny_as(t, EPROTONOSUPPORT); /* audit, kobject_uevent, connector, … */
		return NULL;
	default:
		vl_deny_as(t, EAFNOSUPPORT);
		return NULL;
	}
}

/*
 * bind(fd, addr, len): a netlink socket has one address (PORT), whatever the program asks for.
 * All other sockets, listen and accept are denied: nothing connects to the program.
 */
struct vl_error *vl_h_bind(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_ours(t->args[0]) ? vl_fd_find(t, t->args[0]) : NULL;

	if (f && f->kind != K_SOCKET)
		t->ret = -ENOTSOCK;
	else if (!f || t->nr != __NR_bind || f->domain != AF_NETLINK)
		vl_deny(t);
	return NULL;
}

/* getsockname(fd, addr, &len) */
struct vl_error *vl_h_getsockname(struct vl_trap *t)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_pid = PORT };
	struct sockaddr_storage any = { 0 };
	struct vl_file *f = socket_of(t);
	socklen_t room, len;
	void *addr = &nl;

	if (!f)
		return NULL;
	len = sizeof(nl);
	if (f->domain != AF_NETLINK) {
		any.ss_family = f->domain;
		addr = &any;
		len = f->domain == AF_INET ? 16 : 28; /* sockaddr_in, sockaddr_in6 */
	}
	t->ret = vl_mem_read(t, t->args[2], &room, sizeof(room));
	if (!t->ret)
		t->ret = vl_mem_write(t, t->args[1], addr, room < len ? room : len);
	if (!t->ret)
		t->ret = vl_mem_write(t, t->args[2], &len, sizeof(len));
	return NULL;
}

/* getsockopt(fd, level, name, value, &len) */
struct vl_error *vl_h_getsockopt(struct vl_trap *t)
{
	struct vl_file *f = socket_of(t);
	socklen_t len;
	int value = 0;

	if (!f)
		return NULL;
	if ((int)t->args[1] != SOL_SOCKET) {
		t->ret = -ENOPROTOOPT;
		/* IPT_BASE_CTL and IP6T_BASE_CTL of linux/netfilter_ipv?/ip?_tables.h */
		if (f->type == SOCK_RAW && (int)t->args[2] == 64)
			vl_refused(t, VL_REFUSED_XTABLES, "");
		return NULL;
	}
	switch ((int)t->args[2]) {
	case SO_TYPE:
		value = f->type;
		break;
	case SO_DOMAIN:
		value = f->domain;
		break;
	case SO_PROTOCOL:
		value = f->protocol;
		break;
	case SO_SNDBUF:
	case SO_RCVBUF:
		value = 212992; /* net.core.rmem_default of most kernels */
		break;
	}
	t->ret = vl_mem_read(t, t->args[4], &len, sizeof(len));
	if (!t->ret && len > sizeof(value))
		len = sizeof(value);
	if (!t->ret)
		t->ret = vl_mem_write(t, t->args[3], &value, len);
	if (!t->ret)
		t->ret = vl_mem_write(t, t->args[4], &len, sizeof(len));
	return NULL;
}

/* Does message @h of @protocol only ask? */
static bool only_asks(int protocol, const struct nlmsghdr *h)
{
	if (h->nlmsg_type < NLMSG_MIN_TYPE)
		return true;
	switch (protocol) {
	case NETLINK_ROUTE: /* linux/rtnetlink.h: NEW, DEL, GET, SET in turn from 16 on */
		return (h->nlmsg_type & 3) == (RTM_GETLINK & 3);
	case NETLINK_SOCK_DIAG:
		return h->nlmsg_type == SOCK_DIAG_BY_FAMILY || h->nlmsg_type == TCPDIAG_GETSOCK ||
		       h->nlmsg_type == DCCPDIAG_GETSOCK;
	case NETLINK_NETFILTER:
		return vl_netfilter_asks(h->nlmsg_type);
	case NETLINK_GENERIC: /* vl_genl_asks() knows the others */
		return h->nlmsg_type == GENL_ID_CTRL || (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	}
	return false;
}

/* 0, or -EPERM for a request that changes something. */
static int check_request(int protocol, const char *buf, size_t len)
{
	while (len >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;
		size_t n;

		memcpy(&h, buf, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			break; /* the kernel stops here, too (netlink_rcv_skb) */
		if (!only_asks(protocol, &h))
			return -EPERM;
		n = NLMSG_ALIGN(h.nlmsg_len);
		if (n > len)
			break;
		buf += n;
		len -= n;
	}
	return 0;
}

/*
 * The answers have the port of the guest's socket. Put in the port that getsockname gives to
 * the program, and sanitize them.
 */
static void readdress(struct vl_redirect *r, int protocol, char *buf, size_t len)
{
	while (len >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr h;
		size_t n;

		memcpy(&h, buf, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			return;
		if (h.nlmsg_pid) {
			h.nlmsg_pid = PORT;
			memcpy(buf, &h, sizeof(h));
		}
		vl_sanitize_message(r, protocol, buf, h.nlmsg_len);
		n = NLMSG_ALIGN(h.nlmsg_len);
		if (n > len)
			return;
		buf += n;
		len -= n;
	}
}

/* Append all answers of guest socket @fd to *@queue: for each its length, then its bytes. */
static struct vl_error *collect(struct vl_trap *t, int protocol, int64_t fd, char **queue,
				size_t *queue_len)
{
	struct vl_error *err;
	uint32_t len;
	int64_t n;

	for (;;) {
		char *more;

		err = VL_GUEST(t->r, "recvfrom", &n, VL_ARG_INT(fd),
			       VL_ARG_OUT(t->r->chunk, VL_CHUNK), VL_ARG_INT(VL_CHUNK),
			       VL_ARG_INT(MSG_DONTWAIT), VL_ARG_NULL, VL_ARG_NULL);
		if (err || n <= 0 || n > VL_CHUNK || *queue_len > QUEUE_MAX)
			return err;
		more = realloc(*queue, *queue_len + sizeof(len) + n);
		if (!more)
			return vl_error_nomem();
		readdress(t->r, protocol, t->r->chunk, n);
		len = n;
		memcpy(more + *queue_len, &len, sizeof(len));
		memcpy(more + *queue_len + sizeof(len), t->r->chunk, n);
		*queue = more;
		*queue_len += sizeof(len) + n;
	}
}

static struct vl_error *ask(struct vl_trap *t, struct vl_file *f, char *request, size_t len)
{
	size_t queue_len = 0;
	struct vl_error *err;
	char *queue = NULL;
	int64_t fd, ret;

	err = VL_GUEST(t->r, "socket", &fd, VL_ARG_INT(AF_NETLINK), VL_ARG_INT(SOCK_RAW),
		       VL_ARG_INT(f->protocol));
	if (err || fd < 0) {
		t->ret = fd;
		return err;
	}
	if (f->protocol == NETLINK_ROUTE)
		err = vl_netns_request(t, request, len);
	if (!err)
		err = VL_GUEST(t->r, "sendto", &t->ret, VL_ARG_INT(fd), VL_ARG_IN(request, len),
			       VL_ARG_INT(len), VL_ARG_INT(0), VL_ARG_NULL, VL_ARG_NULL);
	if (!err && t->ret >= 0)
		err = collect(t, f->protocol, fd, &queue, &queue_len);
	if (!err)
		err = VL_GUEST(t->r, "close", &ret, VL_ARG_INT(fd));
	if (err) {
		free(queue);
		return err;
	}
	free(f->listing); /* answers that are left belong to an older request */
	f->listing = queue;
	f->listing_len = queue_len;
	f->pos = 0;
	return NULL;
}

/*
 * Answer a request as the kernel does without the right to it: the send succeeds, and an error
 * message comes back. iproute2 probes for features in this way.
 */
static struct vl_error *refuse(struct vl_trap *t, struct vl_file *f, const char *request,
			       size_t len)
{
	struct {
		uint32_t len;
		struct nlmsghdr head;
		struct nlmsgerr error;
	} answer = {
		.len = sizeof(answer) - sizeof(answer.len),
		.head = { .nlmsg_type = NLMSG_ERROR, .nlmsg_pid = PORT },
		.error.error = -EPERM,
	};
	char *queue = malloc(sizeof(answer));

	if (!queue)
		return vl_error_nomem();
	memcpy(&answer.error.msg, request, sizeof(answer.error.msg));
	answer.head.nlmsg_len = answer.len;
	answer.head.nlmsg_seq = answer.error.msg.nlmsg_seq;
	memcpy(queue, &answer, sizeof(answer));
	free(f->listing);
	f->listing = queue;
	f->listing_len = sizeof(answer);
	f->pos = 0;
	t->ret = len;
	return NULL;
}

/* Gather the pieces of a message: its length or -errno. */
static ssize_t gather(struct vl_trap *t, uint64_t iov, size_t nr, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < nr; i++) {
		struct iovec v;
		int err = vl_mem_read(t, iov + i * sizeof(v), &v, sizeof(v));

		if (err)
			return err;
		if (v.iov_len > size - len)
			return -EMSGSIZE;
		err = vl_mem_read(t, (uintptr_t)v.iov_base, buf + len, v.iov_len);
		if (err)
			return err;
		len += v.iov_len;
	}
	return len;
}

/* Is @buf a netfilter batch with no message between its begin and its end? */
static bool is_empty_batch(const char *buf, size_t len)
{
	struct nlmsghdr h;
	int nr = 0;

	for (; len >= sizeof(h); nr++) {
		memcpy(&h, buf, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || NLMSG_ALIGN((size_t)h.nlmsg_len) > len ||
		    h.nlmsg_type != (nr ? NFNL_MSG_BATCH_END : NFNL_MSG_BATCH_BEGIN))
			return false;
		buf += NLMSG_ALIGN((size_t)h.nlmsg_len);
		len -= NLMSG_ALIGN((size_t)h.nlmsg_len);
	}
	return nr == 2 && !len;
}

/*
 * iptables ends with an empty batch, even if it only lists. The kernel does not answer that, so
 * a socket would not become readable. Our stand-in is a file, which is always readable. An
 * eventfd, which never is, takes its place. The socket is of no use from then on.
 */
static void take_empty_batch(struct vl_trap *t, size_t len)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	t->ret = fd < 0 ? -errno : (int64_t)len;
	if (fd < 0)
		return;
	vl_fd_add(t, fd, (int)t->args[0], true);
	close(fd);
}

/* sendto, sendmsg, write */
struct vl_error *vl_h_send(struct vl_trap *t)
{
	struct vl_file *f = socket_of(t);
	char request[8192]; /* questions are short: libnetlink's buffers are 1 to 4 KiB */
	struct vl_error *err;
	struct msghdr m;
	ssize_t len;
	bool asks;

	if (!f) {
		if (!t->pass && t->nr == __NR_write)
			t->ret = -EBADF; /* a stream is open for reading */
		return NULL;
	}
	if (f->domain != AF_NETLINK) {
		vl_deny(t);
		return NULL;
	}
	if (t->nr == __NR_sendmsg) {
		t->ret = vl_mem_read(t, t->args[1], &m, sizeof(m));
		if (t->ret)
			return NULL;
		len = m.msg_iovlen > PIECES ? -EMSGSIZE :
					      gather(t, (uintptr_t)m.msg_iov, m.msg_iovlen, request,
						     sizeof(request));
	} else {
		len = t->args[2] > sizeof(request) ? -EMSGSIZE : (ssize_t)t->args[2];
		if (len > 0) {
			int e = vl_mem_read(t, t->args[1], request, len);

			len = e ? e : len;
		}
	}
	t->ret = len;
	if (len < 0)
		return NULL;
	if (f->protocol == NETLINK_NETFILTER && is_empty_batch(request, len)) {
		take_empty_batch(t, len);
		return NULL;
	}
	asks = !check_request(f->protocol, request, len);
	if (!asks && f->protocol == NETLINK_GENERIC) {
		err = vl_genl_asks(t, request, len, &asks);
		if (err)
			return err;
	}
	if (asks)
		return ask(t, f, request, len);
	vl_deny(t);
	vl_refused(t, VL_REFUSED_CHANGE, "");
	return refuse(t, f, request, len);
}

/* The next answer, or NULL. */
static const char *next_answer(const struct vl_file *f, uint32_t *len)
{
	if (f->listing_len - f->pos < sizeof(*len))
		return NULL;
	memcpy(len, f->listing + f->pos, sizeof(*len));
	return f->listing + f->pos + sizeof(*len);
}

/* Put the next answer into @nr pieces; sets t->ret. *@truncated: it did not fit. */
static void scatter(struct vl_trap *t, struct vl_file *f, const struct iovec *iov, size_t nr,
		    int flags, bool *truncated)
{
	const char *data;
	uint32_t len;
	size_t done = 0;

	data = next_answer(f, &len);
	if (!data) {
		/* No answer can come, so do not wait. libnetlink repeats at EAGAIN. */
		t->ret = flags & MSG_DONTWAIT ? -EAGAIN : -EIO;
		return;
	}
	for (size_t i = 0; i < nr && done < len; i++) {
		size_t n = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		t->ret = vl_mem_write(t, (uintptr_t)iov[i].iov_base, data + done, n);
		if (t->ret)
			return;
		done += n;
	}
	*truncated = done < len;
	t->ret = flags & MSG_TRUNC ? len : done;
	if (!(flags & MSG_PEEK))
		f->pos += sizeof(len) + len;
}

/* recvmsg(fd, msg, flags) */
static struct vl_error *recv_message(struct vl_trap *t, struct vl_file *f)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct iovec iov[PIECES];
	bool truncated = false;
	struct msghdr m;
	int64_t ret;

	t->ret = vl_mem_read(t, t->args[1], &m, sizeof(m));
	if (!t->ret && m.msg_iovlen > PIECES)
		m.msg_iovlen = PIECES;
	if (!t->ret)
		t->ret = vl_mem_read(t, (uintptr_t)m.msg_iov, iov, m.msg_iovlen * sizeof(iov[0]));
	if (t->ret)
		return NULL;
	scatter(t, f, iov, m.msg_iovlen, t->args[2], &truncated);
	if (t->ret < 0)
		return NULL;
	ret = 0;
	if (m.msg_name)
		ret = vl_mem_write(t, (uintptr_t)m.msg_name, &kernel,
				   m.msg_namelen < sizeof(kernel) ? m.msg_namelen : sizeof(kernel));
	m.msg_namelen = m.msg_name ? sizeof(kernel) : 0;
	m.msg_controllen = 0;
	m.msg_flags = truncated ? MSG_TRUNC : 0;
	if (!ret)
		ret = vl_mem_write(t, t->args[1], &m, sizeof(m));
	if (ret)
		t->ret = ret;
	return NULL;
}

/* recvfrom(fd, buf, len, flags, addr, &addrlen), recvmsg, read */
struct vl_error *vl_h_recv(struct vl_trap *t)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(kernel);
	struct vl_file *f = socket_of(t);
	struct iovec iov;
	bool truncated;

	if (!f)
		return NULL;
	if (t->nr == __NR_recvmsg)
		return recv_message(t, f);
	iov = (struct iovec){ (void *)(uintptr_t)t->args[1], t->args[2] };
	scatter(t, f, &iov, 1, t->nr == __NR_recvfrom ? t->args[3] : 0, &truncated);
	if (t->ret >= 0 && t->nr == __NR_recvfrom && t->args[4] && t->args[5] &&
	    (vl_mem_write(t, t->args[4], &kernel, len) ||
	     vl_mem_write(t, t->args[5], &len, sizeof(len))))
		t->ret = -EFAULT;
	return NULL;
}
