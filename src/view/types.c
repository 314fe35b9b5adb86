/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "types.h"

#include <bpf/btf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../kernel/btf.h"
#include "collect.h"

/* Steps through typedefs and qualifiers; levels of pointers and arrays. */
#define MAX_STEPS 32
/* Larger than any kernel's (6 MiB). */
#define BTF_MAX (64U << 20)

void vl_types_init(struct vl_types *t, struct vl_raw_guest *g)
{
	*t = (struct vl_types){ .g = g, .space = g->space };
}

void vl_types_deinit(struct vl_types *t)
{
	btf__free(t->btf);
	t->btf = NULL;
}

/* Offsets that were added from DWARF do not suffice: members are shown by their types. */
static struct vl_error *no_types(const struct vl_attach *c)
{
	return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "the guest's kernel has no BTF types"),
			     "add its vmlinux with BTF%s%s: vlens types add FILE; addresses and "
			     "symbols need no types",
			     *c->build_id ? ", of build id " : "", c->build_id);
}

/* Read the BTF in the kernel's memory, for a cache that has lost it. */
static struct vl_error *read_btf(struct vl_types *t, void **ret, size_t *len_ret)
{
	const struct vl_kernel *k = t->g->attach->kernel;
	uint64_t start = vl_symbol(k, "__start_BTF"), stop = vl_symbol(k, "__stop_BTF");
	const uint16_t magic = VL_BTF_MAGIC;
	struct vl_error *err;

	if (!start || stop <= start || stop - start > BTF_MAX)
		return no_types(t->g->attach);
	*len_ret = stop - start;
	*ret = malloc(*len_ret);
	if (!*ret)
		return vl_error_nomem();
	err = vl_read_error(vl_read(t->g->reader, &t->g->space, start, *ret, *len_ret), start);
	if (!err && (*len_ret < sizeof(magic) || memcmp(*ret, &magic, sizeof(magic)) != 0))
		err = no_types(t->g->attach);
	return err;
}

struct vl_error *vl_types_need(struct vl_types *t)
{
	struct vl_error *err = NULL;
	void *data = NULL;
	size_t len = 0;

	if (t->btf)
		return NULL;
	if (vl_discard(vl_kernel_load_btf(t->g->target, t->g->attach->key, &data, &len)))
		err = read_btf(t, &data, &len);
	if (!err)
		err = vl_btf_open(data, len, &t->btf);
	free(data);
	return err;
}

const char *vl_types_string(const struct vl_types *t, uint32_t offset)
{
	const char *name = btf__name_by_offset(t->btf, offset);

	return name ? name : "";
}

const struct btf_type *vl_types_resolve(const struct vl_types *t, uint32_t id, uint32_t *id_ret)
{
	return vl_btf_resolve(t->btf, id, id_ret);
}

uint64_t vl_types_size(const struct vl_types *t, uint32_t id)
{
	int64_t size = id ? btf__resolve_size(t->btf, id) : 0;

	return size > 0 ? (uint64_t)size : 0;
}

/* @levels: a guest can make pointers and arrays that lead back to themselves. */
static void name_type(const struct vl_types *t, uint32_t id, unsigned levels,
		      char buf[VL_TYPE_NAME])
{
	const struct btf_type *type = btf__type_by_id(t->btf, id);
	const char *kind = "", *name;
	char inner[VL_TYPE_NAME] = "";

	for (unsigned i = 0; type && i < MAX_STEPS && (btf_is_mod(type) || btf_kind(type) == 18);
	     i++)
		type = btf__type_by_id(t->btf, id = type->type);
	if (!id || !type) {
		snprintf(buf, VL_TYPE_NAME, "void");
		return;
	}
	name = vl_types_string(t, type->name_off);
	switch (btf_kind(type)) {
	case BTF_KIND_PTR:
		if (levels)
			name_type(t, type->type, levels - 1, inner);
		snprintf(buf, VL_TYPE_NAME, "%.*s%s*", VL_TYPE_NAME - 4, inner,
			 *inner && inner[strlen(inner) - 1] == '*' ? "" : " ");
		return;
	case BTF_KIND_ARRAY:
		if (levels)
			name_type(t, btf_array(type)->type, levels - 1, inner);
		snprintf(buf, VL_TYPE_NAME, "%.*s[%u]", VL_TYPE_NAME - 16, inner,
			 btf_array(type)->nelems);
		return;
	case BTF_KIND_STRUCT:
		kind = "struct ";
		break;
	case BTF_KIND_UNION:
		kind = "union ";
		break;
	case BTF_KIND_FWD:
		kind = btf_kflag(type) ? "union " : "struct ";
		break;
	case BTF_KIND_ENUM:
	case 19: /* BTF_KIND_ENUM64 (6.0) */
		kind = "enum ";
		break;
	case BTF_KIND_FUNC_PROTO:
		snprintf(buf, VL_TYPE_NAME, "function");
		return;
	default:
		break;
	}
	snprintf(buf, VL_TYPE_NAME, "%s%.*s", kind, VL_TYPE_NAME - 16, *name ? name : "{...}");
}

void vl_types_name(const struct vl_types *t, uint32_t id, char buf[VL_TYPE_NAME])
{
	name_type(t, id, MAX_STEPS, buf);
}
