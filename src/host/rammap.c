/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM map of a live QEMU. The monitor lists the guest-physical ranges, and their addresses in
 * the process (gpa2hva; the size of a mapping says nothing, as RAM can be part of a merged one).
 * /proc/PID/maps shows what backs them there. The map is kept for the run of the guest, so that
 * the next tool needs no monitor. No cost here depends on the size of the RAM.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "hmp.h"
#include "internal.h"
#include "kmod.h"
#include "proc.h"
#include "../base/dirs.h"

#define CACHE_HEADER "vlens-ram 1\n"
#define CACHE_MAX (1U << 20)
/*
 * The longest time for all questions. A machine has some ten ranges, and each takes a millisecond.
 */
#define BUILD_TIMEOUT_NS (10 * VL_NSEC_PER_SEC)

/* The file behind @vma, opened once for each target. NULL: out of memory. */
static struct vl_backing *backing(struct vl_target *t, const struct vl_vma *vma)
{
	struct vl_backing *b;
	struct statfs sfs;

	for (size_t i = 0; i < t->nr_backings; i++) {
		b = &t->backings[i];
		if (b->dev == vma->dev && b->ino == vma->ino)
			return b;
	}
	b = reallocarray(t->backings, t->nr_backings + 1, sizeof(*b));
	if (!b)
		return NULL;
	t->backings = b;
	b += t->nr_backings++;
	*b = (struct vl_backing){ vma->dev, vma->ino, vl_proc_open_mapped(t->pid, vma),
				  VL_PAGE_SIZE };
	if (b->fd < 0)
		b->fd = -1;
	/* smaps has the page size, too, but it walks all of the RAM. */
	else if (fstatfs(b->fd, &sfs) == 0 && sfs.f_type == HUGETLBFS_MAGIC)
		b->page_size = (uint32_t)sfs.f_bsize;
	return b;
}

/*
 * Add the RAM at [@gpa, @gpa + @size), which lies at @hva in the process,
 * piece by piece as the process has it mapped.
 */
static struct vl_error *add_range(struct vl_target *t, struct vl_maps *maps, uint64_t gpa,
				  uint64_t size, uint64_t hva)
{
	struct vl_error *err;

	while (size) {
		struct vl_vma vma;
		bool is_mapped;
		struct vl_ram r = { gpa, size, hva, -1, 0, VL_PAGE_SIZE };
		struct vl_backing *b;

		err = vl_maps_find(maps, hva, &vma, &is_mapped);
		if (err)
			return err;
		if (!is_mapped || (hva | gpa | size) % VL_PAGE_SIZE)
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET,
					     "guest RAM is not mapped in process %d where the "
					     "monitor says",
					     (int)t->pid),
				"does the monitor belong to another process?");
		if (r.size > vma.end - hva)
			r.size = vma.end - hva;
		if (vma.ino) {
			b = backing(t, &vma);
			if (!b)
				return vl_error_nomem();
			r.page_size = b->page_size;
			/* A private mapping of a file has pages that the file lacks. */
			if (vma.shared && b->fd >= 0) {
				r.fd = b->fd;
				r.fd_offset = vma.offset + (hva - vma.start);
			}
		}
		err = vl_ram_add(t, &r);
		if (err)
			return err;
		gpa += r.size;
		hva += r.size;
		size -= r.size;
	}
	return NULL;
}

static char *cache_path(struct vl_target *t)
{
	return vl_run_path("%s.ram", vl_target_run_id(t));
}

/* The inode of the file behind @r, for the cache; 0 for anonymous memory. */
static uint64_t backing_ino(const struct vl_target *t, const struct vl_ram *r)
{
	for (size_t i = 0; r->fd >= 0 && i < t->nr_backings; i++)
		if (t->backings[i].fd == r->fd)
			return t->backings[i].ino;
	return 0;
}

/* Best effort: without the cache the next attach asks the monitor again. */
static void cache_store(struct vl_target *t)
{
	_cleanup_free_ char *path = cache_path(t), *text = NULL;
	size_t len;
	FILE *f;

	if (!path)
		return;
	vl_tidy_run();
	f = open_memstream(&text, &len);
	if (!f)
		return;
	fputs(CACHE_HEADER, f);
	for (size_t i = 0; i < t->nr_ram; i++) {
		const struct vl_ram *r = &t->ram[i];

		fprintf(f, "%" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", r->gpa,
			r->size, r->hva, backing_ino(t, r), r->fd_offset);
	}
	if (fclose(f) == 0)
		vl_error_destroy(vl_file_store(path, text, len));
}

/* Do the ranges from @from on have the inode and the offset that the cache has? */
static bool as_cached(const struct vl_target *t, size_t from, uint64_t ino, uint64_t offset)
{
	for (size_t i = from; i < t->nr_ram; i++) {
		const struct vl_ram *r = &t->ram[i];

		if (backing_ino(t, r) != ino || (ino && r->fd_offset != offset))
			return false;
		offset += r->size;
	}
	return true;
}

bool vl_rammap_cached(struct vl_target *t)
{
	_cleanup_(vl_maps_close) struct vl_maps maps = { .fd = -1 };
	_cleanup_free_ char *text = NULL;
	_cleanup_error_ struct vl_error *err = NULL;
	_cleanup_free_ char *path = cache_path(t);

	if (!path || vl_read_file(AT_FDCWD, path, CACHE_MAX, &text, NULL) < 0 ||
	    strncmp(text, CACHE_HEADER, strlen(CACHE_HEADER)) != 0)
		goto no;
	err = vl_maps_open(&maps, t->pid);
	for (char *p = text + strlen(CACHE_HEADER); !err && *p; p++) {
		uint64_t gpa, size, hva, ino, offset;
		size_t from = t->nr_ram;

		if (sscanf(p, "%" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &gpa,
			   &size, &hva, &ino, &offset) != 5 ||
		    (err = add_range(t, &maps, gpa, size, hva)) || !as_cached(t, from, ino, offset))
			goto no;
		p = strchr(p, '\n');
		if (!p)
			goto no;
	}
	if (!err && t->nr_ram)
		err = vl_ram_finish(t);
	if (err || !t->nr_ram)
		goto no;
	t->map_cache = vl_taken(path);
	return true;
no:
	vl_ram_deinit(t);
	return false;
}

struct vl_error *vl_rammap_by_kmod(struct vl_target *t)
{
	_cleanup_free_ struct imee_slot *slots = NULL;
	const struct vl_error *why;
	struct vl_kmod *m = vl_target_kmod(t, &why);
	struct vl_error *err;
	size_t nr = 0;

	if (!m)
		return vl_error_hint(vl_error_new(why->code, "%s", why->message), "%s",
				     why->hint ? why->hint : "see imee(4)");
	err = vl_kmod_slots(m, &slots, &nr);
	for (size_t i = 0; !err && i < nr; i++) {
		/* Note no file: imee.ko maps any backing. */
		struct vl_ram r = {
			slots[i].gpa, slots[i].size, slots[i].hva, -1, 0, VL_PAGE_SIZE
		};

		/* Read-only slots are firmware; internal ones are KVM's own pages. */
		if (!slots[i].as_id &&
		    !(slots[i].flags & (IMEE_SLOT_READONLY | IMEE_SLOT_INTERNAL)))
			err = vl_ram_add(t, &r);
	}
	if (!err && !t->nr_ram)
		err = vl_error_hint(vl_error_new(VL_ERR_TARGET, "the guest has no memory"),
				    "is it still being set up?");
	return err ? err : vl_ram_finish(t);
}

/*
 * The least and the most that is taken for a guest's memory. Stacks of threads are smaller, and
 * no machine has more.
 */
#define PIECE_LEAST (16UL << 20)
#define PIECE_MOST (16UL << 40)
/* The place of the next piece of memory begins at a multiple of this. */
#define PIECE_ALIGN (1UL << 30)

/*
 * May @vma be memory of a guest? QEMU's buffer for translated code is executable. A device's
 * memory is not a regular file, and to read it might act.
 */
static bool is_piece(struct vl_target *t, const struct vl_vma *vma)
{
	const struct vl_backing *b;

	if (!vma->writable || vma->executable || vma->end - vma->start < PIECE_LEAST ||
	    vma->end - vma->start > PIECE_MOST)
		return false;
	if (!vma->ino || !vma->shared)
		return true;
	b = backing(t, vma);
	return b && b->fd >= 0;
}

/* Is @b the next part of the same file? Anonymous parts are joined by the host's kernel. */
static bool follows(const struct vl_vma *a, const struct vl_vma *b)
{
	return a->end == b->start && a->ino && a->ino == b->ino && a->dev == b->dev &&
	       a->offset + (a->end - a->start) == b->offset && a->shared == b->shared &&
	       a->writable == b->writable && a->executable == b->executable;
}

/* Is a part of the same file mapped in one of @nr other pieces? */
static bool is_second(const struct vl_vma *vma, const struct vl_vma *others, size_t nr)
{
	for (size_t i = 0; vma->ino && vma->shared && i < nr; i++)
		if (others[i].ino == vma->ino && others[i].dev == vma->dev &&
		    others[i].offset < vma->offset + (vma->end - vma->start) &&
		    vma->offset < others[i].offset + (others[i].end - others[i].start))
			return true;
	return false;
}

static int by_size(const void *a, const void *b)
{
	const struct vl_vma *x = a, *y = b;
	uint64_t xs = x->end - x->start, ys = y->end - y->start;

	return xs != ys ? (xs < ys) - (xs > ys) : (x->start > y->start) - (x->start < y->start);
}

/* Find the largest pieces among the @nr mappings @all; returns how many. */
static size_t find_pieces(struct vl_target *t, const struct vl_vma *all, size_t nr,
			  struct vl_vma ret[VL_PIECES])
{
	size_t found = 0;

	for (size_t i = 0; i < nr; i++) {
		struct vl_vma v = all[i];

		while (i + 1 < nr && follows(&all[i], &all[i + 1]))
			v.end = all[++i].end;
		if (!is_piece(t, &v) || is_second(&v, ret, found))
			continue;
		if (found < VL_PIECES)
			ret[found++] = v;
		else if (by_size(&v, &ret[found - 1]) < 0)
			ret[found - 1] = v;
		qsort(ret, found, sizeof(*ret), by_size);
	}
	return found;
}

struct vl_error *vl_rammap_by_mappings(struct vl_target *t)
{
	_cleanup_(vl_maps_close) struct vl_maps maps = { .pid = t->pid, .fd = -1 };
	struct vl_piece pieces[VL_PIECES];
	struct vl_vma vmas[VL_PIECES];
	struct vl_error *err = vl_maps_read(&maps);
	size_t nr = err ? 0 : find_pieces(t, maps.all, maps.nr, vmas);
	uint64_t at = 0;

	for (size_t i = 0; i < nr && !err; i++) {
		pieces[i] = (struct vl_piece){ at, vmas[i].end - vmas[i].start, vmas[i].start,
					       !vmas[i].ino };
		err = add_range(t, &maps, at, pieces[i].size, pieces[i].hva);
		/* A huge page that was not touched must not be read, either. */
		if (!err && t->ram[t->nr_ram - 1].page_size > VL_PAGE_SIZE)
			pieces[i].sparse = true;
		at += (pieces[i].size | (PIECE_ALIGN - 1)) + 1;
	}
	/* The mappings are of this process only if it has not ended since. */
	if (!err)
		err = vl_target_alive(t);
	if (!err && !nr)
		err = vl_error_hint(vl_error_new(VL_ERR_TARGET,
						 "process %d has no memory of a guest",
						 (int)t->pid),
				    "find the guest's with: pgrep -a 'qemu|firecracker|cloud-hyper|"
				    "crosvm'");
	if (!err)
		err = vl_ram_finish(t);
	return err ? err : vl_ram_unplaced(t, pieces, nr);
}

struct vl_error *vl_rammap_build(struct vl_target *t, vl_hmp_fn *hmp, void *ctx)
{
	_cleanup_free_ struct vl_hmp_range *ranges = NULL;
	_cleanup_(vl_maps_close) struct vl_maps maps = { .fd = -1 };
	_cleanup_free_ char *text = NULL;
	uint64_t deadline = vl_now_ns() + BUILD_TIMEOUT_NS;
	struct vl_error *err;
	size_t nr;

	/*
	 * Read the mappings first: without that right all else fails, with less helpful messages.
	 */
	err = vl_maps_open(&maps, t->pid);
	if (!err)
		err = hmp(ctx, "info mtree -f", &text);
	if (!err)
		err = vl_hmp_mtree(text, &ranges, &nr);
	if (err)
		return err;
	for (size_t i = 0; i < nr; i++) {
		_cleanup_free_ char *answer = NULL;
		char command[64];
		uint64_t hva;

		snprintf(command, sizeof(command), "gpa2hva 0x%" PRIx64, ranges[i].gpa);
		if (vl_now_ns() >= deadline)
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET, "the monitor answers too slowly"),
				"is process %d stuck, or the host overloaded?", (int)t->pid);
		err = hmp(ctx, command, &answer);
		if (!err)
			err = vl_hmp_gpa2hva(answer, &hva);
		if (!err)
			err = add_range(t, &maps, ranges[i].gpa, ranges[i].size, hva);
		if (err)
			return err;
	}
	err = vl_ram_finish(t);
	if (!err)
		cache_store(t);
	return err;
}
