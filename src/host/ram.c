/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of RAM ranges, and reads of guest memory by it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "../base/bisect.h"
#include "internal.h"
#include "file.h"
#include "kmod.h"
#include "pages.h"
#include "proc.h"

/* The number of reads in one system call. */
#define BATCH 512
_Static_assert(BATCH <= IOV_MAX, "a batch is one vector");

struct vl_error *vl_ram_add(struct vl_target *t, const struct vl_ram *r)
{
	/* A dump made with paging can have a million ranges: grow by halves. */
	if (t->nr_ram == t->cap_ram) {
		size_t cap = t->cap_ram + t->cap_ram / 2 + 8;
		struct vl_ram *more = reallocarray(t->ram, cap, sizeof(*more));

		if (!more)
			return vl_error_nomem();
		t->ram = more;
		t->cap_ram = cap;
	}
	t->ram[t->nr_ram++] = *r;
	return NULL;
}

static int by_gpa(const void *a, const void *b)
{
	const struct vl_ram *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

/* Does @b begin where @a ends, both in the guest and in the backing? */
static bool contiguous(const struct vl_ram *a, const struct vl_ram *b)
{
	return a->gpa + a->size == b->gpa && a->fd == b->fd && a->page_size == b->page_size &&
	       (a->hva ? a->hva + a->size == b->hva : !b->hva) &&
	       (a->fd < 0 || a->fd_offset + a->size == b->fd_offset);
}

void *vl_ram_map(const struct vl_ram *r)
{
	void *p = mmap(NULL, r->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, r->fd,
		       (off_t)r->fd_offset);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, r->size, MADV_DONTFORK);
	madvise(p, r->size, MADV_DONTDUMP);
	return p;
}

/* Map a range; NULL: it cannot be mapped (no seal, or a limit of the address space). */
static void *map_range(struct vl_target *t, const struct vl_ram *r)
{
	if (vl_ram_by_kmod(t))
		return vl_kmod_map(t->kmod, NULL, r->gpa, r->size);
	return vl_ram_mappable(r) ? vl_ram_map(r) : NULL;
}

/*
 * The mapping of range @r, made by the first call: most runs need none, as readers map RAM
 * themselves. NULL: it cannot be mapped, or is a dump's: use system calls.
 */
static unsigned char *mapped(struct vl_target *t, const struct vl_ram *r)
{
	struct vl_ram_map *m = &t->map[r - t->ram];

	/* A process without rights has mapped what it could: vl_target_use_proxy(). */
	if (!m->tried && t->pid && !t->proxy)
		m->at = map_range(t, r);
	m->tried = true;
	return m->at;
}

/*
 * Was all that was read from mappings guest memory? imee.ko's mappings show zeros where it has no
 * page. If they did, unmap all of them: system calls give an error instead.
 */
static bool maps_hold(struct vl_target *t)
{
	if (!t->kmod || vl_kmod_sound(t->kmod) || !vl_ram_by_kmod(t))
		return true;
	for (size_t i = 0; i < t->nr_ram; i++)
		if (t->map[i].at) {
			munmap(t->map[i].at, t->ram[i].size);
			t->map[i].at = NULL;
		}
	return false;
}

/*
 * The name of the file behind @r, malloc'ed, or NULL. Looked up now, as a process without rights
 * cannot do it later.
 */
static char *file_of(const struct vl_target *t, const struct vl_ram *r)
{
	int fd = r->fd < 0 ? vl_target_packed_fd(t) : r->fd;
	char path[64], name[256];
	ssize_t n;

	if (fd < 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name));
	return n < 0 ? NULL : strndup(name, (size_t)n);
}

struct vl_error *vl_ram_finish(struct vl_target *t)
{
	size_t out = 0;

	/* Pages that are made keep their address when a placement moves them. */
	for (size_t i = 0; i < t->nr_ram; i++)
		if (t->ram[i].fd < 0 && !t->ram[i].hva)
			t->ram[i].fd_offset = t->ram[i].gpa;
	if (t->nr_ram)
		qsort(t->ram, t->nr_ram, sizeof(*t->ram), by_gpa);
	for (size_t i = 0; i < t->nr_ram; i++) {
		struct vl_ram r = t->ram[i], *prev = out ? &t->ram[out - 1] : NULL;

		if (prev && r.gpa < prev->gpa + prev->size) {
			/* A dump made with paging lists a page once per mapping. */
			uint64_t cut = prev->gpa + prev->size - r.gpa;

			if (cut >= r.size)
				continue;
			r.gpa += cut;
			r.size -= cut;
			r.hva += r.hva ? cut : 0;
			r.fd_offset += cut;
		}
		if (prev && contiguous(prev, &r))
			prev->size += r.size;
		else
			t->ram[out++] = r;
	}
	t->nr_ram = out;
	t->map = calloc(out + 1, sizeof(*t->map));
	t->files = calloc(out + 1, sizeof(*t->files));
	if (!t->map || !t->files)
		return vl_error_nomem();
	for (size_t i = 0; i < out; i++)
		t->files[i] = file_of(t, &t->ram[i]);
	return NULL;
}

bool vl_ram_mappable(const struct vl_ram *r)
{
	struct stat st;
	int seals;

	if (r->fd < 0 || r->page_size != VL_PAGE_SIZE || r->fd_offset % VL_PAGE_SIZE)
		return false;
	seals = fcntl(r->fd, F_GET_SEALS);
	/* Read the size after the seals: with F_SEAL_SHRINK it can only grow from here. */
	return seals >= 0 && seals & F_SEAL_SHRINK && !fstat(r->fd, &st) && st.st_size >= 0 &&
	       (uint64_t)st.st_size >= r->fd_offset &&
	       (uint64_t)st.st_size - r->fd_offset >= r->size;
}

bool vl_ram_most(const struct vl_target *t, bool (*is)(const struct vl_ram *))
{
	uint64_t held = 0, all = 0;

	for (size_t i = 0; i < t->nr_ram; i++) {
		all += t->ram[i].size;
		held += is(&t->ram[i]) ? t->ram[i].size : 0;
	}
	return held > all / 2;
}

bool vl_ram_by_kmod(struct vl_target *t)
{
	if (t->way == VL_RAM_UNDECIDED)
		t->way = t->pid && !vl_ram_most(t, vl_ram_mappable) && vl_target_kmod(t, NULL) ?
				 VL_RAM_MODULE :
				 VL_RAM_FILES;
	return t->way == VL_RAM_MODULE;
}

void vl_ram_deinit(struct vl_target *t)
{
	/* Both maps use the same names for memory without addresses. */
	char **names = t->nr_flat ? t->flat_files : t->files;
	const size_t nr = t->nr_flat ? t->nr_flat : t->nr_ram;

	for (size_t i = 0; t->map && i < t->nr_ram; i++)
		if (t->map[i].at)
			munmap(t->map[i].at, t->ram[i].size);
	vl_pages_deinit(t);
	for (size_t i = 0; i < t->nr_backings; i++)
		if (t->backings[i].fd >= 0)
			close(t->backings[i].fd);
	if (t->proc_mem >= 0)
		close(t->proc_mem);
	if (t->pagemap >= 0)
		close(t->pagemap);
	for (size_t i = 0; names && i < nr; i++)
		free(names[i]);
	free(t->flat_files);
	free(t->flat);
	free(t->pieces);
	t->flat_files = NULL;
	t->flat = NULL;
	t->pieces = NULL;
	t->nr_flat = t->nr_pieces = t->placed = 0;
	free(t->files);
	t->files = NULL;
	free(t->map);
	free(t->ram);
	free(t->backings);
	t->map = NULL;
	t->ram = NULL;
	t->backings = NULL;
	t->nr_ram = t->cap_ram = t->nr_backings = 0;
	t->way = VL_RAM_UNDECIDED;
	t->proc_mem = t->pagemap = -1;
}

const struct vl_ram *vl_ram_find(const struct vl_target *t, uint64_t gpa)
{
	size_t above = vl_bisect(i, t->nr_ram, t->ram[i].gpa <= gpa);
	const struct vl_ram *r = above ? &t->ram[above - 1] : NULL;

	return r && gpa - r->gpa < r->size ? r : NULL;
}

static struct vl_error *no_ram(struct vl_target *t, uint64_t gpa)
{
	/*
	 * The cached map may be older than a hotplug of memory, which goes above 4 GiB: remove
	 * it, so that the next attach asks the monitor. Below are device holes, where reads
	 * fail every day.
	 */
	if (t->map_cache && gpa >= 1ULL << 32) {
		unlink(t->map_cache);
		free(t->map_cache);
		t->map_cache = NULL;
	}
	return vl_error_fault(gpa, "no guest RAM at physical address 0x%" PRIx64, gpa);
}

static struct vl_error *read_failed(struct vl_target *t, uint64_t gpa, int err)
{
	struct vl_error *failed;

	if (t->pid && (err == ESRCH || err == ENOENT))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the guest has gone"),
				     "its process %d has ended", (int)t->pid);
	if (t->pid && (err == EPERM || err == EACCES))
		return vl_proc_denied(t->pid, err);
	if (t->partial && !t->pid && !err)
		return vl_page_lacking(gpa);
	failed = vl_error_fault(gpa,
				"cannot read guest memory at physical address 0x%" PRIx64 ": %s",
				gpa, err ? strerror(err) : "end of file");
	if (t->pid && !err)
		vl_error_hint(failed,
			      "the file of its memory is shorter than the mapping in "
			      "process %d",
			      (int)t->pid);
	return failed;
}

/*
 * Read from the hypervisor process's memory. Returns the number of bytes read, which may be less
 * than asked for, or -errno.
 */
static ssize_t read_process(struct vl_target *t, const struct iovec *local, size_t nr_local,
			    const struct iovec *remote, size_t nr_remote)
{
	ssize_t n = -1, done = 0;
	char path[64];

	if (t->proc_mem < 0) {
		n = process_vm_readv(t->pid, local, nr_local, remote, nr_remote, 0);
		if (n >= 0)
			return n;
		if (errno != EPERM && errno != ENOSYS)
			return -errno;
		/* A seccomp filter may refuse the call, but not the file. */
		snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->pid);
		t->proc_mem = open(path, O_RDONLY | O_CLOEXEC);
		if (t->proc_mem < 0)
			return -errno;
	}
	/* Piece by piece: callers pass vectors of equal lengths, or one remote run for all. */
	for (size_t i = 0, off = 0; i < nr_local; i++) {
		const struct iovec *r = &remote[nr_remote == 1 ? 0 : i];
		uint64_t at = (uint64_t)(uintptr_t)r->iov_base + (nr_remote == 1 ? off : 0);

		n = pread(t->proc_mem, local[i].iov_base, local[i].iov_len, (off_t)at);
		if (n < 0)
			return done ? done : -errno;
		done += n;
		off += (size_t)n;
		if ((size_t)n < local[i].iov_len)
			break;
	}
	return done;
}

bool vl_target_read_process(struct vl_target *t, uint64_t va, void *buf, size_t len)
{
	struct iovec l = { buf, len }, r = { (void *)(uintptr_t)va, len };

	return read_process(t, &l, 1, &r, 1) == (ssize_t)len;
}

const struct vl_waits *vl_target_waits(const struct vl_target *t)
{
	if (t->pid)
		return NULL;
	return t->waits ? t->waits : &t->own_waits;
}

void vl_target_share_waits(struct vl_target *t, struct vl_waits *w)
{
	t->waits = w;
}

/* The waits to count during a read. NULL: the memory of a running guest is there at once. */
static struct vl_waits *waits_of(struct vl_target *t)
{
	if (t->pid)
		return NULL;
	return t->waits ? t->waits : &t->own_waits;
}

static ssize_t read_file(struct vl_target *t, const struct vl_ram *r, const struct iovec *local,
			 size_t nr, uint64_t off)
{
	struct vl_waits *w = waits_of(t);
	const uint64_t begun = vl_wait_begin(w);
	ssize_t n = preadv(r->fd, local, (int)nr, (off_t)(r->fd_offset + off));
	const int err = errno;

	vl_wait_end(w, begun);
	errno = err;
	return n;
}

struct vl_error *vl_target_read(struct vl_target *t, uint64_t gpa, void *buf, size_t len)
{
	char *out = buf;

	while (len) {
		const struct vl_ram *r = vl_ram_find(t, gpa);
		const unsigned char *map;
		uint64_t at;
		ssize_t n;

		if (!r)
			return t->proxy ? t->proxy->read(t->proxy->ctx, gpa, out, 1) :
					  no_ram(t, gpa);
		at = gpa - r->gpa;
		n = (ssize_t)(len < r->size - at ? len : r->size - at);
		map = mapped(t, r);
		if (map) {
			memcpy(out, map + at, (size_t)n);
			if (!maps_hold(t) && !mapped(t, r))
				continue;
		} else if (r->fd >= 0) {
			struct iovec l = { out, (size_t)n };

			n = read_file(t, r, &l, 1, at);
		} else if (t->pages) {
			struct vl_error *err =
				vl_pages_read(t, r->fd_offset + at, out, (size_t)n, waits_of(t));

			if (err)
				return err;
		} else if (t->proxy) {
			struct vl_error *err = t->proxy->read(t->proxy->ctx, gpa, out, (size_t)n);

			if (err)
				return err;
		} else {
			struct iovec l = { out, (size_t)n };
			struct iovec v = { (void *)(uintptr_t)(r->hva + at), (size_t)n };

			n = read_process(t, &l, 1, &v, 1);
			if (n < 0) {
				errno = (int)-n;
				n = -1;
			}
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return read_failed(t, gpa, n < 0 ? errno : 0);
		out += n;
		gpa += (uint64_t)n;
		len -= (size_t)n;
	}
	return NULL;
}

const void *vl_target_page(struct vl_target *t, uint64_t gpa)
{
	const struct vl_ram *r = vl_ram_find(t, gpa);

	/* Leave out imee.ko's mappings: they can show zeros, and are then unmapped. */
	if (!r || gpa - r->gpa > r->size - VL_PAGE_SIZE || vl_ram_by_kmod(t) || !mapped(t, r))
		return NULL;
	return mapped(t, r) + (gpa - r->gpa);
}

/*
 * The number of pages from @gpas[0] on that one system call can read: all in anonymous ranges, at
 * any addresses, or all in one run of one file.
 */
static size_t gather(const struct vl_target *t, const struct vl_ram *first, const uint64_t *gpas,
		     void *const *bufs, size_t nr, struct iovec *local, struct iovec *remote)
{
	size_t n;

	for (n = 0; n < nr && n < BATCH; n++) {
		const struct vl_ram *r = n ? vl_ram_find(t, gpas[n]) : first;

		if (!r || r->gpa + r->size - gpas[n] < VL_PAGE_SIZE)
			break;
		if (first->fd >= 0 ? r != first || gpas[n] != gpas[0] + n * VL_PAGE_SIZE :
				     r->fd >= 0)
			break;
		local[n] = (struct iovec){ bufs[n], VL_PAGE_SIZE };
		remote[n] = (struct iovec){ (void *)(uintptr_t)(r->hva + (gpas[n] - r->gpa)),
					    VL_PAGE_SIZE };
	}
	return n;
}

static void copy_page(void *ctx, size_t i, const void *page)
{
	void *const *bufs = ctx;

	memcpy(bufs[i], page, VL_PAGE_SIZE);
}

struct vl_error *vl_target_read_pages(struct vl_target *t, const uint64_t *gpas, void *const *bufs,
				      size_t nr)
{
	struct iovec local[BATCH], remote[BATCH];
	struct vl_error *err = NULL;

	for (size_t i = 0; i < nr;) {
		const struct vl_ram *r = vl_ram_find(t, gpas[i]);
		ssize_t done = 0;
		size_t n = 0;

		if (!r)
			return vl_target_read(t, gpas[i], bufs[i], VL_PAGE_SIZE);
		if (!mapped(t, r) && (r->fd >= 0 || !t->pages)) {
			n = gather(t, r, gpas + i, bufs + i, nr - i, local, remote);
			if (n && r->fd >= 0)
				done = read_file(t, r, local, n, gpas[i] - r->gpa);
			else if (n && t->proxy)
				err = t->proxy->visit_pages(t->proxy->ctx, gpas + i, n, copy_page,
							    (void *)(bufs + i));
			else if (n)
				done = read_process(t, local, n, remote, n);
			if (err)
				return err;
			if (n && r->fd < 0 && t->proxy)
				done = (ssize_t)(n * VL_PAGE_SIZE);
		}
		if (done >= (ssize_t)VL_PAGE_SIZE) {
			i += (size_t)done / VL_PAGE_SIZE;
			continue;
		}
		/* A mapped or packed page, or one that crosses ranges or cannot be read. */
		err = vl_target_read(t, gpas[i], bufs[i], VL_PAGE_SIZE);
		if (err)
			return err;
		i++;
	}
	return NULL;
}

/* Does another process read the page at @gpa for us? */
static bool is_asked_for(struct vl_target *t, uint64_t gpa)
{
	const struct vl_ram *r = t->proxy && !t->pages ? vl_ram_find(t, gpa) : NULL;

	return r && r->fd < 0 && !mapped(t, r) && r->gpa + r->size - gpa >= VL_PAGE_SIZE;
}

/* Pages of @fn from number @base on. */
struct visit {
	vl_page_visit_fn *fn;
	void *ctx;
	size_t base;
};

static void visit_one(void *ctx, size_t i, const void *page)
{
	struct visit *v = ctx;

	v->fn(v->ctx, v->base + i, page);
}

struct vl_error *vl_target_visit_pages(struct vl_target *t, const uint64_t *gpas, size_t nr,
				       vl_page_visit_fn *fn, void *ctx, void *room, size_t room_nr)
{
	struct visit v = { fn, ctx, 0 };
	struct vl_error *err = NULL;

	for (size_t n; !err && v.base < nr; v.base += n) {
		void *bufs[BATCH];

		for (n = 0; v.base + n < nr && is_asked_for(t, gpas[v.base + n]);)
			n++;
		if (n) {
			err = t->proxy->visit_pages(t->proxy->ctx, gpas + v.base, n, visit_one, &v);
			continue;
		}
		while (v.base + n < nr && n < room_nr && n < BATCH &&
		       !is_asked_for(t, gpas[v.base + n])) {
			bufs[n] = (char *)room + n * VL_PAGE_SIZE;
			n++;
		}
		err = vl_target_read_pages(t, gpas + v.base, bufs, n);
		for (size_t i = 0; !err && i < n; i++)
			visit_one(&v, i, bufs[i]);
	}
	return err;
}

const char *vl_target_ram_file(const struct vl_target *t, size_t i)
{
	return t->files ? t->files[i] : NULL;
}

const struct vl_ram *vl_target_ram(const struct vl_target *t, size_t *nr_ret)
{
	*nr_ret = t->nr_ram;
	return t->ram;
}

void vl_target_take_kmod(struct vl_target *t)
{
	t->takes_kmod = t->kmod && vl_kmod_inherit(t->kmod);
}

void vl_target_ready_proxy(struct vl_target *t)
{
	vl_target_run_id(t);
	vl_ram_by_kmod(t);
}

void vl_target_use_proxy(struct vl_target *t, const struct vl_target_proxy *proxy,
			 void (*keep)(void *ctx, int fd), void *ctx)
{
	if (t->takes_kmod)
		keep(ctx, t->kmod->fd);
	else
		t->kmod = NULL; /* the attachment is the broker's */
	if (!t->kmod && !t->no_kmod)
		t->no_kmod = vl_error_new(VL_ERR_TARGET, "imee.ko is not used here");
	for (size_t i = 0; i < t->nr_ram; i++) {
		/* Mappings do not pass a fork. Files are mapped again, imee.ko's RAM is not. */
		t->map[i] = (struct vl_ram_map){ .tried = true };
		if (t->pid && t->way != VL_RAM_MODULE && vl_ram_mappable(&t->ram[i]))
			t->map[i].at = vl_ram_map(&t->ram[i]);
		if (!t->nr_flat && t->ram[i].fd >= 0 && (!i || t->ram[i].fd != t->ram[i - 1].fd))
			keep(ctx, t->ram[i].fd);
	}
	if (t->pages) {
		keep(ctx, vl_target_packed_fd(t));
		vl_target_unpack(t);
	}
	/* Another placement may need other files. */
	for (size_t i = 0; i < t->nr_flat; i++)
		if (t->flat[i].fd >= 0 && (!i || t->flat[i].fd != t->flat[i - 1].fd))
			keep(ctx, t->flat[i].fd);
	if (!t->kmod)
		t->way = VL_RAM_FILES;
	t->pause_depth = 0;
	t->proxy = proxy;
}
