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
/* For all questions together. A machine has some ten ranges, and each takes a millisecond. */
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

struct vl_error *vl_rammap_by_module(struct vl_target *t)
{
	_cleanup_free_ struct imee_slot *slots = NULL;
	const struct vl_error *why;
	struct vl_kmod *m = vl_target_module(t, &why);
	struct vl_error *err;
	size_t nr = 0;

	if (!m)
		return vl_error_hint(vl_error_new(why->code, "%s", why->message), "%s",
				     why->hint ? why->hint : "see imee(4)");
	err = vl_kmod_slots(m, &slots, &nr);
	for (size_t i = 0; !err && i < nr; i++) {
		/* No file: the module maps any backing. */
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

struct vl_error *vl_rammap_build(struct vl_target *t, vl_hmp_fn *hmp, void *ctx)
{
	_cleanup_free_ struct vl_hmp_range *ranges = NULL;
	_cleanup_(vl_maps_close) struct vl_maps maps = { .fd = -1 };
	_cleanup_free_ char *text = NULL;
	uint64_t deadline = vl_now_ns() + BUILD_TIMEOUT_NS;
	struct vl_error *err;
	size_t nr;

	/* First: without the right to this, all else fails, with worse messages. */
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
