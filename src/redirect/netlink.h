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

/* message.c: @message begins with its netlink header. */
void vl_sanitize_message(struct vl_redirect *r, int protocol, char *message, size_t len);
struct vl_error *vl_genl_asks(struct vl_trap *t, const char *buf, size_t len, bool *ret);

/* netfilter.c: does message @type of NETLINK_NETFILTER only ask? */
bool vl_netfilter_asks(uint16_t type);

/* netns.c: replace the descriptor in a NETLINK_ROUTE request by one of the guest. */
struct vl_error *vl_netns_request(struct vl_trap *t, char *buf, size_t len);

#endif
