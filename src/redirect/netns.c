/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request about a network namespace (ip netns) names it by a descriptor. The program's
 * descriptor is a memfd of ours, so the guest's kernel gets a descriptor of its own.
 */
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "fds.h"
#include "netlink.h"
#include "trap.h"

/* Replace the program's descriptor at @at by one of the guest. */
static struct vl_error *translate(struct vl_trap *t, char *at)
{
	struct vl_error *err;
	struct vl_file *f;
	int32_t number;
	int64_t fd;

	memcpy(&number, at, sizeof(number));
	f = vl_fd_ours((uint32_t)number) ? vl_fd_find(t, number) : NULL;
	if (!f)
		return NULL; /* the guest's kernel refuses it */
	err = VL_GUEST(t->r, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(f->path),
		       VL_ARG_INT(O_RDONLY | O_NONBLOCK), VL_ARG_INT(0));
	if (err || fd < 0)
		return err;
	number = (int32_t)fd;
	memcpy(at, &number, sizeof(number));
	return NULL;
}

struct vl_error *vl_netns_request(struct vl_trap *t, char *buf, size_t len)
{
	const size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct rtgenmsg));
	struct nlmsghdr h;
	struct nlattr a;

	if (len < sizeof(h))
		return NULL;
	memcpy(&h, buf, sizeof(h));
	if (h.nlmsg_type != RTM_GETNSID)
		return NULL;
	for (size_t at = head; at + sizeof(a) + sizeof(int32_t) <= len;) {
		memcpy(&a, buf + at, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > len - at)
			return NULL;
		if (a.nla_type == NETNSA_FD && a.nla_len >= sizeof(a) + sizeof(int32_t))
			return translate(t, buf + at + sizeof(a));
		at += NLA_ALIGN(a.nla_len);
	}
	return NULL;
}
