/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A core of a Xen guest, as of `xl dump-core`: an ELF file without segments. The pages of memory
 * are a section, and the numbers of these pages are another (docs/misc/dump-core-format.txt of
 * Xen).
 */
#include "facts.h"

#include <gelf.h>
#include <string.h>

#include "../base/cleanup.h"

/* 64 TiB. */
#define FRAMES_MAX (1UL << 34)
#define FRAMES_AT_ONCE 4096

struct sections {
	GElf_Shdr pages, frames;
	bool has_pages, has_frames, is_pv;
};

static bool find_sections(Elf *elf, struct sections *ret)
{
	Elf_Scn *section = NULL;
	GElf_Shdr sh;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return false;
	while ((section = elf_nextscn(elf, section))) {
		const char *name;

		if (!gelf_getshdr(section, &sh))
			continue;
		name = elf_strptr(elf, names, sh.sh_name);
		if (!name)
			continue;
		if (!strcmp(name, ".xen_pages")) {
			ret->pages = sh;
			ret->has_pages = true;
		} else if (!strcmp(name, ".xen_pfn")) {
			ret->frames = sh;
			ret->has_frames = true;
		} else if (!strcmp(name, ".xen_p2m")) {
			ret->is_pv = true;
		}
	}
	return ret->has_pages;
}

static struct vl_error *damaged(const char *how)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the Xen core is damaged: %s", how),
			     "make it again: xl dump-core DOMAIN FILE");
}

static struct vl_error *add_run(struct vl_facts *f, const struct sections *s, uint64_t first,
				uint64_t nr, uint64_t frame)
{
	return vl_facts_add(f, frame * VL_PAGE_SIZE, nr * VL_PAGE_SIZE,
			    s->pages.sh_offset + first * VL_PAGE_SIZE);
}

/* Add a range for each run of pages that follow each other. */
static struct vl_error *add_pages(struct vl_facts *f, int fd, const struct sections *s, uint64_t nr)
{
	_cleanup_free_ uint64_t *frames = malloc(FRAMES_AT_ONCE * sizeof(*frames));
	uint64_t run = 0, first = 0, start = 0;
	struct vl_error *err = NULL;

	if (!frames)
		return vl_error_nomem();
	for (uint64_t i = 0; !err && i < nr; i++) {
		const uint64_t at = i % FRAMES_AT_ONCE;
		uint64_t n = nr - i < FRAMES_AT_ONCE ? nr - i : FRAMES_AT_ONCE;

		if (!at && pread(fd, frames, n * sizeof(*frames),
				 (off_t)(s->frames.sh_offset + i * sizeof(*frames))) !=
				   (ssize_t)(n * sizeof(*frames)))
			return damaged("the numbers of its pages are cut short");
		if (run && frames[at] == start + run) {
			run++;
			continue;
		}
		if (run)
			err = add_run(f, s, first, run, start);
		/* A page that the guest does not have is all ones. */
		run = frames[at] < FRAMES_MAX;
		first = i;
		start = frames[at];
	}
	if (!err && run)
		err = add_run(f, s, first, run, start);
	return err;
}

struct vl_error *vl_dump_find_xen(struct Elf *elf, int fd, uint64_t size, bool partial,
				  struct vl_facts *ret, bool *done_ret)
{
	struct sections s = { .has_pages = false };
	struct vl_error *err;
	uint64_t nr, end;
	size_t segments;

	/* Other files have segments, and no section is needed. */
	*done_ret = !elf_getphdrnum(elf, &segments) && !segments && find_sections(elf, &s);
	if (!*done_ret)
		return NULL;
	if (!s.has_frames)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the file is a Xen core of a guest that %s",
				     s.is_pv ? "is paravirtualized (PV)" : "is not known"),
			"only guests with virtualized memory (HVM, PVH) are understood");
	nr = s.frames.sh_size / sizeof(uint64_t);
	if (nr > FRAMES_MAX || __builtin_add_overflow(s.pages.sh_offset, nr * VL_PAGE_SIZE, &end) ||
	    nr * VL_PAGE_SIZE > s.pages.sh_size)
		return damaged("it has fewer pages than numbers of pages");
	if (end > size && !partial)
		return vl_dump_cut_off(end, size);
	err = add_pages(ret, fd, &s, nr);
	if (err)
		return err;
	return ret->nr ? NULL : damaged("it holds no memory");
}
