/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sanitizes texts of the guest in netlink messages (sanitize.c has the rest). Each attribute
 * that is a text by the kernel's headers has a row. Other attributes stay as they are, since a
 * number can have the bytes of a text. A text must keep its length within the message, so
 * hostile characters become '?'.
 */
#include <linux/devlink.h>
#include <linux/ethtool_netlink.h>
#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_team.h>
#include <linux/neighbour.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_acct.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/nl80211.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tc_act/tc_defact.h>
#include <linux/unix_diag.h>
#include <linux/wireguard.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/array.h"
#include "../base/text.h"
#include "netlink.h"
#include "run.h"

/* The longest path of attributes from a message to a text, which is the last of them. */
#define DEPTH 7
/* Any type: the elements of an array. */
#define ANY 0x3fff /* NLA_TYPE_MASK */

/* Families of generic netlink. The guest's kernel assigns their numbers. */
enum { DEVLINK = 1, ETHTOOL, NL80211, TEAM, WIREGUARD, NR_FAMILIES };

static const char *const families[NR_FAMILIES] = {
	[DEVLINK] = DEVLINK_GENL_NAME, [ETHTOOL] = ETHTOOL_GENL_NAME, [NL80211] = NL80211_GENL_NAME,
	[TEAM] = TEAM_GENL_NAME,       [WIREGUARD] = WG_GENL_NAME,
};
_Static_assert(NR_FAMILIES <= VL_GENL_FAMILIES, "there is room for the number of each");

struct text {
	int protocol;
	uint16_t type;	/* generic netlink: of families[], or GENL_ID_CTRL */
	uint8_t family; /* sock_diag: the first byte of the message; 0: any */
	uint8_t head;	/* bytes in front of the attributes */
	uint16_t path[DEPTH];
	/* With @is: only where the attribute @attr beside path[level] is that string. */
	uint8_t level;
	uint16_t attr;
	const char *is;
	uint16_t from;	 /* bytes of the payload in front of the text */
	bool records;	 /* libnftnl's udata: u8 type, u8 length, value, one behind the other */
	uint8_t comment; /* the type of records that is a text */
};

/* clang-format off */
#define ROUTE(t, h, ...) \
	{ .protocol = NETLINK_ROUTE, .type = t, .head = sizeof(h), .path = { __VA_ARGS__ } }
#define LINK(...) ROUTE(RTM_NEWLINK, struct ifinfomsg, __VA_ARGS__)
/* Of filters of one kind. */
#define FILTER(kind, ...) \
	{ .protocol = NETLINK_ROUTE, .type = RTM_NEWTFILTER, .head = sizeof(struct tcmsg), \
	  .path = { TCA_OPTIONS, __VA_ARGS__ }, .attr = TCA_KIND, .is = kind }
#define ACTION_TEXT(acts) \
	{ .protocol = NETLINK_ROUTE, .type = RTM_NEWTFILTER, .head = sizeof(struct tcmsg), \
	  .path = { TCA_OPTIONS, acts, ANY, TCA_ACT_OPTIONS, TCA_DEF_DATA }, \
	  .level = 3, .attr = TCA_ACT_KIND, .is = "simple" }
#define GENERIC(t, ...) \
	{ .protocol = NETLINK_GENERIC, .type = t, .head = sizeof(struct genlmsghdr), \
	  .path = { __VA_ARGS__ } }
#define DEVLINK_INFO(which) \
	GENERIC(DEVLINK, which, DEVLINK_ATTR_INFO_VERSION_NAME), \
	GENERIC(DEVLINK, which, DEVLINK_ATTR_INFO_VERSION_VALUE)
#define NETFILTER(sub, msg) \
	.protocol = NETLINK_NETFILTER, .type = NFNL_SUBSYS_##sub << 8 | (msg), \
	.head = sizeof(struct nfgenmsg)
#define NF(sub, msg, ...) { NETFILTER(sub, msg), .path = { __VA_ARGS__ } }
#define NFT(msg, ...) NF(NFTABLES, NFT_MSG_##msg, __VA_ARGS__)
#define NFT_COMMENT(msg, nr, ...) \
	{ NETFILTER(NFTABLES, NFT_MSG_##msg), .path = { __VA_ARGS__ }, .records = true, .comment = nr }
/* Of an expression in a rule. */
#define EXPR_AT(name, offset, ...) \
	{ NETFILTER(NFTABLES, NFT_MSG_NEWRULE), .from = offset, \
	  .path = { NFTA_RULE_EXPRESSIONS, NFTA_LIST_ELEM, NFTA_EXPR_DATA, __VA_ARGS__ }, \
	  .level = 2, .attr = NFTA_EXPR_NAME, .is = name }
#define EXPR(name, ...) EXPR_AT(name, 0, __VA_ARGS__)
/* Of an extension of iptables: the offset is from linux/netfilter/xt_*.h. */
#define XT(expr, name, info, ext, offset) \
	{ NETFILTER(NFTABLES, NFT_MSG_NEWRULE), .from = offset, \
	  .path = { NFTA_RULE_EXPRESSIONS, NFTA_LIST_ELEM, NFTA_EXPR_DATA, info }, \
	  .level = 3, .attr = name, .is = ext }
#define MATCH(ext, offset) XT("match", NFTA_MATCH_NAME, NFTA_MATCH_INFO, ext, offset)
#define TARGET(ext, offset) XT("target", NFTA_TARGET_NAME, NFTA_TARGET_INFO, ext, offset)

static const struct text texts[] = {
	LINK(IFLA_IFNAME),
	LINK(IFLA_QDISC),
	LINK(IFLA_IFALIAS),
	LINK(IFLA_PHYS_PORT_NAME),
	LINK(IFLA_PARENT_DEV_NAME),
	LINK(IFLA_PARENT_DEV_BUS_NAME),
	LINK(IFLA_LINKINFO, IFLA_INFO_KIND),
	LINK(IFLA_LINKINFO, IFLA_INFO_SLAVE_KIND),
	LINK(IFLA_PROP_LIST, IFLA_ALT_IFNAME),
	ROUTE(RTM_NEWADDR, struct ifaddrmsg, IFA_LABEL),
	ROUTE(RTM_NEWRULE, struct fib_rule_hdr, FRA_IIFNAME),
	ROUTE(RTM_NEWRULE, struct fib_rule_hdr, FRA_OIFNAME),
	ROUTE(RTM_NEWNEIGHTBL, struct ndtmsg, NDTA_NAME),
	ROUTE(RTM_NEWQDISC, struct tcmsg, TCA_KIND),
	ROUTE(RTM_NEWTCLASS, struct tcmsg, TCA_KIND),
	ROUTE(RTM_NEWTFILTER, struct tcmsg, TCA_KIND),
	ROUTE(RTM_NEWCHAIN, struct tcmsg, TCA_KIND),
	FILTER("bpf", TCA_BPF_NAME),
	FILTER("fw", TCA_FW_INDEV),
	FILTER("u32", TCA_U32_INDEV),
	FILTER("flower", TCA_FLOWER_INDEV),
	ACTION_TEXT(TCA_FLOWER_ACT),
	ACTION_TEXT(TCA_U32_ACT),
	ACTION_TEXT(TCA_MATCHALL_ACT),
	ACTION_TEXT(TCA_BASIC_ACT),
	{ .protocol = NETLINK_SOCK_DIAG, .type = SOCK_DIAG_BY_FAMILY, .family = AF_UNIX,
	  .head = sizeof(struct unix_diag_msg), .path = { UNIX_DIAG_NAME } },
	GENERIC(GENL_ID_CTRL, CTRL_ATTR_FAMILY_NAME),
	GENERIC(GENL_ID_CTRL, CTRL_ATTR_MCAST_GROUPS, ANY, CTRL_ATTR_MCAST_GRP_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_BUS_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_DEV_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_PORT_NETDEV_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_PORT_IBDEV_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_PARAM, DEVLINK_ATTR_PARAM_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_REGION_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_INFO_DRIVER_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_INFO_SERIAL_NUMBER),
	GENERIC(DEVLINK, DEVLINK_ATTR_INFO_BOARD_SERIAL_NUMBER),
	DEVLINK_INFO(DEVLINK_ATTR_INFO_VERSION_FIXED),
	DEVLINK_INFO(DEVLINK_ATTR_INFO_VERSION_RUNNING),
	DEVLINK_INFO(DEVLINK_ATTR_INFO_VERSION_STORED),
	GENERIC(DEVLINK, DEVLINK_ATTR_RESOURCE_LIST, DEVLINK_ATTR_RESOURCE,
		DEVLINK_ATTR_RESOURCE_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_HEALTH_REPORTER, DEVLINK_ATTR_HEALTH_REPORTER_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_FMSG, DEVLINK_ATTR_FMSG_OBJ_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_TRAP_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_TRAP_GROUP_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_RATE_NODE_NAME),
	GENERIC(DEVLINK, DEVLINK_ATTR_RATE_PARENT_NODE_NAME),
	/* The header is the first attribute of each message. */
	GENERIC(ETHTOOL, ETHTOOL_A_STRSET_HEADER, ETHTOOL_A_HEADER_DEV_NAME),
	GENERIC(ETHTOOL, ETHTOOL_A_STRSET_STRINGSETS, ETHTOOL_A_STRINGSETS_STRINGSET,
		ETHTOOL_A_STRINGSET_STRINGS, ETHTOOL_A_STRINGS_STRING, ETHTOOL_A_STRING_VALUE),
	GENERIC(NL80211, NL80211_ATTR_IFNAME),
	GENERIC(NL80211, NL80211_ATTR_WIPHY_NAME),
	GENERIC(NL80211, NL80211_ATTR_REG_ALPHA2),
	GENERIC(TEAM, TEAM_ATTR_LIST_OPTION, TEAM_ATTR_ITEM_OPTION, TEAM_ATTR_OPTION_NAME),
	GENERIC(WIREGUARD, WGDEVICE_A_IFNAME),
	/* nftables; the numbers of comments are those of libnftnl's udata.h */
	NFT(NEWGEN, NFTA_GEN_PROC_NAME),
	NFT(NEWTABLE, NFTA_TABLE_NAME),
	NFT_COMMENT(NEWTABLE, 0, NFTA_TABLE_USERDATA),
	NFT(NEWCHAIN, NFTA_CHAIN_TABLE),
	NFT(NEWCHAIN, NFTA_CHAIN_NAME),
	NFT(NEWCHAIN, NFTA_CHAIN_TYPE),
	NFT(NEWCHAIN, NFTA_CHAIN_HOOK, NFTA_HOOK_DEV),
	NFT(NEWCHAIN, NFTA_CHAIN_HOOK, NFTA_HOOK_DEVS, NFTA_DEVICE_NAME),
	NFT_COMMENT(NEWCHAIN, 0, NFTA_CHAIN_USERDATA),
	NFT(NEWSET, NFTA_SET_TABLE),
	NFT(NEWSET, NFTA_SET_NAME),
	NFT_COMMENT(NEWSET, 7, NFTA_SET_USERDATA),
	NFT(NEWSETELEM, NFTA_SET_ELEM_LIST_TABLE),
	NFT(NEWSETELEM, NFTA_SET_ELEM_LIST_SET),
	NFT(NEWSETELEM, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_LIST_ELEM, NFTA_SET_ELEM_OBJREF),
	NFT(NEWSETELEM, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_LIST_ELEM, NFTA_SET_ELEM_DATA,
	    NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN),
	NFT_COMMENT(NEWSETELEM, 0, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_LIST_ELEM,
		    NFTA_SET_ELEM_USERDATA),
	NFT(NEWOBJ, NFTA_OBJ_TABLE),
	NFT(NEWOBJ, NFTA_OBJ_NAME),
	NFT_COMMENT(NEWOBJ, 0, NFTA_OBJ_USERDATA),
	NFT(NEWFLOWTABLE, NFTA_FLOWTABLE_TABLE),
	NFT(NEWFLOWTABLE, NFTA_FLOWTABLE_NAME),
	NFT(NEWFLOWTABLE, NFTA_FLOWTABLE_HOOK, NFTA_FLOWTABLE_HOOK_DEVS, NFTA_DEVICE_NAME),
	NFT(NEWRULE, NFTA_RULE_TABLE),
	NFT(NEWRULE, NFTA_RULE_CHAIN),
	NFT_COMMENT(NEWRULE, 0, NFTA_RULE_USERDATA),
	EXPR("lookup", NFTA_LOOKUP_SET),
	EXPR("dynset", NFTA_DYNSET_SET_NAME),
	EXPR("objref", NFTA_OBJREF_IMM_NAME),
	EXPR("objref", NFTA_OBJREF_SET_NAME),
	EXPR("log", NFTA_LOG_PREFIX),
	EXPR("flow_offload", NFTA_FLOW_TABLE_NAME),
	EXPR("immediate", NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN),
	EXPR("match", NFTA_MATCH_NAME),
	EXPR("target", NFTA_TARGET_NAME),
	MATCH("comment", 0),
	MATCH("helper", 4),
	TARGET("LOG", 2),
	TARGET("NFLOG", 12),
	NF(NFT_COMPAT, NFNL_MSG_COMPAT_GET, NFTA_COMPAT_NAME),
	NF(CTNETLINK, IPCTNL_MSG_CT_NEW, CTA_HELP, CTA_HELP_NAME),
	NF(CTNETLINK, IPCTNL_MSG_CT_NEW, CTA_SECCTX, CTA_SECCTX_NAME),
	NF(CTNETLINK_EXP, IPCTNL_MSG_EXP_NEW, CTA_EXPECT_HELP_NAME),
	NF(CTNETLINK_EXP, IPCTNL_MSG_EXP_NEW, CTA_EXPECT_FN),
	NF(ACCT, NFNL_MSG_ACCT_NEW, NFACCT_NAME),
	NF(IPSET, IPSET_CMD_LIST, IPSET_ATTR_SETNAME),
	NF(IPSET, IPSET_CMD_LIST, IPSET_ATTR_TYPENAME),
	NF(IPSET, IPSET_CMD_LIST, IPSET_ATTR_ADT, IPSET_ATTR_DATA, IPSET_ATTR_NAME),
	NF(IPSET, IPSET_CMD_LIST, IPSET_ATTR_ADT, IPSET_ATTR_DATA, IPSET_ATTR_IFACE),
	NF(IPSET, IPSET_CMD_LIST, IPSET_ATTR_ADT, IPSET_ATTR_DATA, IPSET_ATTR_COMMENT),
	NF(IPSET, IPSET_CMD_SAVE, IPSET_ATTR_SETNAME),
	NF(IPSET, IPSET_CMD_SAVE, IPSET_ATTR_TYPENAME),
	NF(IPSET, IPSET_CMD_SAVE, IPSET_ATTR_ADT, IPSET_ATTR_DATA, IPSET_ATTR_NAME),
	NF(IPSET, IPSET_CMD_SAVE, IPSET_ATTR_ADT, IPSET_ATTR_DATA, IPSET_ATTR_IFACE),
	NF(IPSET, IPSET_CMD_SAVE, IPSET_ATTR_ADT, IPSET_ATTR_DATA, IPSET_ATTR_COMMENT),
	NF(IPSET, IPSET_CMD_HEADER, IPSET_ATTR_SETNAME),
	NF(IPSET, IPSET_CMD_HEADER, IPSET_ATTR_TYPENAME),
};
/* clang-format on */

/* Take the next attribute of the *@len bytes at *@at: its payload of *@size bytes, or NULL. */
static char *next_attr(char **at, size_t *len, uint16_t *type, size_t *size)
{
	struct nlattr a;
	size_t whole;
	char *payload;

	if (*len < sizeof(a))
		return NULL;
	memcpy(&a, *at, sizeof(a));
	if (a.nla_len < sizeof(a) || a.nla_len > *len)
		return NULL;
	*type = a.nla_type & NLA_TYPE_MASK;
	*size = a.nla_len - sizeof(a);
	payload = *at + sizeof(a);
	whole = NLA_ALIGN((size_t)a.nla_len);
	if (whole > *len)
		whole = *len;
	*at += whole;
	*len -= whole;
	return payload;
}

/* Is attribute @type among those at @at the string @is? */
static bool has_string(char *at, size_t len, uint16_t type, const char *is)
{
	size_t size, n = strlen(is);
	uint16_t found;
	char *payload;

	while ((payload = next_attr(&at, &len, &found, &size)))
		if (found == type)
			return size >= n && !memcmp(payload, is, n) && (size == n || !payload[n]);
	return false;
}

static void mask_records(char *at, size_t len, uint8_t comment)
{
	while (len >= 2) {
		size_t n = (uint8_t)at[1];

		if (n > len - 2)
			return;
		if ((uint8_t)at[0] == comment)
			vl_text_mask(at + 2, n, VL_TEXT_WORD);
		at += 2 + n;
		len -= 2 + n;
	}
}

static void mask(const struct text *text, unsigned int level, char *at, size_t len)
{
	bool last = level + 1 == DEPTH || !text->path[level + 1];
	uint16_t type;
	char *payload;
	size_t size;

	if (text->is && level == text->level && !has_string(at, len, text->attr, text->is))
		return;
	while ((payload = next_attr(&at, &len, &type, &size))) {
		if (text->path[level] != ANY && type != text->path[level])
			continue;
		if (!last)
			mask(text, level + 1, payload, size);
		else if (text->records)
			mask_records(payload, size, text->comment);
		else if (size > text->from)
			vl_text_mask(payload + text->from, size - text->from, VL_TEXT_WORD);
	}
}

/* Does the big-endian key at @key, of an expression "meta", stand for a name? */
static bool is_name(const char *key)
{
	if (key[0] || key[1] || key[2])
		return false;
	switch (key[3]) {
	case NFT_META_IIFNAME:
	case NFT_META_OIFNAME:
	case NFT_META_BRI_IIFNAME:
	case NFT_META_BRI_OIFNAME:
	case NFT_META_IIFKIND:
	case NFT_META_OIFKIND:
	case NFT_META_SDIFNAME:
		return true;
	default:
		return false;
	}
}

/* The value that an expression "cmp" compares a register with. */
static const struct text compared = { .path = { NFTA_EXPR_DATA, NFTA_CMP_DATA, NFTA_DATA_VALUE } };

/* Does the expression "meta" at @at load a name? */
static bool loads_name(char *at, size_t len)
{
	uint16_t type;
	char *data, *key;
	size_t size, n;

	while ((data = next_attr(&at, &len, &type, &size))) {
		if (type != NFTA_EXPR_DATA)
			continue;
		while ((key = next_attr(&data, &size, &type, &n)))
			if (type == NFTA_META_KEY && n == 4)
				return is_name(key);
	}
	return false;
}

/*
 * A rule compares the name of an interface ("cmp") with the bytes of a register that an
 * expression "meta" has loaded before.
 */
static void mask_interfaces(char *at, size_t len)
{
	char *list, *expr;
	bool name = false;
	uint16_t type;
	size_t size, n;

	while ((list = next_attr(&at, &len, &type, &size))) {
		if (type != NFTA_RULE_EXPRESSIONS)
			continue;
		while ((expr = next_attr(&list, &size, &type, &n))) {
			if (has_string(expr, n, NFTA_EXPR_NAME, "meta"))
				name = loads_name(expr, n);
			else if (!has_string(expr, n, NFTA_EXPR_NAME, "cmp"))
				name = false; /* the register may hold something else now */
			else if (name)
				mask(&compared, 0, expr, n);
		}
	}
}

/* Remember the number that the guest's kernel gives a family: it is the type of its messages. */
static void learn_family(struct vl_redirect *r, char *at, size_t len)
{
	char *attrs = at, *payload;
	size_t left = len, size;
	uint16_t type, id = 0;

	while ((payload = next_attr(&attrs, &left, &type, &size)))
		if (type == CTRL_ATTR_FAMILY_ID && size >= sizeof(id))
			memcpy(&id, payload, sizeof(id));
	for (size_t i = 1; i < NR_FAMILIES; i++)
		if (has_string(at, len, CTRL_ATTR_FAMILY_NAME, families[i]))
			r->genl_ids[i] = id;
}

/* Does @text apply to messages of type @type? */
static bool is_about(const struct vl_redirect *r, const struct text *text, uint16_t type)
{
	bool family = text->protocol == NETLINK_GENERIC && text->type < NR_FAMILIES;

	return type == (family ? r->genl_ids[text->type] : text->type);
}

void vl_sanitize_message(struct vl_redirect *r, int protocol, char *message, size_t len)
{
	const size_t genl = NLMSG_HDRLEN + sizeof(struct genlmsghdr);
	const size_t nf = NLMSG_HDRLEN + sizeof(struct nfgenmsg);
	struct nlmsghdr h;

	if (r->o->raw_names || len < sizeof(h))
		return;
	memcpy(&h, message, sizeof(h));
	if (protocol == NETLINK_GENERIC && h.nlmsg_type == GENL_ID_CTRL && len > genl)
		learn_family(r, message + genl, len - genl);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(texts[i].head);

		if (texts[i].protocol == protocol && is_about(r, &texts[i], h.nlmsg_type) &&
		    len > head &&
		    (!texts[i].family || (uint8_t)message[NLMSG_HDRLEN] == texts[i].family))
			mask(&texts[i], 0, message + head, len - head);
	}
	if (protocol == NETLINK_NETFILTER && len > nf &&
	    h.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE))
		mask_interfaces(message + nf, len - nf);
}
