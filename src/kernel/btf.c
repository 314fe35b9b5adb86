/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "btf.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <string.h>

/* Steps through typedefs and qualifiers. */
#define MAX_STEPS 32
/* BTF_KIND_TYPE_TAG (5.17) and BTF_KIND_ENUM64 (6.0), which not every <linux/btf.h> has. */
#define KIND_TYPE_TAG 18
#define KIND_ENUM64 19
/* Members looked at to find one; the largest type has a few hundred. */
#define MAX_VISITS 4000

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap;
	return 0;
}

struct vl_error *vl_btf_open(const void *data, size_t len, struct btf **ret)
{
	struct btf *btf;

	libbpf_set_print(silent);
	btf = btf__new(data, (uint32_t)len);
	if (libbpf_get_error(btf))
		return vl_error_new(VL_ERR_KERNEL, "cannot read the types of the guest's kernel");
	*ret = btf;
	return NULL;
}

const struct btf_type *vl_btf_resolve(const struct btf *btf, uint32_t id, uint32_t *id_ret)
{
	for (unsigned i = 0; i < MAX_STEPS; i++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (!type)
			return NULL;
		if (!btf_is_mod(type) && !btf_is_typedef(type) && btf_kind(type) != KIND_TYPE_TAG) {
			if (id_ret)
				*id_ret = id;
			return type;
		}
		id = type->type;
	}
	return NULL;
}

static const char *string(const struct btf *btf, uint32_t offset)
{
	const char *s = btf__name_by_offset(btf, offset);

	return s ? s : "";
}

bool vl_btf_member(const struct btf *btf, const struct btf_type *type, unsigned i,
		   struct vl_btf_member *ret)
{
	const struct btf_member *m = btf_members(type) + i;

	if (i >= btf_vlen(type))
		return false;
	*ret = (struct vl_btf_member){ string(btf, m->name_off), btf_member_bit_offset(type, i),
				       btf_member_bitfield_size(type, i), m->type };
	return true;
}

bool vl_btf_is_enum(const struct btf_type *type)
{
	return btf_is_enum(type) || btf_kind(type) == KIND_ENUM64;
}

/* struct btf_enum64 */
struct enum64 {
	uint32_t name_off, lo, hi;
};

bool vl_btf_value(const struct btf *btf, const struct btf_type *type, unsigned i,
		  struct vl_btf_value *ret)
{
	const struct enum64 *wide = (const struct enum64 *)(type + 1) + i;
	const struct btf_enum *e = btf_enum(type) + i;

	if (i >= btf_vlen(type))
		return false;
	if (btf_kind(type) == KIND_ENUM64)
		*ret = (struct vl_btf_value){ string(btf, wide->name_off),
					      (int64_t)((uint64_t)wide->hi << 32 | wide->lo) };
	else
		*ret = (struct vl_btf_value){ string(btf, e->name_off), e->val };
	return true;
}

static bool find(const struct btf *btf, const struct btf_type *type, const char *name, size_t len,
		 unsigned *visits, struct vl_btf_member *ret)
{
	struct vl_btf_member m;

	if (!type || !btf_is_composite(type))
		return false;
	for (unsigned i = 0; vl_btf_member(btf, type, i, &m) && ++*visits <= MAX_VISITS; i++) {
		if (*m.name && (strncmp(m.name, name, len) || m.name[len]))
			continue;
		if (*m.name) {
			*ret = m;
			return true;
		}
		if (find(btf, vl_btf_resolve(btf, m.type, NULL), name, len, visits, ret)) {
			ret->bit += m.bit;
			return true;
		}
	}
	return false;
}

bool vl_btf_find_member(const struct btf *btf, const struct btf_type *type, const char *name,
			size_t len, struct vl_btf_member *ret)
{
	unsigned visits = 0;

	return find(btf, type, name, len, &visits, ret);
}
