/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the memfds that are handed over to a program. To make, open and close one takes longer
 * than to answer a trap. So a caller that runs one program after the other has empty ones made
 * between two programs, as many as the last one needed, and closes used ones at that time, too.
 * Each is handed over once.
 */
#include "memfds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fds.h"
#include "redirect.h"

/* linux/memfd.h of 6.3 */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* As many as the program has numbers for (fds.h): some 100 processes of ps. */
#define AHEAD_MAX (VL_FD_HI - VL_FD_LO)
/* Lower numbers are left to the caller, who may need them for a child (child.c). */
#define FIRST_FD VL_FD_LO
/* A used one with more bytes is closed at once, so that used ones hold 8 MiB at most. */
#define HELD_MAX 16384
/* Those that are made or closed in one step, in some 100 us. */
#define STEP 8

/* The first nr_free of nr are empty, the others were handed over. */
struct vl_memfds {
	struct vl_memfd memfd[AHEAD_MAX];
	size_t nr, nr_free, max;
	size_t wanted; /* at most max */
	size_t used;   /* in this run, made ahead or not */
};

static void close_both(struct vl_memfd *m)
{
	if (m->rw >= 0)
		close(m->rw);
	if (m->ro >= 0)
		close(m->ro);
	m->rw = m->ro = -1;
}

/* An empty memfd that is not executable, or -1. vl_fd_rewrite() opens it for writing. */
static int create_memfd(void)
{
	int fd = memfd_create(VL_MEMFD_NAME, MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd >= 0 || errno != EINVAL)
		return fd;
	fd = memfd_create(VL_MEMFD_NAME, MFD_CLOEXEC); /* before 6.3 */
	if (fd >= 0)
		fchmod(fd, 0666);
	return fd;
}

/* Make an empty memfd. 0 or -errno. */
static int make(struct vl_memfd *ret)
{
	struct stat st;
	char link[64];
	int err;

	*ret = (struct vl_memfd){ .rw = create_memfd(), .ro = -1 };
	if (ret->rw < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", ret->rw);
	ret->ro = open(link, O_RDONLY | O_CLOEXEC);
	if (ret->ro < 0 || fstat(ret->ro, &st)) {
		err = errno;
		close_both(ret);
		return -err;
	}
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	return 0;
}

static struct vl_memfds *create_ahead(void)
{
	struct vl_memfds *k = calloc(1, sizeof(*k));
	struct rlimit files;

	if (!k)
		return NULL;
	/* One number more is taken while a descriptor is moved. */
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur > FIRST_FD + 1)
		k->max = (files.rlim_cur - FIRST_FD - 1) / 2;
	if (k->max > AHEAD_MAX)
		k->max = AHEAD_MAX;
	return k;
}

int vl_memfd_get(struct vl_redirect_kept *kept, const void *data, size_t len, struct vl_memfd *ret)
{
	struct vl_memfds *k;
	ssize_t n;
	int err;

	if (kept && !kept->memfds)
		kept->memfds = create_ahead();
	k = kept ? kept->memfds : NULL;
	if (k)
		k->used++;
	if (k && k->nr_free) {
		struct vl_memfd *place = &k->memfd[--k->nr_free];

		*ret = *place;
		ret->place = place;
	} else {
		err = make(ret);
		if (err)
			return err;
	}
	for (size_t done = 0; done < len; done += (size_t)n) {
		n = pwrite(ret->rw, (const char *)data + done, len - done, (off_t)done);
		if (n > 0)
			continue;
		err = n ? -errno : -EIO;
		vl_memfd_put(ret, SIZE_MAX);
		return err;
	}
	return 0;
}

void vl_memfd_put(struct vl_memfd *m, size_t len)
{
	if (m->place && len <= HELD_MAX)
		return;
	close_both(m);
	if (m->place)
		m->place->rw = m->place->ro = -1;
}

void vl_memfds_end_run(struct vl_redirect_kept *kept)
{
	struct vl_memfds *k = kept ? kept->memfds : NULL;

	if (!k)
		return;
	/* After a large program, a small one lowers the number by an eighth only. */
	k->wanted -= k->wanted / 8;
	if (k->wanted < k->used)
		k->wanted = k->used < k->max ? k->used : k->max;
	k->used = 0;
}

static int move_up(int fd)
{
	int new = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);

	close(fd);
	return new;
}

/* Make one ahead at @place. */
static bool make_ahead(struct vl_memfd *place)
{
	if (make(place))
		return false;
	place->rw = move_up(place->rw);
	place->ro = move_up(place->ro);
	if (place->rw >= 0 && place->ro >= 0)
		return true;
	close_both(place);
	return false;
}

bool vl_memfds_prepare(struct vl_redirect_kept *kept)
{
	struct vl_memfds *k = kept->memfds;

	if (!k)
		return false;
	for (int i = 0; i < STEP; i++) {
		if (k->nr_free < k->nr) { /* used: the last one takes its place */
			close_both(&k->memfd[k->nr_free]);
			k->memfd[k->nr_free] = k->memfd[--k->nr];
		} else if (k->nr > k->wanted) {
			k->nr_free--;
			close_both(&k->memfd[--k->nr]);
		} else if (k->nr == k->wanted || !make_ahead(&k->memfd[k->nr])) {
			return false;
		} else {
			k->nr++;
			k->nr_free++;
		}
	}
	return true;
}

void vl_memfds_destroy(struct vl_memfds *k)
{
	for (size_t i = 0; k && i < k->nr; i++)
		close_both(&k->memfd[i]);
	free(k);
}
