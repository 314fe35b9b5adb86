/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interfaces of all network namespaces, and their addresses. */
#include <arpa/inet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/append.h"
#include "../base/array.h"
#include "objects.h"

/* Limit of the addresses of an interface. */
#define MAX_ADDRESSES 4096
#define ADDRESS_MAX 32 /* MAX_ADDR_LEN, include/linux/netdevice.h */
#define LIST_MAX 256   /* bytes of the names of all flags */
#define TEXT_MAX 64    /* of an address with its prefix */

/* Bits of net_device.state: enum netdev_state_t. */
#define STATE_START 0
#define STATE_NOCARRIER 2
/* RFC 2863, include/uapi/linux/if.h */
#define OPER_UNKNOWN 0
#define OPER_UP 6

struct link {
	uint64_t at, in, in6;
	uint64_t address; /* of the bytes of its hardware's address */
	uint64_t state;
	uint32_t index, mtu, flags, netns;
	uint16_t type;
	uint8_t operstate, address_len;
	char name[IFNAMSIZ];
	uint32_t lacks; /* the fields that could not be read */
};
#define LACKS(of, member) vl_record_lacks(&fs, of, offsetof(struct link, member))

enum {
	LINK_INDEX,
	LINK_NAME,
	LINK_FLAGS,
	LINK_MTU,
	LINK_STATE,
	LINK_TYPE,
	LINK_ADDRESS,
	LINK_ADDRESSES,
	LINK_NETNS,
	LINK_DEVICE,
};

#define IN(member) VL_IN(struct link, member)

static const struct vl_column columns[] = {
	[LINK_INDEX] = { "IFINDEX", VL_CELL_UINT, true, "number of the interface", IN(index) },
	[LINK_NAME] = { "IFNAME", VL_CELL_TEXT, true, "its name", IN(name) },
	[LINK_FLAGS] = { "FLAGS", VL_CELL_TEXT, true,
			 .doc = "UP, LOWER_UP ..., as in ip(8) (JSON: a list)", .list = true },
	[LINK_MTU] = { "MTU", VL_CELL_UINT, true, "bytes of its largest packet", IN(mtu) },
	[LINK_STATE] = { "OPERSTATE", VL_CELL_TEXT, true, .doc = "UP, DOWN, UNKNOWN ..." },
	[LINK_TYPE] = { "LINK_TYPE", VL_CELL_TEXT, false,
			.doc = "ether, loopback, or a number (JSON: always)", .json = true },
	[LINK_ADDRESS] = { "ADDRESS", VL_CELL_TEXT, true, .doc = "its hardware's address" },
	[LINK_ADDRESSES] = { "ADDRESSES", VL_CELL_TEXT, true,
			     .doc = "its addresses of IP, with their prefixes (JSON: a list)",
			     .list = true },
	[LINK_NETNS] = { "NETNS", VL_CELL_UINT, false,
			 "number of its network namespace (JSON: always)", IN(netns),
			 .or_none = true, .json = true },
	[LINK_DEVICE] = { "DEVICE", VL_CELL_HEX, false, "address of its struct net_device",
			  IN(at) },
	{ 0 },
};

/* ---- words ---- */

/* In the order of ip(8). */
static const struct {
	uint32_t flag;
	const char *name;
} flags[] = {
	{ IFF_LOOPBACK, "LOOPBACK" },
	{ IFF_BROADCAST, "BROADCAST" },
	{ IFF_POINTOPOINT, "POINTOPOINT" },
	{ IFF_MULTICAST, "MULTICAST" },
	{ IFF_NOARP, "NOARP" },
	{ IFF_ALLMULTI, "ALLMULTI" },
	{ IFF_PROMISC, "PROMISC" },
	{ IFF_MASTER, "MASTER" },
	{ IFF_SLAVE, "SLAVE" },
	{ IFF_DEBUG, "DEBUG" },
	{ IFF_DYNAMIC, "DYNAMIC" },
	{ IFF_AUTOMEDIA, "AUTOMEDIA" },
	{ IFF_PORTSEL, "PORTSEL" },
	{ IFF_NOTRAILERS, "NOTRAILERS" },
	{ IFF_UP, "UP" },
};

/* Add @word to a list of @len bytes, which has room for all words. */
static void put_word(char *list, size_t *len, const char *word)
{
	memcpy(list + *len, word, strlen(word) + 1);
	*len += strlen(word) + 1;
}

/* As dev_get_flags() of the kernel and ip(8) have them. */
static void show_flags(struct vl_table *t, const struct link *k)
{
	const bool starts = k->state >> STATE_START & 1;
	const bool works = k->operstate == OPER_UP || k->operstate == OPER_UNKNOWN;
	char list[LIST_MAX];
	size_t len = 0;

	if (k->flags & IFF_UP && !(starts && works))
		put_word(list, &len, "NO-CARRIER");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (k->flags & flags[i].flag)
			put_word(list, &len, flags[i].name);
	if (starts && !(k->state >> STATE_NOCARRIER & 1))
		put_word(list, &len, "LOWER_UP");
	vl_table_text(t, LINK_FLAGS, list, len);
}

static void show_words(struct vl_raw_guest *g, struct vl_table *t, const struct link *k,
		       const struct vl_fields *of)
{
	const struct vl_fields fs = *of;
	static const char *const states[] = { "UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN",
					      "TESTING", "DORMANT",    "UP" };
	unsigned char address[ADDRESS_MAX];
	char text[3 * ADDRESS_MAX + 1] = "";

	if (!LACKS(k, flags) && !LACKS(k, state) && !LACKS(k, operstate))
		show_flags(t, k);
	/* The kernel tells no other state of one that is not up (rtnl_fill_ifinfo()). */
	if (LACKS(k, state) || LACKS(k, operstate))
		;
	else if (!(k->state >> STATE_START & 1))
		vl_table_str(t, LINK_STATE, "DOWN");
	else if (k->operstate < ARRAY_SIZE(states))
		vl_table_str(t, LINK_STATE, states[k->operstate]);
	if (LACKS(k, type))
		;
	else if (k->type == ARPHRD_ETHER)
		vl_table_str(t, LINK_TYPE, "ether");
	else if (k->type == ARPHRD_LOOPBACK)
		vl_table_str(t, LINK_TYPE, "loopback");
	else
		vl_table_printf(t, LINK_TYPE, "%u", k->type);
	if (!k->address_len || k->address_len > sizeof(address) || !k->address ||
	    vl_read(g->reader, &g->space, k->address, address, k->address_len))
		return;
	for (size_t i = 0; i < k->address_len; i++)
		vl_append(text, sizeof(text), "%s%02x", i ? ":" : "", address[i]);
	vl_table_str(t, LINK_ADDRESS, text);
}

/* ---- addresses ---- */

struct addresses {
	char *text; /* each with a NUL */
	size_t len, cap, nr;
	bool broken; /* some could not be read, or there are too many */
};

static void put_address(struct addresses *all, int family, const void *bytes, unsigned prefix)
{
	char ip[INET6_ADDRSTRLEN];

	if (all->nr++ >= MAX_ADDRESSES || !inet_ntop(family, bytes, ip, sizeof(ip)) ||
	    !vl_grow(all->text, all->cap, all->len + TEXT_MAX, 256)) {
		all->broken = true;
		return;
	}
	all->len += (size_t)snprintf(all->text + all->len, TEXT_MAX, "%s/%u", ip, prefix) + 1;
}

/* A chain: in_device.ifa_list. */
static void add_ipv4(struct vl_raw_guest *g, const struct link *k, struct addresses *all)
{
	uint64_t at = 0;
	const struct vl_part head[] = { VL_PART(IN_ADDRESSES, at) };

	if (!k->in)
		return;
	all->broken |= !vl_object(g, k->in, head, 1);
	while (at && !all->broken) {
		struct in_addr ip;
		uint8_t prefix = 0;
		uint64_t next = 0;
		const struct vl_part parts[] = { VL_PART(IFA_LOCAL, ip), VL_PART(IFA_NEXT, next),
						 VL_PART(IFA_PREFIX, prefix) };

		all->broken = vl_object_lacks(g, at, parts, ARRAY_SIZE(parts));
		if (!all->broken)
			put_address(all, AF_INET, &ip, prefix);
		at = next;
	}
}

static void add_ipv6(struct vl_raw_guest *g, const struct link *k, struct addresses *all)
{
	struct ipv6 {
		struct in6_addr ip;
		uint32_t prefix, lacks;
	};
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = k->in6 + vl_offset(l, VL_F_IN6_ADDRESSES),
		.node = vl_offset(l, VL_F_IF6_NODE),
		.stride = sizeof(struct ipv6),
	};
	const struct ipv6 *each;
	struct vl_error *err;
	size_t nr;

	/* A module, or left out of the kernel: then it has no such addresses. */
	if (!k->in6 || !vl_has(l, VL_F_IN6_ADDRESSES) || !vl_has(l, VL_F_IF6_NODE))
		return;
	vl_fields_add(&fs, VL_F_IF6_ADDRESS, offsetof(struct ipv6, ip), sizeof(struct in6_addr));
	vl_fields_add(&fs, VL_F_IF6_PREFIX, offsetof(struct ipv6, prefix), sizeof(uint32_t));
	vl_fields_note_lacks(&fs, offsetof(struct ipv6, lacks));
	err = vl_collect(g, &w, &fs, "addresses", &nr);
	all->broken |= vl_discard(vl_records_keep(&w, &fs, 0, "addresses", err, &nr));
	each = w.records;
	for (size_t i = 0; i < nr; i++)
		put_address(all, AF_INET6, &each[i].ip, each[i].prefix);
	free(w.records);
}

/* A list that is not whole is not shown. */
static void show_addresses(struct vl_raw_guest *g, struct vl_table *t, const struct link *k)
{
	struct addresses all = { .text = NULL };

	add_ipv4(g, k, &all);
	add_ipv6(g, k, &all);
	if (!all.broken)
		vl_table_text(t, LINK_ADDRESSES, all.text ? all.text : "", all.len);
	free(all.text);
}

/* ---- the view ---- */

static int compare(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	return (x->index > y->index) - (x->index < y->index);
}

/* The interfaces of the namespace at @net. */
static struct vl_error *run_net(struct vl_raw_guest *g, struct vl_table *t, uint64_t net)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = net + vl_offset(l, VL_F_NET_DEVICES),
		.node = vl_offset(l, VL_F_NETDEV_LIST),
		.stride = sizeof(struct link),
	};
	uint32_t netns = 0;
	const struct vl_part number[] = { VL_PART(NET_INUM, netns) };
	struct vl_error *err;
	struct link *links;
	bool lacks_number;
	size_t nr;

#define FIELD(f, member) \
	vl_fields_add(&fs, VL_F_##f, offsetof(struct link, member), \
		      sizeof(((struct link *)0)->member))
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct link, at));
	FIELD(NETDEV_NAME, name);
	FIELD(NETDEV_INDEX, index);
	FIELD(NETDEV_MTU, mtu);
	FIELD(NETDEV_FLAGS, flags);
	FIELD(NETDEV_STATE, state);
	FIELD(NETDEV_OPERSTATE, operstate);
	FIELD(NETDEV_TYPE, type);
	FIELD(NETDEV_ADDR, address);
	FIELD(NETDEV_ADDR_LEN, address_len);
	FIELD(NETDEV_IN, in);
	FIELD(NETDEV_IN6, in6);
#undef FIELD
	vl_fields_note_lacks(&fs, offsetof(struct link, lacks));
	err = vl_collect(g, &w, &fs, "the interfaces", &nr);
	err = vl_records_keep(&w, &fs, offsetof(struct link, name), "interfaces", err, &nr);
	links = w.records;
	lacks_number = vl_object_lacks(g, net, number, 1);
	if (nr)
		qsort(links, nr, sizeof(*links), compare);
	for (size_t i = 0; i < nr; i++) {
		links[i].netns = netns;
		vl_table_record(t, &fs, &links[i]);
		if (lacks_number)
			vl_table_none(t, LINK_NETNS);
		show_words(g, t, &links[i], &fs);
		if (!LACKS(&links[i], in) && !LACKS(&links[i], in6))
			show_addresses(g, t, &links[i]);
	}
	free(links);
	return err;
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	const enum vl_field need[] = { VL_F_NET_DEVICES, VL_F_NETDEV_LIST, VL_F_NETDEV_NAME,
				       VL_F_NETDEV_INDEX, VL_F_NET_LIST };
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "interfaces");
	struct vl_walk w = vl_walk_list(g, "net_namespace_list", VL_F_NET_LIST, sizeof(uint64_t));
	struct vl_fields fs = { .layout = vl_kernel_layout(g->attach->kernel) };
	size_t nr;

	if (!err && !w.head)
		err = vl_need_symbol(g, "net_namespace_list", "interfaces", &w.head);
	if (err)
		return err;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect(g, &w, &fs, "the network namespaces", &nr);
	for (size_t i = 0; i < nr; i++) {
		struct vl_error *more = run_net(g, t, ((const uint64_t *)w.records)[i]);

		if (err)
			vl_error_destroy(more);
		else
			err = more;
	}
	free(w.records);
	return err ? err : vl_table_end(t);
}

/* Those of IPv6, too: without them no address of it would be shown. */
static const enum vl_field links_fields[] = {
	VL_F_NET_DEVICES,  VL_F_NET_LIST,     VL_F_NET_INUM,	     VL_F_NETDEV_LIST,
	VL_F_NETDEV_NAME,  VL_F_NETDEV_INDEX, VL_F_NETDEV_MTU,	     VL_F_NETDEV_FLAGS,
	VL_F_NETDEV_STATE, VL_F_NETDEV_TYPE,  VL_F_NETDEV_OPERSTATE, VL_F_NETDEV_ADDR,
	VL_F_NETDEV_IN,	   VL_F_NETDEV_IN6,   VL_F_NETDEV_ADDR_LEN,  VL_F_IN_ADDRESSES,
	VL_F_IFA_NEXT,	   VL_F_IFA_LOCAL,    VL_F_IFA_PREFIX,	     VL_F_IN6_ADDRESSES,
	VL_F_IF6_NODE,	   VL_F_IF6_ADDRESS,  VL_F_IF6_PREFIX,	     VL_NR_FIELDS,
};

static const char *const links_symbols[] = { "net_namespace_list", NULL };

const struct vl_scan vl_scan_links = { "links", "interfaces", columns,	    true,
				       run,	links_fields, links_symbols };
