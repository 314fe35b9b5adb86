/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Generic netlink: only a family itself knows what its requests do. A dump only reads. For
 * all other requests the guest's kernel reports which need a right (genl_ops::flags). A
 * request that needs none changes nothing.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"
#include "trap.h"

struct request {
	struct nlmsghdr head;
	struct genlmsghdr genl;
	struct nlattr attr;
	uint16_t family;
	uint16_t pad;
};

/* Attributes, one after the other. */
struct attrs {
	const char *at;
	size_t left;
};

/* Take the next attribute: its type without flags, or -1. *@in is its payload. */
static int next(struct attrs *a, struct attrs *in)
{
	struct nlattr attr;
	size_t whole;

	if (a->left < sizeof(attr))
		return -1;
	memcpy(&attr, a->at, sizeof(attr));
	if (attr.nla_len < sizeof(attr) || attr.nla_len > a->left)
		return -1;
	*in = (struct attrs){ a->at + sizeof(attr), attr.nla_len - sizeof(attr) };
	whole = NLA_ALIGN(attr.nla_len);
	if (whole > a->left)
		whole = a->left;
	a->at += whole;
	a->left -= whole;
	return attr.nla_type & NLA_TYPE_MASK;
}

/* The payload of attribute @type of @a; empty if there is none. */
static struct attrs find(struct attrs a, int type)
{
	struct attrs in;
	int is;

	while ((is = next(&a, &in)) >= 0)
		if (is == type)
			return in;
	return (struct attrs){ NULL, 0 };
}

static bool number(struct attrs a, uint32_t *ret)
{
	if (a.left < sizeof(*ret))
		return false;
	memcpy(ret, a.at, sizeof(*ret));
	return true;
}

/* Does command @cmd need no right? @answer is the guest's description of its family. */
static bool needs_no_right(const char *answer, size_t len, unsigned int cmd)
{
	const size_t head = sizeof(struct nlmsghdr) + sizeof(struct genlmsghdr);
	struct attrs ops, op;
	struct nlmsghdr h;
	uint32_t id, flags;

	if (len < head)
		return false;
	memcpy(&h, answer, sizeof(h));
	if (h.nlmsg_type != GENL_ID_CTRL || h.nlmsg_len < head || h.nlmsg_len > len)
		return false;
	ops = find((struct attrs){ answer + head, h.nlmsg_len - head }, CTRL_ATTR_OPS);
	while (next(&ops, &op) >= 0)
		if (number(find(op, CTRL_ATTR_OP_ID), &id) && id == cmd &&
		    number(find(op, CTRL_ATTR_OP_FLAGS), &flags))
			return (flags & GENL_CMD_CAP_DO) &&
			       !(flags & (GENL_ADMIN_PERM | GENL_UNS_ADMIN_PERM));
	return false;
}

/*
 * Does the request in @buf only read? *@ret is false, too, if that is not known, and for
 * several requests in one message.
 */
struct vl_error *vl_genl_asks(struct vl_trap *t, const char *buf, size_t len, bool *ret)
{
	struct request q = {
		.head = { .nlmsg_len = sizeof(q),
			  .nlmsg_type = GENL_ID_CTRL,
			  .nlmsg_flags = NLM_F_REQUEST },
		.genl = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		.attr = { .nla_len = NLA_HDRLEN + sizeof(q.family),
			  .nla_type = CTRL_ATTR_FAMILY_ID },
	};
	struct genlmsghdr genl;
	struct vl_error *err;
	struct nlmsghdr h;
	int64_t fd, n, closed;

	*ret = false;
	if (len < sizeof(h) + sizeof(genl))
		return NULL;
	memcpy(&h, buf, sizeof(h));
	memcpy(&genl, buf + sizeof(h), sizeof(genl));
	if (h.nlmsg_len < sizeof(h) + sizeof(genl) || NLMSG_ALIGN(h.nlmsg_len) < len)
		return NULL;
	q.family = h.nlmsg_type;
	err = VL_GUEST(t->r, "socket", &fd, VL_ARG_INT(AF_NETLINK), VL_ARG_INT(SOCK_RAW),
		       VL_ARG_INT(NETLINK_GENERIC));
	if (err || fd < 0)
		return err;
	err = VL_GUEST(t->r, "sendto", &n, VL_ARG_INT(fd), VL_ARG_IN(&q, sizeof(q)),
		       VL_ARG_INT(sizeof(q)), VL_ARG_INT(0), VL_ARG_NULL, VL_ARG_NULL);
	if (!err && n >= 0)
		err = VL_GUEST(t->r, "recvfrom", &n, VL_ARG_INT(fd),
			       VL_ARG_OUT(t->r->chunk, VL_CHUNK), VL_ARG_INT(VL_CHUNK),
			       VL_ARG_INT(MSG_DONTWAIT), VL_ARG_NULL, VL_ARG_NULL);
	if (!err && n > 0 && n <= VL_CHUNK)
		*ret = needs_no_right(t->r->chunk, n, genl.cmd);
	return err ? err : VL_GUEST(t->r, "close", &closed, VL_ARG_INT(fd));
}
