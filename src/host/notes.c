/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "notes.h"

#include <gelf.h>
#include <string.h>

#include "internal.h"

/* QEMU target/i386/arch_dump.c: struct QEMUCPUSegment, QEMUCPUState, version 1. */
struct qemu_segment {
	uint32_t selector, limit, flags, pad;
	uint64_t base;
};

struct qemu_cpu_state {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss;
	struct qemu_segment ldt, tr, gdt, idt;
	uint64_t cr[5];
	/* Since QEMU 3.0, with the same version: there if the note's size includes it. */
	uint64_t kernel_gs_base;
};

#define QEMU_NOTE_VERSION 1
#define QEMU_NOTE_SIZE_MIN offsetof(struct qemu_cpu_state, kernel_gs_base)

_Static_assert(sizeof(struct qemu_segment) == 24, "as QEMU lays it out");
_Static_assert(QEMU_NOTE_SIZE_MIN == 432, "as QEMU lays it out");

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the notes are little endian, as every x86 host is"
#endif

/*
 * Decode the descriptor of one QEMU note, @len bytes at @desc. False: its version or size is not
 * known.
 */
static bool decode_note(const void *desc, size_t len, struct vl_vcpu *ret)
{
	struct qemu_cpu_state s;

	memset(&s, 0, sizeof(s));
	if (len < QEMU_NOTE_SIZE_MIN)
		return false;
	memcpy(&s, desc, len < sizeof(s) ? len : sizeof(s));
	if (s.version != QEMU_NOTE_VERSION || s.size < QEMU_NOTE_SIZE_MIN || s.size > len)
		return false;
	*ret = (struct vl_vcpu){
		.rip = s.rip,
		.rsp = s.rsp,
		.rflags = s.rflags,
		.cr0 = s.cr[0],
		.cr3 = s.cr[3],
		.cr4 = s.cr[4],
		.gdt_base = s.gdt.base,
		.gdt_limit = s.gdt.limit,
		.idt_base = s.idt.base,
		.idt_limit = s.idt.limit,
		.tr_base = s.tr.base,
		.tr_limit = s.tr.limit,
		.gs_base = s.gs.base,
		.cs = (uint16_t)s.cs.selector,
		.ss = (uint16_t)s.ss.selector,
		.tr = (uint16_t)s.tr.selector,
		.has_kernel_gs_base = s.size >= sizeof(s),
		.kernel_gs_base = s.size >= sizeof(s) ? s.kernel_gs_base : 0,
	};
	return true;
}

static struct vl_error *add_notes(Elf_Data *data, struct vl_vcpu **v, size_t *nr)
{
	size_t off = 0, name_off, desc_off;
	GElf_Nhdr nhdr;

	while ((off = gelf_getnote(data, off, &nhdr, &name_off, &desc_off))) {
		const char *base = data->d_buf;
		struct vl_vcpu *more;

		/* The name counts its NUL; libelf has checked both extents. */
		if (nhdr.n_type != 0 || nhdr.n_namesz != 5 || memcmp(base + name_off, "QEMU", 5))
			continue;
		more = reallocarray(*v, *nr + 1, sizeof(*more));
		if (!more)
			return vl_error_nomem();
		*v = more;
		if (!decode_note(base + desc_off, nhdr.n_descsz, &more[*nr]))
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET,
					     "the dump's CPU notes are of an unknown layout"),
				"they are of no known QEMU for x86");
		(*nr)++;
	}
	return NULL;
}

struct vl_error *vl_notes_vcpus(Elf *elf, struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_vcpu *v = NULL;
	struct vl_error *err;
	size_t nr = 0, phnum;

	if (elf_getphdrnum(elf, &phnum) < 0)
		phnum = 0;
	for (size_t i = 0; i < phnum && i < INT32_MAX; i++) {
		Elf_Data *data;
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_NOTE)
			continue;
		data = elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz, ELF_T_NHDR);
		if (!data)
			continue;
		err = add_notes(data, &v, &nr);
		if (err)
			return err;
	}
	*ret = v;
	v = NULL;
	*nr_ret = nr;
	return NULL;
}
