/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A module's file, made by hand: where it is loaded, how it is linked, what is found in it. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/base/array.h"
#include "../../src/base/hash.h"
#include "../../src/trust/insn.h"
#include "../../src/trust/internal.h"
#include "../../src/trust/lz4.h"
#include "../../src/trust/pack.h"
#include "../../src/trust/signature.h"
#include "tap.h"

#define KERNEL_VA 0xffffffff81000000UL
#define TEXT_VA 0xffffffffc0100000UL
#define DATA_VA 0xffffffffc0102000UL
#define RODATA_VA 0xffffffffc0101000UL
#define PAGE 4096
#define ROUNDS 4000

/* --- a kernel: a function that it exports, and its return thunk --- */

enum { K_TEXT = 0, K_TABLE = 0x1000, K_TEXTS = 0x1100, K_LEN = 0x1200 };

static void put32(unsigned char *p, int64_t v)
{
	int32_t w = (int32_t)v;

	memcpy(p, &w, sizeof(w));
}

static struct vl_trust *make_kernel(void)
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

static void free_kernel(struct vl_trust *t)
{
	free(t->bytes);
	t->bytes = NULL;
	vl_trust_close(t);
}

/* --- a module --- */

/* Its function, with the offsets of what is special in it. */
enum { AT_CALL = 4, AT_LOCK = 9, AT_DATA = 12, AT_RETURN = 19, AT_INIT = 24, TEXT_LEN = 29 };

static const unsigned char text[TEXT_LEN] = {
	0x55, 0x48, 0x89, 0xe5,			  /* push %rbp; mov %rsp,%rbp */
	0xe8, 0x00, 0x00, 0x00, 0x00,		  /* call exported */
	0xf0, 0xff, 0x00,			  /* lock incl (%rax) */
	0x48, 0xc7, 0xc0, 0x00, 0x00, 0x00, 0x00, /* mov $data,%rax */
	0xe9, 0x00, 0x00, 0x00, 0x00,		  /* jmp __x86_return_thunk */
	0xe9, 0x00, 0x00, 0x00, 0x00,		  /* jmp init */
};

struct made {
	unsigned char bytes[16384];
	size_t len;
	Elf64_Shdr sections[32];
	size_t nr;
	char names[512], texts[256];
	size_t names_len, texts_len;
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

/* Make a module that needs @needs of the kernel; its build id ends in @build. */
static void make_module(struct made *m, const char *needs, unsigned char build)
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
	code = put_section(m, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, text, TEXT_LEN, 16);
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

/* Where a guest with parts of their own (6.4) has it: .data, and struct module behind it. */
static const struct vl_trust_loaded apart = {
	.module = DATA_VA + 64,
	.areas = { { TEXT_VA, PAGE }, { DATA_VA, PAGE }, { RODATA_VA, PAGE } },
};
/* The same of an older one: text, constants and data follow each other. */
static const struct vl_trust_loaded together = {
	.module = DATA_VA + 64,
	.areas = { { TEXT_VA, PAGE } },
	.together = true,
};

/* --- a guest --- */

struct guest {
	unsigned char text[PAGE];
	size_t nr;
	struct vl_trust_finding last;
};

static bool read_guest(void *ctx, uint64_t va, void *buf, size_t len)
{
	const struct guest *g = ctx;

	if (va - TEXT_VA >= PAGE || len > PAGE - (va - TEXT_VA))
		return false;
	memcpy(buf, g->text + (va - TEXT_VA), len);
	return true;
}

static void found(void *ctx, const struct vl_trust_finding *f)
{
	struct guest *g = ctx;

	g->nr++;
	g->last = *f;
}

static size_t check(const struct vl_trust *t, struct guest *g, void *out)
{
	const struct vl_trust_memory memory = { read_guest, g };
	size_t len;
	uint64_t va = vl_trust_text(t, &len);

	g->nr = 0;
	vl_error_destroy(vl_trust_check(t, &memory, va, g->text, len, out, found, g));
	return g->nr;
}

static bool fails(struct vl_error *err, const char *with)
{
	bool right = err && strstr(err->message, with);

	if (err && !right)
		printf("# %s\n", err->message);
	vl_error_destroy(err);
	return right;
}

static void test_text(const struct vl_trust *kernel)
{
	static const unsigned char returns[] = { 0xc3, 0xcc, 0xcc, 0xcc, 0xcc };
	unsigned char out[PAGE];
	struct vl_trust_set *set;
	struct guest g = { .nr = 0 };
	struct vl_trust *t;
	struct made m;
	int64_t target;

	make_module(&m, "exported", 1);
	ok(!vl_trust_module_open(m.bytes, m.len, &t), "a module is opened");
	ok(!strcmp(vl_trust_module_name(t), "made_by_hand"), "its name has '_' for '-'");
	ok(!strcmp(vl_trust_module_release(t), "6.1-test"), "its release is known");
	ok(!vl_trust_set_create(kernel, &set) && !vl_trust_set_add(set, t, &apart),
	   "it is laid out where the guest has it");
	ok(!vl_trust_link(t), "it is linked");
	memcpy(g.text, t->bytes, PAGE);
	target = vl_trust_i32(g.text + AT_CALL + 1) + AT_CALL + 5;
	ok(TEXT_VA + (uint64_t)target == KERNEL_VA + 0x20, "its call leads to the kernel");
	ok(vl_trust_i32(g.text + AT_DATA + 3) == (int32_t)(DATA_VA + 12),
	   "its data are where the guest has them");
	ok(!check(t, &g, NULL), "the guest's text is verified");
	g.text[AT_LOCK] = 0x3e;
	memcpy(g.text + AT_RETURN, returns, sizeof(returns));
	ok(!check(t, &g, out), "legal forms are verified");
	ok(!memcmp(out, g.text, PAGE), "and are the trusted bytes");
	put32(g.text + AT_INIT + 1, vl_trust_i32(g.text + AT_INIT + 1) + 0x5000);
	ok(!check(t, &g, NULL), "the freed init part may have been anywhere");
	g.text[1] ^= 1;
	ok(check(t, &g, out) == 1 && g.last.va == TEXT_VA + 1 && out[1] == text[1],
	   "a changed byte is found, and the trusted one is given");
	g.text[1] ^= 1;
	g.text[PAGE - 1] = 1;
	ok(check(t, &g, NULL) == 1 && g.last.va == TEXT_VA + PAGE - 1,
	   "code behind the sections is found");
	g.text[PAGE - 1] = 0;
	put32(g.text + AT_CALL + 1, vl_trust_i32(g.text + AT_CALL + 1) - 0x10);
	ok(check(t, &g, NULL) == 1, "a call of another function is found");
	ok(vl_trust_is_entry(t, KERNEL_VA + 0x20) && vl_trust_is_entry(t, TEXT_VA) &&
		   !vl_trust_is_entry(t, TEXT_VA + 4),
	   "entries are functions of the kernel and of the module");
	ok(vl_trust_set_at(set, TEXT_VA + 9) == t && vl_trust_set_at(set, KERNEL_VA) == kernel &&
		   !vl_trust_set_at(set, DATA_VA),
	   "the owner of an address is found");
	vl_trust_set_destroy(set);
}

/* The kernel's image as a guest has it. */
static bool read_image(void *ctx, uint64_t va, void *buf, size_t len)
{
	if (va - KERNEL_VA > K_LEN || len > K_LEN - (va - KERNEL_VA))
		return false;
	memcpy(buf, (unsigned char *)ctx + (va - KERNEL_VA), len);
	return true;
}

/* Behind the text, in its last page, can be more code, as .head.text is since 6.16. */
static void test_tail(void)
{
	static const unsigned char endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const unsigned char sealed[] = { 0x66, 0x0f, 0x1f, 0x00 };
	unsigned char image[K_LEN];
	const struct vl_trust_memory memory = { read_image, image };
	struct vl_trust *t = make_kernel();
	struct guest g = { .nr = 0 };

	t->text.len = 0x800;
	memcpy(t->bytes + 0xa00, endbr, sizeof(endbr));
	t->sites = calloc(1, sizeof(*t->sites));
	t->clusters = calloc(1, sizeof(*t->clusters));
	t->nr_sites = t->nr_clusters = 1;
	t->sites[0] = (struct vl_trust_site){ .at = 0xa00, .len = 4, .class = VL_TRUST_ENDBR };
	t->clusters[0] = (struct vl_trust_cluster){ 0xa00, 4, 0, 1 };
	memcpy(image, t->bytes, K_LEN);
	memcpy(image + 0xa00, sealed, sizeof(sealed));
	vl_trust_check_tail(t, &memory, found, &g);
	ok(!g.nr, "a legal form behind the text is verified");
	image[0xa04] = 1;
	vl_trust_check_tail(t, &memory, found, &g);
	ok(g.nr == 1 && g.last.va == KERNEL_VA + 0xa04 && g.last.len == 1,
	   "a changed byte behind the text is found");
	free_kernel(t);
}

static void test_places(const struct vl_trust *kernel)
{
	struct vl_trust_loaded wrong = apart;
	struct vl_trust *t, *other;
	struct vl_trust_set *set;
	struct made m;

	make_module(&m, "exported", 1);
	vl_error_destroy(vl_trust_set_create(kernel, &set));
	vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &t));
	wrong.module += 64;
	ok(fails(vl_trust_set_add(set, t, &wrong), "another layout"),
	   "struct module at another place is refused");
	wrong = apart;
	wrong.areas[VL_TRUST_AREA_TEXT].size = 2 * PAGE;
	ok(fails(vl_trust_set_add(set, t, &wrong), "another layout"),
	   "text of another size is refused");
	wrong.areas[VL_TRUST_AREA_TEXT].size = TEXT_LEN - 1;
	ok(fails(vl_trust_set_add(set, t, &wrong), "another layout"),
	   "text that is too short is refused");
	ok(!vl_trust_set_add(set, t, &together) && !vl_trust_link(t),
	   "parts that follow each other are laid out");
	ok(vl_trust_i32(t->bytes + AT_DATA + 3) == (int32_t)(DATA_VA + 12),
	   "and the data are behind the constants");
	vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &other));
	ok(fails(vl_trust_set_add(set, other, &together), "two modules"),
	   "two modules at one place are refused");
	vl_trust_close(other);
	vl_trust_set_remove(set, t);
	make_module(&m, "nobody_has_it", 1);
	vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &t));
	ok(!vl_trust_set_add(set, t, &apart) &&
		   fails(vl_trust_link(t), "no trusted kernel or module exports nobody_has_it"),
	   "a symbol that nobody exports is named");
	vl_trust_set_destroy(set);
}

/* --- hostile files --- */

static uint64_t random_number(uint64_t *seed)
{
	/* xorshift64 */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Change some bytes; every fourth time shorten it, too. Returns the length. */
static size_t damage(unsigned char *bytes, size_t len, uint64_t *seed)
{
	for (uint64_t n = 1 + random_number(seed) % 6; n; n--)
		bytes[random_number(seed) % len] =
			random_number(seed) % 3 ? (unsigned char)random_number(seed) : 0xff;
	return random_number(seed) % 4 ? len : 1 + random_number(seed) % len;
}

static void test_broken(const struct vl_trust *kernel)
{
	size_t linked = 0, refused = 0;
	uint64_t seed = 42;
	struct made m, broken;

	make_module(&m, "exported", 1);
	for (int i = 0; i < ROUNDS; i++) {
		struct guest g = { .nr = 0 };
		struct vl_trust_set *set;
		struct vl_trust *t = NULL;
		struct vl_error *err;
		/* An exact copy: a sanitizer sees each read behind its end. */
		unsigned char *copy;
		size_t len;

		memcpy(&broken, &m, sizeof(m));
		len = damage(broken.bytes, m.len, &seed);
		copy = malloc(len);
		memcpy(copy, broken.bytes, len);
		err = vl_trust_set_create(kernel, &set);
		if (!err)
			err = vl_trust_module_open(copy, len, &t);
		free(copy);
		if (!err) {
			err = vl_trust_set_add(set, t, i % 2 ? &apart : &together);
			if (err)
				vl_trust_close(t);
		}
		if (!err)
			err = vl_trust_link(t);
		if (!err) {
			memcpy(g.text, text, TEXT_LEN);
			check(t, &g, NULL);
		}
		linked += !err;
		refused += err != NULL;
		vl_error_destroy(err);
		vl_trust_set_destroy(set);
	}
	printf("# linked %zu, refused %zu\n", linked, refused);
	ok(linked > 100 && refused > 100, "no broken module does harm");
}

static void test_pack(void)
{
	const struct vl_pack_module about = { .signer = "somebody", .package = "linux-image" };
	struct vl_packer p = { .nr = 0 }, q = { .nr = 0 };
	struct vl_pack_module entry = { .name = "" };
	unsigned char *pack, *more, *copy;
	size_t len, more_len, opened = 0, wrong = 0;
	uint64_t seed = 7;
	struct vl_trust *t;
	struct made m;

	for (unsigned char build = 1; build <= 2; build++) {
		make_module(&m, "exported", build);
		vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &t));
		vl_error_destroy(vl_packer_add(&p, t, m.bytes, m.len, &about));
		vl_error_destroy(vl_packer_add(&p, t, m.bytes, m.len, &about));
		vl_trust_close(t);
	}
	ok(!vl_packer_finish(&p, &pack, &len) && vl_pack_nr(pack, len) == 2,
	   "a pack has each build of a module once");
	ok(vl_pack_find(pack, len, "made_by_hand") == 0 && vl_pack_find(pack, len, "made") == 2,
	   "a module is found by its name");
	ok(vl_pack_module(pack, len, 1, &entry) && !strcmp(entry.signer, "somebody"),
	   "its signer is kept");
	ok(vl_pack_is_sound(pack, len), "its index has the right checksum");
	ok(!vl_pack_open(pack, len, &entry, &t) && !strcmp(t->build_id, entry.build_id),
	   "it is opened");
	vl_trust_close(t);
	ok(!vl_packer_merge(&q, pack, len) && !vl_packer_merge(&q, pack, len) &&
		   !vl_packer_finish(&q, &more, &more_len) && vl_pack_nr(more, more_len) == 2,
	   "a pack is merged into another one");
	for (int i = 0; i < ROUNDS / 4; i++) {
		size_t n;

		copy = malloc(len);
		memcpy(copy, pack, len);
		n = damage(copy, len, &seed);
		for (size_t k = 0; k < 2; k++) {
			if (!vl_pack_module(copy, n, k, &entry))
				continue;
			struct vl_error *err = vl_pack_open(copy, n, &entry, &t);

			opened += !err;
			wrong += !err && vl_pack_is_sound(copy, n) &&
				 memcmp(copy + entry.at, pack + entry.at, entry.packed) != 0;
			if (!err)
				vl_trust_close(t);
			vl_error_destroy(err);
			/* Somebody may have changed the checksum, too. */
			entry.sum = vl_sum(copy + entry.at, entry.packed);
			err = vl_pack_open(copy, n, &entry, &t);
			if (!err)
				vl_trust_close(t);
			vl_error_destroy(err);
		}
		wrong += vl_pack_is_sound(copy, n) &&
			 memcmp(copy, pack, 32 + 2 * sizeof(entry)) != 0;
		free(copy);
	}
	ok(opened > 0 && opened < ROUNDS / 2, "broken packs are refused");
	ok(!wrong, "no module is opened whose bytes or entry are other ones");
	free(pack);
	free(more);
	vl_packer_deinit(&p);
	vl_packer_deinit(&q);
}

static void test_lz4(void)
{
	static unsigned char in[70000], packed[71000], out[70000];
	uint64_t seed = 3;
	bool same = true;
	size_t n = 0;

	for (size_t len = 0; len < sizeof(in); len = len * 3 / 2 + 1) {
		for (size_t i = 0; i < len; i++)
			in[i] = (unsigned char)(i / 700 % 2 ? random_number(&seed) : i / 100);
		n = vl_lz4_pack(in, len, packed);
		same &= n && n <= vl_lz4_bound(len) && vl_lz4_unpack(packed, n, out, len) &&
			!memcmp(in, out, len);
		/* Neither a longer nor a shorter one fits. */
		same &= !vl_lz4_unpack(packed, n, out, len + 1) &&
			(!len || !vl_lz4_unpack(packed, n, out, len - 1)) &&
			(n < 2 || !vl_lz4_unpack(packed, n - 1, out, len));
	}
	ok(same, "what is packed is unpacked again");
	memset(in, 0, sizeof(in));
	ok(vl_lz4_pack(in, sizeof(in), packed) < 400, "zeros take no room");
}

static void test_signer(void)
{
	/* PKCS #7: a signer whose certificate has the issuer "Me\e" and the number 0x1234. */
	/* clang-format off */
	static const unsigned char der[] = {
		0x30, 43, 6, 1, 0, 0xa0, 38, 0x30, 36, 2, 1, 1, 0x31, 0, 0x30, 0,
		0x31, 27, 0x30, 25, 2, 1, 1, 0x30, 20, 0x30, 14, 0x31, 12, 0x30, 10,
		6, 3, 0x55, 4, 3, 0x0c, 3, 'M', 'e', 0x1b, 2, 2, 0x12, 0x34,
	};
	/* clang-format on */
	static const char end[] = "~Module signature appended~\n";
	unsigned char file[256] = "module";
	size_t len = 6;
	uint64_t seed = 9;
	char text_of[128];

	memcpy(file + len, der, sizeof(der));
	len += sizeof(der);
	memset(file + len, 0, 8);
	memcpy(file + len + 8, "\0\0\0", 3);
	file[len + 11] = sizeof(der);
	memcpy(file + len + 12, end, sizeof(end) - 1);
	len += 12 + sizeof(end) - 1;
	vl_signer(file, len, text_of, sizeof(text_of));
	ok(!strcmp(text_of, "Me?, 1234"), "a signer is named, without hostile characters");
	for (int i = 0; i < ROUNDS; i++) {
		unsigned char *copy = malloc(len);

		memcpy(copy, file, len);
		copy[6 + random_number(&seed) % sizeof(der)] = (unsigned char)random_number(&seed);
		vl_signer(copy, len, text_of, sizeof(text_of));
		free(copy);
	}
	vl_signer((const unsigned char *)"unsigned", 8, text_of, sizeof(text_of));
	ok(!*text_of, "a file without a signature has no signer");
}

/* --- instructions --- */

static void test_insns(void)
{
	static const struct {
		const char *code;
		size_t len; /* of the code */
		enum vl_insn_kind kind;
		uint8_t is; /* the instruction's length; 0: it is none */
		int64_t target;
	} insns[] = {
		{ "\x90", 1, VL_INSN_NOP, 1, 0 },
		{ "\xcc\xcc", 2, VL_INSN_BREAK, 1, 0 },
		{ "\xc3\xcc", 2, VL_INSN_RETURN, 1, 0 },
		{ "\x0f\x1f\x44\x00\x00\xc3", 6, VL_INSN_NOP, 5, 0 },
		{ "\xe8\x10\x00\x00\x00", 5, VL_INSN_CALL, 5, 0x15 },
		{ "\xe9\xf0\xff\xff\xff\x90", 6, VL_INSN_JUMP, 5, -11 },
		/* Like these, but other ones. */
		{ "\xf3\xc3", 2, VL_INSN_RETURN, 2, 0 },
		{ "\x66\x90", 2, VL_INSN_NOP, 2, 0 },
		{ "\xf3\x90", 2, VL_INSN_OTHER, 2, 0 },
		{ "\x41\x90", 2, VL_INSN_OTHER, 2, 0 },
		{ "\x0f\x1f\x44\x00\x01", 5, VL_INSN_NOP, 5, 0 },
		{ "\x0f\x1f\x40\x00\xe8", 5, VL_INSN_NOP, 4, 0 },
		{ "\xeb\x10\x00\x00\x00", 5, VL_INSN_JUMP, 2, 0x12 },
		{ "\xe8\x10\x00\x00", 4, VL_INSN_OTHER, 0, 0 },
		{ "\x0f\x1f\x44\x00", 4, VL_INSN_OTHER, 0, 0 },
		{ "", 0, VL_INSN_OTHER, 0, 0 },
	};
	bool good = true;

	for (size_t k = 0; k < ARRAY_SIZE(insns); k++) {
		unsigned char *code = malloc(insns[k].len + 1);
		struct vl_insn i;
		bool found;

		/* A copy of just these bytes, so that a read behind them is found. */
		memcpy(code + 1, insns[k].code, insns[k].len);
		found = vl_insn(code + 1, insns[k].len, TEXT_VA, &i);
		good &= found ? i.len == insns[k].is && i.kind == insns[k].kind &&
					i.target == (insns[k].target ?
							     TEXT_VA + (uint64_t)insns[k].target :
							     0) :
				!insns[k].is;
		free(code);
	}
	ok(good, "common instructions, and those like them, are what they are");
}

int main(void)
{
	struct vl_trust *kernel = make_kernel();

	test_text(kernel);
	test_tail();
	test_places(kernel);
	test_broken(kernel);
	test_pack();
	test_lz4();
	test_signer();
	test_insns();
	free_kernel(kernel);
	return tap_end();
}
