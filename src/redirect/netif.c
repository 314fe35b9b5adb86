/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ioctls that ask about network interfaces (ifconfig, arp, if_nametoindex). A program makes
 * them on any socket, even on an AF_UNIX socket of the host. They are made in the guest on a socket
 * of our own, one for all of an epoch: a kernel that never returns to user mode does not take a
 * closed one off its lists.
 */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../base/array.h"
#include "fds.h"
#include "handlers.h"
#include "refuse.h"
#include "trap.h"
#include "sanitize.h"

#define CONF_MAX 32768

/* linux/sockios.h. All others are denied. */
static const struct {
	unsigned int cmd;
	unsigned int size; /* of the structure, read and written */
} questions[] = {
	{ SIOCGIFNAME, sizeof(struct ifreq) },	  { SIOCGIFINDEX, sizeof(struct ifreq) },
	{ SIOCGIFFLAGS, sizeof(struct ifreq) },	  { SIOCGIFPFLAGS, sizeof(struct ifreq) },
	{ SIOCGIFADDR, sizeof(struct ifreq) },	  { SIOCGIFDSTADDR, sizeof(struct ifreq) },
	{ SIOCGIFBRDADDR, sizeof(struct ifreq) }, { SIOCGIFNETMASK, sizeof(struct ifreq) },
	{ SIOCGIFMETRIC, sizeof(struct ifreq) },  { SIOCGIFMEM, sizeof(struct ifreq) },
	{ SIOCGIFMTU, sizeof(struct ifreq) },	  { SIOCGIFHWADDR, sizeof(struct ifreq) },
	{ SIOCGIFTXQLEN, sizeof(struct ifreq) },  { SIOCGIFMAP, sizeof(struct ifreq) },
	{ SIOCGARP, sizeof(struct arpreq) },	  { SIOCGIFCONF, sizeof(struct ifconf) },
};

/* SIOCGIFCONF: the structure points to a buffer for the list of addresses. */
static struct vl_error *ask_conf(struct vl_trap *t, int64_t fd)
{
	const struct vl_sys_ops *ops = t->r->sys->ops;
	struct ifconf conf, guest;
	struct vl_error *err;
	uint64_t at = 0;
	int room = 0;

	t->ret = vl_mem_read(t, t->args[2], &conf, sizeof(conf));
	if (t->ret)
		return NULL;
	guest = conf;
	if (conf.ifc_buf) {
		if (guest.ifc_len > CONF_MAX)
			guest.ifc_len = CONF_MAX;
		if (guest.ifc_len < 0)
			guest.ifc_len = 0;
		memset(t->r->chunk, 0, CONF_MAX);
		ops->reset(t->r->sys);
		at = ops->push(t->r->sys, t->r->chunk, guest.ifc_len + 1);
		if (!at) {
			t->ret = -ENOMEM;
			return NULL;
		}
		guest.ifc_buf = (void *)(uintptr_t)at;
		room = guest.ifc_len;
	}
	err = VL_GUEST(t->r, "ioctl", &t->ret, VL_ARG_INT(fd), VL_ARG_INT(SIOCGIFCONF),
		       VL_ARG_INOUT(&guest, sizeof(guest)));
	if (err || t->ret)
		return err;
	/* ifc_len: with a buffer, the bytes in it; without one, the bytes that it needs. */
	if (guest.ifc_len < 0 || guest.ifc_len > (at ? room : CONF_MAX)) {
		t->ret = -EIO;
		return NULL;
	}
	if (at && guest.ifc_len) {
		ops->pull(t->r->sys, at, t->r->chunk, guest.ifc_len);
		for (int i = 0; i + (int)sizeof(struct ifreq) <= guest.ifc_len;
		     i += sizeof(struct ifreq))
			vl_sanitize_fixed(t->r, t->r->chunk + i, IFNAMSIZ);
		t->ret = vl_mem_write(t, (uintptr_t)conf.ifc_buf, t->r->chunk, guest.ifc_len);
	}
	conf.ifc_len = guest.ifc_len;
	if (!t->ret)
		t->ret = vl_mem_write(t, t->args[2], &conf, sizeof(conf));
	return NULL;
}

static struct vl_error *ask_fixed(struct vl_trap *t, int64_t fd, unsigned int cmd, size_t size)
{
	struct vl_error *err;
	char buf[128];

	t->ret = vl_mem_read(t, t->args[2], buf, size);
	if (t->ret)
		return NULL;
	err = VL_GUEST(t->r, "ioctl", &t->ret, VL_ARG_INT(fd), VL_ARG_INT(cmd),
		       VL_ARG_INOUT(buf, size));
	if (!err && t->ret >= 0) {
		if (cmd == SIOCGIFNAME)
			vl_sanitize_fixed(t->r, ((struct ifreq *)buf)->ifr_name, IFNAMSIZ);
		int e = vl_mem_write(t, t->args[2], buf, size);

		t->ret = e ? e : t->ret;
	}
	return err;
}

/* Have a socket of @domain: *@ret is its descriptor, or -errno. */
static struct vl_error *take(struct vl_redirect *r, int domain, int64_t *ret)
{
	struct vl_error *err;

	if (r->netif.fd >= 0 && r->sys->open && r->netif.epoch == r->sys->epoch &&
	    r->netif.closings == r->closings) {
		*ret = r->netif.fd;
		if (r->netif.domain == domain)
			return NULL;
		err = VL_GUEST(r, "close", ret, VL_ARG_INT(r->netif.fd));
		r->netif.fd = -1;
		if (err)
			return err;
	}
	err = VL_GUEST(r, "socket", ret, VL_ARG_INT(domain), VL_ARG_INT(SOCK_DGRAM), VL_ARG_INT(0));
	r->netif.fd = err || !r->sys->own_files ? -1 : *ret;
	r->netif.domain = domain;
	r->netif.epoch = r->sys->epoch;
	r->netif.closings = r->closings;
	return err;
}

/* The end of an epoch closes @fd, but not where the table of files is not ours alone. */
static struct vl_error *rest(struct vl_redirect *r, int64_t fd)
{
	int64_t ret;

	return fd == r->netif.fd ? NULL : VL_GUEST(r, "close", &ret, VL_ARG_INT(fd));
}

/* ioctl(fd, SIOC…, arg) */
struct vl_error *vl_h_netif(struct vl_trap *t)
{
	struct vl_file *f = vl_fd_ours(t->args[0]) ? vl_fd_find(t, t->args[0]) : NULL;
	int domain = f && f->kind == K_SOCKET ? f->domain : AF_UNIX;
	unsigned int cmd = t->args[1];
	struct vl_error *err;
	int64_t fd;
	size_t i;

	if (cmd < SIOCADDRT) { /* asm/sockios.h: owner and urgent data of the socket itself */
		t->pass = true;
		return NULL;
	}
	for (i = 0; i < ARRAY_SIZE(questions); i++)
		if (questions[i].cmd == cmd)
			break;
	if (i == ARRAY_SIZE(questions)) {
		vl_deny(t);
		return NULL;
	}
	err = take(t->r, domain, &fd);
	if (err || fd < 0) {
		t->ret = fd;
		return err;
	}
	err = cmd == SIOCGIFCONF ? ask_conf(t, fd) : ask_fixed(t, fd, cmd, questions[i].size);
	return err ? err : rest(t->r, fd);
}
