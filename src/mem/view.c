/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Pages filled for one fault: the neighbours of a touched page are likely
 * next (a walk over text, a slab), and a read of 16 pages costs little more
 * than a read of one.
 */
#define FILL_PAGES 16

struct vl_view {
	struct vl_target *target;
	struct vl_view_range *ranges;
	bool *filled; /* per range: filled on demand, not mapped from its file */
	size_t nr;
	int uffd;
	int stop_fd;
	pthread_t filler;
	bool has_filler;
	bool copying; /* nothing is mapped from its file */
	struct vl_view_still still[VL_MAX_STILL];
	_Atomic bool released, missed;
	_Atomic(struct vl_error *) failed;
};

static const struct vl_view_range *find_range(const struct vl_view *v, uint64_t gpa)
{
	size_t lo = 0, hi = v->nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (gpa < v->ranges[mid].gpa)
			hi = mid;
		else if (gpa - v->ranges[mid].gpa >= v->ranges[mid].size)
			lo = mid + 1;
		else
			return &v->ranges[mid];
	}
	return NULL;
}

static bool is_still(const struct vl_view_still *still, uint64_t gpa)
{
	for (size_t i = 0; i < VL_MAX_STILL; i++)
		if (gpa >= still[i].gpa && gpa - still[i].gpa < still[i].size)
			return true;
	return false;
}

/*
 * Put @nr pages of @src at @host, where some may be already: those stay. Wakes
 * whoever waits for one of them.
 */
static void put_pages(struct vl_view *v, uint64_t host, const unsigned char *src, size_t nr)
{
	for (size_t i = 0; i < nr;) {
		struct uffdio_copy c = {
			.dst = host + i * VL_PAGE_SIZE,
			.src = (uint64_t)src + i * VL_PAGE_SIZE,
			.len = (nr - i) * VL_PAGE_SIZE,
		};

		if (!ioctl(v->uffd, UFFDIO_COPY, &c))
			break;
		/* Stopped at a page that is there already: step over it. */
		if (c.copy > 0)
			i += (size_t)c.copy / VL_PAGE_SIZE;
		else if (errno == EEXIST || c.copy == -EEXIST)
			i++;
		else if (errno != EAGAIN)
			break;
	}
	/* If all was there already the fault raced with another: wake anyway. */
	ioctl(v->uffd, UFFDIO_WAKE, &(struct uffdio_range){ host, nr * VL_PAGE_SIZE });
}

/* Read @nr pages from @gpa on into @buf; zeroes where that fails. */
static void read_pages(struct vl_view *v, uint64_t gpa, unsigned char *buf, size_t nr)
{
	uint64_t gpas[FILL_PAGES] = { 0 };
	void *bufs[FILL_PAGES] = { NULL };
	struct vl_error *err, *none = NULL;

	for (size_t i = 0; i < nr; i++) {
		gpas[i] = gpa + i * VL_PAGE_SIZE;
		bufs[i] = buf + i * VL_PAGE_SIZE;
	}
	err = vl_target_read_pages(v->target, gpas, bufs, nr);
	if (!err)
		return;
	/* The thread that touched the page must go on: it gets zeroes and finds
	 * out by vl_view_failed(). */
	memset(buf, 0, nr * VL_PAGE_SIZE);
	if (!atomic_compare_exchange_strong(&v->failed, &none, err))
		vl_error_destroy(err);
}

/* Give the page at @host, and those of its neighbours that are missing, content. */
static void fill(struct vl_view *v, uint64_t host)
{
	unsigned char bounce[FILL_PAGES * VL_PAGE_SIZE] __attribute__((aligned(4096)));

	for (size_t i = 0; i < v->nr; i++) {
		const struct vl_view_range *r = &v->ranges[i];
		uint64_t off = host - (uint64_t)r->host, first = off;
		size_t nr = 1;

		if (host < (uint64_t)r->host || off >= r->size)
			continue;
		if (!atomic_load(&v->released)) {
			first = off & ~(FILL_PAGES * VL_PAGE_SIZE - 1);
			nr = FILL_PAGES;
			if (nr > (r->size - first) / VL_PAGE_SIZE)
				nr = (r->size - first) / VL_PAGE_SIZE;
		} else if (!is_still(v->still, r->gpa + off)) {
			/* One page only: no neighbour of it may pass for copied. */
			atomic_store(&v->missed, true);
		}
		read_pages(v, r->gpa + first, bounce, nr);
		put_pages(v, (uint64_t)r->host + first, bounce, nr);
		return;
	}
}

static void *filler(void *arg)
{
	struct vl_view *v = arg;
	struct pollfd fds[2] = {
		{ .fd = v->uffd, .events = POLLIN },
		{ .fd = v->stop_fd, .events = POLLIN },
	};
	struct uffd_msg msg;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[1].revents)
			return NULL;
		while (read(v->uffd, &msg, sizeof(msg)) == sizeof(msg))
			if (msg.event == UFFD_EVENT_PAGEFAULT)
				fill(v, msg.arg.pagefault.address & VL_PAGE_MASK);
	}
}

static struct vl_error *open_uffd(struct vl_view *v)
{
	struct uffdio_api api = { .api = UFFD_API };

	/* Without privilege only faults from user mode can be had; ours all are. */
	v->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (v->uffd < 0 && errno == EPERM)
		v->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (v->uffd < 0 || ioctl(v->uffd, UFFDIO_API, &api))
		return vl_error_hint(vl_error_os(errno, "cannot use userfaultfd"),
				     "start the guest with memory backing memfd and access shared, "
				     "or use a host kernel with CONFIG_USERFAULTFD");
	v->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (v->stop_fd < 0)
		return vl_error_os(errno, "cannot make an eventfd");
	return NULL;
}

static struct vl_error *map_range(struct vl_view *v, const struct vl_ram *ram, size_t i)
{
	struct vl_view_range *r = &v->ranges[i];
	bool mappable = !v->copying && ram->fd >= 0 && ram->page_size == VL_PAGE_SIZE &&
			!(ram->fd_offset % VL_PAGE_SIZE);

	r->gpa = ram->gpa;
	r->size = ram->size;
	r->host = mmap(NULL, ram->size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_NORESERVE | (mappable ? 0 : MAP_ANONYMOUS),
		       mappable ? ram->fd : -1, mappable ? (off_t)ram->fd_offset : 0);
	if (r->host == MAP_FAILED) {
		r->host = NULL;
		return vl_error_os(errno, "cannot map %lu MiB of guest memory",
				   (unsigned long)(ram->size >> 20));
	}
	v->filled[i] = !mappable;
	/* A child never looks at it, and would make every page copy once more. */
	madvise(r->host, r->size, MADV_DONTFORK);
	if (mappable)
		return NULL;
	/* A huge page at the first touch would have to be filled whole. */
	madvise(r->host, r->size, MADV_NOHUGEPAGE);
	if (v->uffd < 0) {
		struct vl_error *err = open_uffd(v);

		if (err)
			return err;
	}
	return NULL;
}

/* Copies of the pages that are expected to be needed. */
static struct vl_error *copy_pages(struct vl_view *v, const struct vl_view_copy *copy)
{
	void **bufs = malloc((copy->nr ? copy->nr : 1) * sizeof(*bufs));
	struct vl_error *err = NULL;

	if (!bufs)
		return vl_error_nomem();
	for (size_t i = 0; i < copy->nr && !err; i++) {
		bufs[i] = vl_view_host(v, copy->gpas[i], VL_PAGE_SIZE);
		if (!bufs[i])
			err = vl_error_fault(copy->gpas[i], "a page of the working set is no RAM");
	}
	if (!err)
		err = vl_target_read_pages(v->target, copy->gpas, bufs, copy->nr);
	free(bufs);
	return err;
}

/* From now on a missing page is a fault for the filler. */
static struct vl_error *watch_ranges(struct vl_view *v)
{
	for (size_t i = 0; i < v->nr; i++) {
		struct uffdio_register reg = {
			.range = { (uint64_t)v->ranges[i].host, v->ranges[i].size },
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};

		if (v->filled[i] && ioctl(v->uffd, UFFDIO_REGISTER, &reg))
			return vl_error_os(errno, "cannot watch a mapping with userfaultfd");
	}
	return NULL;
}

struct vl_error *vl_view_create(struct vl_target *t, const struct vl_view_copy *copy,
				struct vl_view **ret)
{
	const struct vl_ram *ram;
	struct vl_error *err = NULL;
	struct vl_view *v;
	size_t nr;

	ram = vl_target_ram(t, &nr);
	v = calloc(1, sizeof(*v));
	if (!v)
		return vl_error_nomem();
	v->target = t;
	v->uffd = v->stop_fd = -1;
	if (copy) {
		v->copying = true;
		memcpy(v->still, copy->still, sizeof(v->still));
	}
	v->ranges = calloc(nr, sizeof(*v->ranges));
	v->filled = calloc(nr, sizeof(*v->filled));
	if (!v->ranges || !v->filled) {
		err = vl_error_nomem();
		goto fail;
	}
	for (v->nr = 0; v->nr < nr; v->nr++) {
		err = map_range(v, &ram[v->nr], v->nr);
		if (err) {
			v->nr++;
			goto fail;
		}
	}
	if (copy)
		err = copy_pages(v, copy);
	if (!err)
		err = watch_ranges(v);
	if (err)
		goto fail;
	if (v->uffd >= 0) {
		int e = pthread_create(&v->filler, NULL, filler, v);

		if (e) {
			err = vl_error_os(e, "cannot start a thread");
			goto fail;
		}
		v->has_filler = true;
	}
	*ret = v;
	return NULL;
fail:
	vl_view_destroy(v);
	return err;
}

void vl_view_destroy(struct vl_view *v)
{
	if (!v)
		return;
	if (v->has_filler) {
		uint64_t one = 1;

		if (write(v->stop_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(v->filler, NULL);
	}
	if (v->uffd >= 0)
		close(v->uffd);
	if (v->stop_fd >= 0)
		close(v->stop_fd);
	for (size_t i = 0; i < v->nr; i++)
		if (v->ranges[i].host)
			munmap(v->ranges[i].host, v->ranges[i].size);
	vl_error_destroy(atomic_load(&v->failed));
	free(v->ranges);
	free(v->filled);
	free(v);
}

const struct vl_view_range *vl_view_ranges(const struct vl_view *v, size_t *nr_ret)
{
	*nr_ret = v->nr;
	return v->ranges;
}

void *vl_view_host(const struct vl_view *v, uint64_t gpa, size_t len)
{
	const struct vl_view_range *r = find_range(v, gpa);

	if (!r || len > r->size - (gpa - r->gpa))
		return NULL;
	return (char *)r->host + (gpa - r->gpa);
}

bool vl_view_read_entry(void *view, uint64_t gpa, uint64_t *ret)
{
	const void *p = vl_view_host(view, gpa, sizeof(*ret));

	if (!p)
		return false;
	memcpy(ret, p, sizeof(*ret));
	return true;
}

/* The host address of @va and how many bytes follow it in the same page. */
static void *host_of(struct vl_view *v, const struct vl_pgtable *pt, uint64_t va, size_t *left_ret)
{
	struct vl_xlat x;
	size_t left;

	if (!vl_translate(pt, vl_view_read_entry, v, va, &x))
		return NULL;
	left = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));
	*left_ret = left;
	return vl_view_host(v, x.gpa, left);
}

bool vl_view_read(struct vl_view *v, const struct vl_pgtable *pt, uint64_t va, void *buf,
		  size_t len)
{
	char *out = buf;

	while (len) {
		size_t left;
		void *p = host_of(v, pt, va, &left);

		if (!p)
			return false;
		if (left > len)
			left = len;
		memcpy(out, p, left);
		out += left;
		va += left;
		len -= left;
	}
	return true;
}

bool vl_view_write(struct vl_view *v, const struct vl_pgtable *pt, uint64_t va, const void *buf,
		   size_t len)
{
	const char *in = buf;

	while (len) {
		size_t left;
		void *p = host_of(v, pt, va, &left);

		if (!p)
			return false;
		if (left > len)
			left = len;
		memcpy(p, in, left);
		in += left;
		va += left;
		len -= left;
	}
	return true;
}

void vl_view_release(struct vl_view *v)
{
	atomic_store(&v->released, true);
}

bool vl_view_missed(const struct vl_view *v)
{
	return atomic_load(&v->missed);
}

/* From Documentation/admin-guide/mm/pagemap.rst. */
#define PAGEMAP_PRESENT (1UL << 63)
#define PAGEMAP_SWAPPED (1UL << 62)
#define PAGEMAP_FILE (1UL << 61)

/* Calls @fn with every page that has content, in ascending order. */
static void each_page(const struct vl_view *v,
		      void (*fn)(void *ctx, uint64_t gpa, bool copied), void *ctx)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entries[4096];

	for (size_t i = 0; fd >= 0 && i < v->nr; i++) {
		const struct vl_view_range *r = &v->ranges[i];

		for (uint64_t off = 0; off < r->size;) {
			size_t n = (r->size - off) / VL_PAGE_SIZE;
			ssize_t got;

			if (n > sizeof(entries) / 8)
				n = sizeof(entries) / 8;
			got = pread(fd, entries, n * 8,
				    (off_t)(((uint64_t)r->host + off) / VL_PAGE_SIZE * 8));
			if (got < 8)
				break;
			n = (size_t)got / 8;
			for (size_t k = 0; k < n; k++)
				if (entries[k] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))
					fn(ctx, r->gpa + off + k * VL_PAGE_SIZE,
					   !(entries[k] & PAGEMAP_FILE));
			off += n * VL_PAGE_SIZE;
		}
	}
	if (fd >= 0)
		close(fd);
}

struct count {
	uint64_t touched, copied;
};

static void count_page(void *ctx, uint64_t gpa, bool copied)
{
	struct count *c = ctx;

	(void)gpa;
	c->touched++;
	c->copied += copied;
}

void vl_view_count(struct vl_view *v, uint64_t *touched_ret, uint64_t *copied_ret)
{
	struct count c = { 0, 0 };

	each_page(v, count_page, &c);
	*touched_ret = c.touched;
	*copied_ret = c.copied;
}

struct list {
	const struct vl_view_still *still;
	uint64_t *gpas;
	size_t nr, max;
};

static void list_page(void *ctx, uint64_t gpa, bool copied)
{
	struct list *l = ctx;

	(void)copied;
	if (is_still(l->still, gpa))
		return;
	if (l->nr < l->max)
		l->gpas[l->nr] = gpa;
	l->nr++;
}

struct vl_error *vl_view_touched(const struct vl_view *v, const struct vl_view_still *still,
				 size_t max, uint64_t **ret, size_t *nr_ret)
{
	struct list l = { still, malloc(max * sizeof(uint64_t)), 0, max };

	if (!l.gpas)
		return vl_error_nomem();
	each_page(v, list_page, &l);
	if (l.nr > max) {
		free(l.gpas);
		return vl_error_new(VL_ERR_ARG, "the working set is too large");
	}
	*ret = l.gpas;
	*nr_ret = l.nr;
	return NULL;
}

const struct vl_error *vl_view_failed(const struct vl_view *v)
{
	return atomic_load(&v->failed);
}
