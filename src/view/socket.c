/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One socket: struct sock, and the struct of its family around it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "objects.h"

/* include/linux/socket.h, net/tcp_states.h: constants that the host's headers may lack. */
#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
enum {
	TCP_ESTABLISHED_STATE = 1,
	TCP_TIME_WAIT_STATE = 6,
	TCP_CLOSE_STATE = 7,
	TCP_LISTEN_STATE = 10,
	TCP_NEW_SYN_RECV_STATE = 12
};
#define SUN_PATH 2U /* offset of sun_path in sockaddr_un */

static const enum vl_field socket_fields[] = {
	VL_F_SOCKET_SK,	   VL_F_SOCK_FAMILY,	  VL_F_SOCK_STATE,     VL_F_SOCK_NET,
	VL_F_SOCK_TYPE,	   VL_F_SOCK_PROTOCOL,	  VL_F_SOCK_SOCKET,    VL_F_SOCK_UID,
	VL_F_SOCK_BACKLOG, VL_F_SOCK_MAX_BACKLOG, VL_F_SOCK_RMEM,      VL_F_SOCK_WMEM,
	VL_F_SOCK_NUM,	   VL_F_SOCK_DPORT,	  VL_F_SOCK_RCV_SADDR, VL_F_SOCK_DADDR,
	VL_F_NET_INUM,	   VL_F_NETLINK_PORT,	  VL_F_ALLOC_INODE,    VL_F_INODE_INO,
	VL_F_TCP_RCV_NXT,  VL_F_TCP_COPIED,	  VL_F_TCP_WRITE,      VL_F_TCP_UNA,
	VL_F_UDP_DEFICIT,  VL_F_UNIX_ADDR,	  VL_F_UNIX_ADDR_LEN,  VL_F_UNIX_ADDR_NAME,
	VL_F_UNIX_PEER,	   VL_NR_FIELDS,
};

static const enum vl_field v6_fields[] = { VL_F_SOCK_V6_RCV_SADDR, VL_F_SOCK_V6_DADDR,
					   VL_NR_FIELDS };

struct vl_error *vl_sockets_bear(const struct vl_raw_guest *g, const char *what)
{
	struct vl_error *err = vl_scan_bears(g, socket_fields, what);

	/* A kernel without IPv6 has not even the members. */
	if (!err &&
	    (vl_kernel_is_bare(g->attach->kernel) || vl_symbol(g->attach->kernel, "inet6_create")))
		err = vl_scan_bears(g, v6_fields, what);
	return err;
}

static bool is_ip(const struct vl_socket *k)
{
	return k->family == AF_INET || k->family == AF_INET6;
}

/*
 * The table of connections also has those that are opening or have closed: of them only
 * sock_common exists.
 */
static bool is_whole(const struct vl_socket *k)
{
	return !is_ip(k) || (k->state != TCP_TIME_WAIT_STATE && k->state != TCP_NEW_SYN_RECV_STATE);
}

static void read_ip(struct vl_raw_guest *g, struct vl_socket *k)
{
	unsigned char from[16], to[16];
	uint16_t peer_port;
	const struct vl_part v4[] = {
		{ VL_F_SOCK_RCV_SADDR, from, 4 },
		{ VL_F_SOCK_DADDR, to, 4 },
		VL_PART(SOCK_NUM, k->port),
		VL_PART(SOCK_DPORT, peer_port),
	};
	const struct vl_part v6[] = {
		{ VL_F_SOCK_V6_RCV_SADDR, from, 16 },
		{ VL_F_SOCK_V6_DADDR, to, 16 },
		VL_PART(SOCK_NUM, k->port),
		VL_PART(SOCK_DPORT, peer_port),
	};

	const uint32_t lacks = vl_object_lacks(g, k->at, k->family == AF_INET ? v4 : v6, 4);

	k->lacks_local = lacks & 1;
	k->lacks_remote = lacks >> 1 & 1;
	k->lacks_ports = lacks >> 2;
	if (!k->lacks_local)
		inet_ntop(k->family, from, k->local, sizeof(k->local));
	if (!k->lacks_remote)
		inet_ntop(k->family, to, k->remote, sizeof(k->remote));
	k->peer_port = ntohs(peer_port);
	/* A raw socket has its protocol in place of the ports. */
	if (k->type == SOCK_RAW)
		k->port = k->peer_port = 0;
	k->named = true;
}

/* As in tcp_diag_get_info() and udp_rqueue_get(). */
static void read_queues(struct vl_raw_guest *g, struct vl_socket *k)
{
	uint32_t next, copied, written, acked, backlog, most;
	int32_t rmem, wmem, deficit;
	const struct vl_part tcp[] = {
		VL_PART(TCP_RCV_NXT, next),
		VL_PART(TCP_COPIED, copied),
		VL_PART(TCP_WRITE, written),
		VL_PART(TCP_UNA, acked),
	};
	const struct vl_part listen[] = {
		VL_PART(SOCK_BACKLOG, backlog),
		VL_PART(SOCK_MAX_BACKLOG, most),
	};
	const struct vl_part any[] = {
		VL_PART(SOCK_RMEM, rmem),
		VL_PART(SOCK_WMEM, wmem),
	};
	const struct vl_part udp[] = { VL_PART(UDP_DEFICIT, deficit) };

	if (k->lacks_state || k->lacks_protocol) {
		k->lacks_queues = true;
	} else if (k->state == TCP_LISTEN_STATE) {
		k->lacks_queues = vl_object_lacks(g, k->at, listen, ARRAY_SIZE(listen));
		k->receive = backlog;
		k->send = k->family == AF_UNIX ? most : 0;
	} else if (is_ip(k) && k->type == SOCK_STREAM) {
		/* copied_seq is set when the connection is; one in flight can be ahead. */
		k->lacks_queues = vl_object_lacks(g, k->at, tcp, ARRAY_SIZE(tcp));
		if (k->state != TCP_CLOSE_STATE) {
			k->receive = (int32_t)(next - copied) > 0 ? next - copied : 0;
			k->send = (int32_t)(written - acked) > 0 ? written - acked : 0;
		}
	} else {
		k->lacks_queues = vl_object_lacks(g, k->at, any, ARRAY_SIZE(any)) |
				  vl_object_lacks(g, k->type == SOCK_DGRAM && is_ip(k) ? k->at : 0,
						  udp, ARRAY_SIZE(udp));
		k->receive = rmem > deficit ? rmem - deficit : 0;
		/* One of the bytes is for the socket itself (sk_alloc()). */
		k->send = wmem > 1 ? wmem - 1 : 0;
	}
}

/*
 * The name of a unix socket: a path, or "@..." of the abstract ones; empty: none. False: it has one
 * that cannot be read.
 */
static bool read_unix_name(struct vl_raw_guest *g, uint64_t sk, char name[VL_ADDRESS_MAX])
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t addr;
	int32_t len;
	const struct vl_part unix_sock[] = { VL_PART(UNIX_ADDR, addr) };
	const struct vl_part address[] = { VL_PART(UNIX_ADDR_LEN, len) };
	char path[VL_ADDRESS_MAX] = "";
	size_t n;

	name[0] = '\0';
	if (vl_object_lacks(g, sk, unix_sock, 1) || vl_object_lacks(g, addr, address, 1))
		return false;
	if (len <= (int32_t)SUN_PATH || !vl_has(l, VL_F_UNIX_ADDR_NAME))
		return true;
	n = (size_t)len - SUN_PATH;
	n = n < sizeof(path) - 1 ? n : sizeof(path) - 1;
	if (vl_read(g->reader, &g->space, addr + vl_offset(l, VL_F_UNIX_ADDR_NAME) + SUN_PATH, path,
		    n))
		return false;
	path[n] = '\0';
	/* An abstract name begins with a NUL; show each NUL as '@', as the kernel does. */
	for (size_t i = 0; path[0] == '\0' && i < n; i++)
		path[i] = path[i] ? path[i] : '@';
	memcpy(name, path, sizeof(path));
	return true;
}

static void read_unix(struct vl_raw_guest *g, struct vl_socket *k)
{
	const struct vl_part parts[] = { VL_PART(UNIX_PEER, k->peer) };

	const bool lacks_peer = vl_object_lacks(g, k->at, parts, ARRAY_SIZE(parts));

	k->lacks_local = !read_unix_name(g, k->at, k->local);
	k->lacks_remote = !read_unix_name(g, k->peer, k->remote) || lacks_peer;
	k->named = k->local[0];
}

/*
 * The inode that is allocated with the struct socket at @socket. Where the offset of the inode is
 * derived from code, it is the distance between the two. *@lacks_ret: it cannot be read.
 */
static uint64_t inode_of(struct vl_raw_guest *g, uint64_t socket, bool *lacks_ret)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t number = 0;
	const struct vl_part parts[] = { VL_PART(INODE_INO, number) };

	if (!socket || !vl_has(l, VL_F_ALLOC_INODE) ||
	    (!l->derived && !vl_has(l, VL_F_ALLOC_SOCKET)))
		return 0;
	socket += vl_offset(l, VL_F_ALLOC_INODE) - vl_offset(l, VL_F_ALLOC_SOCKET);
	*lacks_ret = vl_object_lacks(g, socket, parts, 1);
	return number;
}

/*
 * A socket in a table of IP has a family of IP. The kernel finds it there without a look at the
 * family, but /proc/net leaves out a socket with another one.
 */
static void correct_family(struct vl_raw_guest *g, struct vl_socket *k)
{
	const struct vl_kernel *kernel = g->attach->kernel;
	uint64_t prot = 0;
	const struct vl_part parts[] = { VL_PART(SOCK_PROT, prot) };

	if (is_ip(k))
		return;
	vl_object(g, k->at, parts, ARRAY_SIZE(parts));
	k->family = prot && (prot == vl_symbol(kernel, "tcpv6_prot") ||
			     prot == vl_symbol(kernel, "udpv6_prot")) ?
			    AF_INET6 :
			    AF_INET;
}

bool vl_socket_read(struct vl_raw_guest *g, uint64_t va, int protocol, struct vl_socket *ret)
{
	const struct vl_part common[] = {
		VL_PART(SOCK_FAMILY, ret->family),
		VL_PART(SOCK_STATE, ret->state),
		VL_PART(SOCK_NET, ret->net),
	};
	const struct vl_part whole[] = {
		VL_PART(SOCK_TYPE, ret->type),
		VL_PART(SOCK_PROTOCOL, ret->protocol),
		VL_PART(SOCK_SOCKET, ret->socket),
		VL_PART(SOCK_UID, ret->uid),
	};
	const struct vl_part net[] = { VL_PART(NET_INUM, ret->netns) };
	const struct vl_part netlink[] = { VL_PART(NETLINK_PORT, ret->number) };

	uint32_t lacks;

	memset(ret, 0, sizeof(*ret));
	ret->at = va;
	lacks = vl_object_lacks(g, va, common, ARRAY_SIZE(common));
	if (lacks & 1)
		return false;
	ret->lacks_state = lacks >> 1 & 1;
	ret->lacks_netns = lacks >> 2 & 1;
	if (protocol)
		correct_family(g, ret);
	if (!ret->family)
		return false;
	if (is_whole(ret)) {
		lacks = vl_object_lacks(g, va, whole, ARRAY_SIZE(whole));
		ret->lacks_protocol = lacks & 3;
		ret->lacks_uid = lacks >> 3 & 1;
		ret->inode = inode_of(g, ret->socket, &ret->lacks_inode);
		ret->lacks_inode |= lacks >> 2 & 1;
		read_queues(g, ret);
	} else {
		ret->type = SOCK_STREAM;
		ret->protocol = IPPROTO_TCP;
	}
	ret->lacks_netns |= vl_object_lacks(g, ret->net, net, ARRAY_SIZE(net));
	if (is_ip(ret))
		read_ip(g, ret);
	else if (ret->family == AF_UNIX)
		read_unix(g, ret);
	else if (ret->family == AF_NETLINK)
		ret->lacks_ports = vl_object_lacks(g, va, netlink, ARRAY_SIZE(netlink));
	return true;
}

uint64_t vl_socket_sock(struct vl_raw_guest *g, uint64_t socket)
{
	uint64_t sk;
	const struct vl_part parts[] = { VL_PART(SOCKET_SK, sk) };

	return vl_object(g, socket, parts, 1) ? sk : 0;
}

/* ---- words ---- */

const char *vl_socket_protocol(const struct vl_socket *k, char buf[24])
{
	static const struct {
		uint16_t protocol;
		const char *v4, *v6;
	} of_ip[] = {
		{ IPPROTO_TCP, "tcp", "tcp6" },	      { IPPROTO_UDP, "udp", "udp6" },
		{ IPPROTO_ICMP, "icmp", "icmp" },     { IPPROTO_ICMPV6, "icmp6", "icmp6" },
		{ IPPROTO_UDPLITE, "udpl", "udpl6" }, { IPPROTO_SCTP, "sctp", "sctp6" },
		{ IPPROTO_MPTCP, "mptcp", "mptcp6" },
	};

	if (!is_ip(k))
		return vl_socket_family(k, buf);
	if (k->type == SOCK_RAW)
		return k->family == AF_INET ? "raw" : "raw6";
	for (size_t i = 0; i < ARRAY_SIZE(of_ip); i++)
		if (of_ip[i].protocol == k->protocol)
			return k->family == AF_INET ? of_ip[i].v4 : of_ip[i].v6;
	snprintf(buf, 24, "ip%s:%u", k->family == AF_INET ? "" : "6", k->protocol);
	return buf;
}

const char *vl_socket_family(const struct vl_socket *k, char buf[24])
{
	static const struct {
		uint16_t family;
		const char *word;
	} families[] = {
		{ AF_UNIX, "unix" },	   { AF_INET, "IPv4" },
		{ AF_INET6, "IPv6" },	   { AF_PACKET, "packet" },
		{ AF_NETLINK, "netlink" }, { AF_VSOCK, "vsock" },
		{ AF_ALG, "alg" },	   { AF_BLUETOOTH, "bluetooth" },
		{ AF_XDP, "xdp" },	   { AF_TIPC, "tipc" },
		{ AF_KEY, "key" },	   { AF_QIPCRTR, "qipcrtr" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i].family == k->family)
			return families[i].word;
	snprintf(buf, 24, "family:%u", k->family);
	return buf;
}

const char *vl_socket_state(const struct vl_socket *k)
{
	/* enum of include/net/tcp_states.h, in netstat(8)'s words. */
	static const char *const states[] = {
		NULL,	     "ESTABLISHED", "SYN_SENT", "SYN_RECV",   "FIN_WAIT1",
		"FIN_WAIT2", "TIME_WAIT",   "CLOSE",	"CLOSE_WAIT", "LAST_ACK",
		"LISTEN",    "CLOSING",	    "SYN_RECV",
	};

	/* Without connections this is the value of a state that was never set. */
	if (k->state >= ARRAY_SIZE(states) ||
	    (k->state == TCP_CLOSE_STATE && !(is_ip(k) && k->type == SOCK_STREAM)) ||
	    (k->state == TCP_ESTABLISHED_STATE && !is_ip(k) && k->family != AF_UNIX &&
	     k->family != AF_VSOCK))
		return NULL;
	return states[k->state];
}
