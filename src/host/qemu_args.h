/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parser for a QEMU's command line. */
#ifndef VLENS_HOST_QEMU_ARGS_H
#define VLENS_HOST_QEMU_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "qmp.h"

/* No QEMU in use has more monitors. */
#define VL_QEMU_MONITORS 4

struct vl_qemu_args {
	bool is_qemu;	      /* by the name of the program */
	char guest_name[256]; /* of -name; "": none */
	char uuid[40];	      /* of -uuid; "": none */
	size_t nr_qmp;
	struct vl_qmp_address qmp[VL_QEMU_MONITORS]; /* those it listens on; pid is 0 */
};

/*
 * Parse @args, @len bytes of NUL-terminated arguments as in /proc/PID/cmdline: -qmp and
 * -qmp-pretty unix:PATH or tcp:HOST:PORT, or -mon chardev=ID,mode=control with -chardev
 * socket,id=ID and path=PATH or host=HOST,port=PORT, in their order. A monitor that connects
 * instead of listening is left out.
 */
void vl_qemu_args_parse(const char *args, size_t len, struct vl_qemu_args *ret);

/*
 * Read and parse the command line of process @pid. False: it cannot be read, errno says why.
 * *@managed_ret (@managed_ret may be NULL): libvirt started it.
 */
bool vl_qemu_args_read(pid_t pid, struct vl_qemu_args *ret, bool *managed_ret);

#endif
