/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares the IP sockets in memory with those that the kernel shows in /proc/net. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "diff.h"

static const char *const protocols[] = { "tcp", "tcp6", "udp", "udp6" };

static const struct vl_cell *cell(const struct vl_table *t, size_t row, const char *column)
{
	int i = vl_column_find(t->columns, column, strlen(column));

	return vl_table_cell(t, row, (size_t)i);
}

static bool is_word(const struct vl_table *t, const struct vl_cell *c, const char *word)
{
	return c->kind == VL_CELL_TEXT && c->text.len == strlen(word) &&
	       !memcmp(vl_table_bytes(t, c), word, c->text.len);
}

static const char *protocol_of(const struct vl_table *t, size_t row)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (is_word(t, cell(t, row, "PROTO"), protocols[i]))
			return protocols[i];
	return NULL;
}

/* The inode number of the first network namespace, that of PID 1. */
static struct vl_error *first_netns(struct vl_comparison *k, uint32_t *ret)
{
	const enum vl_field need[] = { VL_F_NET_INUM };
	uint64_t at;
	struct vl_error *err = vl_need_fields(k->g, need, 1, "the network namespace");

	if (!err)
		err = vl_need_symbol(k->g, "init_net", "the network namespace", &at);
	if (err)
		return err;
	at += vl_offset(vl_kernel_layout(k->g->attach->kernel), VL_F_NET_INUM);
	return vl_read_error(vl_read_u32(k->g->reader, &k->g->space, at, ret), at);
}

/*
 * The inode identifies a socket. /proc/net has no sockets without a local port, and no closed TCP
 * sockets.
 */
static struct vl_error *by_memory(struct vl_comparison *k, struct vl_diff_items *items,
				  unsigned bit)
{
	struct vl_table t;
	struct vl_error *err;
	uint32_t netns;

	err = first_netns(k, &netns);
	if (err)
		return err;
	err = vl_scan_bears(k->g, vl_scan_sockets.fields, vl_scan_sockets.plural);
	if (err)
		return err;
	vl_table_init(&t, vl_scan_sockets.columns);
	err = vl_scan_sockets.run(k->g, &t);
	for (size_t i = 0; i < t.nr_rows; i++) {
		const struct vl_cell *inode = cell(&t, i, "INODE"), *port = cell(&t, i, "LPORT");
		const char *protocol = protocol_of(&t, i);
		char name[VL_MODULE_NAME];

		if (!protocol || inode->kind == VL_CELL_NONE || port->kind == VL_CELL_NONE ||
		    !port->u || cell(&t, i, "NETNS")->u != netns ||
		    (*protocol == 't' && is_word(&t, cell(&t, i, "STATE"), "CLOSE")))
			continue;
		snprintf(name, sizeof(name), "%s port %" PRIu64, protocol, port->u);
		vl_diff_see(items, inode->u, name, strlen(name), cell(&t, i, "SOCK")->u, bit,
			    false);
	}
	vl_table_deinit(&t);
	return err;
}

/*
 * A line of /proc/net/tcp: "sl: local:port remote:port st queues timer retransmits uid timeout
 * inode".
 */
static void take_line(struct vl_diff_items *items, const char *protocol, const char *line,
		      unsigned bit)
{
	char local[48], name[VL_MODULE_NAME];
	const char *colon;
	uint64_t inode;
	unsigned port;

	if (sscanf(line, "%*u: %47s %*s %*s %*s %*s %*s %*s %*s %" SCNu64, local, &inode) != 2 ||
	    !inode)
		return;
	colon = strrchr(local, ':');
	if (!colon || sscanf(colon + 1, "%x", &port) != 1)
		return;
	snprintf(name, sizeof(name), "%s port %u", protocol, port);
	vl_diff_see(items, inode, name, strlen(name), 0, bit, false);
}

/* Was the kernel built without @protocol, so that /proc/net has no such file? */
static bool lacks(const struct vl_comparison *k, const char *protocol)
{
	const struct vl_kernel *kernel = k->g->attach->kernel;

	return strchr(protocol, '6') && !vl_kernel_is_bare(kernel) &&
	       !vl_symbol(kernel, "inet6_create");
}

static struct vl_error *by_proc(struct vl_comparison *k, struct vl_diff_items *items, unsigned bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		_cleanup_free_ char *buf = NULL, *text = NULL;
		struct vl_error *err;
		char path[32], *rest;
		size_t len;

		snprintf(path, sizeof(path), "/proc/net/%s", protocols[i]);
		err = vl_diff_ask(k->sys, path, "read", &buf, &len);
		if (err && err->code == VL_ERR_KERNEL && lacks(k, protocols[i])) {
			vl_error_destroy(err);
			continue;
		}
		if (err)
			return err;
		text = strndup(buf, len);
		if (!text)
			return vl_error_nomem();
		for (char *line = strtok_r(text, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest))
			take_line(items, protocols[i], line, bit);
	}
	return NULL;
}

enum { S_INODE, S_SOCKET, S_MEMORY, S_PROC, S_OWN, S_MARK, S_SOCK };

static const struct vl_column socket_columns[] = {
	[S_INODE] = { "INODE", VL_CELL_UINT, true, .doc = "number of its inode" },
	[S_SOCKET] = { "SOCKET", VL_CELL_TEXT, true, .doc = "its protocol and port" },
	[S_MEMORY] = { "MEMORY", VL_CELL_BOOL, true, .doc = "is it found in memory" },
	[S_PROC] = { "PROC", VL_CELL_BOOL, true, .doc = "does the kernel show it in /proc/net" },
	[S_OWN] = { "OWN", VL_CELL_BOOL, false,
		    .doc = "with --trusted: does the guest's own code show it there",
		    .trusted = true },
	[S_MARK] = { "MARK", VL_CELL_TEXT, true, .doc = "what it is hidden from" },
	[S_SOCK] = { "SOCK", VL_CELL_HEX, false, .doc = "address of its struct sock" },
	{ 0 },
};

static const struct vl_diff_way socket_ways[] = {
	{ "memory", false, false, false, by_memory, NULL },
	{ "/proc/net", true, false, false, by_proc, NULL },
	{ "the guest's own /proc/net", true, true, false, by_proc, NULL },
};

static struct vl_error *diff_sockets(struct vl_raw_guest *g, struct vl_sys *sys, struct vl_table *t)
{
	static const struct vl_diff_kind kind = {
		socket_ways, ARRAY_SIZE(socket_ways), S_MEMORY, S_SOCKET, S_SOCK, S_INODE,
	};

	return vl_diff_run(g, sys, &kind, t);
}

const struct vl_diff vl_diff_sockets = { "sockets", "sockets", socket_columns, diff_sockets, NULL };
