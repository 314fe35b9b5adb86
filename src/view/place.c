/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parse the expression of a place, "init_task.mm->pgd", and find the place. */
#include "types.h"

#include <bpf/btf.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "../base/cleanup.h"
#include "../base/number.h"
#include "collect.h"
#include "../base/suggest.h"
#include "../kernel/btf.h"

/* NR_CPUS of the largest configuration. */
#define MAX_CPUS 8192

/* ---- names that do not exist ---- */

static struct vl_error *not_found(const struct vl_suggest *suggest, const char *kind,
				  const char *where)
{
	struct vl_error *err = vl_error_new(VL_ERR_ARG, "no %s '%.*s'%s%s", kind, (int)suggest->len,
					    suggest->name, *where ? " in " : "", where);
	_cleanup_free_ char *text = vl_suggest_text(suggest);

	if (text)
		vl_error_hint(err, "%s", text);
	return err;
}

static struct vl_error *no_symbol(struct vl_types *t, const char *name, size_t len)
{
	const struct vl_kernel *k = t->g->attach->kernel;
	struct vl_suggest suggest;
	const char *n;

	vl_suggest_init(&suggest, name, len);
	for (size_t i = 0; (n = vl_symbol_name(k, i)); i++)
		vl_suggest_try(&suggest, n);
	return not_found(&suggest, "symbol", "");
}

static struct vl_error *no_type(struct vl_types *t, const char *name, size_t len)
{
	struct vl_suggest suggest;
	const struct btf_type *type;

	vl_suggest_init(&suggest, name, len);
	for (uint32_t id = 1; (type = btf__type_by_id(t->btf, id)); id++)
		if (btf_is_composite(type) || btf_is_typedef(type) || btf_is_int(type) ||
		    btf_is_enum(type))
			vl_suggest_try(&suggest, vl_types_string(t, type->name_off));
	return not_found(&suggest, "type", "");
}

static struct vl_error *no_member(struct vl_types *t, uint32_t id, const struct btf_type *type,
				  const char *name, size_t len)
{
	char where[VL_TYPE_NAME];
	struct vl_suggest suggest;
	struct vl_btf_member m;

	vl_suggest_init(&suggest, name, len);
	for (unsigned i = 0; vl_btf_member(t->btf, type, i, &m); i++)
		vl_suggest_try(&suggest, m.name);
	vl_types_name(t, id, where);
	return not_found(&suggest, "member", where);
}

/* ---- types by name ---- */

/* The type @name of one of the kinds in @kinds (bits); 0: none. */
static uint32_t by_name(struct vl_types *t, const char *name, size_t len, uint32_t kinds)
{
	const struct btf_type *type;

	for (uint32_t id = 1; (type = btf__type_by_id(t->btf, id)); id++) {
		const char *n = vl_types_string(t, type->name_off);

		if (kinds >> btf_kind(type) & 1 && !strncmp(n, name, len) && !n[len])
			return id;
	}
	return 0;
}

#define KIND(k) (1U << BTF_KIND_##k)
#define KIND_ENUM64 (1U << 19)

/* Spellings in C, and in compilers' debug information. */
static const char *const spellings[][2] = {
	{ "short", "short int" },
	{ "unsigned short", "short unsigned int" },
	{ "unsigned", "unsigned int" },
	{ "long", "long int" },
	{ "unsigned long", "long unsigned int" },
	{ "long long", "long long int" },
	{ "unsigned long long", "long long unsigned int" },
};

static uint32_t by_spelling(struct vl_types *t, const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++)
		if (len == strlen(spellings[i][0]) && !memcmp(name, spellings[i][0], len))
			return by_name(t, spellings[i][1], strlen(spellings[i][1]), KIND(INT));
	return 0;
}

/* Parse the type at *@p: "struct x", "x", "unsigned long", followed by *@stars_ret stars. */
static struct vl_error *parse_type(struct vl_types *t, const char **p, uint32_t *ret,
				   unsigned *stars_ret)
{
	static const struct {
		const char *word;
		uint32_t kinds;
	} words[] = {
		{ "struct ", KIND(STRUCT) },
		{ "union ", KIND(UNION) },
		{ "enum ", KIND(ENUM) | KIND_ENUM64 },
	};
	/* A struct before a typedef of the same name. */
	static const uint32_t any[] = { KIND(STRUCT) | KIND(UNION),
					KIND(TYPEDEF) | KIND(INT) | KIND(ENUM) | KIND_ENUM64 };
	struct vl_error *err = vl_types_need(t);
	const char *name;
	uint32_t kinds = 0, id = 0;
	size_t len = 0;

	if (err)
		return err;
	*p += strspn(*p, " ");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strncmp(*p, words[i].word, strlen(words[i].word))) {
			kinds = words[i].kinds;
			*p += strlen(words[i].word);
		}
	name = *p;
	while (isalnum((unsigned char)name[len]) || name[len] == '_' || name[len] == ' ')
		len++;
	*p += len;
	while (len && name[len - 1] == ' ')
		len--;
	if (!len)
		return vl_error_new(VL_ERR_ARG, "no type follows the colon");
	if (kinds)
		id = by_name(t, name, len, kinds);
	for (size_t i = 0; !kinds && !id && i < 2; i++)
		id = by_name(t, name, len, any[i]);
	if (!kinds && !id)
		id = by_spelling(t, name, len);
	if (!id)
		return no_type(t, name, len);
	for (*stars_ret = 0; **p == '*' || **p == ' '; ++*p)
		*stars_ret += **p == '*';
	*ret = id;
	return NULL;
}

/*
 * Variables worth a look whose type is not in the kernel's BTF, which has per-CPU variables
 * only.
 */
static const struct {
	const char *symbol, *type;
} known[] = {
	{ "boot_cpu_data", "cpuinfo_x86" },
	{ "init_cred", "cred" },
	{ "init_css_set", "css_set" },
	{ "init_files", "files_struct" },
	{ "init_fs", "fs_struct" },
	{ "init_ipc_ns", "ipc_namespace" },
	{ "init_mm", "mm_struct" },
	{ "init_net", "net" },
	{ "init_nsproxy", "nsproxy" },
	{ "init_pid_ns", "pid_namespace" },
	{ "init_task", "task_struct" },
	{ "init_user_ns", "user_namespace" },
	{ "init_uts_ns", "uts_namespace" },
	{ "jiffies_64", "u64" },
	{ "modules", "list_head" },
	{ "page_offset_base", "long unsigned int" },
	{ "root_task_group", "task_group" },
	{ "super_blocks", "list_head" },
	{ "tcp_hashinfo", "inet_hashinfo" },
	{ "vmalloc_base", "long unsigned int" },
	{ "vmemmap_base", "long unsigned int" },
};

/* The type of the variable @name; 0: it is not known. */
static uint32_t type_of_symbol(struct vl_types *t, const char *name, size_t len, bool *percpu_ret)
{
	uint32_t id;

	*percpu_ret = false;
	if (vl_discard(vl_types_need(t)))
		return 0;
	id = by_name(t, name, len, KIND(VAR));
	if (id) {
		*percpu_ret = true;
		return btf__type_by_id(t->btf, id)->type;
	}
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i].symbol) == len && !memcmp(known[i].symbol, name, len))
			return by_name(t, known[i].type, strlen(known[i].type),
				       KIND(STRUCT) | KIND(TYPEDEF) | KIND(INT));
	return by_name(t, name, len, KIND(STRUCT));
}

/* ---- places ---- */

static struct vl_error *parse_number(const char **p, uint64_t *ret, const char *what)
{
	if (isdigit((unsigned char)**p) && vl_take_u64(p, 0, UINT64_MAX, ret))
		return NULL;
	return vl_error_new(VL_ERR_ARG, "no %s: '%s'", what, *p);
}

/* An address is written with 0x, or as the kernel prints it: 16 digits. */
static bool is_address(const char *p)
{
	return isdigit((unsigned char)*p) || strspn(p, "0123456789abcdefABCDEF") == 16;
}

static struct vl_error *parse_address(const char **p, uint64_t *ret)
{
	if (strspn(*p, "0123456789abcdefABCDEF") != 16)
		return parse_number(p, ret, "address");
	/* 16 digits are not too large. */
	vl_take_u64(p, 16, UINT64_MAX, ret);
	return NULL;
}

static struct vl_error *parse_symbol(struct vl_types *t, const char **p, bool typed,
				     struct vl_lvalue *ret)
{
	const struct vl_kernel *k = t->g->attach->kernel;
	const char *name = *p;
	struct vl_error *err;
	uint64_t cpu, offset;
	bool percpu = false;
	uint32_t nr;
	size_t len = 0;
	char buf[256];

	while (isalnum((unsigned char)name[len]) || name[len] == '_')
		len++;
	if (!len || len >= sizeof(buf))
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "neither an address nor a symbol: '%s'", name),
			"write 0xADDRESS, SYMBOL, or one of them with :TYPE");
	memcpy(buf, name, len);
	buf[len] = '\0';
	*p += len;
	ret->va = vl_symbol(k, buf);
	if (!ret->va && !vl_symbol_is(k, buf))
		return no_symbol(t, name, len);
	if (!typed)
		ret->type = type_of_symbol(t, name, len, &percpu);
	if (**p != '@')
		return percpu ? vl_error_hint(
					vl_error_new(VL_ERR_ARG, "each CPU has its own '%s'", buf),
					"write %s@0 for that of CPU 0", buf) :
				NULL;
	++*p;
	err = parse_number(p, &cpu, "CPU");
	if (err)
		return err;
	if (vl_kernel_is_up(k) && !cpu)
		return NULL;
	/* __per_cpu_offset has room for more CPUs than the guest has. */
	if (vl_read_u32(t->g->reader, &t->g->space, vl_symbol(k, "nr_cpu_ids"), &nr))
		nr = MAX_CPUS;
	if (cpu >= nr || cpu >= MAX_CPUS ||
	    vl_read_u64(t->g->reader, &t->g->space, vl_symbol(k, "__per_cpu_offset") + 8 * cpu,
			&offset))
		return vl_error_new(VL_ERR_ARG, "the guest has no CPU %" PRIu64, cpu);
	ret->va += offset;
	return NULL;
}

/* Replace @place, a pointer, by its target. */
static struct vl_error *follow(struct vl_types *t, struct vl_lvalue *place,
			       const struct btf_type *type)
{
	uint64_t to;
	struct vl_error *err =
		vl_read_error(vl_read_u64(t->g->reader, &t->space, place->va, &to), place->va);

	if (err)
		return err;
	if (!to)
		return vl_error_new(VL_ERR_ARG, "the pointer at 0x%" PRIx64 " is NULL", place->va);
	*place = (struct vl_lvalue){ .va = to, .type = type->type };
	return NULL;
}

static struct vl_error *take_member(struct vl_types *t, const char **p, struct vl_lvalue *place)
{
	const struct btf_type *type = vl_types_resolve(t, place->type, &place->type);
	const char *name = *p;
	struct vl_btf_member m;
	struct vl_error *err;
	size_t len = 0;

	if (type && btf_is_ptr(type)) {
		err = follow(t, place, type);
		if (err)
			return err;
		type = vl_types_resolve(t, place->type, &place->type);
	}
	while (isalnum((unsigned char)name[len]) || name[len] == '_')
		len++;
	*p += len;
	if (!type || !btf_is_composite(type)) {
		char text[VL_TYPE_NAME];

		vl_types_name(t, place->type, text);
		return vl_error_new(VL_ERR_ARG, "no member '%.*s': %s has no members", (int)len,
				    name, text);
	}
	if (!len || !vl_btf_find_member(t->btf, type, name, len, &m))
		return no_member(t, place->type, type, name, len);
	place->va += m.bit / 8;
	place->bit = m.bits ? m.bit % 8 : 0;
	place->bits = m.bits;
	place->type = m.type;
	return NULL;
}

/*
 * Check @index into @type, the type of @place. Without an array it needs a @row: a type that
 * was written behind an address or symbol.
 */
static struct vl_error *check_index(const struct vl_types *t, const struct btf_type *type,
				    const struct vl_lvalue *place, uint64_t index, bool row)
{
	char name[VL_TYPE_NAME];
	uint32_t nr;

	vl_types_name(t, place->type, name);
	if (!type || (!btf_is_array(type) && !btf_is_ptr(type) && !row))
		return vl_error_new(VL_ERR_ARG, "[%" PRIu64 "] needs an array, and this is %s",
				    index, name);
	/* An array of no elements, as a last member, has the number that was allocated. */
	nr = btf_is_array(type) ? btf_array(type)->nelems : 0;
	if (nr && index >= nr)
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "[%" PRIu64 "] is outside of %s", index, name),
			"its last element is [%" PRIu32 "]", nr - 1);
	return NULL;
}

static struct vl_error *take_index(struct vl_types *t, const char **p, struct vl_lvalue *place,
				   bool row)
{
	const struct btf_type *type = vl_types_resolve(t, place->type, &place->type);
	uint64_t index, offset;
	struct vl_error *err;

	err = parse_number(p, &index, "index");
	if (err)
		return err;
	if (**p != ']')
		return vl_error_new(VL_ERR_ARG, "no ']' after an index: '%s'", *p);
	++*p;
	err = check_index(t, type, place, index, row);
	if (!err && btf_is_ptr(type))
		err = follow(t, place, type);
	else if (!err && btf_is_array(type))
		place->type = btf_array(type)->type;
	if (err)
		return err;
	if (__builtin_mul_overflow(index, vl_types_size(t, place->type), &offset) ||
	    __builtin_add_overflow(place->va, offset, &place->va))
		return vl_error_new(VL_ERR_ARG,
				    "[%" PRIu64 "] is beyond the end of the address "
				    "space",
				    index);
	return NULL;
}

static struct vl_error *need_typed(const struct vl_lvalue *place, const char *what)
{
	return place->type ?
		       NULL :
		       vl_error_hint(vl_error_new(VL_ERR_ARG, "the type of '%.*s' is not known",
						  (int)strcspn(what, "+:.-["), what),
				     "write it after a colon: SYMBOL:TYPE.member");
}

struct vl_error *vl_types_find(struct vl_types *t, const char *what, struct vl_lvalue *ret)
{
	const char *p = what;
	struct vl_error *err;
	unsigned stars = 0;
	bool row = false;
	uint64_t offset;

	*ret = (struct vl_lvalue){ .va = 0 };
	if (is_address(p))
		err = parse_address(&p, &ret->va);
	else if (!t->g->attach)
		err = vl_error_hint(vl_error_new(VL_ERR_KERNEL, "its symbols are not known"),
				    "give an address: 0x...");
	else
		err = parse_symbol(t, &p, strchr(p, ':'), ret);
	if (!err && *p == '+') {
		p++;
		err = parse_number(&p, &offset, "offset");
		if (!err) {
			ret->va += offset;
			ret->type = 0;
		}
	}
	if (!err && *p == ':') {
		p++;
		err = parse_type(t, &p, &ret->type, &stars);
		row = true;
		for (; !err && stars; stars--) {
			const struct btf_type pointer = { .type = ret->type };

			err = follow(t, ret, &pointer);
		}
	}
	while (!err && *p) {
		err = need_typed(ret, what);
		if (err)
			break;
		if (*p == '[')
			p++, err = take_index(t, &p, ret, row);
		else if (*p == '.')
			p++, err = take_member(t, &p, ret);
		else if (p[0] == '-' && p[1] == '>')
			p += 2, err = take_member(t, &p, ret);
		else
			err = vl_error_hint(vl_error_new(VL_ERR_ARG, "not understood: '%s'", p),
					    "only .member, ->member or [index] can follow");
		row = false;
	}
	return err;
}
