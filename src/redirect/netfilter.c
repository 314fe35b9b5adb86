/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netfilter over netlink (nft, iptables on nftables, conntrack, ipset): the messages that only
 * ask. A message that also resets a counter changes the guest, and is not listed.
 */
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_acct.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "../base/array.h"
#include "netlink.h"

static const struct {
	uint8_t subsystem, message;
	const char *note;
} questions[] = {
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN, "the generation, in front of all else" },
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE, "tables" },
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN, "chains" },
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETRULE, "rules" },
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETSET, "sets" },
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETSETELEM, "elements of sets" },
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETOBJ, "counters, quotas, limits" },
	{ NFNL_SUBSYS_NFTABLES, NFT_MSG_GETFLOWTABLE, "flow tables" },
	{ NFNL_SUBSYS_NFT_COMPAT, NFNL_MSG_COMPAT_GET, "revisions of iptables' extensions" },
	{ NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, "connections" },
	{ NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_STATS_CPU, "their statistics" },
	{ NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_STATS, "their statistics" },
	{ NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_DYING, "connections" },
	{ NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_UNCONFIRMED, "connections" },
	{ NFNL_SUBSYS_CTNETLINK_EXP, IPCTNL_MSG_EXP_GET, "connections to come" },
	{ NFNL_SUBSYS_CTNETLINK_EXP, IPCTNL_MSG_EXP_GET_STATS_CPU, "their statistics" },
	{ NFNL_SUBSYS_ACCT, NFNL_MSG_ACCT_GET, "counters" },
	{ NFNL_SUBSYS_IPSET, IPSET_CMD_PROTOCOL, "the version" },
	{ NFNL_SUBSYS_IPSET, IPSET_CMD_LIST, "sets" },
	{ NFNL_SUBSYS_IPSET, IPSET_CMD_SAVE, "sets, as commands" },
	{ NFNL_SUBSYS_IPSET, IPSET_CMD_HEADER, "the type of a set" },
	{ NFNL_SUBSYS_IPSET, IPSET_CMD_TYPE, "types" },
};

bool vl_netfilter_asks(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
		if (questions[i].subsystem == NFNL_SUBSYS_ID(type) &&
		    questions[i].message == NFNL_MSG_TYPE(type))
			return true;
	return false;
}
