/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ELF dump. The segments are guest-physical memory. The notes are the vCPUs' registers, if QEMU
 * wrote them; cores of other tools (/proc/vmcore, /proc/kcore) have none that we need. A core of
 * the QEMU process (gcore) has the guest's memory as one of its segments.
 *
 * A pass in a box reads the headers and the notes. The privileged process reads none of them.
 */
#include "facts.h"

#include <gelf.h>

#include "notes.h"

#define GUEST_HINT "make a dump with: vlens dump GUEST FILE"

/* A segment without a physical address: the vmalloc area in /proc/kcore. */
#define NO_ADDRESS UINT64_MAX

static bool has_memory(const GElf_Phdr *ph)
{
	return ph->p_type == PT_LOAD && ph->p_filesz >= VL_PAGE_SIZE && ph->p_paddr != NO_ADDRESS;
}

struct segments {
	size_t nr;     /* with memory */
	bool physical; /* a segment has a physical address other than 0 */
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

/* The file with the segments. */
struct file {
	Elf *elf;
	int fd;
	uint64_t size;
	bool partial;
};

/* Add the segments with memory; an error unless all of them lie within the file. */
static struct vl_error *add_segments(const struct file *in, struct vl_facts *f,
				     struct segments *ret)
{
	struct vl_error *err;
	uint64_t need = 0;
	size_t phnum;

	if (elf_getphdrnum(in->elf, &phnum) < 0)
		return vl_dump_truncated(0, in->size);
	/* libelf reads all headers. */
	if (phnum > VL_FACT_RANGES_MAX)
		return vl_dump_unknown(in->fd);
	for (size_t i = 0; i < phnum; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(in->elf, (int)i, &ph))
			return vl_dump_truncated(0, in->size);
		if (ph.p_type != PT_NOTE && !has_memory(&ph))
			continue;
		if (ph.p_filesz > UINT64_MAX - ph.p_offset)
			return vl_dump_damaged("a segment ends behind all offsets");
		if (ph.p_offset + ph.p_filesz > need)
			need = ph.p_offset + ph.p_filesz;
		if (!has_memory(&ph))
			continue;
		if (ph.p_paddr % VL_PAGE_SIZE || ph.p_paddr > UINT64_MAX - ph.p_filesz)
			return vl_dump_damaged("a segment of memory does not begin with a page");
		ret->nr++;
		ret->physical |= ph.p_paddr != 0;
		if (!ret->largest.p_filesz || is_larger(&ph, &ret->largest))
			ret->largest = ph;
		err = vl_facts_add(f, ph.p_paddr, ph.p_filesz, ph.p_offset);
		if (err)
			return err;
	}
	if (need > in->size && !in->partial)
		return vl_dump_cut_off(need, in->size);
	if (!ret->nr)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file holds no guest memory"),
				     GUEST_HINT);
	return NULL;
}

/*
 * Find the memory and the registers. The segments of a process's core have virtual addresses only:
 * the largest, of those of whole MiBs, is the guest's memory.
 */
static struct vl_error *find(const struct file *in, struct vl_facts *f)
{
	struct segments seg = { 0 };
	bool done;
	struct vl_error *err = vl_dump_find_xen(in->elf, in->fd, in->size, in->partial, f, &done);

	if (err || done)
		return err;
	err = add_segments(in, f, &seg);
	if (!err)
		err = vl_notes_registers(in->elf, &f->registers, &f->nr_vcpus);
	/* The notes may be cut off. */
	if (err && in->partial && seg.nr) {
		vl_error_destroy(err);
		err = NULL;
	}
	if (err)
		return err;
	f->head.moved = vl_notes_moved(in->elf);
	if (f->nr_vcpus || seg.physical || seg.nr == 1)
		return NULL;
	f->nr = 0;
	f->head.flat = 1;
	return vl_facts_add(f, 0, seg.largest.p_filesz, seg.largest.p_offset);
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

/* In a box. */
static struct vl_error *index_elf(const struct vl_index_job *job, struct vl_index *ret)
{
	struct vl_facts f = { .nr = 0 };
	struct file in = { .fd = job->fd, .size = job->size, .partial = job->partial };
	struct vl_error *err;
	GElf_Ehdr eh;

	elf_version(EV_CURRENT);
	/* Read the file instead of mapping it: a truncation meanwhile would end us by SIGBUS. */
	in.elf = elf_begin(in.fd, ELF_C_READ, NULL);
	if (!in.elf || elf_kind(in.elf) != ELF_K_ELF || !gelf_getehdr(in.elf, &eh))
		err = vl_dump_unknown(in.fd);
	else if (eh.e_type != ET_CORE || (eh.e_machine != EM_X86_64 && eh.e_machine != EM_386))
		err = vl_error_hint(
			vl_error_new(VL_ERR_TARGET,
				     "the file is an ELF file%s, but no dump of an x86 guest",
				     machine_of(&eh)),
			GUEST_HINT);
	else
		err = find(&in, &f);
	f.head.machine = err ? 0 : eh.e_machine;
	if (!err)
		err = vl_facts_put(&f, ret);
	elf_end(in.elf);
	vl_facts_deinit(&f);
	return err;
}

struct vl_error *vl_dump_load_elf(struct vl_target *t, struct vl_dump *d)
{
	const struct vl_index_job job = { "elf1", index_elf, d->fd, 0, d->size, NULL, false };
	struct vl_index ix;
	struct vl_error *err = vl_index_open(t, &job, &ix);

	if (err)
		return err;
	err = vl_facts_take(t, d, &ix);
	vl_index_deinit(&ix);
	return err;
}
