// SPDX-License-Identifier: GPL-2.0-only
/* Registers a hook of netfilter, which lets all packets pass. */
#include "lab.h"

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <net/net_namespace.h>

LAB_LISTED;

static unsigned int hooked(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return NF_ACCEPT;
}

static const struct nf_hook_ops ops = {
	.hook = hooked,
	.pf = NFPROTO_IPV4,
	.hooknum = NF_INET_PRE_ROUTING,
	.priority = NF_IP_PRI_FIRST,
};

static int __init netfilter_lab_init(void)
{
	return nf_register_net_hook(&init_net, &ops);
}

static void __exit netfilter_lab_exit(void)
{
	nf_unregister_net_hook(&init_net, &ops);
}
module_init(netfilter_lab_init);
module_exit(netfilter_lab_exit);
