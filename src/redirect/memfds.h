/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memfds that stand for files of the guest in the program. */
#ifndef VLENS_REDIRECT_MEMFDS_H
#define VLENS_REDIRECT_MEMFDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vl_memfds;
struct vl_redirect_kept;

/* A memfd, open for writing for us (@rw), and for reading (@ro) for the program. */
struct vl_memfd {
	int rw, ro;
	uint64_t dev, ino;
	struct vl_memfd *place; /* where it was kept; NULL: it was made for this file */
};

/*
 * Get a memfd with @len bytes of @data in it, at position 0. It is one that was made ahead if
 * @kept, which may be NULL, has one. 0 or -errno.
 */
int vl_memfd_get(struct vl_redirect_kept *kept, const void *data, size_t len, struct vl_memfd *ret);
/* Release @m when the program has got @m->ro. Its content stays as long as the program has it. */
void vl_memfd_put(struct vl_memfd *m, size_t len);
/* A program of @kept (may be NULL) has ended. The next one is assumed to need as many memfds. */
void vl_memfds_end_run(struct vl_redirect_kept *kept);
/*
 * Prepare memfds for the next program, a few, while no user waits. True: call it again. They take
 * up to 1,024 descriptors, with numbers from 512 on.
 */
bool vl_memfds_prepare(struct vl_redirect_kept *kept);
/* Close all of @m, which may be NULL. */
void vl_memfds_destroy(struct vl_memfds *m);

#endif
