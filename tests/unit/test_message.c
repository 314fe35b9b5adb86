/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sanitizes texts in messages of generic netlink. The guest assigns the families' numbers. */
#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/nl80211.h>
#include <string.h>

#include "../../src/redirect/netlink.h"
#include "../../src/redirect/run.h"
#include "tap.h"

#define FAMILY 29
#define HOSTILE "e\x1b[31m"

struct message {
	char at[512] __attribute__((aligned(4)));
	size_t len;
};

static void begin(struct message *m, uint16_t type, uint8_t cmd)
{
	struct nlmsghdr h = { .nlmsg_type = type };
	struct genlmsghdr g = { .cmd = cmd };

	memset(m, 0, sizeof(*m));
	memcpy(m->at, &h, sizeof(h));
	memcpy(m->at + NLMSG_HDRLEN, &g, sizeof(g));
	m->len = NLMSG_HDRLEN + GENL_HDRLEN;
}

/* Append an attribute. Returns the address of its payload. */
static char *put(struct message *m, uint16_t type, const void *payload, size_t size)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = type };
	char *at = m->at + m->len + NLA_HDRLEN;

	memcpy(m->at + m->len, &a, sizeof(a));
	memcpy(at, payload, size);
	m->len += NLA_ALIGN(a.nla_len);
	return at;
}

static void sanitize(struct vl_redirect *r, struct message *m)
{
	vl_sanitize_message(r, NETLINK_GENERIC, m->at, m->len);
}

static void introduce(struct vl_redirect *r, const char *name)
{
	uint16_t id = FAMILY;
	struct message m;

	begin(&m, GENL_ID_CTRL, CTRL_CMD_NEWFAMILY);
	put(&m, CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
	put(&m, CTRL_ATTR_FAMILY_ID, &id, sizeof(id));
	sanitize(r, &m);
}

int main(void)
{
	const struct vl_redirect_options o = { .arg0 = NULL }, raw = { .raw_names = true };
	static struct vl_redirect r;
	uint32_t number = 0x1b1b1b1b;
	char *name, *value, nested[64];
	struct message m, inner;

	r.o = &o;
	begin(&m, FAMILY, DEVLINK_CMD_NEW);
	name = put(&m, DEVLINK_ATTR_DEV_NAME, HOSTILE, sizeof(HOSTILE));
	sanitize(&r, &m);
	ok(!strcmp(name, HOSTILE), "an unknown family: its bytes stay, as they may be numbers");
	introduce(&r, "devlink");
	sanitize(&r, &m);
	ok(!strcmp(name, "e?[31m"), "devlink: the name of a device");

	begin(&m, FAMILY, DEVLINK_CMD_NEW);
	value = put(&m, DEVLINK_ATTR_PORT_NUMBER, &number, sizeof(number));
	begin(&inner, 0, 0);
	inner.len = 0;
	put(&inner, DEVLINK_ATTR_INFO_VERSION_VALUE, HOSTILE, sizeof(HOSTILE));
	memcpy(nested, inner.at, inner.len);
	name = put(&m, DEVLINK_ATTR_INFO_VERSION_RUNNING, nested, inner.len) + NLA_HDRLEN;
	sanitize(&r, &m);
	ok(!memcmp(value, &number, sizeof(number)), "a number stays");
	ok(!strcmp(name, "e?[31m"), "devlink: a nested text");

	memset(&r.genl_ids, 0, sizeof(r.genl_ids));
	introduce(&r, "nl80211");
	begin(&m, FAMILY, NL80211_CMD_NEW_INTERFACE);
	name = put(&m, NL80211_ATTR_IFNAME, HOSTILE, sizeof(HOSTILE));
	sanitize(&r, &m);
	ok(!strcmp(name, "e?[31m"), "nl80211, under the same number: the name of an interface");

	r.o = &raw;
	begin(&m, FAMILY, NL80211_CMD_NEW_INTERFACE);
	name = put(&m, NL80211_ATTR_IFNAME, HOSTILE, sizeof(HOSTILE));
	sanitize(&r, &m);
	ok(!strcmp(name, HOSTILE), "--raw-names leaves all as it is");
	return tap_end();
}
