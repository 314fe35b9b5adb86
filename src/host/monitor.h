/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose turn it is at a guest's monitors. A QMP socket talks to one client at a time and does
 * not greet the next one before, so tools ask in turn, under a lock of each socket; where the
 * socket has a client that is none of ours, the next socket of the same QEMU is tried. While a
 * monitor is asked nobody freezes its process.
 */
#ifndef VLENS_HOST_MONITOR_H
#define VLENS_HOST_MONITOR_H

#include "qemu_args.h"
#include "qmp.h"

struct vl_target;

struct vl_monitor {
	struct vl_qmp_address address[VL_QEMU_MONITORS + 1];
	size_t nr;
	struct vl_qmp *qmp; /* NULL: it is nobody's turn here */
	int lock;	    /* of its socket; negative: none */
	bool ready;	    /* qmp takes commands */
	bool quiet;	    /* nobody freezes the process meanwhile */
};

void vl_monitor_init(struct vl_monitor *m);

/* Add a socket to try, unless it is among them already. */
void vl_monitor_add(struct vl_monitor *m, const struct vl_qmp_address *a);

/*
 * The process that listens at @a, bound to @t. Without a connection if that was found out
 * before, else *m keeps the connection for vl_monitor_open(). Where nobody can connect, as
 * others have the socket, @search is to bind @t to the listener.
 */
struct vl_error *
vl_monitor_bind(struct vl_target *t, struct vl_monitor *m, const struct vl_qmp_address *a,
		struct vl_error *(*search)(struct vl_target *t, const struct vl_qmp_address *a));

/*
 * A connection over which commands can be run, until vl_monitor_rest(). Waits for other tools,
 * some 20 s at most, as long as they get on; for clients that are no tools some 2 s. All that is
 * asked has to be answered within some seconds.
 */
struct vl_error *vl_monitor_open(struct vl_target *t, struct vl_monitor *m, struct vl_qmp **ret);

/* The connection is to be for others. */
void vl_monitor_rest(struct vl_target *t, struct vl_monitor *m);

#endif
