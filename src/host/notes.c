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

struct note {
	const char *name; /* with its NUL */
	uint32_t name_len, type;
	const char *desc;
	size_t len;
};

/* The note at *@off of @len bytes; *@off becomes that of the next one. False: there is none. */
static bool next_note(const char *base, size_t len, size_t *off, struct note *ret)
{
	size_t name_off = *off + sizeof(GElf_Nhdr), desc_off;
	GElf_Nhdr nhdr;

	if (name_off > len)
		return false;
	memcpy(&nhdr, base + *off, sizeof(nhdr));
	if (padded(nhdr.n_namesz) > len - name_off)
		return false;
	desc_off = name_off + padded(nhdr.n_namesz);
	if (nhdr.n_descsz > len - desc_off)
		return false;
	*ret = (struct note){ base + name_off, nhdr.n_namesz, nhdr.n_type, base + desc_off,
			      nhdr.n_descsz };
	*off = padded(nhdr.n_descsz) > len - desc_off ? len : desc_off + padded(nhdr.n_descsz);
	return true;
}

static bool is_named(const struct note *n, const char *name)
{
	return !n->type && n->name_len == strlen(name) + 1 && !memcmp(n->name, name, n->name_len);
}

static struct vl_error *add_notes(const void *notes, size_t len, struct vl_registers **v,
				  size_t *nr)
{
	struct note n;

	for (size_t off = 0; next_note(notes, len, &off, &n);) {
		struct vl_registers *more;

		if (!is_named(&n, "QEMU"))
			continue;
		more = reallocarray(*v, *nr + 1, sizeof(*more));
		if (!more)
			return vl_error_nomem();
		*v = more;
		if (!take_note(n.desc, n.len, &more[*nr]))
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET,
					     "the dump's CPU notes have an unknown layout"),
				"no known QEMU for x86 writes such notes");
		(*nr)++;
	}
	return NULL;
}

/* A dump has one segment of notes, of some 10 KiB for each CPU at most. libelf keeps each. */
#define NOTES_MAX (64UL << 20)
#define NOTE_SEGMENTS_MAX 1024

struct note_walk {
	size_t i, nr;
	uint64_t size;
};

/* The segments of notes, one at a time. NULL: there is no more, or none that is taken. */
static const Elf_Data *next_notes(Elf *elf, struct note_walk *w)
{
	size_t phnum;

	if (elf_getphdrnum(elf, &phnum) < 0)
		phnum = 0;
	while (w->i < phnum && w->i < INT32_MAX) {
		Elf_Data *data;
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, (int)w->i++, &ph) || ph.p_type != PT_NOTE)
			continue;
		if (++w->nr > NOTE_SEGMENTS_MAX || ph.p_filesz > NOTES_MAX - w->size)
			return NULL;
		w->size += ph.p_filesz;
		data = elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz, ELF_T_NHDR);
		if (data)
			return data;
	}
	return NULL;
}

struct vl_error *vl_notes_registers(Elf *elf, struct vl_registers **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_registers *v = NULL;
	struct note_walk w = { 0 };
	const Elf_Data *data;
	size_t nr = 0;

	while ((data = next_notes(elf, &w))) {
		struct vl_error *err = add_notes(data->d_buf, data->d_size, &v, &nr);

		if (err)
			return err;
	}
	*ret = v;
	v = NULL;
	*nr_ret = nr;
	return NULL;
}

uint64_t vl_notes_moved(Elf *elf)
{
	static const char key[] = "\nchanged-pages: ";
	struct note_walk w = { 0 };
	const Elf_Data *data;

	while ((data = next_notes(elf, &w))) {
		struct note n;

		for (size_t off = 0; next_note(data->d_buf, data->d_size, &off, &n);) {
			const char *at = is_named(&n, "VLENS") ?
						 memmem(n.desc, n.len, key, sizeof(key) - 1) :
						 NULL;
			uint64_t moved = 0;

			if (!at)
				continue;
			at += sizeof(key) - 1;
			if (at == n.desc + n.len || *at < '0' || *at > '9')
				return UINT64_MAX;
			for (; at < n.desc + n.len && *at >= '0' && *at <= '9'; at++)
				if (__builtin_mul_overflow(moved, 10U, &moved) ||
				    __builtin_add_overflow(moved, (unsigned)(*at - '0'), &moved))
					return UINT64_MAX;
			return moved;
		}
	}
	return 0;
}

struct vl_error *vl_vcpus_of(const struct vl_registers *r, size_t nr, struct vl_vcpu **ret)
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

struct vl_error *vl_notes_read(const void *notes, size_t len, struct vl_registers **ret,
			       size_t *nr_ret)
{
	_cleanup_free_ struct vl_registers *r = NULL;
	struct vl_error *err;
	size_t nr = 0;

	*ret = NULL;
	*nr_ret = 0;
	err = add_notes(notes, len, &r, &nr);
	if (err)
		return err;
	*ret = vl_taken(r);
	*nr_ret = nr;
	return NULL;
}
