/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Turns at a guest's monitors. A QMP socket talks to one client at a time, and greets the next
 * one only after the client has left. So tools take turns, under a lock for each socket. While
 * another client has a socket, the next socket of the same QEMU is tried. While a monitor is
 * asked, no tool freezes its process.
 */
#ifndef VLENS_HOST_MONITOR_H
#define VLENS_HOST_MONITOR_H

#include "qemu_args.h"
#include "qmp.h"

struct vl_target;

struct vl_monitor {
	struct vl_qmp_address address[VL_QEMU_MONITORS + 1];
	size_t nr;
	struct vl_qmp *qmp; /* NULL: not connected */
	int lock;	    /* of its socket; negative: none */
	bool ready;	    /* qmp takes commands */
	bool quiet;	    /* we hold tools off from freezing the process */
};

void vl_monitor_init(struct vl_monitor *m);

/* Add a socket, unless it is there already. */
void vl_monitor_add(struct vl_monitor *m, const struct vl_qmp_address *a);

/*
 * Bind @t to the process that listens at @a. Makes no connection if the process is known from
 * before, else @m keeps the connection for vl_monitor_open(). When other clients have the socket
 * and we cannot connect, @search must bind @t to the listener.
 */
struct vl_error *
vl_monitor_bind(struct vl_target *t, struct vl_monitor *m, const struct vl_qmp_address *a,
		struct vl_error *(*search)(struct vl_target *t, const struct vl_qmp_address *a));

/*
 * A connection for commands, until vl_monitor_rest(). Waits some 20 s at most for other tools, as
 * long as they make progress, and some 2 s for other clients. All commands of one turn together
 * have a timeout of 10 s.
 */
struct vl_error *vl_monitor_open(struct vl_target *t, struct vl_monitor *m, struct vl_qmp **ret);

/* Close the connection, for others to have their turn. */
void vl_monitor_rest(struct vl_target *t, struct vl_monitor *m);

#endif
