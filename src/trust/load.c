/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads an unpacked kernel: the ELF file's sections, its symbols, and the relocation lists. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "../base/hash.h"
#include "index.h"
#include "internal.h"

/* The kernel's image has the top 2 GiB (Documentation/arch/x86/x86_64/mm.rst of Linux). */
#define IMAGE_START 0xffffffff80000000UL
#define PAGE 4096UL
#define SYMBOLS_NS 5000000000UL

struct vl_error *vl_trust_damaged(const char *how)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "the kernel's image is damaged: %s", how),
			     "fetch the file again from its distribution");
}

static struct vl_error *no_kernel(const char *why)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "this is not a kernel for x86-64: %s", why),
			     "name a vmlinuz, a vmlinux, or a package with one");
}

/* --- the ELF file --- */

struct file {
	const unsigned char *bytes;
	size_t len; /* without an index */
	int fd;	    /* of the file; -1: it is in memory only */
	bool sound; /* the checksum of its index is right */
	Elf64_Ehdr head;
	const unsigned char *sections, *names;
	size_t names_len;
	size_t end; /* end of the ELF file; relocation lists may follow */
};

static bool in_file(const struct file *f, uint64_t at, uint64_t len)
{
	return at <= f->len && len <= f->len - at;
}

static Elf64_Shdr section(const struct file *f, size_t i)
{
	Elf64_Shdr s;

	memcpy(&s, f->sections + i * sizeof(s), sizeof(s));
	return s;
}

static void reach(struct file *f, uint64_t end)
{
	if (end > f->end)
		f->end = end;
}

static struct vl_error *read_head(struct file *f)
{
	Elf64_Shdr names;

	if (f->len < sizeof(f->head))
		return no_kernel("it is too short");
	memcpy(&f->head, f->bytes, sizeof(f->head));
	if (memcmp(f->head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    f->head.e_ident[EI_CLASS] != ELFCLASS64 || f->head.e_machine != EM_X86_64)
		return no_kernel("it holds no 64-bit ELF file");
	if (!f->head.e_shnum || f->head.e_shentsize != sizeof(Elf64_Shdr))
		return no_kernel("its ELF file has no sections");
	if (!in_file(f, f->head.e_shoff, f->head.e_shnum * sizeof(Elf64_Shdr)) ||
	    f->head.e_shstrndx >= f->head.e_shnum)
		return vl_trust_damaged("its table of sections is cut short");
	f->sections = f->bytes + f->head.e_shoff;
	names = section(f, f->head.e_shstrndx);
	if (!in_file(f, names.sh_offset, names.sh_size) || !names.sh_size ||
	    f->bytes[names.sh_offset + names.sh_size - 1])
		return vl_trust_damaged("the names of its sections are cut short");
	f->names = f->bytes + names.sh_offset;
	f->names_len = names.sh_size;
	reach(f, f->head.e_shoff + f->head.e_shnum * sizeof(Elf64_Shdr));
	if (!in_file(f, f->head.e_phoff, (uint64_t)f->head.e_phnum * f->head.e_phentsize))
		return vl_trust_damaged("its table of segments is cut short");
	reach(f, f->head.e_phoff + (uint64_t)f->head.e_phnum * f->head.e_phentsize);
	for (size_t i = 0; i < f->head.e_shnum; i++) {
		const Elf64_Shdr s = section(f, i);

		if (s.sh_type == SHT_NOBITS || s.sh_type == SHT_NULL)
			continue;
		if (!in_file(f, s.sh_offset, s.sh_size))
			return vl_trust_damaged("a section is cut short");
		if (s.sh_name >= f->names_len)
			return vl_trust_damaged("a section has no name");
		reach(f, s.sh_offset + s.sh_size);
	}
	return NULL;
}

/* Is @s a part of the kernel's image? Older kernels have per-CPU variables at address 0. */
static bool is_placed(const Elf64_Shdr *s)
{
	return s->sh_flags & SHF_ALLOC && s->sh_type != SHT_NULL && s->sh_addr >= IMAGE_START;
}

static struct vl_error *span(const struct file *f, struct vl_trust *t)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (size_t i = 0; i < f->head.e_shnum; i++) {
		const Elf64_Shdr s = section(f, i);

		if (!is_placed(&s))
			continue;
		if (s.sh_size > VL_TRUST_IMAGE_MAX || s.sh_addr + s.sh_size < s.sh_addr)
			return vl_trust_damaged("a section does not fit into the kernel's image");
		low = s.sh_addr < low ? s.sh_addr : low;
		high = s.sh_addr + s.sh_size > high ? s.sh_addr + s.sh_size : high;
	}
	if (low >= high)
		return no_kernel("none of its sections is at a kernel's address");
	t->link = t->va = low & ~(PAGE - 1);
	t->len = high - t->link;
	if (t->len > VL_TRUST_IMAGE_MAX)
		return vl_trust_damaged("it is larger than any kernel");
	return NULL;
}

/*
 * Put the bytes of section @s at its place: whole pages are mapped, as a kernel's file has them at
 * offsets that allow it, and the others are copied.
 */
static void place_section(const struct file *f, struct vl_trust *t, const Elf64_Shdr *s)
{
	uint64_t at = s->sh_addr - t->link, from = (at + PAGE - 1) & ~(PAGE - 1);
	uint64_t to = (at + s->sh_size) & ~(PAGE - 1);

	if (f->fd < 0 || from >= to || (s->sh_offset - at) % PAGE ||
	    mmap(t->bytes + from, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, f->fd,
		 (off_t)(s->sh_offset + (from - at))) == MAP_FAILED)
		from = to = at;
	memcpy(t->bytes + at, f->bytes + s->sh_offset, from - at);
	memcpy(t->bytes + to, f->bytes + s->sh_offset + (to - at), at + s->sh_size - to);
}

static struct vl_error *copy_sections(const struct file *f, struct vl_trust *t)
{
	t->sections = calloc(f->head.e_shnum, sizeof(*t->sections));
	t->bytes = mmap(NULL, t->len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->bytes == MAP_FAILED) {
		t->bytes = NULL;
		return vl_error_os(errno, "cannot map memory");
	}
	if (!t->sections)
		return vl_error_nomem();
	/* Where nearly all pages are written, huge pages save some 10,000 faults. */
	if (f->fd < 0)
		madvise(t->bytes, t->len, MADV_HUGEPAGE);
	for (size_t i = 0; i < f->head.e_shnum; i++) {
		struct vl_trust_section *own = &t->sections[t->nr_sections];
		const Elf64_Shdr s = section(f, i);
		const char *name = (const char *)f->names + s.sh_name;

		if (!is_placed(&s))
			continue;
		own->part = (struct vl_trust_part){ s.sh_addr - t->link, s.sh_size };
		own->code = s.sh_flags & SHF_EXECINSTR;
		if (s.sh_type != SHT_NOBITS) {
			place_section(f, t, &s);
			strncpy(own->name, name, sizeof(own->name) - 1);
		}
		t->nr_sections++;
	}
	return NULL;
}

const struct vl_trust_section *vl_trust_section(const struct vl_trust *t, const char *name)
{
	for (size_t i = 0; i < t->nr_sections; i++)
		if (!strcmp(t->sections[i].name, name))
			return &t->sections[i];
	return NULL;
}

/* --- relocation --- */

/*
 * Read the relocation lists behind the ELF file. Each list is a 0 and its entries
 * (arch/x86/tools/relocs.c of Linux). There are three, or two since 6.15 ("x86/boot/64: Remove
 * inverse relocations").
 */
static struct vl_error *read_lists(const struct file *f, struct vl_trust *t)
{
	static const enum vl_trust_list three[] = { VL_TRUST_64, VL_TRUST_INVERSE, VL_TRUST_32 };
	static const enum vl_trust_list two[] = { VL_TRUST_64, VL_TRUST_32 };
	const unsigned char *words = f->bytes + f->end;
	size_t nr = (f->len - f->end) / 4, begin[VL_TRUST_LISTS + 1], lists = 0;
	const enum vl_trust_list *kinds;

	if (f->len == f->end)
		return NULL;
	if ((f->len - f->end) % 4)
		return vl_trust_damaged("its relocation list is cut short");
	for (size_t i = 0; i < nr; i++) {
		if (vl_trust_i32(words + 4 * i))
			continue;
		if (lists == VL_TRUST_LISTS)
			return vl_trust_damaged("it has too many relocation lists");
		begin[lists++] = i + 1;
	}
	if (lists < 2 || begin[0] != 1)
		return vl_trust_damaged("its relocation list has no beginning");
	begin[lists] = nr + 1;
	kinds = lists == 3 ? three : two;
	for (size_t k = 0; k < lists; k++) {
		size_t n = begin[k + 1] - 1 - begin[k];

		t->lists[kinds[k]] = malloc(4 * n + 1);
		if (!t->lists[kinds[k]])
			return vl_error_nomem();
		memcpy(t->lists[kinds[k]], words + 4 * begin[k], 4 * n);
		t->nr_list[kinds[k]] = n;
	}
	t->movable = true;
	return NULL;
}

/* --- symbols --- */

static const char *name_of(const struct vl_symbols *s, uint32_t i)
{
	return s->text + s->name_at[i];
}

static struct vl_error *read_symbols(struct vl_trust *t)
{
	const struct vl_kallsyms *k = &t->tables;
	const struct vl_kallsyms_tables tables = {
		.form = k->form,
		.nr = k->nr,
		.names = { t->bytes + k->names.at, k->names.len },
		.tokens = { t->bytes + k->tokens.at, k->tokens.len },
		.offsets = { t->bytes + k->offsets.at, k->offsets.len },
	};

	if (!vl_kallsyms_decode(&tables, k->base, &t->symbols))
		return vl_trust_damaged("its table of symbols makes no sense");
	return vl_trust_index(t);
}

struct vl_error *vl_trust_index(struct vl_trust *t)
{
	for (t->nr_by_name = 1; t->nr_by_name < 2 * (size_t)t->symbols.nr;)
		t->nr_by_name *= 2;
	free(t->by_name);
	t->by_name = calloc(t->nr_by_name, sizeof(*t->by_name));
	if (!t->by_name)
		return vl_error_nomem();
	for (uint32_t i = 0; i < t->symbols.nr; i++) {
		size_t slot = vl_hash_text(name_of(&t->symbols, i));

		while (t->by_name[slot &= t->nr_by_name - 1])
			slot++;
		t->by_name[slot] = i + 1;
	}
	return NULL;
}

uint64_t vl_trust_symbol(const struct vl_trust *t, const char *name)
{
	size_t slot = vl_hash_text(name);

	if (!t->by_name)
		return 0;
	for (uint32_t i; (i = t->by_name[slot &= t->nr_by_name - 1]); slot++)
		if (!strcmp(name_of(&t->symbols, i - 1), name))
			return t->symbols.addresses[i - 1];
	return 0;
}

const struct vl_symbols *vl_trust_symbols(const struct vl_trust *t)
{
	return &t->symbols;
}

/* The number of symbols at or below @va. */
static uint32_t below(const struct vl_trust *t, uint64_t va)
{
	return (uint32_t)vl_bisect(i, t->symbols.nr, t->symbols.addresses[i] <= va);
}

const char *vl_trust_symbol_at(const struct vl_trust *t, uint64_t va, uint64_t *offset_ret)
{
	uint32_t i = below(t, va);

	if (!vl_trust_covers(t, va) || !i || t->symbols.addresses[i - 1] < t->va)
		return NULL;
	*offset_ret = va - t->symbols.addresses[i - 1];
	return name_of(&t->symbols, i - 1);
}

const char *vl_trust_symbol_here(const struct vl_trust *t, uint64_t va, uint32_t n)
{
	uint32_t end;

	t = vl_trust_owner(t, va);
	if (!t)
		return NULL;
	end = below(t, va);
	return n < end && t->symbols.addresses[end - 1 - n] == va ?
		       name_of(&t->symbols, end - 1 - n) :
		       NULL;
}

bool vl_trust_is_entry(const struct vl_trust *t, uint64_t va)
{
	uint32_t i;

	t = vl_trust_owner(t, va);
	if (!t)
		return false;
	i = below(t, va);
	return va - t->va - t->text.at < t->text.len && i && t->symbols.addresses[i - 1] == va;
}

/* --- the image --- */

/* @len: of the file, with an index if there is one. */
static struct vl_error *read_image(const struct file *f, size_t len, struct vl_trust *t)
{
	const struct vl_trust_section *text, *notes;
	struct vl_error *err = span(f, t);

	if (!err)
		err = copy_sections(f, t);
	if (!err)
		err = read_lists(f, t);
	if (err)
		return err;
	text = vl_trust_section(t, ".text");
	notes = vl_trust_section(t, ".notes");
	if (!text || !text->code)
		return no_kernel("it has no text");
	t->text = text->part;
	if (!notes || !vl_build_id(t->bytes + notes->part.at, notes->part.len, t->build_id))
		return no_kernel("it has no build id");
	if (f->fd >= 0 && vl_trust_index_take(t, f->fd, f->bytes, len, f->sound))
		return NULL;
	if (!vl_kallsyms_find(t->bytes, t->len, t->link, 0, vl_deadline_in(SYMBOLS_NS), &t->tables))
		return no_kernel("there is no table of its symbols (CONFIG_KALLSYMS)");
	return read_symbols(t);
}

/* @f has its `bytes`, of @len bytes with the index. */
static struct vl_error *open_bytes(struct file f, size_t len, struct vl_trust **ret)
{
	struct vl_error *err;
	struct vl_trust *t;

	f.len = vl_trust_image_len(f.bytes, len);
	err = read_head(&f);

	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	if (!t)
		return vl_error_nomem();
	err = read_image(&f, len, t);
	if (err) {
		vl_trust_close(t);
		return err;
	}
	*ret = t;
	return NULL;
}

struct vl_error *vl_trust_open(const void *elf, size_t len, struct vl_trust **ret)
{
	return open_bytes((struct file){ .bytes = elf, .fd = -1 }, len, ret);
}

struct vl_error *vl_trust_open_file(int fd, size_t len, bool sound, struct vl_trust **ret)
{
	void *file = mmap(NULL, len + !len, PROT_READ, MAP_PRIVATE, fd, 0);
	struct vl_error *err;

	if (file == MAP_FAILED)
		return vl_error_os(errno, "cannot map a kernel");
	err = open_bytes((struct file){ .bytes = file, .fd = fd, .sound = sound }, len, ret);
	munmap(file, len + !len);
	return err;
}

void vl_trust_close(struct vl_trust *t)
{
	if (!t)
		return;
	if (t->bytes)
		munmap(t->bytes, t->len);
	for (size_t i = 0; i < VL_TRUST_LISTS; i++)
		free(t->lists[i]);
	free(t->sections);
	vl_trust_index_drop(t);
	free(t->by_name);
	free(t->sites);
	free(t->clusters);
	vl_symbols_deinit(&t->symbols);
	vl_ko_close(t->ko);
	free(t);
}

struct vl_error *vl_trust_place(struct vl_trust *t, uint64_t delta)
{
	if (t->placed)
		return vl_error_new(VL_ERR_ARG, "the image has been moved already");
	if (delta && !t->movable)
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG,
				     "the guest's kernel was moved by 0x%llx (KASLR), and the "
				     "trusted image has no relocation list",
				     (unsigned long long)delta),
			"use the vmlinuz of the same build, which has one");
	if (delta & (PAGE - 1) || t->link + delta < IMAGE_START ||
	    t->link + delta + t->len < t->link + delta)
		return vl_error_new(VL_ERR_ARG, "no kernel can be at 0x%llx",
				    (unsigned long long)(t->link + delta));
	t->placed = true;
	if (!vl_trust_move(t, delta))
		return vl_trust_damaged("a relocation lies outside of it");
	if (!vl_symbols_move(&t->symbols, t->tables.form, delta))
		return vl_trust_damaged("its symbols cannot be relocated to that address");
	return t->index ? NULL : vl_trust_tables(t);
}

const char *vl_trust_build_id(const struct vl_trust *t)
{
	return t->build_id;
}

uint64_t vl_trust_text(const struct vl_trust *t, size_t *len_ret)
{
	*len_ret = t->text.len;
	return t->va + t->text.at;
}

size_t vl_trust_sites(const struct vl_trust *t)
{
	return t->nr_sites;
}

uint64_t vl_trust_range(const struct vl_trust *t, size_t *len_ret)
{
	*len_ret = t->len;
	return t->va;
}

uint64_t vl_trust_constants(const struct vl_trust *t, size_t *len_ret, uint64_t *init_ret,
			    size_t *init_len_ret)
{
	uint64_t start = vl_trust_symbol(t, "__start_rodata"), end = 0;
	uint64_t stop = vl_trust_symbol(t, "__end_rodata");
	uint64_t init = vl_trust_symbol(t, "__start_ro_after_init");
	uint64_t init_end = vl_trust_symbol(t, "__end_ro_after_init");

	/* The rest of the last page is in no section, and its content is undefined. */
	for (size_t i = 0; i < t->nr_sections; i++) {
		const struct vl_trust_part *p = &t->sections[i].part;

		if (t->va + p->at >= start && t->va + p->at < stop && t->va + p->at + p->len > end)
			end = t->va + p->at + p->len;
	}
	if (end > stop)
		end = stop;
	if (!start || end <= start || init < start || init_end < init || init_end > end ||
	    !vl_trust_has(t, start - t->va, end - start))
		return 0;
	*len_ret = end - start;
	*init_ret = init;
	*init_len_ret = init_end - init;
	return start;
}

const unsigned char *vl_trust_bytes(const struct vl_trust *t, uint64_t va, size_t len)
{
	return vl_trust_has(t, va - t->va, len) ? t->bytes + (va - t->va) : NULL;
}
