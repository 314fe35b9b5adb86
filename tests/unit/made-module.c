/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "made-module.h"

#include <stdlib.h>
#include <string.h>

void put32(unsigned char *p, int64_t v)
{
	int32_t w = (int32_t)v;

	memcpy(p, &w, sizeof(w));
}

struct vl_trust *make_kernel(void)
{
	static const char names[] = "__x86_return_thunk\0exported";
	static const uint64_t at[] = { 0x10, 0x20, 0x30 };
	struct vl_trust *t = calloc(1, sizeof(*t));
	struct vl_symbols *s = &t->symbols;

	t->va = t->link = KERNEL_VA;
	t->len = K_LEN;
	t->bytes = calloc(1, K_LEN);
	t->text = (struct vl_trust_part){ K_TEXT, 0x1000 };
	t->placed = true;
	t->sections = calloc(2, sizeof(*t->sections));
	t->nr_sections = 2;
	strcpy(t->sections[0].name, "__ksymtab");
	t->sections[0].part = (struct vl_trust_part){ K_TABLE, 24 };
	strcpy(t->sections[1].name, "__ksymtab_strings");
	t->sections[1].part = (struct vl_trust_part){ K_TEXTS, sizeof(names) };
	memcpy(t->bytes + K_TEXTS, names, sizeof(names));
	for (int i = 0; i < 2; i++) {
		put32(t->bytes + K_TABLE + 12 * i, (int64_t)at[i] - (K_TABLE + 12 * i));
		put32(t->bytes + K_TABLE + 12 * i + 4,
		      K_TEXTS + (i ? 19 : 0) - (K_TABLE + 12 * i + 4));
	}
	s->nr = 2;
	s->addresses = calloc(2, sizeof(*s->addresses));
	s->name_at = calloc(2, sizeof(*s->name_at));
	s->text = malloc(sizeof(names));
	memcpy(s->text, names, sizeof(names));
	s->addresses[0] = KERNEL_VA + at[0];
	s->addresses[1] = KERNEL_VA + at[1];
	s->name_at[1] = 19;
	vl_error_destroy(vl_trust_index(t));
	return t;
}

void free_kernel(struct vl_trust *t)
{
	free(t->bytes);
	t->bytes = NULL;
	vl_trust_close(t);
}

const unsigned char made_text[TEXT_LEN] = {
	0x55, 0x48, 0x89, 0xe5,			  /* push %rbp; mov %rsp,%rbp */
	0xe8, 0x00, 0x00, 0x00, 0x00,		  /* call exported */
	0xf0, 0xff, 0x00,			  /* lock incl (%rax) */
	0x48, 0xc7, 0xc0, 0x00, 0x00, 0x00, 0x00, /* mov $data,%rax */
	0xe9, 0x00, 0x00, 0x00, 0x00,		  /* jmp __x86_return_thunk */
	0xe9, 0x00, 0x00, 0x00, 0x00,		  /* jmp init */
};

static size_t put_name(char *to, size_t *len, const char *name)
{
	size_t at = *len;

	strcpy(to + at, name);
	*len += strlen(name) + 1;
	return at;
}

static size_t put_section(struct made *m, const char *name, uint32_t type, uint64_t flags,
			  const void *bytes, size_t len, uint64_t align)
{
	Elf64_Shdr *s = &m->sections[m->nr];

	m->len = (m->len + 15) & ~15UL;
	s->sh_name = (uint32_t)put_name(m->names, &m->names_len, name);
	s->sh_type = type;
	s->sh_flags = flags;
	s->sh_offset = m->len;
	s->sh_size = len;
	s->sh_addralign = align;
	if (bytes) {
		memcpy(m->bytes + m->len, bytes, len);
		m->len += len;
	}
	return m->nr++;
}

static Elf64_Sym symbol_of(struct made *m, const char *name, int type, size_t section,
			   uint64_t value)
{
	return (Elf64_Sym){
		.st_name = (uint32_t)put_name(m->texts, &m->texts_len, name),
		.st_info = ELF64_ST_INFO(type == STT_SECTION ? STB_LOCAL : STB_GLOBAL, type),
		.st_shndx = (uint16_t)section,
		.st_value = value,
	};
}

#define RELA(at, kind, symbol, add) \
	((Elf64_Rela){ at, ELF64_R_INFO((uint64_t)(symbol), kind), add })

void make_module(struct made *m, const char *needs, unsigned char build)
{
	enum { S_NULL, S_EXPORTED, S_THUNK, S_TEXT, S_DATA, S_INIT, NR_SYMBOLS };
	static const unsigned char zeros[0x100];
	static const char info[] = "name=made-by-hand\0depends=\0vermagic=6.1-test SMP";
	unsigned char note[36] = { 4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U' };
	Elf64_Sym symbols[NR_SYMBOLS] = { 0 };
	Elf64_Rela r[8];
	Elf64_Ehdr head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			    .e_type = ET_REL,
			    .e_machine = EM_X86_64,
			    .e_shentsize = sizeof(Elf64_Shdr) };
	size_t code, init, data, locks, returns, rela, list;

	memset(m, 0, sizeof(*m));
	m->len = sizeof(head);
	m->nr = m->names_len = m->texts_len = 1;
	note[35] = build;
	put_section(m, ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, note, sizeof(note), 4);
	code = put_section(m, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, made_text, TEXT_LEN,
			   16);
	init = put_section(m, ".init.text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, zeros, 16, 1);
	locks = put_section(m, ".smp_locks", SHT_PROGBITS, SHF_ALLOC, zeros, 4, 4);
	returns = put_section(m, ".return_sites", SHT_PROGBITS, SHF_ALLOC, zeros, 4, 1);
	data = put_section(m, ".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, zeros, 64, 32);
	put_section(m, ".gnu.linkonce.this_module", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, zeros,
		    0x80, 64);
	put_section(m, ".modinfo", SHT_PROGBITS, SHF_ALLOC, info, sizeof(info), 1);
	symbols[S_EXPORTED] = symbol_of(m, needs, STT_NOTYPE, SHN_UNDEF, 0);
	symbols[S_THUNK] = symbol_of(m, "__x86_return_thunk", STT_NOTYPE, SHN_UNDEF, 0);
	symbols[S_TEXT] = symbol_of(m, "made", STT_FUNC, code, 0);
	symbols[S_DATA] = symbol_of(m, "data", STT_OBJECT, data, 8);
	symbols[S_INIT] = symbol_of(m, "init", STT_FUNC, init, 0);
	list = put_section(m, ".symtab", SHT_SYMTAB, 0, symbols, sizeof(symbols), 8);
	m->sections[list].sh_link = (uint32_t)m->nr;
	put_section(m, ".strtab", SHT_STRTAB, 0, m->texts, m->texts_len, 1);
	r[0] = RELA(AT_CALL + 1, R_X86_64_PLT32, S_EXPORTED, -4);
	r[1] = RELA(AT_DATA + 3, R_X86_64_32S, S_DATA, 4);
	r[2] = RELA(AT_RETURN + 1, R_X86_64_PLT32, S_THUNK, -4);
	r[3] = RELA(AT_INIT + 1, R_X86_64_PC32, S_INIT, -4);
	rela = put_section(m, ".rela.text", SHT_RELA, 0, r, 4 * sizeof(*r), 8);
	m->sections[rela].sh_info = (uint32_t)code;
	r[0] = RELA(0, R_X86_64_PC32, S_TEXT, AT_LOCK);
	rela = put_section(m, ".rela.smp_locks", SHT_RELA, 0, r, sizeof(*r), 8);
	m->sections[rela].sh_info = (uint32_t)locks;
	r[0] = RELA(0, R_X86_64_PC32, S_TEXT, AT_RETURN);
	rela = put_section(m, ".rela.return_sites", SHT_RELA, 0, r, sizeof(*r), 8);
	m->sections[rela].sh_info = (uint32_t)returns;
	head.e_shstrndx = (uint16_t)m->nr;
	put_section(m, ".shstrtab", SHT_STRTAB, 0, NULL, 0, 1);
	m->sections[head.e_shstrndx].sh_size = m->names_len;
	memcpy(m->bytes + m->len, m->names, m->names_len);
	m->len = (m->len + m->names_len + 15) & ~15UL;
	head.e_shoff = m->len;
	head.e_shnum = (uint16_t)m->nr;
	memcpy(m->bytes, &head, sizeof(head));
	memcpy(m->bytes + m->len, m->sections, m->nr * sizeof(*m->sections));
	m->len += m->nr * sizeof(*m->sections);
}

uint64_t random_number(uint64_t *seed)
{
	/* xorshift64 */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

size_t damage(unsigned char *bytes, size_t len, uint64_t *seed)
{
	for (uint64_t n = 1 + random_number(seed) % 6; n; n--)
		bytes[random_number(seed) % len] =
			random_number(seed) % 3 ? (unsigned char)random_number(seed) : 0xff;
	return random_number(seed) % 4 ? len : 1 + random_number(seed) % len;
}
