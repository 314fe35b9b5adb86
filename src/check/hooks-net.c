/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions in the network: hooks of netfilter, devices and protocols. */
#include <stdio.h>
#include <stdlib.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "hooks.h"

/* ---- netfilter ---- */

/* MAX_HOOK_COUNT, net/netfilter/core.c. */
#define HOOKS_MAX 1024
/* NF_INET_NUMHOOKS and NF_ARP_NUMHOOKS; bridges have room for NF_INET_NUMHOOKS. */
static const struct {
	enum vl_field field;
	const char *what;
	size_t nr;
} families[] = {
	{ VL_F_NET_NF_IPV4, "IPv4", 5 },
	{ VL_F_NET_NF_IPV6, "IPv6", 5 },
	{ VL_F_NET_NF_ARP, "ARP", 3 },
	{ VL_F_NET_NF_BRIDGE, "bridge", 5 },
};

/* Check the functions of the struct nf_hook_entries at @entries. */
static void check_entries(struct vl_checker *c, uint64_t entries, const char *what)
{
	size_t stride = vl_offset(c->l, VL_F_SIZE_NF_HOOK);
	uint16_t nr;

	if (!entries ||
	    vl_read_u16(c->g->reader, &c->g->space, entries + vl_offset(c->l, VL_F_NF_NUM), &nr))
		return;
	for (size_t i = 0; i < nr && i < HOOKS_MAX; i++) {
		uint64_t at = entries + vl_offset(c->l, VL_F_NF_HOOKS) + i * stride, fn;

		/* The function is the first member of struct nf_hook_entry. */
		if (vl_hook_word(c, at, &fn))
			vl_hook_check(c, &(struct vl_hook){ "netfilter", at, what, fn, true });
	}
}

static bool has_netfilter(const struct vl_checker *c)
{
	return vl_has(c->l, VL_F_NF_NUM) && vl_has(c->l, VL_F_NF_HOOKS) &&
	       vl_has(c->l, VL_F_SIZE_NF_HOOK);
}

static void check_netfilter(struct vl_checker *c, uint64_t net)
{
	for (size_t f = 0; has_netfilter(c) && f < ARRAY_SIZE(families); f++) {
		for (size_t i = 0; vl_has(c->l, families[f].field) && i < families[f].nr; i++) {
			uint64_t at = net + vl_offset(c->l, families[f].field) + 8 * i, entries;

			if (vl_hook_word(c, at, &entries))
				check_entries(c, entries, families[f].what);
		}
	}
}

/* ---- devices ---- */

struct device {
	uint64_t at, ops, rx, in, out;
	char name[16];
};

static struct vl_error *check_devices(struct vl_checker *c, uint64_t net)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = net + vl_offset(c->l, VL_F_NET_DEVICES),
		.node = vl_offset(c->l, VL_F_NETDEV_LIST),
		.stride = sizeof(struct device),
	};
	const struct device *d;
	struct vl_error *err;
	size_t nr;

	if (!vl_has(c->l, VL_F_NET_DEVICES) || !vl_has(c->l, VL_F_NETDEV_LIST))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct device, at));
	vl_fields_add(&fs, VL_F_NETDEV_OPS, offsetof(struct device, ops), 8);
	vl_fields_add(&fs, VL_F_NETDEV_RX, offsetof(struct device, rx), 8);
	vl_fields_add(&fs, VL_F_NETDEV_INGRESS, offsetof(struct device, in), 8);
	vl_fields_add(&fs, VL_F_NETDEV_EGRESS, offsetof(struct device, out), 8);
	/* IFNAMSIZ */
	vl_fields_add(&fs, VL_F_NETDEV_NAME, offsetof(struct device, name), 16);
	err = vl_collect(c->g, &w, &fs, "the network devices", &nr);
	d = w.records;
	for (size_t i = 0; i < nr; i++) {
		char what[32];
		struct vl_hook h = { "network devices", d[i].at, what, d[i].rx, true };

		snprintf(what, sizeof(what), "%.16s", d[i].name);
		vl_hook_check(c, &h);
		vl_hook_table(c, &h, d[i].ops, vl_offset(c->l, VL_F_SIZE_NETDEV_OPS));
		if (has_netfilter(c)) {
			check_entries(c, d[i].in, what);
			check_entries(c, d[i].out, what);
		}
	}
	free(w.records);
	return err;
}

/* ---- all of them ---- */

/* The words of struct proto (its functions) are checked as a table. */
static struct vl_error *check_protocols(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = vl_walk_list(c->g, "proto_list", VL_F_PROTO_NODE, 8);
	const uint64_t *at;
	struct vl_error *err;
	size_t nr;

	if (!w.head)
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect(c->g, &w, &fs, "the list of protocols", &nr);
	at = w.records;
	for (size_t i = 0; i < nr; i++)
		vl_hook_table(c, &(struct vl_hook){ "protocols", at[i], "struct proto", 0, true },
			      at[i], vl_offset(c->l, VL_F_SIZE_PROTO));
	free(w.records);
	return err;
}

struct vl_error *vl_check_network(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = vl_walk_list(c->g, "net_namespace_list", VL_F_NET_LIST, 8);
	const uint64_t *net;
	struct vl_error *err;
	size_t nr;

	if (!w.head)
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect(c->g, &w, &fs, "the network namespaces", &nr);
	net = w.records;
	for (size_t i = 0; i < nr; i++) {
		check_netfilter(c, net[i]);
		err = vl_error_first(err, check_devices(c, net[i]));
	}
	free(w.records);
	return vl_error_first(err, check_protocols(c));
}
