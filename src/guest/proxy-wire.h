/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two ends of a target's proxy (host/proxy.h): a worker in a box asks over its wire, and its
 * broker serves it. The worker's words are untrusted.
 */
#ifndef VLENS_PORT_WIRE_H
#define VLENS_PORT_WIRE_H

#include <pthread.h>

#include "../box/box.h"
#include "../host/proxy.h"

/* Requests of the worker, in vl_message.op; above those of a broker. */
enum vl_proxy_op {
	VL_OP_PAUSE = 64, /* enum vl_proxy_pause; reply: value[0]: the CPU */
	VL_OP_RESUME,
	VL_OP_VCPUS, /* reply: value[0]: number of struct vl_vcpu in the window */
	VL_OP_READ,  /* value[0]: address, value[1]: length */
	/* value[0] addresses, in the window from page value[1] on; reply: the pages instead */
	VL_OP_PAGES,
	VL_OP_ALIVE,
	VL_OP_OPEN,  /* value[0]: enum vl_kept, text: a key; reply: value[0]: size, and a file */
	VL_OP_STORE, /* value[0]: enum vl_kept, value[1]: length of the data in the window */
	VL_OP_TURN,  /* vl_kept_turn(); value[0], [1]: since, s and ns, [2]: wait_ns; reply: [0] */
	VL_OP_END_TURN,
	VL_OP_KERNEL, /* enum vl_proxy_kernel, text; reply: key, [0]: size, [1]: made; a file */
	VL_OP_HELD,   /* value[0]: anew; reply: [0]: number in the window, [1]: unchanged */
	VL_OP_HELD_START,
	VL_OP_PLACE, /* vl_target_place(); value[0]: the placement */
	VL_OP_DATA,  /* vl_target_next_data(); value[0]: address; reply: [0]: start, [1]: end */
	VL_OP_ENTRY, /* reply: value[0]: number of struct vl_entry in the window */
};

/* Values of VL_OP_PAUSE. */
enum vl_proxy_pause {
	VL_PAUSE_TRIES, /* to find a quiesced point in time; 0: pause at once, ignore the rest */
	VL_PAUSE_ROOT,
	VL_PAUSE_LEVELS,
	VL_PAUSE_OFFSETS,
	VL_PAUSE_PREEMPT,
	VL_PAUSE_CURRENT,
	VL_PAUSE_CPUS,
	VL_PAUSE_PID_AT,
	VL_NR_PAUSE_VALUES,
};

/* Values of VL_OP_KERNEL: struct vl_kernel_source; text: the build id. */
#define VL_KERNEL_FEW 0x100U /* in that of the form: the symbols are those of code only */
enum vl_proxy_kernel {
	VL_KERNEL_ROOT,
	VL_KERNEL_LEVELS,
	VL_KERNEL_FORM,
	VL_KERNEL_NR,
	VL_KERNEL_BASE,
	VL_KERNEL_DEADLINE,
	VL_KERNEL_PARTS, /* the address and the length of each */
	VL_NR_KERNEL_VALUES = VL_KERNEL_PARTS + 12,
};
_Static_assert(VL_NR_KERNEL_VALUES <= VL_WIRE_VALUES, "the values fit in a message");

/* --- the worker's end, proxy-ask.c --- */

struct vl_proxy_asker {
	struct vl_target *target;
	struct vl_wire *wire;
	int link;
	pthread_t main;
	bool visits[VL_NR_CHANNELS]; /* pages are visited, and more are on their way to us */
	struct vl_target_proxy proxy;
};

/*
 * In a worker, before its box: @t uses this proxy from now on. Adds the descriptors that @t needs
 * to @keep. @a must outlive @t; the caller may fill in more of a->proxy afterwards.
 */
struct vl_error *vl_proxy_prepare(struct vl_proxy_asker *a, struct vl_target *t,
				  struct vl_box_fds *keep);
/* In the box, before the first request, by the main thread. */
void vl_proxy_connect(struct vl_proxy_asker *a, struct vl_wire *wire, int link);

/* --- the broker's end, proxy-serve.c --- */

/* Serve a request of a worker of @t, for vl_box_ask(). @box is the worker's. */
void vl_proxy_serve(struct vl_target *t, struct vl_box *box, enum vl_channel_id id,
		    struct vl_message *m);

#endif
