/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a QEMU's command line tells. */
#ifndef VLENS_TARGET_QEMU_ARGS_H
#define VLENS_TARGET_QEMU_ARGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct vl_qemu_args {
	bool is_qemu;		 /* by the name of the program */
	char qmp_path[PATH_MAX]; /* of a Unix QMP socket that it listens on; "": none */
	char guest_name[256];	 /* of -name, "": none */
	char uuid[40];		 /* of -uuid, "": none */
};

/*
 * Parse @args, @len bytes of NUL-terminated arguments as in /proc/PID/cmdline:
 * -qmp and -qmp-pretty unix:PATH, or -mon chardev=ID,mode=control with
 * -chardev socket,id=ID,path=PATH, whichever comes first.
 */
void vl_qemu_args_parse(const char *args, size_t len, struct vl_qemu_args *ret);

/*
 * The path under which we reach the socket that process @pid knows as @path.
 * That may be relative: to its working directory, or, as -daemonize changes to
 * "/", to the one it was started in ($PWD in its environment). Malloc'ed; NULL:
 * out of memory.
 */
char *vl_qemu_socket_path(pid_t pid, const char *path);

#endif
