/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the file of a module: an ELF file that is not linked yet. */
#include <elf.h>
#include <stdlib.h>

#include "../base/cleanup.h"
#include "internal.h"

struct vl_error *vl_ko_damaged(const char *how)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "the module is damaged: %s", how),
			     "fetch the file again from its distribution");
}

static struct vl_error *no_module(const char *why)
{
	return vl_error_new(VL_ERR_ARG, "this is not a kernel module for x86-64: %s", why);
}

static bool in_file(const struct vl_ko *ko, uint64_t at, uint64_t len)
{
	return at <= ko->len && len <= ko->len - at;
}

size_t vl_ko_section(const struct vl_ko *ko, const char *name)
{
	for (size_t i = 1; i < ko->nr_sections; i++)
		if (!strcmp(ko->sections[i].name, name))
			return i;
	return 0;
}

/* Is section @i a table of texts, with a NUL at its end? */
static bool is_texts(const struct vl_ko *ko, size_t i)
{
	const struct vl_ko_section *s = &ko->sections[i];

	return s->type == SHT_STRTAB && s->size && !ko->file[s->at + s->size - 1];
}

static struct vl_error *read_sections(struct vl_ko *ko)
{
	const unsigned char *names;
	size_t names_len;
	Elf64_Ehdr head;
	Elf64_Shdr s;

	if (ko->len < sizeof(head))
		return no_module("it is too short");
	memcpy(&head, ko->file, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
	    head.e_machine != EM_X86_64 || head.e_type != ET_REL)
		return no_module("it holds no 64-bit object file");
	if (!head.e_shnum || head.e_shentsize != sizeof(s) || head.e_shstrndx >= head.e_shnum ||
	    !in_file(ko, head.e_shoff, head.e_shnum * sizeof(s)))
		return vl_ko_damaged("its table of sections is cut short");
	memcpy(&s, ko->file + head.e_shoff + head.e_shstrndx * sizeof(s), sizeof(s));
	if (!in_file(ko, s.sh_offset, s.sh_size) || !s.sh_size ||
	    ko->file[s.sh_offset + s.sh_size - 1])
		return vl_ko_damaged("the names of its sections are cut short");
	names = ko->file + s.sh_offset;
	names_len = s.sh_size;
	ko->sections = calloc(head.e_shnum, sizeof(*ko->sections));
	if (!ko->sections)
		return vl_error_nomem();
	ko->nr_sections = head.e_shnum;
	ko->sections[0].name = "";
	for (size_t i = 1; i < ko->nr_sections; i++) {
		memcpy(&s, ko->file + head.e_shoff + i * sizeof(s), sizeof(s));
		if (s.sh_name >= names_len)
			return vl_ko_damaged("a section has no name");
		if (s.sh_size > VL_TRUST_MODULE_MAX || s.sh_addralign > VL_TRUST_MODULE_MAX ||
		    s.sh_addralign & (s.sh_addralign - 1))
			return vl_ko_damaged("a section is larger than any module");
		if (s.sh_type != SHT_NOBITS && s.sh_type != SHT_NULL &&
		    !in_file(ko, s.sh_offset, s.sh_size))
			return vl_ko_damaged("a section is cut short");
		ko->sections[i] = (struct vl_ko_section){
			.name = (const char *)names + s.sh_name,
			.type = s.sh_type,
			.link = s.sh_link,
			.info = s.sh_info,
			.flags = s.sh_flags,
			.size = s.sh_type == SHT_NULL ? 0 : s.sh_size,
			.align = s.sh_addralign ? s.sh_addralign : 1,
			.at = s.sh_offset,
		};
	}
	return NULL;
}

/* The value of @key in section .modinfo: texts "key=value". NULL: there is none. */
static const char *info(const struct vl_ko *ko, const char *key)
{
	size_t i = vl_ko_section(ko, ".modinfo"), len = strlen(key);
	const struct vl_ko_section *s = &ko->sections[i];
	const char *text, *end;

	/* The offset of a section without content was not checked. */
	if (!i || s->type == SHT_NOBITS || !s->size)
		return NULL;
	text = (const char *)ko->file + s->at;
	end = text + s->size;
	if (end[-1])
		return NULL;
	for (; text < end; text += strlen(text) + 1)
		if (!strncmp(text, key, len) && text[len] == '=')
			return text + len + 1;
	return NULL;
}

static struct vl_error *read_info(struct vl_ko *ko)
{
	const char *name = info(ko, "name"), *magic = info(ko, "vermagic");

	ko->depends = info(ko, "depends");
	if (!vl_ko_section(ko, ".gnu.linkonce.this_module") || !name || !magic)
		return no_module("it lacks its name or its kernel's version");
	if (!*name || strlen(name) >= sizeof(ko->name) ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
		    strlen(name))
		return vl_ko_damaged("its name is none of a module");
	for (size_t i = 0; name[i]; i++)
		ko->name[i] = name[i] == '-' ? '_' : name[i];
	strncpy(ko->release, magic, sizeof(ko->release) - 1);
	ko->release[strcspn(ko->release, " ")] = '\0';
	return NULL;
}

static struct vl_error *read_ko(struct vl_ko *ko)
{
	struct vl_error *err = read_sections(ko);

	if (!err)
		err = read_info(ko);
	for (size_t i = 1; !err && i < ko->nr_sections; i++) {
		const struct vl_ko_section *s = &ko->sections[i];

		if (s->type != SHT_SYMTAB)
			continue;
		if (s->link >= ko->nr_sections || !is_texts(ko, s->link))
			return vl_ko_damaged("its symbols have no names");
		ko->symbols = i;
		ko->names = s->link;
	}
	if (!err && !ko->symbols)
		return no_module("it has no symbols");
	return err;
}

struct vl_error *vl_ko_open(const void *file, size_t len, struct vl_ko **ret)
{
	struct vl_ko *ko = calloc(1, sizeof(*ko));
	struct vl_error *err;

	if (!ko)
		return vl_error_nomem();
	if (len > VL_TRUST_MODULE_MAX) {
		free(ko);
		return no_module("it is larger than any module");
	}
	ko->file = malloc(len + 1);
	ko->len = len;
	if (!ko->file) {
		free(ko);
		return vl_error_nomem();
	}
	memcpy(ko->file, file, len);
	err = read_ko(ko);
	if (err)
		vl_ko_close(ko);
	else
		*ret = ko;
	return err;
}

void vl_ko_close(struct vl_ko *ko)
{
	if (!ko)
		return;
	free(ko->sections);
	free(ko->file);
	free(ko);
}

struct vl_error *vl_trust_module_open(const void *file, size_t len, struct vl_trust **ret)
{
	struct vl_trust *t = calloc(1, sizeof(*t));
	struct vl_error *err;
	size_t note;

	if (!t)
		return vl_error_nomem();
	err = vl_ko_open(file, len, &t->ko);
	if (err) {
		free(t);
		return err;
	}
	note = vl_ko_section(t->ko, ".note.gnu.build-id");
	if (note && t->ko->sections[note].type == SHT_NOTE)
		vl_build_id(t->ko->file + t->ko->sections[note].at, t->ko->sections[note].size,
			    t->build_id);
	*ret = t;
	return NULL;
}

const char *vl_trust_module_name(const struct vl_trust *module)
{
	return module->ko->name;
}

const char *vl_trust_module_release(const struct vl_trust *module)
{
	return module->ko->release;
}

uint64_t vl_trust_module_note(const struct vl_trust *module, const unsigned char **bytes_ret,
			      size_t *len_ret)
{
	size_t i = vl_ko_section(module->ko, ".note.gnu.build-id");
	const struct vl_ko_section *s = &module->ko->sections[i];

	if (!i || s->type != SHT_NOTE || !(s->flags & SHF_ALLOC))
		return 0;
	*bytes_ret = module->ko->file + s->at;
	*len_ret = s->size;
	return s->va;
}
