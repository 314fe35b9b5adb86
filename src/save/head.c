/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "head.h"

#include <elf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../host/internal.h"

/* Bytes for the kernel's note: it has one page (VMCOREINFO_BYTES in include/linux/crash_core.h). */
#define KERNEL_NOTE_MAX 8192UL
/* Bytes for our own note. */
#define SAID_MAX 1024UL

#define ALIGN4(n) (((n) + 3) & ~3UL)

/* What `struct elf_prstatus` of the machine has, with the registers at `at`. */
struct status64 {
	char signal[32];
	uint32_t pid;
	char times[76];
	uint64_t regs[27];
	char tail[8];
};

struct status32 {
	char signal[24];
	uint32_t pid;
	char times[44];
	uint32_t regs[17];
	char tail[4];
};

_Static_assert(sizeof(struct status64) == 336 && sizeof(struct status32) == 144,
	       "as the kernel and QEMU lay them out");

static const char kernel_name[] = "VMCOREINFO";

static size_t note_size(size_t name, size_t desc)
{
	return sizeof(Elf64_Nhdr) + ALIGN4(name) + ALIGN4(desc);
}

static size_t notes_size(const struct vl_head *h)
{
	return h->room_vcpus * (note_size(sizeof("CORE"), sizeof(struct status64)) +
				note_size(sizeof("QEMU"), VL_REGISTERS_NEW)) +
	       note_size(sizeof(kernel_name), KERNEL_NOTE_MAX) +
	       note_size(sizeof("VLENS"), SAID_MAX);
}

/* With more headers than fit into e_phnum, their number is in a section header (elf(5)). */
static bool has_section(const struct vl_head *h)
{
	return h->nr_segments + 1 >= PN_XNUM;
}

static size_t notes_at(const struct vl_head *h)
{
	return sizeof(Elf64_Ehdr) + (h->nr_segments + 1) * sizeof(Elf64_Phdr) +
	       (has_section(h) ? sizeof(Elf64_Shdr) : 0);
}

struct vl_error *vl_head_init(struct vl_head *h, const struct vl_target *t)
{
	size_t nr;
	const struct vl_ram *ram = vl_target_ram(t, &nr);

	*h = (struct vl_head){ .room_vcpus = 0 };
	h->segments = calloc(nr + 1, sizeof(*h->segments));
	if (!h->segments)
		return vl_error_nomem();
	for (size_t i = 0; i < nr; i++) {
		struct vl_segment *last = h->segments + h->nr_segments - 1;

		if (h->nr_segments && last->gpa + last->size == ram[i].gpa)
			last->size += ram[i].size;
		else
			h->segments[h->nr_segments++] =
				(struct vl_segment){ ram[i].gpa, ram[i].size };
	}
	return NULL;
}

void vl_head_fix(struct vl_head *h)
{
	h->room_vcpus = h->nr_vcpus;
	h->size = (notes_at(h) + notes_size(h) + VL_PAGE_SIZE - 1) & ~(VL_PAGE_SIZE - 1);
}

void vl_head_deinit(struct vl_head *h)
{
	free(h->segments);
	free(h->vcpus);
	free(h->kernel_note);
}

/* Is there a note of the kernel at @at of page @p? Then keep it. */
static bool keep_note(struct vl_head *h, const unsigned char *p, const unsigned char *next,
		      size_t at)
{
	static const char first[] = "OSRELEASE=";
	const size_t head = sizeof(Elf64_Nhdr) + ALIGN4(sizeof(kernel_name));
	size_t have = VL_PAGE_SIZE - at, len, here;
	Elf64_Nhdr nh;

	if (have < head + sizeof(first))
		return false;
	memcpy(&nh, p + at, sizeof(nh));
	len = nh.n_descsz;
	if (nh.n_namesz != sizeof(kernel_name) || nh.n_type != 0 || len < sizeof(first) ||
	    len > KERNEL_NOTE_MAX ||
	    memcmp(p + at + sizeof(nh), kernel_name, sizeof(kernel_name)) ||
	    memcmp(p + at + head, first, sizeof(first) - 1) != 0)
		return false;
	have -= head;
	if (len > have && (!next || len - have > VL_PAGE_SIZE))
		return false;
	h->kernel_note = malloc(len);
	if (!h->kernel_note)
		return false;
	here = len < have ? len : have;
	memcpy(h->kernel_note, p + at + head, here);
	if (len > here)
		memcpy(h->kernel_note + here, next, len - here);
	h->kernel_note_len = len;
	return true;
}

void vl_head_find_note(struct vl_head *h, const unsigned char *p, const unsigned char *next)
{
	const size_t name = sizeof(Elf64_Nhdr);
	uint32_t words[VL_PAGE_SIZE / 4], sought, found = 0;

	if (h->kernel_note)
		return;
	memcpy(words, p, sizeof(words));
	memcpy(&sought, kernel_name, sizeof(sought));
	/* Without a branch, so that the compiler compares many at once. */
	for (size_t i = 0; i < VL_PAGE_SIZE / 4; i++)
		found |= words[i] == sought;
	for (size_t i = name / 4; found && i < VL_PAGE_SIZE / 4; i++)
		if (words[i] == sought && keep_note(h, p, next, i * 4 - name))
			return;
}

/* ---- writing ---- */

static unsigned char *put_note(unsigned char *at, const char *name, uint32_t type, const void *desc,
			       size_t len)
{
	const Elf64_Nhdr nh = { .n_namesz = (uint32_t)strlen(name) + 1,
				.n_descsz = (uint32_t)len,
				.n_type = type };

	memcpy(at, &nh, sizeof(nh));
	at += sizeof(nh);
	memcpy(at, name, nh.n_namesz);
	at += ALIGN4(nh.n_namesz);
	memcpy(at, desc, len);
	return at + ALIGN4(len);
}

static unsigned char *put_status(unsigned char *at, const struct vl_registers *r, uint32_t number,
				 unsigned int machine)
{
	/* struct user_regs_struct of both; there is no system call to restart. */
	const struct status64 wide = {
		.pid = number,
		.regs = { r->r15,	  r->r14,	  r->r13,	 r->r12,
			  r->rbp,	  r->rbx,	  r->r11,	 r->r10,
			  r->r9,	  r->r8,	  r->rax,	 r->rcx,
			  r->rdx,	  r->rsi,	  r->rdi,	 0,
			  r->rip,	  r->cs.selector, r->rflags,	 r->rsp,
			  r->ss.selector, r->fs.base,	  r->gs.base,	 r->ds.selector,
			  r->es.selector, r->fs.selector, r->gs.selector },
	};
	const struct status32 narrow = {
		.pid = number,
		.regs = { (uint32_t)r->rbx, (uint32_t)r->rcx, (uint32_t)r->rdx, (uint32_t)r->rsi,
			  (uint32_t)r->rdi, (uint32_t)r->rbp, (uint32_t)r->rax, r->ds.selector,
			  r->es.selector, r->fs.selector, r->gs.selector, 0, (uint32_t)r->rip,
			  r->cs.selector, (uint32_t)r->rflags, (uint32_t)r->rsp, r->ss.selector },
	};

	return machine == EM_386 ? put_note(at, "CORE", NT_PRSTATUS, &narrow, sizeof(narrow)) :
				   put_note(at, "CORE", NT_PRSTATUS, &wide, sizeof(wide));
}

static unsigned char *put_registers(unsigned char *at, const struct vl_registers *r)
{
	struct vl_registers copy = *r;

	copy.size = r->size >= VL_REGISTERS_NEW ? VL_REGISTERS_NEW : VL_REGISTERS_OLD;
	return put_note(at, "QEMU", 0, &copy, copy.size);
}

static void put_notes(const struct vl_head *h, const char *said, unsigned char *at,
		      unsigned char *end)
{
	const size_t head = note_size(sizeof("VLENS"), 0);
	size_t len = strlen(said);
	unsigned char *desc;

	for (size_t i = 0; i < h->nr_vcpus; i++)
		at = put_status(at, &h->vcpus[i], (uint32_t)i + 1, h->machine);
	for (size_t i = 0; i < h->nr_vcpus; i++)
		at = put_registers(at, &h->vcpus[i]);
	if (h->kernel_note)
		at = put_note(at, kernel_name, 0, h->kernel_note, h->kernel_note_len);
	/*
	 * Our note fills the rest of the head, so that the size does not depend on the notes that
	 * were found.
	 */
	desc = at + head;
	put_note(at, "VLENS", 0, "", 0);
	((Elf64_Nhdr *)at)->n_descsz = (uint32_t)(end - desc);
	memcpy(desc, said, len < SAID_MAX - 1 ? len : SAID_MAX - 1);
}

void vl_head_write(const struct vl_head *h, const char *said, void *buf)
{
	unsigned char *out = buf;
	const size_t nr = h->nr_segments + 1, notes = notes_at(h);
	const bool section = has_section(h);
	const Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = h->machine == EM_386 ? EM_386 : EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(eh),
		.e_shoff = section ? notes - sizeof(Elf64_Shdr) : 0,
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = section ? PN_XNUM : (uint16_t)nr,
		.e_shentsize = section ? sizeof(Elf64_Shdr) : 0,
		.e_shnum = section,
	};
	const Elf64_Shdr sh = { .sh_info = (uint32_t)nr };
	Elf64_Phdr ph = {
		.p_type = PT_NOTE,
		.p_offset = notes,
		.p_filesz = h->size - notes,
		.p_memsz = h->size - notes,
		.p_align = 4,
	};
	uint64_t at = h->size;

	memset(out, 0, h->size);
	memcpy(out, &eh, sizeof(eh));
	memcpy(out + sizeof(eh), &ph, sizeof(ph));
	for (size_t i = 0; i < h->nr_segments; i++) {
		ph = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_offset = at,
			.p_paddr = h->segments[i].gpa,
			.p_filesz = h->segments[i].size,
			.p_memsz = h->segments[i].size,
			/* As in QEMU's. With any other alignment, crash takes it for netdump's. */
			.p_align = 0,
		};
		at += ph.p_filesz;
		memcpy(out + sizeof(eh) + (i + 1) * sizeof(ph), &ph, sizeof(ph));
	}
	if (section)
		memcpy(out + eh.e_shoff, &sh, sizeof(sh));
	put_notes(h, said, out + notes, out + h->size);
}
