/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP connections by state, and the bytes of IP. */
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../view/objects.h"
#include "collect.h"

/* Limit of the buckets of a table. */
#define MAX_BUCKETS (16U << 20)

/* enum of include/net/tcp_states.h, by node_exporter's names. */
static const char *const states[] = {
	NULL,	 "established", "syn_sent", "syn_recv", "fin_wait1", "fin_wait2", "time_wait",
	"close", "close_wait",	"last_ack", "listen",	"closing",   "syn_recv",
};

const enum vl_field vl_export_tcp_fields[] = {
	VL_F_SOCK_STATE,      VL_F_SOCK_NODE,	VL_F_LHASH_HEAD,       VL_F_INET_EHASH,
	VL_F_INET_EHASH_MASK, VL_F_INET_LHASH2, VL_F_INET_LHASH2_MASK, VL_F_SIZE_EHASH,
	VL_F_SIZE_LHASH,      VL_NR_FIELDS,
};

/* Count the sockets of the table at @heads. False: it cannot be read. */
static bool count(const struct vl_collector *c, uint64_t heads, uint64_t nr, uint32_t stride,
		  uint64_t by_state[ARRAY_SIZE(states)])
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_NULLS,
		.head = heads,
		.head_stride = stride,
		.nr_heads = (uint32_t)nr,
		.node = vl_offset(c->l, VL_F_SOCK_NODE),
		.stride = 1,
	};
	const unsigned char *each;
	bool good;
	size_t n;

	if (!heads || !nr || nr > MAX_BUCKETS || !stride)
		return false;
	vl_fields_add(&fs, VL_F_SOCK_STATE, 0, 1);
	good = !vl_discard(vl_collect(c->g, &w, &fs, "a table of sockets", &n));
	each = w.records;
	for (size_t i = 0; i < n; i++)
		if (each[i] < ARRAY_SIZE(states))
			by_state[each[i]]++;
	free(w.records);
	return good;
}

void vl_export_tcp(struct vl_collector *c)
{
	uint64_t by_state[ARRAY_SIZE(states)] = { 0 }, ehash, lhash;
	uint32_t mask, lmask;
	const struct vl_part parts[] = {
		VL_PART(INET_EHASH, ehash),
		VL_PART(INET_EHASH_MASK, mask),
		VL_PART(INET_LHASH2, lhash),
		VL_PART(INET_LHASH2_MASK, lmask),
	};

	if (!vl_has(c->l, VL_F_SOCK_STATE) || !vl_has(c->l, VL_F_SOCK_NODE) ||
	    !vl_has(c->l, VL_F_LHASH_HEAD) ||
	    !vl_object(c->g, vl_symbol(c->k, "tcp_hashinfo"), parts, ARRAY_SIZE(parts)))
		return;
	/* Until 5.19 a listener is in this table by another node: then there is no count. */
	if (vl_has(c->l, VL_F_INET_LISTEN) || !lhash ||
	    !count(c, ehash, 1UL + mask, vl_offset(c->l, VL_F_SIZE_EHASH), by_state) ||
	    !count(c, lhash + vl_offset(c->l, VL_F_LHASH_HEAD), 1UL + lmask,
		   vl_offset(c->l, VL_F_SIZE_LHASH), by_state))
		return;
	/* A connection for which the kernel has no whole socket yet (TCP_NEW_SYN_RECV). */
	by_state[3] += by_state[12];
	for (size_t i = 1; i < 12; i++)
		VL_SAMPLE(c->t, TCP_STATES, by_state[i], states[i]);
}

/* Limits of the kernel's table of names, and of the counters that it names. */
#define MAX_NAMES 64
#define MAX_COUNTERS 256

/*
 * The place of a counter among those of IP, by the kernel's own table for /proc/net/netstat: the
 * places differ between kernels (OutOctets is at 6 in 5.10 and at 10 in 7.3). 0: it has none of
 * this name.
 */
static uint32_t counter(const struct vl_collector *c, const char *name)
{
	uint64_t at = vl_symbol(c->k, "snmp4_ipextstats_list");
	const size_t len = strlen(name) + 1;

	for (unsigned i = 0; at && i < MAX_NAMES; i++) {
		/* struct snmp_mib, include/net/snmp.h. */
		struct {
			uint64_t name;
			int32_t entry, pad;
		} row;
		char is[16];

		if (!vl_export_read(c, at + i * sizeof(row), &row, sizeof(row)) ||
		    len > sizeof(is) || !vl_export_read(c, row.name, is, len))
			return 0;
		if (!memcmp(is, name, len))
			return row.entry > 0 && row.entry < MAX_COUNTERS ? (uint32_t)row.entry : 0;
	}
	return 0;
}

/* A counter of the first network namespace, over all CPUs that there may be. */
static void add_counter(const struct vl_collector *c, uint64_t mib, const char *name,
			enum vl_metric metric)
{
	const struct vl_totals *cpus = &c->top->totals;
	uint64_t place = counter(c, name), sum = 0;

	if (!place)
		return;
	for (unsigned i = 0; i < cpus->nr_possible; i++) {
		uint64_t word;

		if (!vl_export_read(c, cpus->offsets[i] + mib + 8 * place, &word, sizeof(word)))
			return;
		sum += word;
	}
	vl_sample(c->t, metric, sum);
}

void vl_export_traffic(struct vl_collector *c)
{
	uint64_t net = vl_symbol(c->k, "init_net"), mib;

	mib = net && vl_has(c->l, VL_F_NET_IP_MIB) ?
		      vl_export_word(c, net + vl_offset(c->l, VL_F_NET_IP_MIB)) :
		      0;
	if (!mib)
		return;
	add_counter(c, mib, "InOctets", VL_METRIC_IP_IN);
	add_counter(c, mib, "OutOctets", VL_METRIC_IP_OUT);
}
