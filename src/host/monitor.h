/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's monitor, and the turns that tools take at it. */
#ifndef VLENS_HOST_MONITOR_H
#define VLENS_HOST_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "qemu_args.h"
#include "qmp.h"

struct vl_target;

/*
 * Turns at a guest's monitors. A QMP socket talks to one client at a time, and greets the next
 * one only after the client has left. So tools take turns, under a lock for each socket. While
 * another client has a socket, the next socket of the same QEMU is tried. While a monitor is
 * asked, no tool freezes its process.
 */

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

/*
 * Notes that the tools of a user share about a monitor's socket, in the file of its lock: its
 * process, when it last greeted a tool, and since when it is silent. By these, twenty tools
 * that wait for a monitor with another client give up as soon as one alone would.
 */

struct vl_turn {
	int pid;	/* of the process that listens; 0: not known */
	char run[112];	/* its vl_target_run_id() */
	uint64_t spoke; /* when it last greeted a tool, on vl_now_ns()'s clock */
	uint64_t silent_since, silent_until; /* the tools waited in vain; 0: they did not */
};

/* Read the notes of the lock @key, which need not be held. All is 0 when nothing is known. */
void vl_turn_load(const char *key, struct vl_turn *ret);

/* Write the notes to @lock, a descriptor of vl_run_lock(); negative: do nothing. */
void vl_turn_store(int lock, const struct vl_turn *turn);

/* Note that the socket of process @pid, run @run, has greeted us. */
void vl_turn_speaks(int lock, const char *key, int pid, const char *run);
/* Note that it has not, for @ns nanoseconds until now. */
void vl_turn_is_silent(int lock, const char *key, int pid, const char *run, uint64_t ns);

#endif
