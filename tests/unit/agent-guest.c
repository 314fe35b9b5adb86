/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_RAM 4096UL /* where the RAM is in the file */

char path[] = "/tmp/vlens-agent-XXXXXX";
unsigned char *ram, *high;
uint64_t next_table;

struct vl_target *target;
struct vl_reader *direct, *kvm;
struct vl_space space;
unsigned compared, different;

uint64_t *entry(uint64_t root, uint64_t va, int from, int to)
{
	uint64_t *table = (uint64_t *)(ram + root);

	for (int level = from; level > to; level--) {
		uint64_t *e = &table[vl_pgtable_index(va, level)];

		if (!*e) {
			*e = next_table | X86_PTE_P | X86_PTE_RW | X86_PTE_US | X86_PTE_A;
			next_table += VL_PAGE_SIZE;
		}
		table = (uint64_t *)(ram + (*e & X86_PTE_ADDR));
	}
	return &table[vl_pgtable_index(va, to)];
}

static void make_small(uint64_t root, int levels)
{
	for (unsigned i = 0; i < 512; i++) {
		uint64_t gpa = DATA_GPA + (uint64_t)(i * 37 % 512) * VL_PAGE_SIZE;
		uint64_t e = gpa | LEAF | X86_PTE_NX;

		switch (i % 16) {
		case 1: /* not present */
			e = 0xdead000;
			break;
		case 2: /* never used: the processor would set its accessed bit */
			e &= ~(X86_PTE_A | X86_PTE_D);
			break;
		case 3: /* a hole behind the RAM */
			e = (RAM_SIZE + gpa) | LEAF;
			break;
		case 4: /* writable, of user mode */
			e |= X86_PTE_RW | X86_PTE_US;
			break;
		case 5: /* the second range */
			e = (HIGH_GPA + (i * VL_PAGE_SIZE) % HIGH_SIZE) | LEAF;
			break;
		}
		*entry(root, SMALL + i * VL_PAGE_SIZE, levels, 1) = e;
	}
}

uint64_t make_root(int levels)
{
	uint64_t root = next_table;

	next_table += VL_PAGE_SIZE;
	for (uint64_t at = 0; at <= RAM_SIZE; at += 2 << 20)
		*entry(root, DIRECT_MAP + at, levels, 2) =
			at | LEAF | X86_PTE_PS | X86_PTE_RW | X86_PTE_NX;
	*entry(root, GIANT, levels, 3) = LEAF | X86_PTE_PS | X86_PTE_RW | X86_PTE_NX;
	*entry(root, HIGH_MAP, levels, 2) = HIGH_GPA | LEAF | X86_PTE_PS | X86_PTE_NX;
	*entry(root, TEXT, levels, 2) = TEXT_GPA | LEAF | X86_PTE_PS;
	*entry(root, USER, levels, 1) = DATA_GPA | LEAF | X86_PTE_US;
	/* The next page lies outside of RAM. */
	*entry(root, USER + 4096, levels, 1) = (RAM_SIZE + 4096) | LEAF | X86_PTE_US;
	make_small(root, levels);
	return root;
}

static uint64_t prng = 88172645463325252;

uint64_t random_u64(void)
{
	prng ^= prng << 13;
	prng ^= prng >> 7;
	prng ^= prng << 17;
	return prng;
}

/* An ELF core of two segments, whose memory is on page boundaries in the file. */
bool make_dump(void)
{
	Elf64_Ehdr eh = { .e_ident = ELFMAG,
			  .e_type = ET_CORE,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = sizeof(eh),
			  .e_ehsize = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 3 };
	unsigned char note[20 + 440] = { 4, 0, 0, 0, 440 & 0xff, 440 >> 8 };
	Elf64_Phdr ph[3] = {
		{ .p_type = PT_NOTE, .p_offset = 1024, .p_filesz = sizeof(note) },
		{ .p_type = PT_LOAD,
		  .p_offset = FILE_RAM,
		  .p_filesz = RAM_SIZE,
		  .p_memsz = RAM_SIZE },
		{ .p_type = PT_LOAD,
		  .p_offset = FILE_RAM + RAM_SIZE,
		  .p_paddr = HIGH_GPA,
		  .p_filesz = HIGH_SIZE,
		  .p_memsz = HIGH_SIZE },
	};
	int fd = mkstemp(path);
	unsigned char *all;

	if (fd < 0 || ftruncate(fd, FILE_RAM + RAM_SIZE + HIGH_SIZE))
		return false;
	all = mmap(NULL, FILE_RAM + RAM_SIZE + HIGH_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   0);
	close(fd);
	if (all == MAP_FAILED)
		return false;
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	/* Name "QEMU", padded; of the registers only version and size are looked at. */
	note[0] = 5;
	memcpy(note + 12, "QEMU", 5);
	note[20] = 1;
	note[24] = 440 & 0xff;
	note[25] = 440 >> 8;
	memcpy(all, &eh, sizeof(eh));
	memcpy(all + sizeof(eh), ph, sizeof(ph));
	memcpy(all + 1024, note, sizeof(note));
	ram = all + FILE_RAM;
	high = ram + RAM_SIZE;
	return true;
}

void put64(uint64_t gpa, uint64_t v)
{
	memcpy(ram + gpa, &v, sizeof(v));
}

void changed(void)
{
	struct vl_reader_options how = { "direct" };

	vl_reader_close(direct);
	vl_error_destroy(vl_reader_open(target, NULL, &how, &direct));
}

struct vl_kvm_stats stats(void)
{
	struct vl_kvm_stats ret;

	vl_kvm_stats(kvm->engine, &ret);
	return ret;
}

void same(uint64_t va, size_t len)
{
	static unsigned char a[4 << 20], b[4 << 20];
	enum vl_read_status sa = vl_read(direct, &space, va, a, len);
	enum vl_read_status sb = vl_read(kvm, &space, va, b, len);
	uint64_t fa = vl_reader_fault(direct), fb = vl_reader_fault(kvm);

	compared++;
	if (sa == sb && !memcmp(a, b, len) && (!sa || fa == fb))
		return;
	if (different++ < 10)
		printf("# 0x%lx %zu: %s at 0x%lx, not %s at 0x%lx\n", (unsigned long)va, len,
		       vl_read_strstatus(sb), (unsigned long)fb, vl_read_strstatus(sa),
		       (unsigned long)fa);
}
