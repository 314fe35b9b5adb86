/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Still memory: the bounds of its regions, its checksums, and what counts as a change. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "tap.h"
#include "host/internal.h"

/* Each layer has its own, of its own type. */
#undef VL_PAGE_SIZE
#include "mem/still.h"

#define PAGES 200UL
#define AT(page) ((page)*VL_PAGE_SIZE)
/* Two regions: pages 10 to 149, more than are read at a time, and 160 to 161. */
#define FIRST 10UL
#define END 150UL

static const struct vl_snapshot_still regions[VL_MAX_STILL] = {
	{ AT(FIRST), AT(END - FIRST) },
	{ AT(160), AT(2) },
};
static struct vl_target target; /* this process plays the hypervisor */
static unsigned char *ram;
static struct vl_still still;

/* A target whose memory is a file that can be mapped, or anonymous memory. */
static void open_target(bool mapped)
{
	int fd = mapped ? memfd_create("ram", MFD_ALLOW_SEALING | MFD_CLOEXEC) : -1;

	memset(&target, 0, sizeof(target));
	target.pid = getpid();
	target.pidfd = target.proc_mem = target.lock_fd = -1;
	if (fd >= 0 && (ftruncate(fd, AT(PAGES)) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)))
		perror("memfd");
	ram = mmap(NULL, AT(PAGES), PROT_READ | PROT_WRITE,
		   mapped ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	for (size_t i = 0; i < PAGES; i++)
		ram[AT(i) + 8] = (unsigned char)i;
	vl_error_destroy(vl_ram_add(
		&target, &(struct vl_ram){ 0, AT(PAGES), (uintptr_t)ram, fd, 0, VL_PAGE_SIZE }));
	vl_error_destroy(vl_ram_finish(&target));
}

static void close_target(void)
{
	munmap(ram, AT(PAGES));
	vl_ram_deinit(&target);
	vl_error_destroy(target.no_kmod);
}

static void note(size_t page)
{
	vl_still_note(&still, AT(page), ram + AT(page));
}

/* Is a change of @page a change of still memory? It is undone. */
static bool counts(size_t page, bool all)
{
	bool ret;

	ram[AT(page) + 4095] ^= 1;
	ret = vl_still_changed(&still, &target, all);
	ram[AT(page) + 4095] ^= 1;
	return ret;
}

static void test_bounds(void)
{
	ok(!vl_still_has(&still, AT(FIRST) - 1) && vl_still_has(&still, AT(FIRST)),
	   "a region begins at its first byte");
	ok(vl_still_has(&still, AT(END) - 1) && !vl_still_has(&still, AT(END)),
	   "and ends before the byte behind it");
	ok(vl_still_has(&still, AT(161)) && !vl_still_has(&still, AT(162)), "so does the last one");
	ok(!vl_still_has(&(struct vl_still){ 0 }, 0), "a region without a size has no byte");
}

static void test_notes(void)
{
	const uint64_t sum = vl_page_sum(ram + AT(20));

	ok(!vl_still_noted(&still, AT(20)), "nothing is noted before a page is copied");
	note(20);
	ok(vl_still_noted(&still, AT(20)) == sum && !vl_still_noted(&still, AT(19)) &&
		   !vl_still_noted(&still, AT(21)),
	   "then its checksum is, and no other");
	vl_still_note(&still, AT(20), ram + AT(21));
	ok(vl_still_noted(&still, AT(20)) == sum, "the first one stays");
	ok(sum != vl_page_sum(ram + AT(21)), "pages that differ have other checksums");
	ok(vl_still_note_code(&still, AT(180), ram + AT(180)) && still.nr_code == 1, "code");
	note(180);
	ok(!vl_still_noted(&still, AT(180)) && still.code->gpa == AT(180),
	   "a page in no region is not noted with the still ones");
}

static void test_large(void)
{
	const uint64_t most = 256UL << 20;
	struct vl_still s = { 0 };

	vl_still_set(&s, (struct vl_snapshot_still[VL_MAX_STILL]){
				 { 1UL << 30, most }, { 2UL << 30, most + VL_PAGE_SIZE } });
	ok(s.sums[0] && !s.sums[1], "a region of more than 256 MiB has no checksums");
	vl_still_note(&s, 2UL << 30, ram);
	ok(vl_still_has(&s, 2UL << 30) && !vl_still_noted(&s, 2UL << 30), "but is still");
	ok(!vl_still_changed(&s, &target, true), "and never changes");
	vl_still_deinit(&s);
}

static size_t filtered[8], nr_filtered;

static void filter(void *ctx, uint64_t gpa, unsigned char *page)
{
	(void)ctx;
	filtered[nr_filtered++] = gpa / VL_PAGE_SIZE;
	page[0] = 0xcc;
}

static void test_filter(void)
{
	unsigned char pages[4][4096] = { { 0 } };

	vl_still_filter(&still, AT(END - 2), pages[0], 4);
	ok(!nr_filtered && !vl_still_noted(&still, AT(END - 2)), "no filter, no notes");
	still.filter = filter;
	vl_still_filter(&still, AT(END - 2), pages[0], 3);
	ok(nr_filtered == 2 && filtered[0] == END - 2 && filtered[1] == END - 1,
	   "the filter gets the still pages, and no others");
	ok(pages[1][0] == 0xcc && !pages[2][0], "it changes these only");
	ok(vl_still_noted(&still, AT(END - 1)) &&
		   vl_still_noted(&still, AT(END - 1)) != vl_page_sum(pages[1]),
	   "the note is of what the guest had");
	still.filter = NULL;
}

/* @how: of the target's memory. */
static void test_changes(const char *how)
{
	const size_t noted[] = { FIRST, 40, 73, 74, 75, END - 1, 160, 161 };
	bool good = true;

	vl_still_deinit(&still);
	ok(!vl_still_changed(&still, &target, true), "%s: without still pages nothing changes",
	   how);
	vl_still_set(&still, regions);
	/* All but two: more than one batch, and the last one is not full. */
	for (size_t i = FIRST; i < END; i++)
		if (i != 30 && i != 31)
			note(i);
	note(160);
	note(161);
	ok(!vl_still_changed(&still, &target, true), "%s: nothing has changed", how);
	for (size_t i = 0; i < ARRAY_SIZE(noted); i++)
		if (!counts(noted[i], true)) {
			good = false;
			printf("# page %zu\n", noted[i]);
		}
	ok(good, "%s: a change of any noted page is noticed", how);
	ok(!counts(30, true) && !counts(31, true), "%s: none of a page that was not copied", how);
	ok(!counts(FIRST - 1, true) && !counts(END, true) && !counts(162, true),
	   "%s: none beside the regions", how);
	ok(!counts(40, false), "%s: still pages only if all are asked for", how);
	ok(vl_still_note_code(&still, AT(180), ram + AT(180)) && counts(180, false) &&
		   counts(180, true) && !counts(181, true) && !counts(40, false),
	   "%s: code that has run in any case", how);
	ok(!vl_still_changed(&still, &target, true), "%s: what changed back has not changed", how);
}

int main(void)
{
	open_target(false);
	vl_still_set(&still, regions);
	test_bounds();
	test_notes();
	test_large();
	test_filter();
	test_changes("anonymous");
	close_target();
	open_target(true);
	ok(vl_target_page(&target, AT(40)) != NULL, "memory that is mapped");
	test_changes("mapped");
	vl_still_deinit(&still);
	close_target();
	return tap_end();
}
