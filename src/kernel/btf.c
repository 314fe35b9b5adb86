/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "btf.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <string.h>

/* Steps through typedefs and qualifiers. */
#define MAX_STEPS 32
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
		/* 18: BTF_KIND_TYPE_TAG (5.17) is a qualifier, too. */
		if (!btf_is_mod(type) && !btf_is_typedef(type) && btf_kind(type) != 18) {
			if (id_ret)
				*id_ret = id;
			return type;
		}
		id = type->type;
	}
	return NULL;
}

static bool find(const struct btf *btf, const struct btf_type *type, const char *name, size_t len,
		 unsigned *visits, struct vl_btf_member *ret)
{
	const struct btf_member *m;

	if (!type || !btf_is_composite(type))
		return false;
	m = btf_members(type);
	for (unsigned i = 0; i < btf_vlen(type) && ++*visits <= MAX_VISITS; i++) {
		const char *n = btf__name_by_offset(btf, m[i].name_off);

		if (n && *n) {
			if (strncmp(n, name, len) || n[len])
				continue;
			*ret = (struct vl_btf_member){ btf_member_bit_offset(type, i),
						       btf_member_bitfield_size(type, i),
						       m[i].type };
			return true;
		}
		if (find(btf, vl_btf_resolve(btf, m[i].type, NULL), name, len, visits, ret)) {
			ret->bit += btf_member_bit_offset(type, i);
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
