/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "notes.h"

#include <gelf.h>
#include <string.h>

#include "internal.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the notes are little endian, as every x86 host is"
#endif

/*
 * Take the descriptor of one QEMU note, @len bytes at @desc. False: its version or size is not
 * known.
 */
static bool take_note(const void *desc, size_t len, struct vl_registers *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (len < VL_REGISTERS_OLD)
		return false;
	memcpy(ret, desc, len < sizeof(*ret) ? len : sizeof(*ret));
	return ret->version == VL_REGISTERS_VERSION && ret->size >= VL_REGISTERS_OLD &&
	       ret->size <= len;
}

struct vl_vcpu vl_vcpu_of(const struct vl_registers *r)
{
	return (struct vl_vcpu){
		.rip = r->rip,
		.rsp = r->rsp,
		.rflags = r->rflags,
		.cr0 = r->cr[0],
		.cr3 = r->cr[3],
		.cr4 = r->cr[4],
		.gdt_base = r->gdt.base,
		.gdt_limit = r->gdt.limit,
		.idt_base = r->idt.base,
		.idt_limit = r->idt.limit,
		.tr_base = r->tr.base,
		.tr_limit = r->tr.limit,
		.gs_base = r->gs.base,
		.cs = (uint16_t)r->cs.selector,
		.ss = (uint16_t)r->ss.selector,
		.tr = (uint16_t)r->tr.selector,
		.has_kernel_gs_base = r->size >= sizeof(*r),
		.kernel_gs_base = r->size >= sizeof(*r) ? r->kernel_gs_base : 0,
	};
}

/* The bytes of a note's name or descriptor, with what fills up the last word. */
static uint64_t padded(uint32_t len)
{
	return ((uint64_t)len + 3) & ~3ULL;
}

static struct vl_error *add_notes(const void *notes, size_t len, struct vl_registers **v,
				  size_t *nr)
{
	const char *base = notes;

	for (size_t off = 0; off + sizeof(GElf_Nhdr) <= len;) {
		size_t name_off = off + sizeof(GElf_Nhdr), desc_off;
		struct vl_registers *more;
		GElf_Nhdr nhdr;

		memcpy(&nhdr, base + off, sizeof(nhdr));
		if (padded(nhdr.n_namesz) > len - name_off)
			return NULL;
		desc_off = name_off + padded(nhdr.n_namesz);
		if (nhdr.n_descsz > len - desc_off)
			return NULL;
		off = padded(nhdr.n_descsz) > len - desc_off ? len :
							       desc_off + padded(nhdr.n_descsz);
		/* The name counts its NUL. */
		if (nhdr.n_type != 0 || nhdr.n_namesz != 5 || memcmp(base + name_off, "QEMU", 5))
			continue;
		more = reallocarray(*v, *nr + 1, sizeof(*more));
		if (!more)
			return vl_error_nomem();
		*v = more;
		if (!take_note(base + desc_off, nhdr.n_descsz, &more[*nr]))
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET,
					     "the dump's CPU notes are of an unknown layout"),
				"they are of no known QEMU for x86");
		(*nr)++;
	}
	return NULL;
}

struct vl_error *vl_notes_registers(Elf *elf, struct vl_registers **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_registers *v = NULL;
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
		err = add_notes(data->d_buf, data->d_size, &v, &nr);
		if (err)
			return err;
	}
	*ret = v;
	v = NULL;
	*nr_ret = nr;
	return NULL;
}

/* The vCPUs of @nr registers. *@ret is malloc'ed; NULL: there are none. */
static struct vl_error *vcpus_of(const struct vl_registers *r, size_t nr, struct vl_vcpu **ret)
{
	*ret = NULL;
	if (!nr)
		return NULL;
	*ret = calloc(nr, sizeof(**ret));
	if (!*ret)
		return vl_error_nomem();
	for (size_t i = 0; i < nr; i++)
		(*ret)[i] = vl_vcpu_of(&r[i]);
	return NULL;
}

struct vl_error *vl_notes_vcpus(Elf *elf, struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_registers *r = NULL;
	struct vl_error *err = vl_notes_registers(elf, &r, nr_ret);

	*ret = NULL;
	return err ? err : vcpus_of(r, *nr_ret, ret);
}

struct vl_error *vl_notes_read(const void *notes, size_t len, struct vl_registers **registers_ret,
			       struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_registers *r = NULL;
	struct vl_error *err;
	size_t nr = 0;

	*registers_ret = NULL;
	*ret = NULL;
	*nr_ret = 0;
	err = add_notes(notes, len, &r, &nr);
	if (!err)
		err = vcpus_of(r, nr, ret);
	if (err)
		return err;
	*registers_ret = r;
	r = NULL;
	*nr_ret = nr;
	return NULL;
}
