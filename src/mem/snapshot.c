/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../host/file.h"
#include "../host/pages.h"
#include "../host/proxy.h"

/*
 * Pages filled for one fault: the neighbours of a touched page are likely to follow (a walk
 * over text, a slab), and a read of 16 pages costs little more than a read of one.
 */
#define FILL_PAGES 16
/*
 * The same for still pages of a shared snapshot. Its executor has a page filled without another
 * thread or an exit of KVM, so a page that no code needs costs more than a fault: with 16, two of
 * three pages of text were not needed.
 */
#define STILL_PAGES 2
/*
 * Pages filled around a page that a copy lacked: new allocations are often adjacent. If the copy
 * has the page before these, the kernel allocates page after page: then MISS_ROW times as many are
 * filled. Else each run would find that the next one needs MISS_PAGES more.
 */
#define MISS_PAGES 32
#define MISS_ROW 3

/*
 * Copy @nr contiguous pages of @src to offset @off of @r. Pages that are present already stay
 * as they are. Wakes the threads that wait for one of them. @src may be the guest's own memory,
 * but not for still pages: their checksum must be of what was copied.
 */
void vl_snapshot_put_pages(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t off,
			   const unsigned char *src, size_t nr)
{
	size_t bit = vl_snapshot_first_bit(v, r) + off / VL_PAGE_SIZE;
	uint64_t host = (uint64_t)r->host + off;
	size_t copied = 0;

	for (size_t i = 0; i < nr;) {
		struct uffdio_copy c = {
			.dst = host + i * VL_PAGE_SIZE,
			.src = (uint64_t)src + i * VL_PAGE_SIZE,
			.len = (nr - i) * VL_PAGE_SIZE,
		};
		size_t done = 0;

		if (!ioctl(v->uffd, UFFDIO_COPY, &c))
			done = nr - i;
		else if (c.copy > 0)
			done = (size_t)c.copy / VL_PAGE_SIZE;
		atomic_fetch_add(&v->copies, done);
		copied += done;
		/* The copy stopped at a page that is present already: skip it. */
		if (!done && (errno == EEXIST || c.copy == -EEXIST))
			done = 1;
		else if (!done && errno != EAGAIN)
			break;
		for (; done--; i++) {
			vl_still_note(&v->still, r->gpa + off + i * VL_PAGE_SIZE,
				      src + i * VL_PAGE_SIZE);
			vl_snapshot_set_bit(v, bit + i);
		}
	}
	/*
	 * UFFDIO_COPY wakes the threads that wait for the pages it copies. It skips a page that
	 * another fault has filled, so wake here.
	 */
	if (copied < nr)
		ioctl(v->uffd, UFFDIO_WAKE, &(struct uffdio_range){ host, nr * VL_PAGE_SIZE });
}

/*
 * The page at @gpa is not in the file. Note it for vl_snapshot_lacked(). A write to a page that
 * makedumpfile left out is no lack: the kernel does not write to pages of processes, so it has just
 * allocated a free one.
 */
static void note_lacked(struct vl_snapshot *v, uint64_t gpa, bool write)
{
	if (write && vl_pages_left_out(v->target, gpa))
		return;
	if (v->nr_lacked < VL_SNAPSHOT_LACKED)
		v->lacked[v->nr_lacked] = gpa;
	atomic_fetch_add(&v->nr_lacked, 1);
}

/*
 * Read @nr pages from @gpa on into @buf; zeroes where that fails. False: one of several is not in
 * the file.
 */
static bool read_pages(struct vl_snapshot *v, uint64_t gpa, unsigned char *buf, size_t nr,
		       bool write)
{
	uint64_t gpas[MISS_PAGES] = { 0 };
	void *bufs[MISS_PAGES] = { NULL };
	struct vl_error *err, *none = NULL;

	for (size_t i = 0; i < nr; i++) {
		gpas[i] = gpa + i * VL_PAGE_SIZE;
		bufs[i] = buf + i * VL_PAGE_SIZE;
	}
	err = vl_target_read_pages(v->target, gpas, bufs, nr);
	if (!err)
		return true;
	if (err->code == VL_ERR_LACKING) {
		vl_error_destroy(err);
		memset(buf, 0, nr * VL_PAGE_SIZE);
		if (nr == 1)
			note_lacked(v, gpa, write);
		return nr == 1;
	}
	/* The thread that touched the page must go on: it gets zeroes, and the error by
	 * vl_snapshot_failed(). */
	memset(buf, 0, nr * VL_PAGE_SIZE);
	if (!atomic_compare_exchange_strong(&v->failed, &none, err))
		vl_error_destroy(err);
	return true;
}

/*
 * Copy the page @src to offset @off of @r, at @at in its alias: the access that waits there
 * continues without another fault, and few pages are accessed in the first mapping, too.
 */
static bool put_in_alias(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t off,
			 const unsigned char *src, uint64_t at)
{
	struct uffdio_copy c = { .dst = at, .src = (uint64_t)src, .len = VL_PAGE_SIZE };

	if (ioctl(v->signaller, UFFDIO_COPY, &c))
		return false;
	atomic_fetch_add(&v->copies, 1);
	vl_still_note(&v->still, r->gpa + off, src);
	vl_snapshot_set_bit(v, vl_snapshot_first_bit(v, r) + off / VL_PAGE_SIZE);
	return true;
}

/*
 * Fill @nr pages (MISS_PAGES at most) at offset @off of @r. @at, @write: see fill(). False: one of
 * several is not in the file.
 */
static bool fill_pages(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t off,
		       size_t nr, uint64_t at, bool write)
{
	unsigned char bounce[MISS_PAGES * VL_PAGE_SIZE] __attribute__((aligned(4096)));
	unsigned char *page = NULL;

	/* Pages of a question go in one by one: see fill(). */
	if (v->asking && !vl_still_has(&v->still, r->gpa + off))
		page = vl_recheck_fill(v, r->gpa + off);
	if (!page)
		page = bounce;
	if (!read_pages(v, r->gpa + off, page, nr, write))
		return false;
	vl_still_filter(&v->still, r->gpa + off, page, nr);
	if (nr != 1 || !at || !put_in_alias(v, r, off, page, at))
		vl_snapshot_put_pages(v, r, off, page, nr);
	return true;
}

/*
 * Fill the page at @host, and its missing neighbours. @at: where its alias is, whose faults are
 * signals; 0: the page is needed at @host. @write: it is written to.
 */
static void fill(struct vl_snapshot *v, uint64_t host, uint64_t at, bool write)
{
	for (size_t i = 0; i < v->nr; i++) {
		const struct vl_snapshot_range *r = &v->ranges[i];
		uint64_t off = host - (uint64_t)r->host, first;
		bool still = vl_still_has(&v->still, r->gpa + off);
		bool late = atomic_load(&v->released) && !still;
		size_t nr = late ? MISS_PAGES : still && v->shared ? STILL_PAGES : FILL_PAGES;
		size_t row = 0;

		if (host < (uint64_t)r->host || off >= r->size)
			continue;
		/* The current result is thrown away or rechecked; the neighbours are for the
		 * next time. Where one page is missing (a new slab, a stack) others will be. */
		if (late)
			atomic_store(&v->missed, true);
		first = off & ~(nr * VL_PAGE_SIZE - 1);
		if (nr > (r->size - first) / VL_PAGE_SIZE)
			nr = (r->size - first) / VL_PAGE_SIZE;
		/* A neighbour that can change must not count as touched, or as still. */
		if ((v->asking || (!late && v->still.at[0].size)) &&
		    (!still || !vl_still_has(&v->still, r->gpa + first) ||
		     !vl_still_has(&v->still, r->gpa + first + (nr - 1) * VL_PAGE_SIZE))) {
			first = off;
			nr = 1;
		}
		if (nr == MISS_PAGES && first &&
		    vl_snapshot_test_bit(v, vl_snapshot_first_bit(v, r) + first / VL_PAGE_SIZE - 1))
			row = MISS_ROW;
		for (size_t n = 0; n <= row && nr <= (r->size - first) / VL_PAGE_SIZE; n++) {
			/* Fill the page without its neighbours. */
			if (!fill_pages(v, r, first, nr, at, write) && !n)
				fill_pages(v, r, off & VL_PAGE_MASK, 1, at, write);
			first += nr * VL_PAGE_SIZE;
		}
		return;
	}
}

/* As fill(); @host may be in a second mapping. */
static void fill_at(struct vl_snapshot *v, uint64_t host, bool write)
{
	uint64_t first = vl_snapshot_unaliased(v, host);

	fill(v, first, 0, write);
	if (first != host)
		ioctl(v->uffd, UFFDIO_WAKE, &(struct uffdio_range){ host, VL_PAGE_SIZE });
}

/* @at, @write: see fill(). */
static bool need(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t gpa,
		 uint64_t at, bool write)
{
	size_t bit = vl_snapshot_first_bit(v, r) + (gpa - r->gpa) / VL_PAGE_SIZE;
	bool missing;

	if (vl_snapshot_test_bit(v, bit))
		return false;
	pthread_mutex_lock(&v->lock);
	missing = !vl_snapshot_test_bit(v, bit);
	if (missing)
		fill(v, (uint64_t)r->host + ((gpa - r->gpa) & VL_PAGE_MASK), at, write);
	pthread_mutex_unlock(&v->lock);
	return missing;
}

bool vl_snapshot_need(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t gpa)
{
	return need(v, r, gpa, 0, false);
}

bool vl_snapshot_fill(struct vl_snapshot *v, uint64_t at, bool write)
{
	uint64_t host;

	at &= VL_PAGE_MASK;
	pthread_mutex_lock(&v->lock);
	host = vl_snapshot_unaliased(v, at);
	pthread_mutex_unlock(&v->lock);
	for (size_t i = 0; i < v->nr; i++) {
		const struct vl_snapshot_range *r = &v->ranges[i];

		if (host - (uint64_t)r->host < r->size)
			return need(v, r, r->gpa + (host - (uint64_t)r->host),
				    host == at || v->signaller < 0 ? 0 : at, write);
	}
	return false;
}

bool vl_snapshot_is_shared(const struct vl_snapshot *v)
{
	return v->shared;
}

static void *filler(void *arg)
{
	struct vl_snapshot *v = arg;
	struct pollfd fds[2] = {
		{ .fd = v->uffd, .events = POLLIN },
		{ .fd = v->stop_fd, .events = POLLIN },
	};
	struct uffd_msg msg;

	/* The guest may be held while a thread waits for a page. */
	setpriority(PRIO_PROCESS, 0, -20);
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[1].revents)
			return NULL;
		while (read(v->uffd, &msg, sizeof(msg)) == sizeof(msg))
			if (msg.event == UFFD_EVENT_PAGEFAULT) {
				pthread_mutex_lock(&v->lock);
				fill_at(v, msg.arg.pagefault.address & VL_PAGE_MASK,
					msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE);
				pthread_mutex_unlock(&v->lock);
			}
	}
}

static int open_with(uint64_t features, bool *user_only_ret)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	/* Without privilege, only faults from user mode can be served. */
	*user_only_ret = fd < 0 && errno == EPERM;
	if (*user_only_ret)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int vl_snapshot_open_uffd(bool *user_only_ret)
{
	return open_with(0, user_only_ret);
}

int vl_snapshot_open_signaller(void)
{
	bool user_only;

	return open_with(UFFD_FEATURE_SIGBUS, &user_only);
}

static struct vl_error *open_uffd(struct vl_snapshot *v)
{
	const struct vl_target_proxy *proxy = vl_target_proxy(v->target);

	if (proxy) {
		v->uffd = proxy->uffd < 0 ? -1 : fcntl(proxy->uffd, F_DUPFD_CLOEXEC, 0);
		v->user_only = proxy->uffd_user_only;
		v->signaller =
			proxy->signaller < 0 ? -1 : fcntl(proxy->signaller, F_DUPFD_CLOEXEC, 0);
	} else {
		v->uffd = vl_snapshot_open_uffd(&v->user_only);
	}
	if (v->uffd < 0)
		return vl_error_hint(vl_error_os(errno, "cannot use userfaultfd"),
				     "the host's kernel needs CONFIG_USERFAULTFD, and a container "
				     "must allow it");
	v->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (v->stop_fd < 0)
		return vl_error_os(errno, "cannot make an eventfd");
	return NULL;
}

static struct vl_error *map_range(struct vl_snapshot *v, const struct vl_ram *ram,
				  struct vl_snapshot_range *r)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	r->gpa = ram->gpa;
	r->size = ram->size;
	r->host =
		mmap(NULL, ram->size, PROT_READ | PROT_WRITE,
		     (v->shared ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE | MAP_ANONYMOUS, -1, 0);
	/*
	 * Make aliases from a mapping that userfaultfd does not watch: mremap() would merge a copy
	 * of a watched mapping with a watched neighbour, and then neither is watched.
	 */
	if (v->shared && r->host != MAP_FAILED) {
		r->again = r->host;
		r->host = mremap(r->again, 0, ram->size, MREMAP_MAYMOVE);
		madvise(r->again, r->size, MADV_DONTFORK);
	}
	if (r->host == MAP_FAILED) {
		r->host = NULL;
		return vl_error_os(errno, "cannot map %lu MiB for the guest's memory",
				   (unsigned long)(ram->size >> 20));
	}
	/*
	 * A child process never uses it. If a fork copied it, each write would copy the page once
	 * more.
	 */
	madvise(r->host, r->size, MADV_DONTFORK);
	/* A huge page at the first touch would have to be filled whole. */
	madvise(r->host, r->size, MADV_NOHUGEPAGE);
	reg.range = (struct uffdio_range){ (uint64_t)r->host, r->size };
	if (ioctl(v->uffd, UFFDIO_REGISTER, &reg))
		return vl_error_os(errno, "cannot watch a mapping with userfaultfd");
	return NULL;
}

struct vl_error *vl_snapshot_create(struct vl_target *t, bool shared, struct vl_snapshot **ret)
{
	const struct vl_ram *ram;
	struct vl_error *err;
	struct vl_snapshot *v;
	size_t nr;
	int e;

	ram = vl_target_ram(t, &nr);
	v = calloc(1, sizeof(*v));
	if (!v)
		return vl_error_nomem();
	v->target = t;
	v->shared = shared;
	v->uffd = v->stop_fd = v->signaller = -1;
	pthread_mutex_init(&v->lock, NULL);
	v->ranges = calloc(nr, sizeof(*v->ranges));
	err = v->ranges ? open_uffd(v) : vl_error_nomem();
	while (!err && v->nr < nr) {
		err = map_range(v, &ram[v->nr], &v->ranges[v->nr]);
		v->nr++;
	}
	if (err)
		goto fail;
	v->present_size = vl_snapshot_first_bit(v, v->ranges + v->nr) / 8;
	v->present = mmap(NULL, v->present_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (v->present == MAP_FAILED) {
		v->present = NULL;
		err = vl_error_os(errno, "cannot map memory");
		goto fail;
	}
	e = pthread_create(&v->filler, NULL, filler, v);
	if (e) {
		err = vl_error_os(e, "cannot start a thread");
		goto fail;
	}
	v->has_filler = true;
	*ret = v;
	return NULL;
fail:
	vl_snapshot_destroy(v);
	return err;
}

void vl_snapshot_set_still(struct vl_snapshot *v, const struct vl_snapshot_still *still)
{
	vl_still_set(&v->still, still);
}

void vl_snapshot_set_filter(struct vl_snapshot *v, vl_snapshot_filter_fn *fn, void *ctx)
{
	v->still.filter = fn;
	v->still.filter_ctx = ctx;
}

bool vl_snapshot_note_code(struct vl_snapshot *v, uint64_t gpa)
{
	const void *page = vl_snapshot_filled(v, gpa & VL_PAGE_MASK, VL_PAGE_SIZE);
	unsigned char guest[VL_PAGE_SIZE] __attribute__((aligned(64)));
	void *buf = guest;

	gpa &= VL_PAGE_MASK;
	/* The filter may have changed the page: compare with what the guest had. */
	if (page && v->still.filter) {
		if (vl_discard(vl_target_read_pages(v->target, &gpa, &buf, 1)))
			return false;
		page = guest;
	}
	return page && vl_still_note_code(&v->still, gpa, page);
}

bool vl_snapshot_is_still(const struct vl_snapshot *v, uint64_t gpa)
{
	return vl_still_has(&v->still, gpa);
}

bool vl_snapshot_still_changed(const struct vl_snapshot *v, bool all)
{
	return vl_still_changed(&v->still, v->target, all);
}

void vl_snapshot_destroy(struct vl_snapshot *v)
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
	if (v->signaller >= 0)
		close(v->signaller);
	for (size_t i = 0; i < v->nr; i++) {
		if (v->ranges[i].host)
			munmap(v->ranges[i].host, v->ranges[i].size);
		if (v->ranges[i].again)
			munmap(v->ranges[i].again, v->ranges[i].size);
	}
	if (v->present)
		munmap((void *)v->present, v->present_size);
	vl_error_destroy(atomic_load(&v->failed));
	vl_still_deinit(&v->still);
	vl_recheck_deinit(&v->pages);
	pthread_mutex_destroy(&v->lock);
	free(v->ranges);
	free(v->batch);
	free(v->aliases);
	free(v);
}

const struct vl_snapshot_range *vl_snapshot_ranges(const struct vl_snapshot *v, size_t *nr_ret)
{
	*nr_ret = v->nr;
	return v->ranges;
}

void vl_snapshot_release(struct vl_snapshot *v)
{
	atomic_store(&v->released, true);
}

bool vl_snapshot_missed(const struct vl_snapshot *v)
{
	return atomic_load(&v->missed);
}

struct vl_error *vl_snapshot_pages(const struct vl_snapshot *v, uint64_t **ret, size_t *nr_ret)
{
	uint64_t *gpas = NULL;
	size_t nr = 0, cap = 0, word = 0;

	for (size_t i = 0; i < v->nr; i++) {
		const struct vl_snapshot_range *r = &v->ranges[i];
		size_t words = (r->size / VL_PAGE_SIZE + 63) / 64;

		for (size_t w = 0; w < words; w++, word++) {
			uint64_t bits = atomic_load(&v->present[word]);

			if (cap - nr < 64) {
				uint64_t *more = bits ? realloc(gpas, (2 * cap + 4096) * 8) : gpas;

				if (bits && !more) {
					free(gpas);
					return vl_error_nomem();
				}
				cap = bits ? 2 * cap + 4096 : cap;
				gpas = more;
			}
			for (; bits; bits &= bits - 1) {
				uint64_t page = w * 64 + (uint64_t)__builtin_ctzl(bits);

				if (!vl_still_has(&v->still, r->gpa + page * VL_PAGE_SIZE))
					gpas[nr++] = r->gpa + page * VL_PAGE_SIZE;
			}
		}
	}
	*ret = gpas;
	*nr_ret = nr;
	return NULL;
}

const struct vl_waits *vl_snapshot_waits(const struct vl_snapshot *v)
{
	return vl_target_waits(v->target);
}

uint64_t vl_snapshot_copied(const struct vl_snapshot *v)
{
	return atomic_load(&v->copies);
}

void vl_snapshot_count(const struct vl_snapshot *v, uint64_t *pages_ret, uint64_t *copies_ret)
{
	*pages_ret = 0;
	for (size_t i = 0; i < v->present_size / 8; i++)
		*pages_ret += (uint64_t)__builtin_popcountl(atomic_load(&v->present[i]));
	*copies_ret = atomic_load(&v->copies);
}

bool vl_snapshot_serves_kernel(const struct vl_snapshot *v)
{
	return !v->user_only;
}

bool vl_snapshot_lacked(struct vl_snapshot *v, uint64_t *gpa_ret)
{
	size_t nr = atomic_load(&v->nr_lacked);

	if (!nr)
		return false;
	*gpa_ret = v->lacked[0];
	/* Drop these pages, so that the next call that needs one is told as well. */
	for (size_t i = 0; i < nr && i < VL_SNAPSHOT_LACKED; i++)
		vl_snapshot_drop(v, vl_snapshot_find(v, v->lacked[i]), v->lacked[i], 1);
	atomic_store(&v->nr_lacked, 0);
	return true;
}

const struct vl_error *vl_snapshot_failed(const struct vl_snapshot *v)
{
	return atomic_load(&v->failed);
}
