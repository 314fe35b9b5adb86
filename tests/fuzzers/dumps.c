/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files with a machine's memory: opened, read in places, and searched for a kernel. */
#include "fuzzers.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "attach/search.h"
#include "attach/system.h"
#include "base/cleanup.h"
#include "host/pages.h"
#include "host/target.h"
#include "kernel/image.h"
#include "trust/archive.h"

#define PAGE 4096UL
#define UNPACKED_MOST (16UL << 20) /* of what a small file unpacks to */
#define RANGES 16		   /* of which pages are read */
#define CPUS 4			   /* that are looked at */
#define WAIT_NS 20000000L

/* Read the first and the last page of a range, each alone and both at once. */
static void read_range(struct vl_target *t, const struct vl_ram *r)
{
	static unsigned char pages[2][PAGE];
	const uint64_t gpas[] = { r->gpa, r->gpa + r->size - PAGE };
	void *const bufs[] = { pages[0], pages[1] };

	for (size_t i = 0; i < 2; i++)
		vl_error_destroy(vl_target_read(t, gpas[i], bufs[i], PAGE));
	vl_error_destroy(vl_target_read_pages(t, gpas, bufs, 2));
	/* Across its end, and the last bytes of all addresses. */
	vl_error_destroy(vl_target_read(t, gpas[1] + 8, pages, PAGE));
	fuzz_check(vl_ram_next_data(t, r, 0) <= r->size, "data are within their range");
}

static void look_at(struct vl_target *t, const struct vl_vcpu *v, size_t nr)
{
	for (size_t i = 0; i < nr && i < CPUS; i++) {
		const struct vl_pgtable pt = vl_pgtable(v[i].cr3, v[i].cr4);
		struct vl_image *img = NULL;
		struct vl_system system;
		uint64_t mark;

		if (vl_system_find(vl_system_read, t, &v[i], vl_deadline_in(WAIT_NS), &system))
			vl_error_destroy(vl_system_error(&system));
		vl_system_mark(vl_system_read, t, &v[i], &mark);
		if (!vl_discard(
			    vl_image_find(t, &pt, v[i].idt_base, vl_deadline_in(WAIT_NS), &img)))
			vl_image_destroy(img);
	}
}

static void read_all(struct vl_target *t)
{
	_cleanup_free_ struct vl_vcpu *v = NULL;
	struct vl_target_info info = { .vcpus = 0 };
	unsigned int place;
	uint64_t end = 0;
	size_t nr;
	const struct vl_ram *r = vl_target_ram(t, &nr);

	fuzz_check(nr > 0, "an open target has memory");
	for (size_t i = 0; i < nr; i++) {
		fuzz_check(r[i].size && !(r[i].size % PAGE) && !(r[i].gpa % PAGE),
			   "ranges are whole pages");
		fuzz_check(r[i].gpa >= end, "ranges are sorted and do not overlap");
		fuzz_check(r[i].gpa + r[i].size > r[i].gpa, "a range ends");
		end = r[i].gpa + r[i].size;
		if (i < RANGES || i == nr - 1)
			read_range(t, &r[i]);
	}
	vl_target_info(t, &info);
	if (vl_target_has_vcpus(t) ? vl_discard(vl_target_vcpus(t, &v, &nr)) :
				     vl_discard(vl_search(t, &v, &nr, &place)))
		return;
	look_at(t, v, nr);
}

/* As vl_spool_unpack() does in a box, to memory. */
static struct vl_error *unpack(int fd, uint64_t at, const char *run_id, bool partial, int *fd_ret)
{
	_cleanup_archive_ struct vl_archive *a = NULL;
	static unsigned char piece[1 << 16];
	_cleanup_close_ int out = -1;
	struct vl_error *err = vl_archive_ready_stream(&a);
	size_t n = sizeof(piece), all = 0;

	(void)run_id, (void)partial;
	if (!err && lseek(fd, (off_t)at, SEEK_SET) < 0)
		return vl_error_new(VL_ERR_TARGET, "cannot seek");
	if (!err)
		err = vl_archive_begin_stream(a, fd);
	if (err)
		return err;
	out = fuzz_file(piece, 0, 0);
	for (; n == sizeof(piece) && all < UNPACKED_MOST; all += n) {
		err = vl_archive_read_some(a, piece, sizeof(piece), &n);
		if (err)
			return err;
		fuzz_check(n <= sizeof(piece), "no more is unpacked than there is room");
		if (write(out, piece, n) != (ssize_t)n)
			abort();
	}
	*fd_ret = vl_taken_fd(&out);
	return NULL;
}

static void fuzz_target(const unsigned char *data, size_t len, size_t size)
{
	_cleanup_close_ int fd = fuzz_file(data, len, size);
	struct vl_target_options options = {
		.no_kmod = true,
		.partial = len % 2,
		.unpack = unpack,
	};
	uint64_t has, of;
	struct vl_target *t;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (vl_discard(vl_target_open(path, &options, &t)))
		return;
	vl_target_unpack(t);
	fuzz_check(!vl_target_shortfall(t, &has, &of) || has < of, "a short file has fewer pages");
	read_all(t);
	vl_target_close(t);
}

void fuzz_dump(const unsigned char *data, size_t len)
{
	fuzz_target(data, len, 0);
}

/*
 * Memory from address 0 on: the bytes, and a hole behind them. The first bit of all says whether
 * some of it must lie above 4 GiB.
 */
void fuzz_flat(const unsigned char *data, size_t len)
{
	fuzz_target(data, len, len && data[0] & 1 ? 5UL << 30 : 8UL << 20);
}
