/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Types of the guest's kernel, from its own BTF. */
#include "kernel.h"

#include <bpf/btf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/hash.h"
#include "../base/number.h"
#include "btf.h"

static const struct {
	const char *type, *path;
} fields[VL_NR_FIELDS] = {
#define VL_FIELD_ROW(id, type, path) [VL_F_##id] = { type, path },
	VL_FIELDS(VL_FIELD_ROW)
#undef VL_FIELD_ROW
};

void vl_field_name(enum vl_field f, const char **type_ret, const char **path_ret)
{
	*type_ret = fields[f].type;
	*path_ret = fields[f].path;
}

/* The NULs are hashed, too, so that letters cannot move from one string to the other. */
static uint64_t hash_row(uint64_t hash, const char *type, const char *path)
{
	return vl_hash(vl_hash(hash, type, strlen(type) + 1), path, strlen(path) + 1);
}

/* Pairs of the older and the newer name or form of a field. A kernel has one of them. */
static const enum vl_field either[][2] = {
	{ VL_F_TASK_STATE, VL_F_TASK_STATE_LONG },
	{ VL_F_TASK_START, VL_F_TASK_REAL_START },
	/* f1a7941243c1 ("mm: convert mm's rss stats into percpu_counter"): an array of counters */
	{ VL_F_MM_RSS_COUNT, VL_F_SIZE_PCPU_COUNTER },
	/* ac3b43283923 ("module: replace module_layout with module_memory", 6.4) */
	{ VL_F_MOD_CORE_BASE, VL_F_MODMEM_BASE },
	{ VL_F_MOD_CORE_SIZE, VL_F_MODMEM_SIZE },
	{ VL_F_MOD_INIT_BASE, VL_F_MOD_MEM },
	{ VL_F_MOD_INIT_SIZE, VL_F_SIZE_MODMEM },
};

bool vl_layout_unknown(const struct vl_layout *l, enum vl_field f)
{
	if (!l->derived || vl_has(l, f))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(either); i++)
		if ((f == either[i][0] && vl_has(l, either[i][1])) ||
		    (f == either[i][1] && vl_has(l, either[i][0])))
			return false;
	return true;
}

uint64_t vl_fields_hash(void)
{
	uint64_t hash = VL_HASH;

	for (int i = 0; i < VL_NR_FIELDS; i++)
		hash = hash_row(hash, fields[i].type, fields[i].path);
	return hash;
}

static int32_t enumerator(const struct btf *btf, int32_t id, const char *name)
{
	const struct btf_type *t = btf__type_by_id(btf, (uint32_t)id);
	struct vl_btf_value v;

	for (unsigned i = 0; vl_btf_value(btf, t, i, &v); i++)
		if (!strcmp(v.name, name) && v.value >= 0 && v.value <= INT32_MAX)
			return (int32_t)v.value;
	return VL_NO_FIELD;
}

/* @id: the structure or enum that has it; 0: there is none. */
static int32_t field_offset(const struct btf *btf, int32_t id, const char *path)
{
	const struct btf_type *t;
	uint64_t bits = 0;

	if (!id)
		return VL_NO_FIELD;
	t = btf__type_by_id(btf, (uint32_t)id);
	if (vl_btf_is_enum(t))
		return enumerator(btf, id, path);
	if (!*path)
		return t->size <= INT32_MAX ? (int32_t)t->size : VL_NO_FIELD;
	while (*path) {
		size_t len = strcspn(path, ".");
		struct vl_btf_member m;

		if (!vl_btf_find_member(btf, t, path, len, &m))
			return VL_NO_FIELD;
		bits += m.bit;
		t = vl_btf_resolve(btf, m.type, NULL);
		path += len;
		if (*path == '.')
			path++;
	}
	return bits / 8 <= INT32_MAX ? (int32_t)(bits / 8) : VL_NO_FIELD;
}

static int32_t timekeeper(const struct vl_layout *l)
{
	if (vl_has(l, VL_F_TK_DATA))
		return l->offset[VL_F_TK_DATA];
	/*
	 * The type of tk_core had no name before: it is a seqcount and, aligned to 8, the
	 * timekeeper. The seqcount has a pointer to its lock if that can sleep (PREEMPT_RT;
	 * "seqlock: Extend seqcount API with associated locks", 5.9).
	 */
	if (vl_has(l, VL_F_SIZE_TK_SEQ))
		return (l->offset[VL_F_SIZE_TK_SEQ] + 7) & ~7;
	return 8;
}

struct vl_error *vl_layout_end(struct vl_layout *l)
{
	l->derived = 0;
	l->timekeeper = timekeeper(l);
	if (!vl_has(l, VL_F_TASK_PID) || !vl_has(l, VL_F_TASK_TASKS))
		return vl_error_new(VL_ERR_KERNEL, "the kernel's types have no struct task_struct");
	return NULL;
}

/* A type that rows of the table of fields name; several rows share one. */
struct wanted {
	const char *name;
	bool is_enum;
	int32_t id; /* the first that has this name and kind; 0: none */
};

static int by_type(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (int)x->is_enum - (int)y->is_enum;
}

static struct wanted wanted_of(const char *type)
{
	bool is_enum = !strncmp(type, "enum ", 5);

	return (struct wanted){ is_enum ? type + 5 : type, is_enum, 0 };
}

/* Types between two checks of the deadline. */
#define LOOK_AT_CLOCK 65536

/* Go through all types once; false: the deadline has passed. */
static bool find_types(const struct btf *btf, struct wanted *w, size_t nr,
		       struct vl_deadline deadline)
{
	for (uint32_t id = 1;; id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		struct wanted key, *found;

		if (!t)
			return true;
		if (!(id % LOOK_AT_CLOCK) && vl_late(deadline))
			return false;
		if (!btf_is_struct(t) && !vl_btf_is_enum(t))
			continue;
		key = (struct wanted){ btf__name_by_offset(btf, t->name_off), vl_btf_is_enum(t),
				       0 };
		if (!key.name || !*key.name)
			continue;
		found = bsearch(&key, w, nr, sizeof(*w), by_type);
		if (found && !found->id)
			found->id = (int32_t)id;
	}
}

struct vl_error *vl_layout_from_btf(const void *data, size_t len, struct vl_deadline deadline,
				    struct vl_layout *ret)
{
	struct wanted w[VL_NR_FIELDS];
	struct btf *btf;
	struct vl_error *err = vl_btf_open(data, len, &btf);
	size_t nr = 0;

	if (err)
		return err;
	for (int i = 0; i < VL_NR_FIELDS; i++)
		w[i] = wanted_of(fields[i].type);
	qsort(w, VL_NR_FIELDS, sizeof(*w), by_type);
	for (int i = 0; i < VL_NR_FIELDS; i++)
		if (!i || by_type(&w[i], &w[nr - 1]))
			w[nr++] = w[i];
	if (!find_types(btf, w, nr, deadline)) {
		btf__free(btf);
		return vl_error_new(VL_ERR_FAULT, "it takes too long to read the kernel's types");
	}
	for (int i = 0; i < VL_NR_FIELDS; i++) {
		struct wanted key = wanted_of(fields[i].type);
		const struct wanted *found = bsearch(&key, w, nr, sizeof(*w), by_type);

		ret->offset[i] = field_offset(btf, found->id, fields[i].path);
	}
	btf__free(btf);
	return vl_layout_end(ret);
}

/* --- a text of offsets --- */

#define OFFSETS_FORMAT "vlens-offsets-1"

struct vl_error *vl_layout_print(const struct vl_layout *l, char **ret, size_t *len_ret)
{
	FILE *f = open_memstream(ret, len_ret);

	if (!f)
		return vl_error_nomem();
	fprintf(f, OFFSETS_FORMAT " %016" PRIx64 "\n", vl_fields_hash());
	for (int i = 0; i < VL_NR_FIELDS; i++)
		if (vl_has(l, (enum vl_field)i))
			fprintf(f, "%s.%s %" PRId32 "\n", fields[i].type, fields[i].path,
				l->offset[i]);
		else
			fprintf(f, "%s.%s -\n", fields[i].type, fields[i].path);
	return fclose(f) ? vl_error_nomem() : NULL;
}

/* Take the line of row @i at @text, *@text_ret is behind it. */
static bool parse_row(const char *text, int i, int32_t *ret, const char **text_ret)
{
	size_t type = strlen(fields[i].type), path = strlen(fields[i].path);
	uint64_t n;

	if (strncmp(text, fields[i].type, type) != 0 || text[type] != '.')
		return false;
	text += type + 1;
	if (strncmp(text, fields[i].path, path) != 0 || text[path] != ' ')
		return false;
	text += path + 1;
	*ret = VL_NO_FIELD;
	if (!strncmp(text, "-\n", 2)) {
		*text_ret = text + 2;
		return true;
	}
	if (!vl_take_u64(&text, 10, INT32_MAX, &n) || *text != '\n')
		return false;
	*ret = (int32_t)n;
	*text_ret = text + 1;
	return true;
}

struct vl_error *vl_layout_parse(const char *text, size_t len, struct vl_layout *ret)
{
	_cleanup_free_ char *copy = strndup(text, len);
	const char *at = copy;
	uint64_t hash;
	int head = 0;

	if (!copy)
		return vl_error_nomem();
	if (sscanf(copy, OFFSETS_FORMAT " %16" SCNx64 "%n", &hash, &head) != 1 ||
	    copy[head] != '\n' || hash != vl_fields_hash())
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL,
				     "the types that were added for the guest's kernel "
				     "are damaged, or of another release of vlens"),
			"add them again: vlens types add FILE");
	at += head + 1;
	for (int i = 0; i < VL_NR_FIELDS; i++)
		if (!parse_row(at, i, &ret->offset[i], &at))
			return vl_error_hint(
				vl_error_new(VL_ERR_KERNEL,
					     "the types that were added for the guest's kernel are "
					     "damaged: no line of %s.%s",
					     fields[i].type, fields[i].path),
				"add them again: vlens types add FILE");
	return vl_layout_end(ret);
}
