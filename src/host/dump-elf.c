/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ELF dump. The segments are guest-physical memory. The notes are the vCPUs' registers, if QEMU
 * wrote them; cores of other tools (/proc/vmcore, /proc/kcore) have none that we need. A core of
 * the QEMU process (gcore) has the guest's memory as one of its segments.
 */
#include "dump.h"

#include <gelf.h>

#include "notes.h"

#define GUEST_HINT "make a dump with: vlens dump GUEST FILE"

/* A segment without a physical address: the vmalloc area in /proc/kcore. */
#define NO_ADDRESS UINT64_MAX

/* One dump with paging has a million segments. libelf reads the headers of all. */
#define SEGMENTS_MAX (4UL << 20)

static bool has_memory(const GElf_Phdr *ph)
{
	return ph->p_type == PT_LOAD && ph->p_filesz >= VL_PAGE_SIZE && ph->p_paddr != NO_ADDRESS;
}

struct segments {
	size_t nr;     /* with memory */
	bool physical; /* one of them has a physical address other than 0 */
	GElf_Phdr largest;
};

/* The memory of a machine is made of whole MiBs. QEMU's buffer for translated code is not. */
#define WHOLE (1UL << 20)

/* Is @a more likely to be the guest's memory, among the segments of a process, than @b? */
static bool is_larger(const GElf_Phdr *a, const GElf_Phdr *b)
{
	bool whole = !(a->p_filesz % WHOLE);

	if (whole != !(b->p_filesz % WHOLE))
		return whole;
	return a->p_filesz > b->p_filesz;
}

/* Add the segments as RAM ranges; an error unless all of them lie within the file. */
static struct vl_error *add_segments(struct vl_target *t, Elf *elf, const struct vl_dump *d,
				     struct segments *ret)
{
	struct vl_error *err;
	uint64_t need = 0;
	size_t phnum;

	if (elf_getphdrnum(elf, &phnum) < 0)
		return vl_dump_truncated(0, d->size);
	if (phnum > SEGMENTS_MAX)
		return vl_dump_unknown(d->fd);
	for (size_t i = 0; i < phnum; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, (int)i, &ph))
			return vl_dump_truncated(0, d->size);
		if (ph.p_type != PT_NOTE && !has_memory(&ph))
			continue;
		if (ph.p_filesz > UINT64_MAX - ph.p_offset)
			return vl_dump_unknown(d->fd);
		if (ph.p_offset + ph.p_filesz > need)
			need = ph.p_offset + ph.p_filesz;
		if (!has_memory(&ph))
			continue;
		if (ph.p_paddr % VL_PAGE_SIZE || ph.p_paddr > UINT64_MAX - ph.p_filesz)
			return vl_dump_unknown(d->fd);
		ret->nr++;
		ret->physical |= ph.p_paddr != 0;
		if (!ret->largest.p_filesz || is_larger(&ph, &ret->largest))
			ret->largest = ph;
		err = vl_ram_add(t, &(struct vl_ram){
					    .gpa = ph.p_paddr,
					    .size = ph.p_filesz & ~(VL_PAGE_SIZE - 1),
					    .fd = d->fd,
					    .fd_offset = ph.p_offset,
					    .page_size = VL_PAGE_SIZE,
				    });
		if (err)
			return err;
	}
	if (need > d->size)
		return vl_dump_truncated(need, d->size);
	if (!ret->nr)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file holds no guest memory"),
				     GUEST_HINT);
	return NULL;
}

/*
 * Add the memory and the registers. The segments of a process's core have virtual addresses only:
 * the largest, of those of whole MiBs, is the guest's memory.
 */
static struct vl_error *add(struct vl_target *t, Elf *elf, struct vl_dump *d)
{
	struct segments seg = { 0 };
	bool done;
	struct vl_error *err = vl_dump_load_xen(t, elf, d, &done);

	if (err || done)
		return err;
	err = add_segments(t, elf, d, &seg);

	if (!err)
		err = vl_notes_vcpus(elf, &d->vcpus, &d->nr_vcpus);
	if (err)
		return err;
	d->moved = vl_notes_moved(elf);
	if (d->nr_vcpus || seg.physical || seg.nr == 1)
		return vl_ram_finish(t);
	vl_ram_deinit(t);
	return vl_dump_set_flat(t, d, seg.largest.p_offset, seg.largest.p_filesz);
}

/* The architecture, of those that a dump can be of, in words for a message. */
static const char *machine_of(const GElf_Ehdr *eh)
{
	switch (eh->e_machine) {
	case EM_AARCH64:
		return " of an arm64 machine";
	case EM_ARM:
		return " of an ARM machine";
	case EM_PPC64:
		return " of a POWER machine";
	case EM_RISCV:
		return " of a RISC-V machine";
	case EM_S390:
		return " of an IBM Z machine";
	default:
		return "";
	}
}

struct vl_error *vl_dump_load_elf(struct vl_target *t, struct vl_dump *d)
{
	struct vl_error *err;
	GElf_Ehdr eh;
	Elf *elf;

	elf_version(EV_CURRENT);
	/* Read, not mapped: a file that is truncated meanwhile would end us by SIGBUS. */
	elf = elf_begin(d->fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &eh))
		err = vl_dump_unknown(d->fd);
	else if (eh.e_type != ET_CORE || (eh.e_machine != EM_X86_64 && eh.e_machine != EM_386))
		err = vl_error_hint(
			vl_error_new(VL_ERR_TARGET,
				     "the file is an ELF file%s, but no dump of an x86 guest",
				     machine_of(&eh)),
			GUEST_HINT);
	else
		err = add(t, elf, d);
	elf_end(elf);
	return err;
}

struct vl_error *vl_dump_elf_registers(int fd, struct vl_registers **ret, size_t *nr_ret,
				       unsigned int *machine_ret)
{
	struct vl_error *err = NULL;
	GElf_Ehdr eh;
	Elf *elf;

	*nr_ret = 0;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &eh)) {
		*machine_ret = eh.e_machine;
		err = vl_notes_registers(elf, ret, nr_ret);
	}
	elf_end(elf);
	return err;
}
