/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front goes on as the whole program (front.h). Nothing has been printed by then, and nothing
 * is open that exec does not close.
 */
#include "front.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	char **argv;
	char path[PATH_MAX]; /* of the whole program; empty: not asked for yet */
} front;

void front_begin(char **argv)
{
	front.argv = argv;
	/* Options of ours, and help. */
	if (!argv[0] || !argv[1] || *argv[1] == '-')
		front_go_on();
}

void front_end(void)
{
	front.argv = NULL;
}

const char *front_whole(void)
{
	static const char name[] = "vlens";
	ssize_t n;
	char *slash;

	if (*front.path)
		return front.path;
	/* The whole program is in the same folder as the front. */
	n = readlink("/proc/self/exe", front.path, sizeof(front.path) - sizeof(name));
	front.path[n > 0 ? n : 0] = '\0';
	slash = strrchr(front.path, '/');
	if (!slash) {
		front.path[0] = '\0';
		return NULL;
	}
	strcpy(slash + 1, name);
	return front.path;
}

/* Become the whole program. */
void __attribute__((noreturn)) front_go_on(void)
{
	const char *whole = front_whole();

	if (whole && front.argv)
		execv(whole, front.argv);
	fprintf(stderr, "vlens: %s beside vlens-front cannot be run\n", whole ? whole : "vlens");
	_exit(3);
}

int front_view(struct request *r)
{
	(void)r;
	front_go_on();
}

/*
 * Functions of the whole program only. When the front calls one of these it becomes the whole
 * program, so it does not need the code behind them. No header declares them here, as their types
 * do not matter.
 */
#define WHOLE(function) void __attribute__((noreturn, alias("front_go_on"))) function(void)

WHOLE(every_guest);
WHOLE(place_find);
WHOLE(place_kind);
WHOLE(vl_box_borrow);
WHOLE(vl_dump_open);
WHOLE(vl_features);
WHOLE(vl_guest_open);
WHOLE(vl_guest_stats);
WHOLE(vl_guest_sys);
WHOLE(vl_keep_serve);
WHOLE(vl_kvm_open);
WHOLE(vl_libvirt_open);
WHOLE(vl_name_unknown);
WHOLE(vl_pid_open);
WHOLE(vl_qemu_list_names);
WHOLE(vl_qemu_open);
WHOLE(vl_qemu_open_alone);
WHOLE(vl_qemu_open_name);
WHOLE(vl_qemu_open_socket);
WHOLE(vl_raw_name);
WHOLE(vl_redirect_number_name);
WHOLE(vl_redirect_run);
WHOLE(vl_target_list);
WHOLE(vl_target_list_bare);
WHOLE(vl_target_list_kvm);
WHOLE(vl_target_reset);
WHOLE(vl_version);

/* The front has no guest. */
struct vl_guest;
void vl_guest_leave(const struct vl_guest *g);

void vl_guest_leave(const struct vl_guest *g)
{
	if (g)
		front_go_on();
}
