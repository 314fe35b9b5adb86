/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of netlink sockets. */
#ifndef VLENS_REDIRECT_NETLINK_H
#define VLENS_REDIRECT_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_redirect;
struct vl_trap;

/* message.c: one netlink message, with its header. */
void vl_sanitize_message(struct vl_redirect *r, int protocol, char *message, size_t len);
struct vl_error *vl_genl_asks(struct vl_trap *t, const char *buf, size_t len, bool *ret);

/* netfilter.c: does message @type of NETLINK_NETFILTER only ask? */
bool vl_netfilter_asks(uint16_t type);

/* netns.c: descriptors in a request of NETLINK_ROUTE as the guest's. */
struct vl_error *vl_netns_request(struct vl_trap *t, char *buf, size_t len);

#endif
