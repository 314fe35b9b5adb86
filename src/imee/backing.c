/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct engine's access to the guest's RAM.
 *
 * - A file that cannot be truncated under us is mapped: QEMU seals its memfds against that.
 *   With any other a truncation would be a SIGBUS.
 * - Pages of a dump are read when they are first touched, and kept, as a dump does not change.
 *   A dump that is truncated meanwhile is an error like any other.
 * - All else is read by system calls, many pages by one: anonymous RAM, a file without that
 *   seal, hugetlbfs (where touching a page takes it from the host's pool). These pages are held
 *   for one request, which sees each page as of one point in time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/bisect.h"
#include "../base/transfer.h"
#include "../host/file.h"
#include "../host/kmod.h"
#include "direct.h"

#define HUGE_PAGE (2UL << 20)
/* Bytes of vl_direct.frames, with vl_direct.entries behind them. */
#define LIVE_SIZE (DIRECT_FRAMES * VL_PAGE_SIZE + DIRECT_ENTRIES * sizeof(struct direct_entry_was))

static enum direct_kind map_piece(struct vl_direct *d, const struct vl_ram *r)
{
	void *at = (void *)(uintptr_t)(d->base + r->gpa);

	if (!vl_target_is_live(d->t)) {
		if (mmap(at, r->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) == MAP_FAILED)
			return DIRECT_LIVE;
		madvise(at, r->size, MADV_DONTDUMP);
		/* Pages are read one by one: most of a huge page would stay unused. */
		madvise(at, r->size, MADV_NOHUGEPAGE);
		return DIRECT_STILL;
	}
	if (d->kmod && vl_ram_by_kmod(d->t))
		return vl_kmod_map(d->kmod, at, r->gpa, r->size) ? DIRECT_MAPPED : DIRECT_LIVE;
	if (!vl_ram_mappable(r) || vl_ram_by_kmod(d->t) ||
	    mmap(at, r->size, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, r->fd,
		 (off_t)r->fd_offset) == MAP_FAILED)
		return DIRECT_LIVE;
	madvise(at, r->size, MADV_DONTFORK);
	madvise(at, r->size, MADV_DONTDUMP);
	return DIRECT_MAPPED;
}

/* Enter the mapped run into fast[] if it is one of the two largest. */
static void add_fast(struct vl_direct *d, uint64_t gpa, uint64_t size)
{
	int least = d->fast[1].size < d->fast[0].size;

	if (size > d->fast[least].size) {
		d->fast[least].gpa = gpa;
		d->fast[least].size = size;
	}
}

static void find_fast(struct vl_direct *d)
{
	uint64_t gpa = 0, size = 0;

	for (size_t i = 0; i < d->nr_pieces; i++) {
		const struct direct_piece *p = &d->pieces[i];

		if (p->kind != DIRECT_MAPPED)
			continue;
		if (size && gpa + size == p->gpa) {
			size += p->size;
		} else {
			add_fast(d, gpa, size);
			gpa = p->gpa;
			size = p->size;
		}
	}
	add_fast(d, gpa, size);
}

/*
 * Reserve addresses without memory: holes in the RAM stay inaccessible. The base is aligned to
 * a huge page, so that huge pages can be mapped as such. NULL: failed.
 */
static void *reserve(struct vl_direct *d)
{
	size_t size = d->span + HUGE_PAGE;
	char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Both ends stay reserved: munmap() takes longer than all else here. */
	d->reserved = p;
	return p + -(uintptr_t)p % HUGE_PAGE;
}

struct vl_error *direct_map(struct vl_direct *d)
{
	const struct vl_ram *ram;
	bool has_still = false;
	size_t nr;
	void *p;

	ram = vl_target_ram(d->t, &nr);
	d->span = nr ? ram[nr - 1].gpa + ram[nr - 1].size : 0;
	d->pieces = calloc(nr ? nr : 1, sizeof(*d->pieces));
	if (!d->pieces)
		return vl_error_nomem();
	d->base = d->span && d->span < 1ULL << 46 ? reserve(d) : NULL;
	for (size_t i = 0; i < nr; i++) {
		struct direct_piece *piece = &d->pieces[d->nr_pieces++];

		*piece = (struct direct_piece){ ram[i].gpa, ram[i].size, DIRECT_LIVE, ram[i].fd,
						ram[i].fd_offset };
		if (d->base)
			piece->kind = map_piece(d, &ram[i]);
		d->has_live |= piece->kind == DIRECT_LIVE;
		has_still |= piece->kind == DIRECT_STILL;
	}
	find_fast(d);
	if (has_still) {
		d->present = calloc(d->span / VL_PAGE_SIZE / 64 + 1, sizeof(*d->present));
		if (!d->present)
			return vl_error_nomem();
	}
	if (d->has_live) {
		p = mmap(NULL, LIVE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			return vl_error_nomem();
		d->frames = p;
		d->entries = (void *)(d->frames + DIRECT_FRAMES * VL_PAGE_SIZE);
	}
	return NULL;
}

void direct_unmap(struct vl_direct *d)
{
	if (d->frames)
		munmap(d->frames, LIVE_SIZE);
	if (d->reserved)
		munmap(d->reserved, d->span + HUGE_PAGE);
	free(d->present);
	free(d->pieces);
}

static const struct direct_piece *find(const struct vl_direct *d, uint64_t gpa)
{
	size_t above = vl_bisect(i, d->nr_pieces, d->pieces[i].gpa <= gpa);
	const struct direct_piece *p = above ? &d->pieces[above - 1] : NULL;

	return p && gpa - p->gpa < p->size ? p : NULL;
}

/* Not vl_target_read() for memory that is in a file as it is, because that may map the file. */
static bool read_file(struct vl_direct *d, const struct direct_piece *p, uint64_t gpa,
		      unsigned char *to, size_t len)
{
	struct vl_error *err;

	if (p->fd >= 0 && vl_get_whole(p->fd, to, len, p->fd_offset + (gpa - p->gpa)))
		return true;
	err = vl_target_read(d->t, gpa, to, len);
	if (err)
		vl_target_note_miss(d->t, gpa, err);
	return !vl_discard(err);
}

/* The first of the frames that may hold @page. */
static size_t set_of(uint64_t page)
{
	return (page / VL_PAGE_SIZE) * 0x9e3779b97f4a7c15UL >> 32 & (DIRECT_FRAMES - DIRECT_WAYS);
}

/* The frame that holds @page, or NULL. */
static unsigned char *frame_with(const struct vl_direct *d, uint64_t page)
{
	size_t f = set_of(page);

	for (size_t end = f + DIRECT_WAYS; f < end; f++)
		if (d->tags[f] == (page | 1))
			return d->frames + f * VL_PAGE_SIZE;
	return NULL;
}

static bool is_wanted(const struct vl_direct *d, uint64_t page)
{
	for (size_t i = 0; i < d->nr_wanted; i++)
		if (d->wanted[i] == page)
			return true;
	return false;
}

static unsigned char *claim_frame(struct vl_direct *d, uint64_t page)
{
	size_t set = set_of(page), f = set, end = set + DIRECT_WAYS;

	while (f < end && d->tags[f] & 1)
		f++;
	/* Keep the pages of the same fetch: want() leaves a frame for each. */
	if (f == end) {
		f = set + d->way++ % DIRECT_WAYS;
		for (int i = 1; i < DIRECT_WAYS && is_wanted(d, d->tags[f] & VL_PAGE_MASK); i++)
			f = set + d->way++ % DIRECT_WAYS;
	}
	if (!d->tags[f])
		d->used[d->nr_used++] = (uint16_t)f;
	d->tags[f] = page | 1;
	return d->frames + f * VL_PAGE_SIZE;
}

static void drop_frame(struct vl_direct *d, uint64_t page)
{
	/* Invalid, but still listed in used[]: 0 would list it again. */
	for (size_t f = set_of(page), end = f + DIRECT_WAYS; f < end; f++)
		if (d->tags[f] == (page | 1))
			d->tags[f] = 2;
}

void direct_forget(struct vl_direct *d)
{
	while (d->nr_used)
		d->tags[d->used[--d->nr_used]] = 0;
	d->nr_wanted = 0;
}

static void want(struct vl_direct *d, uint64_t page)
{
	size_t same = 0;

	if (d->nr_wanted == DIRECT_WANTS || is_wanted(d, page))
		return;
	for (size_t i = 0; i < d->nr_wanted; i++)
		same += set_of(d->wanted[i]) == set_of(page);
	if (same < DIRECT_WAYS)
		d->wanted[d->nr_wanted++] = page;
}

/*
 * Read pages into @bufs: one pread() for each page of a file, one call for all others. False
 * when any page cannot be read.
 */
bool direct_read_pages(struct vl_direct *d, const uint64_t *gpas, void *const *bufs, size_t nr)
{
	uint64_t gpa[DIRECT_WANTS];
	void *buf[DIRECT_WANTS];
	size_t left = 0;

	for (size_t i = 0; i < nr; i++) {
		const struct direct_piece *p = find(d, gpas[i]);

		if (!p)
			return false;
		if (p->kind == DIRECT_MAPPED) {
			memcpy(bufs[i], d->base + gpas[i], VL_PAGE_SIZE);
		} else if (p->fd >= 0) {
			if (!read_file(d, p, gpas[i], bufs[i], VL_PAGE_SIZE))
				return false;
		} else {
			gpa[left] = gpas[i];
			buf[left++] = bufs[i];
		}
	}
	return !left || !vl_discard(vl_target_read_pages(d->t, gpa, buf, left));
}

bool direct_fetch(struct vl_direct *d)
{
	void *bufs[DIRECT_WANTS];
	size_t nr = d->nr_wanted;

	if (!nr)
		return false;
	for (size_t i = 0; i < nr; i++)
		bufs[i] = claim_frame(d, d->wanted[i]);
	d->nr_wanted = 0;
	/* Each page is then read alone, which finds the bad one. */
	if (!direct_read_pages(d, d->wanted, bufs, nr))
		for (size_t i = 0; i < nr; i++)
			drop_frame(d, d->wanted[i]);
	return true;
}

static const unsigned char *live_page(struct vl_direct *d, uint64_t page, enum vl_read_status *st)
{
	void *buf = frame_with(d, page);

	if (buf)
		return buf;
	if (d->collecting) {
		want(d, page);
		*st = DIRECT_WANTED;
		return NULL;
	}
	buf = claim_frame(d, page);
	if (!direct_read_pages(d, &page, &buf, 1)) {
		drop_frame(d, page);
		*st = VL_READ_GONE;
		return NULL;
	}
	return buf;
}

const unsigned char *direct_have(struct vl_direct *d, uint64_t gpa)
{
	uint64_t page = gpa & VL_PAGE_MASK;
	const struct direct_piece *p = find(d, gpa);
	const unsigned char *at;

	if (!p || p->kind == DIRECT_STILL)
		return NULL;
	if (p->kind == DIRECT_MAPPED)
		return d->base + gpa;
	at = frame_with(d, page);
	if (at)
		return at + (gpa - page);
	want(d, page);
	return NULL;
}

bool direct_stays(const struct vl_direct *d, uint64_t gpa)
{
	const struct direct_piece *p = d->has_live ? find(d, gpa) : NULL;

	return !p || p->kind != DIRECT_LIVE;
}

const unsigned char *direct_slow(struct vl_direct *d, uint64_t gpa, enum vl_read_status *st)
{
	const struct direct_piece *p = find(d, gpa);
	uint64_t page = gpa & VL_PAGE_MASK;
	const unsigned char *live;

	*st = VL_READ_NO_RAM;
	if (!p) {
		vl_target_note_miss(d->t, gpa, NULL);
		return NULL;
	}
	switch (p->kind) {
	case DIRECT_MAPPED:
		break;
	case DIRECT_STILL:
		if (d->present[page / VL_PAGE_SIZE / 64] >> (page / VL_PAGE_SIZE % 64) & 1)
			break;
		if (!read_file(d, p, page, (unsigned char *)(uintptr_t)(d->base + page),
			       VL_PAGE_SIZE)) {
			*st = VL_READ_GONE;
			return NULL;
		}
		d->present[page / VL_PAGE_SIZE / 64] |= 1UL << (page / VL_PAGE_SIZE % 64);
		break;
	case DIRECT_LIVE:
		live = live_page(d, page, st);
		return live ? live + (gpa - page) : NULL;
	}
	return d->base + gpa;
}
