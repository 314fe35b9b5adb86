/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks of page tables that a guest has made: rights by all levels, and tables without an end. */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem/paging.h"
#include "tap.h"
#include "view/collect.h"

#define PAGES 16
#define ENTRIES 512
#define FILE_RAM 4096
#define TABLE (X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_US)

/* A dump whose RAM is @ram. */
static struct vl_target *open_dump(const void *ram, size_t size)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		/* QEMU's note: only its version and size are checked. */
		unsigned char note[20 + 440];
	} head = {
		.eh = { .e_ident = ELFMAG,
			.e_type = ET_CORE,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_phoff = sizeof(head.eh),
			.e_ehsize = sizeof(head.eh),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2 },
		.ph = { { .p_type = PT_NOTE,
			  .p_offset = sizeof(head.eh) + sizeof(head.ph),
			  .p_filesz = sizeof(head.note) },
			{ .p_type = PT_LOAD,
			  .p_offset = FILE_RAM,
			  .p_filesz = size,
			  .p_memsz = size } },
		.note = { 5, 0, 0, 0, 440 & 0xff, 440 >> 8 },
	};
	struct vl_target_options options = { 0 };
	char path[] = "/tmp/vlens-pages-XXXXXX";
	struct vl_target *ret = NULL;
	int fd = mkstemp(path);

	head.eh.e_ident[EI_CLASS] = ELFCLASS64;
	head.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	head.eh.e_ident[EI_VERSION] = EV_CURRENT;
	memcpy(head.note + 12, "QEMU", 5);
	head.note[20] = 1;
	head.note[24] = 440 & 0xff;
	head.note[25] = 440 >> 8;
	if (fd < 0 || pwrite(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    pwrite(fd, ram, size, FILE_RAM) != (ssize_t)size ||
	    vl_discard(vl_target_open(path, &options, &ret)))
		ret = NULL;
	close(fd);
	unlink(path);
	return ret;
}

struct seen {
	uint64_t nr, va, flags;
};

static bool see(void *ctx, const struct vl_leaf *leaf)
{
	struct seen *s = ctx;

	s->nr++;
	s->va = leaf->va;
	s->flags = leaf->flags;
	return true;
}

int main(void)
{
	const struct vl_space space = { .root = 0, .levels = 4 };
	uint64_t(*table)[ENTRIES] = calloc(PAGES, sizeof(*table));
	struct seen s;
	struct vl_target *t;
	bool whole;

	if (!table)
		return 1;
	/*
	 * One page, which the process can execute by its own entry, but not by the table above it.
	 */
	for (uint64_t i = 0; i < 3; i++)
		table[i][0] = (i + 1) * VL_PAGE_SIZE | TABLE;
	table[3][0] = 4 * VL_PAGE_SIZE | TABLE;
	table[1][0] &= ~X86_PTE_US;
	t = open_dump(table, PAGES * sizeof(*table));
	s = (struct seen){ 0 };
	ok(t && vl_pages_executable(t, &space, 0, ~0UL >> 17, see, &s) && s.nr == 1 &&
		   !(s.flags & X86_PTE_US),
	   "a page is the process's if the entries of all levels say so");
	vl_target_close(t);
	table[1][0] |= X86_PTE_US;
	t = open_dump(table, PAGES * sizeof(*table));
	s = (struct seen){ 0 };
	ok(t && vl_pages_executable(t, &space, 0, ~0UL >> 17, see, &s) && s.nr == 1 &&
		   s.flags & X86_PTE_US,
	   "and then it is");
	vl_target_close(t);
	/* In front of the way to it, at each level: a table that is not in RAM. */
	for (uint64_t i = 0; i < 3; i++) {
		memset(table, 0, PAGES * sizeof(*table));
		for (uint64_t k = 0; k < 4; k++)
			table[k][k == i] = (k + 1) * VL_PAGE_SIZE | TABLE;
		table[i][0] = PAGES * VL_PAGE_SIZE | TABLE;
		t = open_dump(table, PAGES * sizeof(*table));
		s = (struct seen){ 0 };
		ok(t && vl_pages_executable(t, &space, 0, ~0UL >> 17, see, &s) && s.nr == 1 &&
			   s.va == 1UL << (39 - 9 * i),
		   "what a table of level %lu leads to is seen behind one that cannot be read",
		   (unsigned long)(4 - i));
		s = (struct seen){ 0 };
		ok(t && vl_pages_each(t, &space, 0, ~0UL >> 17, see, &s) && s.nr == 1,
		   "and where all pages are wanted");
		vl_target_close(t);
	}
	/* Each entry of three tables leads to the next table. */
	for (uint64_t i = 0; i < 3; i++)
		for (uint64_t k = 0; k < ENTRIES; k++)
			table[i][k] = (i + 1) * VL_PAGE_SIZE | TABLE;
	t = open_dump(table, PAGES * sizeof(*table));
	s = (struct seen){ 0 };
	whole = t && vl_pages_each(t, &space, 0, ~0UL >> 17, see, &s);
	/* The guest has 16 pages, so 8192 tables are many more than it can have. */
	ok(t && !whole && s.nr && s.nr <= 8192,
	   "tables that lead to each other end soon in a small guest: %lu pages",
	   (unsigned long)s.nr);
	vl_target_close(t);
	free(table);
	return tap_end();
}
