/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../base/transfer.h"
#include "../host/pages.h"
#include "../host/proc.h"
#include "../kernel/unpacker.h"

/*
 * Linux 6.7, include/uapi/linux/fs.h; Documentation/admin-guide/mm/pagemap.rst. Older headers lack
 * it.
 */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_PRESENT (1U << 3)
#define SCAN_SWAPPED (1U << 4)
#define SCAN_ZERO (1U << 5) /* the zero page: it was read, and never written to */

/* An entry of pagemap: present, or swapped. */
#define ENTRY_USED (3ULL << 62)
#define ENTRIES 65536UL

/* The longest time to unpack what one read takes. */
#define UNPACK_NS (60 * VL_NSEC_PER_SEC)

/* Is all of the range private anonymous memory of the process? A file has more than its pages. */
static struct vl_error *is_anonymous(struct vl_maps *maps, const struct vl_ram *r, bool *ret)
{
	*ret = false;
	if (r->fd >= 0 || !r->hva)
		return NULL;
	for (uint64_t at = r->hva; at < r->hva + r->size;) {
		struct vl_error *err;
		struct vl_vma vma;
		bool found;

		err = vl_maps_find(maps, at, &vma, &found);
		if (err || !found || vma.ino || vma.shared)
			return err;
		at = vma.end;
	}
	*ret = true;
	return NULL;
}

struct vl_error *vl_memory_open(struct vl_target *t, struct vl_memory *ret)
{
	_cleanup_(vl_maps_close) struct vl_maps maps = { .fd = -1 };
	struct vl_error *err = NULL;
	char path[64];

	*ret = (struct vl_memory){ .t = t, .pagemap = -1, .range = SIZE_MAX };
	ret->ram = vl_target_ram(t, &ret->nr_ram);
	ret->anonymous = calloc(ret->nr_ram + 1, sizeof(*ret->anonymous));
	ret->entries = malloc(ENTRIES * sizeof(*ret->entries));
	if (!ret->anonymous || !ret->entries)
		return vl_error_nomem();
	if (vl_target_packed(t))
		return vl_unpacker_start(t, NULL, &ret->unpacker);
	if (!vl_target_pid(t))
		return NULL;
	err = vl_maps_open(&maps, vl_target_pid(t));
	for (size_t i = 0; !err && i < ret->nr_ram; i++)
		err = is_anonymous(&maps, &ret->ram[i], &ret->anonymous[i]);
	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)vl_target_pid(t));
	ret->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	return NULL;
}

void vl_memory_close(struct vl_memory *m)
{
	if (m->pagemap >= 0)
		close(m->pagemap);
	vl_unpacker_stop(m->unpacker);
	free(m->anonymous);
	free(m->entries);
}

static void add_run(struct vl_memory *m, uint64_t from, uint64_t to)
{
	if (m->nr_runs && m->runs[m->nr_runs - 1].to == from)
		m->runs[m->nr_runs - 1].to = to;
	else
		m->runs[m->nr_runs++] = (struct vl_run){ from, to };
}

/* Ask for the runs of @r from @off on by one system call. False: the kernel has no such call. */
static bool scan(struct vl_memory *m, const struct vl_ram *r, uint64_t off)
{
	struct scan_region regions[VL_RUNS];
	struct scan_arg a = {
		.size = sizeof(a),
		.start = r->hva + off,
		.end = r->hva + r->size,
		.vec = (uintptr_t)regions,
		.vec_len = VL_RUNS,
		.category_inverted = SCAN_ZERO,
		.category_mask = SCAN_ZERO,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
	};
	int n = ioctl(m->pagemap, SCAN, &a);

	if (n < 0 || n > VL_RUNS || a.walk_end <= a.start || a.walk_end > a.end)
		return false;
	for (int i = 0; i < n; i++) {
		uint64_t from = regions[i].start, to = regions[i].end;

		if (from < a.start || to > a.walk_end || from >= to)
			return false;
		add_run(m, from - r->hva, to - r->hva);
	}
	m->known_to = a.walk_end - r->hva;
	return true;
}

/* The same by the entries of pagemap. False: it cannot be read. */
static bool look(struct vl_memory *m, const struct vl_ram *r, uint64_t off)
{
	uint64_t pages = (r->size - off) / VL_PAGE_SIZE, i;
	ssize_t n;

	pages = pages < ENTRIES ? pages : ENTRIES;
	n = pread(m->pagemap, m->entries, pages * 8, (off_t)((r->hva + off) / VL_PAGE_SIZE * 8));
	if (n < 8)
		return false;
	pages = (uint64_t)n / 8;
	for (i = 0; i < pages && m->nr_runs < VL_RUNS; i++)
		if (m->entries[i] & ENTRY_USED)
			add_run(m, off + i * VL_PAGE_SIZE, off + (i + 1) * VL_PAGE_SIZE);
	m->known_to = off + i * VL_PAGE_SIZE;
	return true;
}

static void learn(struct vl_memory *m, size_t i, uint64_t off)
{
	const struct vl_ram *r = &m->ram[i];

	m->range = i;
	m->known_from = off;
	m->nr_runs = 0;
	if (!m->no_scan && scan(m, r, off))
		return;
	m->no_scan = true;
	m->nr_runs = 0;
	if (look(m, r, off))
		return;
	m->anonymous[i] = false;
}

static void next_anonymous(struct vl_memory *m, size_t i, uint64_t off, struct vl_run *ret)
{
	const uint64_t size = m->ram[i].size;

	*ret = (struct vl_run){ size, size };
	while (off < size) {
		if (m->range != i || off < m->known_from || off >= m->known_to)
			learn(m, i, off);
		if (!m->anonymous[i]) {
			*ret = (struct vl_run){ off, size };
			return;
		}
		for (size_t k = 0; k < m->nr_runs; k++) {
			if (m->runs[k].to <= off)
				continue;
			ret->from = m->runs[k].from > off ? m->runs[k].from : off;
			ret->to = m->runs[k].to;
			return;
		}
		off = m->known_to;
	}
}

void vl_memory_forget(struct vl_memory *m)
{
	m->range = SIZE_MAX;
}

/* The end of the data at @off of the file behind @r, rounded up to a page. */
static uint64_t end_of_data(const struct vl_ram *r, uint64_t off)
{
	off_t at = lseek(r->fd, (off_t)(r->fd_offset + off), SEEK_HOLE);
	uint64_t end;

	if (at < 0 || (uint64_t)at - r->fd_offset >= r->size)
		return r->size;
	end = ((uint64_t)at - r->fd_offset + VL_PAGE_SIZE - 1) & ~(VL_PAGE_SIZE - 1);
	return end > off ? end : off + VL_PAGE_SIZE;
}

struct vl_error *vl_memory_next(struct vl_memory *m, size_t i, uint64_t off, struct vl_run *ret)
{
	const struct vl_ram *r = &m->ram[i];

	*ret = (struct vl_run){ r->size, r->size };
	if (off >= r->size)
		return NULL;
	if (m->pagemap >= 0 && m->anonymous[i]) {
		next_anonymous(m, i, off, ret);
		/* The entries of a process that has ended are all empty. */
		return m->t->pid && ret->from > off ? vl_target_alive(m->t) : NULL;
	}
	ret->from = vl_ram_next_data(m->t, r, off);
	if (ret->from < r->size && r->fd >= 0)
		ret->to = end_of_data(r, ret->from);
	return NULL;
}

/* Read by the file, if there is one: a mapping would fault for each page of a single pass. */
static struct vl_error *read_all(struct vl_memory *m, const struct vl_ram *r, uint64_t off,
				 unsigned char *buf, size_t len)
{
	size_t done = r->fd >= 0 ? vl_get_at(r->fd, buf, len, r->fd_offset + off) : 0;

	buf += done;
	off += done;
	len -= done;
	if (r->fd < 0 && m->unpacker)
		return vl_unpacker_read(m->unpacker, r->gpa + off, buf, len,
					vl_deadline_in(UNPACK_NS));
	return len ? vl_target_read(m->t, r->gpa + off, buf, len) : NULL;
}

struct vl_error *vl_memory_read(struct vl_memory *m, size_t i, uint64_t off, void *buf, size_t len,
				uint64_t *lost)
{
	const struct vl_ram *r = &m->ram[i];
	struct vl_error *err = read_all(m, r, off, buf, len);

	if (!err || err->code != VL_ERR_FAULT)
		return err;
	/* A page of failed memory, or a page that no process serves. */
	for (size_t at = 0; at < len; at += VL_PAGE_SIZE) {
		unsigned char *page = (unsigned char *)buf + at;

		vl_error_destroy(err);
		err = read_all(m, r, off + at, page, VL_PAGE_SIZE);
		if (err && err->code != VL_ERR_FAULT)
			return err;
		if (err) {
			memset(page, 0, VL_PAGE_SIZE);
			++*lost;
		}
	}
	vl_error_destroy(err);
	return vl_target_alive(m->t);
}
