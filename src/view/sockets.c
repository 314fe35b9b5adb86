/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All sockets: those of any kind that processes have open, and those in the kernel's tables of
 * connections and addresses, whether a process has them or not.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/clock.h"
#include "objects.h"

/* Limit of the buckets of a table. */
#define MAX_BUCKETS (16U << 20)
/* INET_LHTABLE_SIZE, include/net/inet_hashtables.h, in kernels with that table. */
#define LISTEN_BUCKETS 32
/* UNIX_HASH_SIZE, include/net/af_unix.h: by name, then by inode; before that 2 * 256. */
#define UNIX_BUCKETS 512
/* Limit of network namespaces. */
#define MAX_NETS 65536

/* One holder of a socket, or a table that it is in. */
struct found {
	uint64_t sk;
	int32_t pid, fd; /* -1: no process */
	const char *comm;
	int protocol; /* of the table; 0: it is none of IP */
};

struct sockets {
	struct vl_raw_guest *g;
	const struct vl_layout *l;
	struct found *found;
	size_t nr, cap;
	bool full;
	bool broken; /* a table changed while it was read */
	bool lacks;  /* not all holders could be read */
};

static void add(struct sockets *all, const struct found *f)
{
	if (!vl_grow(all->found, all->cap, all->nr, 256)) {
		all->full = true;
		return;
	}
	all->found[all->nr++] = *f;
}

/* ---- the kernel's tables ---- */

/*
 * Add all sockets of the table at @heads, which is of @protocol. A table that is not found, or
 * changes meanwhile, is not an error: later kernels may have replaced it, and most sockets have an
 * owner.
 */
static void add_table(struct sockets *all, int protocol, enum vl_walk_kind kind, uint64_t heads,
		      uint64_t nr, uint32_t stride, uint32_t node)
{
	struct vl_fields fs = { .layout = all->l };
	struct vl_walk w = {
		.kind = (uint8_t)kind,
		.head = heads,
		.head_stride = stride,
		.node = node,
		.stride = sizeof(uint64_t),
	};
	const uint64_t *sks;
	size_t n;

	if (!heads || !nr || nr > MAX_BUCKETS || !stride)
		return;
	w.nr_heads = (uint32_t)nr;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	if (vl_discard(vl_collect(all->g, &w, &fs, "a table of sockets", &n)))
		all->broken = true;
	sks = w.records;
	for (size_t i = 0; i < n; i++)
		add(all,
		    &(struct found){ .sk = sks[i], .pid = -1, .fd = -1, .protocol = protocol });
	free(w.records);
}

/* Those of TCP: listeners, and without @listeners_only connections, too. */
static void add_tcp(struct sockets *all, bool listeners_only)
{
	uint64_t hash = vl_symbol(all->g->attach->kernel, "tcp_hashinfo"), ehash, lhash;
	uint32_t mask, lmask, node = vl_offset(all->l, VL_F_SOCK_NODE);
	const struct vl_part parts[] = {
		VL_PART(INET_EHASH, ehash),
		VL_PART(INET_EHASH_MASK, mask),
		VL_PART(INET_LHASH2, lhash),
		VL_PART(INET_LHASH2_MASK, lmask),
	};

	if (!vl_object(all->g, hash, parts, ARRAY_SIZE(parts))) {
		all->broken = true;
		return;
	}
	if (!listeners_only)
		add_table(all, IPPROTO_TCP, VL_WALK_NULLS, ehash, 1UL + mask,
			  vl_offset(all->l, VL_F_SIZE_EHASH), node);
	if (vl_has(all->l, VL_F_INET_LISTEN))
		add_table(all, IPPROTO_TCP, VL_WALK_NULLS,
			  hash + vl_offset(all->l, VL_F_INET_LISTEN) +
				  vl_offset(all->l, VL_F_LHASH_HEAD),
			  LISTEN_BUCKETS, vl_offset(all->l, VL_F_SIZE_LHASH), node);
	else
		add_table(all, IPPROTO_TCP, VL_WALK_NULLS,
			  lhash ? lhash + vl_offset(all->l, VL_F_LHASH_HEAD) : 0, 1UL + lmask,
			  vl_offset(all->l, VL_F_SIZE_LHASH), node);
}

bool vl_listeners_collect(struct vl_raw_guest *g, uint64_t **ret, size_t *nr_ret)
{
	struct sockets all = { .g = g, .l = vl_kernel_layout(g->attach->kernel) };
	bool is_complete;

	add_tcp(&all, true);
	*ret = calloc(all.nr + 1, sizeof(**ret));
	is_complete = *ret && !all.full && !all.broken;
	for (size_t i = 0; *ret && i < all.nr; i++)
		(*ret)[i] = all.found[i].sk;
	*nr_ret = *ret ? all.nr : 0;
	free(all.found);
	if (!is_complete) {
		free(*ret);
		*ret = NULL;
	}
	return is_complete;
}

static void add_udp(struct sockets *all)
{
	uint64_t hash;
	uint32_t mask;
	const struct vl_part parts[] = { VL_PART(UDP_HASH, hash), VL_PART(UDP_MASK, mask) };

	if (vl_object(all->g, vl_symbol(all->g->attach->kernel, "udp_table"), parts,
		      ARRAY_SIZE(parts)))
		add_table(all, IPPROTO_UDP, VL_WALK_CHAIN, hash, 1UL + mask,
			  vl_offset(all->l, VL_F_SIZE_UDP_SLOT), vl_offset(all->l, VL_F_SOCK_NODE));
}

/* Since 6.0 each network namespace has a table of its own. */
static void add_unix(struct sockets *all)
{
	const struct vl_kernel *k = all->g->attach->kernel;
	uint32_t node = vl_offset(all->l, VL_F_SOCK_NODE),
		 stride = sizeof(uint64_t); /* struct hlist_head is a pointer */
	struct vl_fields fs = { .layout = all->l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = vl_symbol(k, "net_namespace_list"),
		.node = vl_offset(all->l, VL_F_NET_LIST),
		.stride = sizeof(uint64_t),
	};
	const uint64_t *tables;
	size_t n;

	if (!vl_has(all->l, VL_F_NET_UNIX)) {
		add_table(all, 0, VL_WALK_CHAIN, vl_symbol(k, "unix_socket_table"), UNIX_BUCKETS,
			  stride, node);
		return;
	}
	if (!w.head || !vl_has(all->l, VL_F_NET_LIST))
		return;
	vl_fields_add(&fs, VL_F_NET_UNIX, 0, 8);
	vl_error_destroy(vl_collect(all->g, &w, &fs, "the network namespaces", &n));
	tables = w.records;
	for (size_t i = 0; i < n && i < MAX_NETS; i++)
		add_table(all, 0, VL_WALK_CHAIN, tables[i], UNIX_BUCKETS, stride, node);
	free(w.records);
}

/* ---- processes' ---- */

/* The struct sock of the open file @f; 0: it is not a socket. */
static uint64_t sock_of(struct vl_raw_guest *g, const struct vl_used_file *f)
{
	uint16_t mode;
	const struct vl_part parts[] = { VL_PART(INODE_MODE, mode) };

	if (!f->private || !vl_object(g, f->inode, parts, 1) || (mode & S_IFMT) != S_IFSOCK)
		return 0;
	return vl_socket_sock(g, f->private);
}

static void add_owned(struct sockets *all, const struct vl_opened *files)
{
	for (size_t i = 0; i < files->nr; i++) {
		const struct vl_used_file *f = &files->files[i];
		const struct vl_file_task *p = &files->tasks[f->task];
		uint64_t sk = sock_of(all->g, f);

		if (sk)
			add(all, &(struct found){
					 .sk = sk, .pid = p->pid, .fd = f->fd, .comm = p->comm });
	}
}

void vl_socket_owners(struct vl_raw_guest *g, const uint64_t *sks, size_t nr, uint64_t until_ns,
		      struct vl_file_task *ret)
{
	struct vl_opened files;

	memset(ret, 0, nr * sizeof(*ret));
	vl_error_destroy(vl_opened_until(g, until_ns, &files));
	for (size_t i = 0; i < files.nr && vl_now_ns() < until_ns; i++) {
		const struct vl_file_task *p = &files.tasks[files.files[i].task];
		uint64_t sk = sock_of(g, &files.files[i]);

		for (size_t k = sk ? vl_bisect(m, nr, sks[m] < sk) : nr; k < nr && sks[k] == sk;
		     k++)
			if (!ret[k].pid || p->pid < ret[k].pid)
				ret[k] = *p;
	}
	vl_opened_deinit(&files);
}

/* Sort by socket; for one socket the process with the lowest id is first, a table last. */
static int compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->sk != y->sk)
		return x->sk < y->sk ? -1 : 1;
	if (x->pid != y->pid)
		return (uint32_t)x->pid < (uint32_t)y->pid ? -1 : 1;
	return (x->fd > y->fd) - (x->fd < y->fd);
}

/* ---- the view ---- */

/* A socket, its first holder, and the number of its holders. */
struct owned {
	struct vl_socket k;
	const struct found *owner;
	size_t holders;
	bool may_have_more; /* holders */
};

enum {
	NET_PROTO,
	NET_RECV_Q,
	NET_SEND_Q,
	NET_LOCAL,
	NET_LOCAL_PORT,
	NET_PEER,
	NET_PEER_PORT,
	NET_STATE,
	NET_PID,
	NET_COMM,
	NET_TYPE,
	NET_UID,
	NET_INODE,
	NET_FD,
	NET_HOLDERS,
	NET_NETNS,
	NET_SOCK,
};

#define IN(member) VL_IN(struct owned, member)

static const struct vl_column columns[] = {
	[NET_PROTO] = { "PROTO", VL_CELL_TEXT, true, .doc = "tcp, tcp6, udp, unix, netlink ..." },
	[NET_RECV_Q] = { "RECV_Q", VL_CELL_INT, true,
			 "bytes not read yet; of a listener, connections not accepted yet",
			 IN(k.receive) },
	[NET_SEND_Q] = { "SEND_Q", VL_CELL_INT, true, "bytes not sent or acknowledged yet",
			 IN(k.send) },
	[NET_LOCAL] = { "LOCAL", VL_CELL_TEXT, true, "its address: of IP, or a path", IN(k.local),
			.or_none = true },
	[NET_LOCAL_PORT] = { "LPORT", VL_CELL_UINT, true, .doc = "its port" },
	[NET_PEER] = { "PEER", VL_CELL_TEXT, true, "the other side's address", IN(k.remote),
		       .or_none = true },
	[NET_PEER_PORT] = { "PPORT", VL_CELL_UINT, true, .doc = "the other side's port" },
	[NET_STATE] = { "STATE", VL_CELL_TEXT, true,
			.doc = "LISTEN, ESTABLISHED ..., as in netstat(8)" },
	[NET_PID] = { "PID", VL_CELL_INT, true,
		      .doc = "process that has it open, the first of them" },
	[NET_COMM] = { "COMM", VL_CELL_TEXT, true, .doc = "name of that process" },
	[NET_TYPE] = { "TYPE", VL_CELL_TEXT, false, .doc = "stream, dgram, raw, seqpacket" },
	[NET_UID] = { "UID", VL_CELL_UINT, false, "user id of who made it", IN(k.uid) },
	[NET_INODE] = { "INODE", VL_CELL_UINT, false, "number of its inode", IN(k.inode),
			.or_none = true },
	[NET_FD] = { "FD", VL_CELL_INT, false, .doc = "descriptor in that process" },
	[NET_HOLDERS] = { "HOLDERS", VL_CELL_UINT, false, "descriptors of any process for it",
			  IN(holders) },
	[NET_NETNS] = { "NETNS", VL_CELL_UINT, false,
			"number of its network namespace (JSON: always)", IN(k.netns),
			.or_none = true, .json = true },
	[NET_SOCK] = { "SOCK", VL_CELL_HEX, false, "address of its struct sock", IN(k.at) },
	{ 0 },
};

/* NULL: another type. */
static const char *type_word(uint16_t type)
{
	static const char *const words[] = { [SOCK_STREAM] = "stream",
					     [SOCK_DGRAM] = "dgram",
					     [SOCK_RAW] = "raw",
					     [SOCK_SEQPACKET] = "seqpacket" };

	return type < ARRAY_SIZE(words) ? words[type] : NULL;
}

static void row(struct vl_table *t, const struct owned *o)
{
	const struct vl_socket *k = &o->k;
	const struct found *owner = o->owner;
	bool ip = k->family == AF_INET || k->family == AF_INET6;
	char buf[24];

	const struct {
		bool lacks;
		size_t column;
	} empty[] = {
		{ k->lacks_queues, NET_RECV_Q }, { k->lacks_queues, NET_SEND_Q },
		{ k->lacks_local, NET_LOCAL },	 { k->lacks_remote, NET_PEER },
		{ k->lacks_uid, NET_UID },	 { k->lacks_inode, NET_INODE },
		{ k->lacks_netns, NET_NETNS },	 { o->may_have_more, NET_HOLDERS },
	};

	vl_table_record(t, NULL, o);
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++)
		if (empty[i].lacks)
			vl_table_none(t, empty[i].column);
	if (!k->lacks_protocol)
		vl_table_str(t, NET_PROTO, vl_socket_protocol(k, buf));
	if (k->lacks_ports) {
		;
	} else if (ip) {
		vl_table_uint(t, NET_LOCAL_PORT, k->port);
		vl_table_uint(t, NET_PEER_PORT, k->peer_port);
	} else if (k->family == AF_NETLINK) {
		vl_table_uint(t, NET_LOCAL_PORT, k->number);
	}
	if (!k->lacks_state && !k->lacks_protocol)
		vl_table_str(t, NET_STATE, vl_socket_state(k));
	if (owner->pid >= 0) {
		vl_table_int(t, NET_PID, owner->pid);
		if (*owner->comm)
			vl_table_text(t, NET_COMM, owner->comm, strnlen(owner->comm, 16));
		vl_table_int(t, NET_FD, owner->fd);
	}
	if (!k->lacks_protocol)
		vl_table_str(t, NET_TYPE, type_word(k->type));
}

/* In the order of netstat(8): IP first, listeners of one protocol by their port. */
static int compare_owned(const void *a, const void *b)
{
	const struct owned *o = a, *p = b;
	const struct vl_socket *x = &o->k, *y = &p->k;
	bool x_ip = x->family == AF_INET || x->family == AF_INET6;
	bool y_ip = y->family == AF_INET || y->family == AF_INET6;

	if (x_ip != y_ip)
		return x_ip ? -1 : 1;
	if (x_ip && x->protocol != y->protocol)
		return x->protocol < y->protocol ? -1 : 1;
	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->peer_port != y->peer_port)
		return x->peer_port < y->peer_port ? -1 : 1;
	return (x->inode > y->inode) - (x->inode < y->inode);
}

static void show(struct sockets *all, struct vl_table *t)
{
	struct owned *owned = calloc(all->nr + 1, sizeof(*owned));
	size_t next, nr = 0;
	int protocol;

	if (!owned) {
		all->full = true;
		return;
	}

	if (all->nr)
		qsort(all->found, all->nr, sizeof(*all->found), compare);
	for (size_t i = 0; i < all->nr; i = next) {
		struct owned *o = &owned[nr];

		*o = (struct owned){ .owner = &all->found[i], .may_have_more = all->lacks };
		protocol = 0;
		for (next = i; next < all->nr && all->found[next].sk == all->found[i].sk; next++) {
			o->holders += all->found[next].pid >= 0;
			protocol |= all->found[next].protocol;
		}
		nr += vl_socket_read(all->g, o->owner->sk, protocol, &o->k);
	}
	qsort(owned, nr, sizeof(*owned), compare_owned);
	for (size_t i = 0; i < nr; i++)
		row(t, &owned[i]);
	free(owned);
}

/* Those of its tables, beside those of sockets and of what processes have open. */
static const enum vl_field table_fields[] = {
	VL_F_SOCK_NODE,	 VL_F_SOCK_PROT,   VL_F_INET_EHASH,	  VL_F_INET_EHASH_MASK,
	VL_F_SIZE_EHASH, VL_F_INET_LHASH2, VL_F_INET_LHASH2_MASK, VL_F_SIZE_LHASH,
	VL_F_LHASH_HEAD, VL_F_UDP_HASH,	   VL_F_UDP_MASK,	  VL_F_SIZE_UDP_SLOT,
	VL_F_NET_LIST,	 VL_NR_FIELDS,
};
static const enum vl_field listen_fields[] = { VL_F_INET_LISTEN, VL_NR_FIELDS };

/*
 * May the kernel have a table of listeners besides, whose sockets only that one has by their
 * usual node? inet_hashinfo_init() made it, until "net: inet: Retire port only listening_hash"
 * (5.19). A kernel without a table of symbols does not name that function.
 */
static bool listens_elsewhere(const struct vl_raw_guest *g)
{
	return vl_kernel_is_bare(g->attach->kernel) ||
	       vl_symbol(g->attach->kernel, "inet_hashinfo_init");
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	const enum vl_field need[] = { VL_F_SOCK_FAMILY, VL_F_SOCK_NODE, VL_F_SOCKET_SK };
	struct sockets all = { .g = g, .l = vl_kernel_layout(g->attach->kernel) };
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "sockets");
	struct vl_opened files;
	uint64_t unix_table;

	if (!err)
		err = vl_sockets_bear(g, "sockets");
	if (!err)
		err = vl_scan_bears(g, vl_opened_fields, "sockets");
	if (!err && listens_elsewhere(g))
		err = vl_scan_bears(g, listen_fields, "sockets");
	if (err)
		return err;
	if ((vl_kernel_has_few(g->attach->kernel) || all.l->derived) &&
	    !vl_has(all.l, VL_F_NET_UNIX))
		err = vl_need_symbol(g, "unix_socket_table", "the sockets of Unix", &unix_table);
	if (err)
		return err;
	err = vl_opened_collect(g, false, &files);
	all.lacks = files.lacks;
	add_owned(&all, &files);
	add_tcp(&all, false);
	add_udp(&all);
	add_unix(&all);
	show(&all, t);
	free(all.found);
	vl_opened_deinit(&files);
	if (!err && all.full)
		err = vl_error_nomem();
	return err ? err : vl_table_end(t);
}

static const char *const symbols[] = { "init_task", "tcp_hashinfo", "udp_table",
				       "net_namespace_list", NULL };

const struct vl_scan vl_scan_sockets = { "sockets", "sockets",	  columns, true,
					 run,	    table_fields, symbols };
