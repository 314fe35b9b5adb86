/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where memory without addresses may lie, and which of its pages have content. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../base/array.h"
#include "internal.h"

#define GIB (1UL << 30)
/* The first address of memory that does not fit below 4 GiB. */
#define HIGH (4 * GIB)

/*
 * Where hypervisors stop below 4 GiB: memory that does not fit continues at 4 GiB. 0: it has the
 * hole in it, or is small.
 */
static const uint64_t holes[] = {
	0,	    0x80000000, /* QEMU q35 */
	0xb0000000,		/* QEMU q35, less memory */
	0xc0000000,		/* QEMU pc, Cloud Hypervisor, VMware, Firecracker 1.12 and later */
	0xd0000000,		/* Firecracker, crosvm, kvmtool */
	0xe0000000,		/* QEMU pc, less memory */
};

/* ---- placements ---- */

struct chunk {
	uint64_t at, size;
};

/* The placements are made in order, up to the one that is asked for. */
struct maker {
	unsigned int left; /* before that one */
	struct vl_placement *ret;
};

static void add_extent(struct vl_placement *p, uint64_t at, uint64_t size, uint64_t gpa)
{
	if (size && p->nr < VL_EXTENTS)
		p->extents[p->nr++] = (struct vl_extent){ at, size, gpa };
}

/*
 * Place the chunks one behind the other, from address 0 on, with the hole between. True: this is
 * the placement that is asked for.
 */
static bool make(struct maker *m, const struct chunk *c, size_t nr, uint64_t hole)
{
	uint64_t pos = 0;

	if (--m->left)
		return false;
	m->ret->nr = 0;
	for (size_t i = 0; i < nr; pos += c[i++].size) {
		uint64_t low = !hole || pos + c[i].size <= hole ? c[i].size :
			       pos < hole			? hole - pos :
								  0;

		add_extent(m->ret, c[i].at, low, pos);
		add_extent(m->ret, c[i].at + low, c[i].size - low, pos + low - hole + HIGH);
	}
	return true;
}

/*
 * Two mappings that the host's kernel has joined to the piece @p. The first, of @size bytes, is
 * above the second, as the kernel fills its address space from the top.
 */
static bool joined(struct maker *m, const struct vl_piece *p, uint64_t size, uint64_t hole)
{
	const struct chunk parts[] = { { p->at + p->size - size, size },
				       { p->at, p->size - size } };

	return make(m, parts, 2, hole);
}

/* One piece, with each hole. That of a process (@maps) may be two mappings. */
static bool one_piece(struct maker *m, const struct vl_piece *p, bool maps)
{
	const struct chunk whole = { p->at, p->size };
	const uint64_t half = p->size / 2 & ~(VL_PAGE_SIZE - 1);

	for (size_t i = 0; i < ARRAY_SIZE(holes) && holes[i] < p->size; i++)
		if (make(m, &whole, 1, holes[i]) ||
		    (maps && holes[i] && joined(m, p, holes[i], holes[i])) ||
		    /* Two equal NUMA nodes. */
		    (maps && half && joined(m, p, half, holes[i])))
			return true;
	return false;
}

/* A piece with all that is below 4 GiB, and another one from there on. */
static bool two_pieces(struct maker *m, const struct vl_piece *low, const struct vl_piece *high)
{
	const struct chunk parts[] = { { low->at, low->size }, { high->at, high->size } };

	return low != high && low->size >= 2 * GIB && low->size < HIGH &&
	       make(m, parts, 2, low->size);
}

/* Many pieces, as of several NUMA nodes, in the order of their addresses in the process. */
static bool all_pieces(struct maker *m, const struct vl_target *t, bool descending)
{
	struct chunk parts[VL_PIECES];
	uint64_t all = 0, done = descending ? UINT64_MAX : 0;
	size_t nr;

	for (nr = 0; nr < t->nr_pieces; nr++) {
		const struct vl_piece *best = NULL;

		for (size_t i = 0; i < t->nr_pieces; i++) {
			const struct vl_piece *p = &t->pieces[i];

			if (descending ? p->hva < done && (!best || p->hva > best->hva) :
					 p->hva > done && (!best || p->hva < best->hva))
				best = p;
		}
		if (!best)
			return false;
		done = best->hva;
		all += best->size;
		parts[nr] = (struct chunk){ best->at, best->size };
	}
	for (size_t i = 0; i < ARRAY_SIZE(holes) && holes[i] < all; i++)
		if (make(m, parts, nr, holes[i]))
			return true;
	return false;
}

bool vl_target_placement(const struct vl_target *t, unsigned int i, struct vl_placement *ret)
{
	struct maker m = { i, ret };
	const struct vl_piece *p = t->pieces;

	if (!i)
		return false;
	for (size_t k = 0; k < t->nr_pieces; k++)
		if (one_piece(&m, &p[k], p[k].hva))
			return true;
	for (size_t k = 0; k < t->nr_pieces; k++)
		for (size_t l = 0; l < t->nr_pieces; l++)
			if (two_pieces(&m, &p[k], &p[l]))
				return true;
	return t->nr_pieces > 1 && (all_pieces(&m, t, true) || all_pieces(&m, t, false));
}

/* ---- the RAM map ---- */

struct vl_error *vl_ram_unplaced(struct vl_target *t, const struct vl_piece *pieces, size_t nr)
{
	size_t most = t->nr_ram + VL_EXTENTS;
	struct vl_ram *ram = reallocarray(t->ram, most, sizeof(*ram));
	struct vl_ram_map *map = reallocarray(t->map, most, sizeof(*map));
	char **files = reallocarray(t->files, most, sizeof(*files));

	t->ram = ram ? ram : t->ram;
	t->map = map ? map : t->map;
	t->files = files ? files : t->files;
	t->flat = calloc(t->nr_ram, sizeof(*t->flat));
	t->flat_files = calloc(t->nr_ram, sizeof(*t->flat_files));
	t->pieces = calloc(nr, sizeof(*t->pieces));
	if (!ram || !map || !files || !t->flat || !t->flat_files || !t->pieces)
		return vl_error_nomem();
	t->cap_ram = most;
	t->nr_flat = t->nr_ram;
	memcpy(t->flat, ram, t->nr_ram * sizeof(*ram));
	memcpy(t->flat_files, files, t->nr_ram * sizeof(*files));
	memcpy(t->pieces, pieces, nr * sizeof(*pieces));
	t->nr_pieces = nr;
	return NULL;
}

/* Unmap what was mapped by the placement before. */
static void unmap(struct vl_target *t)
{
	for (size_t i = 0; i < t->nr_ram; i++) {
		if (t->map[i].at)
			munmap(t->map[i].at, t->ram[i].size);
		t->map[i] = (struct vl_ram_map){ NULL, false };
	}
}

/* Add the part of the flat memory's range @f that is in @e. */
static void add_range(struct vl_target *t, size_t f, const struct vl_extent *e)
{
	struct vl_ram r = t->flat[f];
	uint64_t first = r.gpa > e->at ? r.gpa : e->at;
	uint64_t end = r.gpa + r.size < e->at + e->size ? r.gpa + r.size : e->at + e->size;
	uint64_t skip = first - r.gpa;

	if (first >= end || t->nr_ram == t->cap_ram)
		return;
	r.gpa = e->gpa + (first - e->at);
	r.size = end - first;
	r.hva += r.hva ? skip : 0;
	r.fd_offset += skip;
	t->files[t->nr_ram] = t->flat_files[f];
	t->ram[t->nr_ram++] = r;
}

/*
 * Nothing is freed or moved, as another thread may hold a place in these arrays. A process without
 * rights maps what it may at once.
 */
static void rebuild(struct vl_target *t, const struct vl_placement *p)
{
	unmap(t);
	t->nr_ram = 0;
	for (size_t i = 0; i < p->nr; i++)
		for (size_t f = 0; f < t->nr_flat; f++)
			add_range(t, f, &p->extents[i]);
	for (size_t i = 0; t->proxy && i < t->nr_ram; i++)
		t->map[i] = (struct vl_ram_map){
			t->pid && vl_ram_mappable(&t->ram[i]) ? vl_ram_map(&t->ram[i]) : NULL, true
		};
}

struct vl_error *vl_target_place(struct vl_target *t, unsigned int i)
{
	struct vl_placement p = { .nr = 0 };
	struct vl_error *err = NULL;

	if (i == t->placed)
		return NULL;
	if (i && !vl_target_placement(t, i, &p))
		return vl_error_new(VL_ERR_ARG, "no memory has a placement %u", i);
	for (size_t k = 0; !i && k < t->nr_pieces; k++)
		add_extent(&p, t->pieces[k].at, t->pieces[k].size, t->pieces[k].at);
	if (t->proxy)
		err = t->proxy->place(t->proxy->ctx, i);
	if (err)
		return err;
	rebuild(t, &p);
	t->placed = i;
	return NULL;
}

/* ---- pages with content ---- */

/* PAGEMAP_SCAN, linux/fs.h, since Linux 6.7. */
struct page_run {
	uint64_t start, end, categories;
};

struct pagemap_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, any_of, wanted;
};
_Static_assert(sizeof(struct pagemap_scan) == 96, "as linux/fs.h has it");
#define SCAN _IOWR('f', 16, struct pagemap_scan)

enum { IS_PRESENT = 1 << 3, IS_SWAPPED = 1 << 4, IS_ZERO = 1 << 5 };

/* Runs with fewer bytes between them are read together. */
#define JOINED (64UL << 10)

#define RUNS 32

/* Find the first run of pages in [@start, @end) of the process. 1: found, 0: none, or -errno. */
static int scan(int fd, uint64_t start, uint64_t end, struct page_run *ret)
{
	struct page_run runs[RUNS];
	struct pagemap_scan s = {
		.size = sizeof(s),
		.start = start,
		.end = end,
		.vec = (uintptr_t)runs,
		.vec_len = RUNS,
		.inverted = IS_ZERO,
		.mask = IS_ZERO,
		.any_of = IS_PRESENT | IS_SWAPPED,
		.wanted = IS_PRESENT | IS_SWAPPED,
	};
	int nr;

	do
		nr = ioctl(fd, SCAN, &s);
	while (nr < 0 && errno == EINTR);
	if (nr <= 0)
		return nr < 0 ? -errno : 0;
	*ret = runs[0];
	for (int i = 1; i < nr && runs[i].start - ret->end < JOINED; i++)
		ret->end = runs[i].end;
	return 1;
}

/* Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define ENTRY_HAS (3UL << 62)
#define ENTRIES 512

/* The same by entries, of which there is one for each page. */
static int look_up(int fd, uint64_t start, uint64_t end, struct page_run *ret)
{
	uint64_t entries[ENTRIES];

	for (uint64_t at = start; at < end;) {
		uint64_t left = (end - at) / VL_PAGE_SIZE;
		size_t nr = left < ENTRIES ? left : ENTRIES, first = 0, last;
		ssize_t n = pread(fd, entries, nr * sizeof(*entries),
				  (off_t)(at / VL_PAGE_SIZE * sizeof(*entries)));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		nr = (size_t)n / sizeof(*entries);
		while (first < nr && !(entries[first] & ENTRY_HAS))
			first++;
		if (first < nr) {
			for (last = nr - 1; !(entries[last] & ENTRY_HAS);)
				last--;
			*ret = (struct page_run){ at + first * VL_PAGE_SIZE,
						  at + (last + 1) * VL_PAGE_SIZE, 0 };
			return 1;
		}
		at += nr * VL_PAGE_SIZE;
	}
	return 0;
}

/* Is the memory at @hva of the process anonymous, so that only touched pages have content? */
static bool is_sparse(const struct vl_target *t, uint64_t hva)
{
	for (size_t i = 0; i < t->nr_pieces; i++)
		if (hva >= t->pieces[i].hva && hva - t->pieces[i].hva < t->pieces[i].size)
			return t->pieces[i].sparse;
	return false;
}

bool vl_target_next_data(struct vl_target *t, uint64_t gpa, uint64_t *start_ret, uint64_t *end_ret)
{
	const struct vl_ram *r = vl_ram_find(t, gpa);
	uint64_t off = r ? gpa - r->gpa : 0;
	struct page_run run;
	char path[64];
	int found;

	if (!r)
		return false;
	if (r->fd < 0 && t->proxy && !t->pages)
		return t->proxy->next_data(t->proxy->ctx, gpa, start_ret, end_ret);
	*end_ret = r->gpa + r->size;
	if (r->fd >= 0 || t->pages || !is_sparse(t, r->hva + off)) {
		*start_ret = r->gpa + vl_ram_next_data(t, r, off);
		return *start_ret < *end_ret;
	}
	if (t->pagemap < 0) {
		snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)t->pid);
		t->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	}
	found = scan(t->pagemap, r->hva + off, r->hva + r->size, &run);
	if (found < 0)
		found = look_up(t->pagemap, r->hva + off, r->hva + r->size, &run);
	if (found <= 0)
		return false;
	/* A huge page may begin before. */
	*start_ret = run.start > r->hva + off ? r->gpa + (run.start - r->hva) : gpa;
	if (run.end < r->hva + r->size)
		*end_ret = r->gpa + (run.end - r->hva);
	return *start_ret < *end_ret;
}
