/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "handmade.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_RAM 4096UL

void *guest_page(struct guest *g, unsigned page)
{
	return g->own + page * VL_PAGE_SIZE;
}

uint64_t *guest_leaf(struct guest *g, uint64_t va)
{
	uint64_t *table = guest_page(g, 0);

	for (int level = 4; level > 1; level--) {
		uint64_t *e = &table[vl_pgtable_index(va, level)];

		if (!*e)
			*e = (OWN_GPA + (1 + g->next_table++) * VL_PAGE_SIZE) | X86_PTE_P |
			     X86_PTE_RW | X86_PTE_A;
		table = guest_page(g, (unsigned)(((*e & X86_PTE_ADDR) - OWN_GPA) / VL_PAGE_SIZE));
	}
	return &table[vl_pgtable_index(va, 1)];
}

void guest_map(struct guest *g, uint64_t va, uint64_t gpa)
{
	*guest_leaf(g, va) = gpa | X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D;
}

uint64_t guest_pattern(uint64_t gpa)
{
	return gpa * 0x9e3779b97f4a7c15UL + 1;
}

/* A dump with RAM in which each page begins with its pattern. */
static bool make_dump(char *path)
{
	Elf64_Ehdr eh = { .e_ident = ELFMAG,
			  .e_type = ET_CORE,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 };
	/* QEMU's note: only its version and size are checked. */
	unsigned char note[20 + 440] = { 5, 0, 0, 0, 440 & 0xff, 440 >> 8 };
	Elf64_Phdr ph[2] = {
		{ .p_type = PT_NOTE, .p_offset = 1024, .p_filesz = sizeof(note) },
		{ .p_type = PT_LOAD,
		  .p_offset = FILE_RAM,
		  .p_filesz = RAM_SIZE,
		  .p_memsz = RAM_SIZE },
	};
	int fd = mkstemp(path);
	bool good;

	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	memcpy(note + 12, "QEMU", 5);
	note[20] = 1;
	note[24] = 440 & 0xff;
	note[25] = 440 >> 8;
	good = fd >= 0 && !ftruncate(fd, FILE_RAM + RAM_SIZE) &&
	       pwrite(fd, &eh, sizeof(eh), 0) == sizeof(eh) &&
	       pwrite(fd, ph, sizeof(ph), sizeof(eh)) == sizeof(ph) &&
	       pwrite(fd, note, sizeof(note), 1024) == sizeof(note);
	for (uint64_t at = 0; good && at < RAM_SIZE; at += VL_PAGE_SIZE) {
		uint64_t word = guest_pattern(at);

		good = pwrite(fd, &word, sizeof(word), (off_t)(FILE_RAM + at)) == sizeof(word);
	}
	close(fd);
	return good;
}

bool guest_make(struct guest *g)
{
	struct vl_target_options to = { 0 };
	char path[] = "/tmp/vlens-guest-XXXXXX";
	bool open;

	*g = (struct guest){ 0 };
	g->own = mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	open = g->own != MAP_FAILED && make_dump(path) &&
	       !vl_discard(vl_target_open(path, &to, &g->target));
	/* The file has no name from here on: no test leaves it behind. */
	unlink(path);
	return open && !vl_discard(vl_snapshot_create(g->target, true, &g->view));
}

void guest_unmake(struct guest *g)
{
	vl_snapshot_destroy(g->view);
	vl_target_close(g->target);
	munmap(g->own, OWN_SIZE);
}
