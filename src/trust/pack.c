/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pack.h"

#include <elf.h>
#include <stdlib.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/hash.h"
#include "internal.h"
#include "lz4.h"

static const char magic[16] = "vlens modules 2";

/* Behind the magic: the number of entries, and their checksum. */
#define INDEX_AT (sizeof(magic) + 16)

/* --- reading --- */

size_t vl_pack_nr(const unsigned char *pack, size_t len)
{
	uint64_t nr;

	if (len < INDEX_AT || memcmp(pack, magic, sizeof(magic)) != 0)
		return 0;
	nr = vl_trust_u64(pack + sizeof(magic));
	return nr <= (len - INDEX_AT) / sizeof(struct vl_pack_module) ? nr : 0;
}

bool vl_pack_is_sound(const unsigned char *pack, size_t len)
{
	size_t nr = vl_pack_nr(pack, len);

	return nr && vl_sum(pack + INDEX_AT, nr * sizeof(struct vl_pack_module)) ==
			     vl_trust_u64(pack + sizeof(magic) + 8);
}

/* Is there a NUL in each text of @m? */
static bool texts_end(const struct vl_pack_module *m)
{
#define ENDS(member) memchr(m->member, 0, sizeof(m->member))
	return ENDS(name) && ENDS(build_id) && ENDS(sha256) && ENDS(package) && ENDS(version) &&
	       ENDS(checked) && ENDS(signer);
#undef ENDS
}

bool vl_pack_module(const unsigned char *pack, size_t len, size_t i, struct vl_pack_module *ret)
{
	if (i >= vl_pack_nr(pack, len))
		return false;
	memcpy(ret, pack + INDEX_AT + i * sizeof(*ret), sizeof(*ret));
	return texts_end(ret) && ret->at <= len && ret->packed <= len - ret->at &&
	       ret->len <= VL_TRUST_MODULE_MAX;
}

size_t vl_pack_find(const unsigned char *pack, size_t len, const char *name)
{
	size_t nr = vl_pack_nr(pack, len), lo = 0, hi = nr;
	struct vl_pack_module m;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (!vl_pack_module(pack, len, mid, &m))
			return nr;
		if (strcmp(m.name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return vl_pack_module(pack, len, lo, &m) && !strcmp(m.name, name) ? lo : nr;
}

struct vl_error *vl_pack_open(const unsigned char *pack, size_t len, const struct vl_pack_module *m,
			      struct vl_trust **ret)
{
	_cleanup_free_ unsigned char *file = NULL;
	struct vl_error *err;

	if (m->at > len || m->packed > len - m->at || m->len > VL_TRUST_MODULE_MAX)
		return vl_ko_damaged("it lies outside of its pack");
	if (vl_sum(pack + m->at, m->packed) != m->sum)
		return vl_error_new(VL_ERR_ARG,
				    "the stored module is damaged: its checksum is another "
				    "one; add its package again");
	file = malloc(m->len + 1);
	if (!file)
		return vl_error_nomem();
	if (!vl_lz4_unpack(pack + m->at, m->packed, file, m->len))
		return vl_ko_damaged("its stored form cannot be unpacked");
	err = vl_trust_module_open(file, m->len, ret);
	if (!err && strcmp(vl_trust_module_name(*ret), m->name) != 0) {
		vl_trust_close(*ret);
		err = vl_ko_damaged("it is not the module that its pack lists");
	}
	return err;
}

/* --- writing --- */

void vl_packer_deinit(struct vl_packer *p)
{
	free(p->modules);
	free(p->bytes);
	*p = (struct vl_packer){ .nr = 0 };
}

/* Make room for @len more compressed bytes; false: out of memory. */
static bool make_room(struct vl_packer *p, size_t len)
{
	size_t room = p->room ? p->room : 1 << 20;
	unsigned char *more;

	while (room - p->len < len)
		room *= 2;
	if (room == p->room)
		return true;
	more = realloc(p->bytes, room);
	if (!more)
		return false;
	p->bytes = more;
	p->room = room;
	return true;
}

/* Does @p have a module with the name and build id of @m? */
static bool has(const struct vl_packer *p, const struct vl_pack_module *m)
{
	for (size_t i = 0; i < p->nr; i++)
		if (!strcmp(p->modules[i].name, m->name) &&
		    !strcmp(p->modules[i].build_id, m->build_id))
			return true;
	return false;
}

static void forget(struct vl_packer *p, const struct vl_pack_module *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->nr; i++)
		if (strcmp(p->modules[i].name, m->name) != 0 ||
		    strcmp(p->modules[i].build_id, m->build_id) != 0)
			p->modules[kept++] = p->modules[i];
	p->nr = kept;
}

/* Add @m, whose compressed bytes are the last m->packed of p->bytes. */
static struct vl_error *append(struct vl_packer *p, struct vl_pack_module m)
{
	if (p->nr == VL_PACK_MODULES || p->len + m.packed > VL_PACK_MAX)
		return vl_error_new(VL_ERR_ARG, "there are too many modules of one release");
	if (!vl_grow(p->modules, p->cap, p->nr, 1024))
		return vl_error_nomem();
	m.at = p->len;
	p->len += m.packed;
	p->modules[p->nr++] = m;
	return NULL;
}

static bool starts(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

/* Does vlens read section @i? */
static bool is_read(const struct vl_ko *ko, size_t i)
{
	const struct vl_ko_section *s = &ko->sections[i];
	const char *name = s->name;

	if (i == ko->symbols || i == ko->names)
		return true;
	if (s->type == SHT_RELA)
		return s->info && s->info < ko->nr_sections && s->info != i &&
		       ko->sections[s->info].type != SHT_RELA && is_read(ko, s->info);
	return s->flags & SHF_ALLOC && !starts(name, ".orc_") && !starts(name, "__versions") &&
	       strcmp(name, "__dyndbg") != 0;
}

/*
 * In @copy of the file, fill the parts that are not read with zeros: also the signature behind the
 * end.
 */
static void blank(const struct vl_ko *ko, unsigned char *copy)
{
	Elf64_Ehdr head;
	size_t end;

	memcpy(&head, copy, sizeof(head));
	end = head.e_shoff + head.e_shnum * sizeof(Elf64_Shdr);
	for (size_t i = 1; i < ko->nr_sections; i++) {
		const struct vl_ko_section *s = &ko->sections[i];

		if (s->type == SHT_NOBITS || s->type == SHT_NULL)
			continue;
		if (!is_read(ko, i) && s->type != SHT_STRTAB)
			memset(copy + s->at, 0, s->size);
		if (s->at + s->size > end)
			end = s->at + s->size;
	}
	memset(copy + end, 0, ko->len - end);
}

struct vl_error *vl_packer_add(struct vl_packer *p, const struct vl_trust *t, const void *file,
			       size_t len, const struct vl_pack_module *m)
{
	_cleanup_free_ unsigned char *copy = malloc(len + 1);
	struct vl_pack_module own = *m;

	if (!copy || !make_room(p, vl_lz4_bound(len)))
		return vl_error_nomem();
	memcpy(own.name, t->ko->name, sizeof(own.name));
	memcpy(own.build_id, t->build_id, sizeof(own.build_id));
	memcpy(copy, file, len);
	blank(t->ko, copy);
	own.len = (uint32_t)len;
	own.packed = (uint32_t)vl_lz4_pack(copy, len, p->bytes + p->len);
	if (!own.packed)
		return vl_error_nomem();
	own.sum = vl_sum(p->bytes + p->len, own.packed);
	forget(p, &own);
	return append(p, own);
}

struct vl_error *vl_packer_merge(struct vl_packer *p, const unsigned char *pack, size_t len)
{
	size_t nr = vl_pack_nr(pack, len), own = p->nr;
	struct vl_packer mine = { p->modules, own, 0, NULL, 0, 0 };
	struct vl_error *err = NULL;
	struct vl_pack_module m;

	for (size_t i = 0; !err && i < nr; i++) {
		mine.modules = p->modules;
		if (!vl_pack_module(pack, len, i, &m) || has(&mine, &m))
			continue;
		if (!make_room(p, m.packed))
			return vl_error_nomem();
		memcpy(p->bytes + p->len, pack + m.at, m.packed);
		err = append(p, m);
	}
	return err;
}

static int by_name(const void *a, const void *b)
{
	const struct vl_pack_module *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->build_id, y->build_id);
}

struct vl_error *vl_packer_finish(struct vl_packer *p, unsigned char **ret, size_t *len_ret)
{
	size_t index = INDEX_AT + p->nr * sizeof(*p->modules);
	uint64_t nr = p->nr, sum;
	unsigned char *pack = malloc(index + p->len);

	if (!pack)
		return vl_error_nomem();
	if (p->nr)
		qsort(p->modules, p->nr, sizeof(*p->modules), by_name);
	memcpy(pack, magic, sizeof(magic));
	memcpy(pack + sizeof(magic), &nr, sizeof(nr));
	for (size_t i = 0; i < p->nr; i++) {
		struct vl_pack_module m = p->modules[i];

		m.at += index;
		memcpy(pack + INDEX_AT + i * sizeof(m), &m, sizeof(m));
	}
	sum = vl_sum(pack + INDEX_AT, p->nr * sizeof(*p->modules));
	memcpy(pack + sizeof(magic) + 8, &sum, sizeof(sum));
	if (p->len)
		memcpy(pack + index, p->bytes, p->len);
	*ret = pack;
	*len_ret = index + p->len;
	return NULL;
}
