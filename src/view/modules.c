/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "modules.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "collect.h"

/*
 * Documentation/arch/x86/x86_64/mm.rst: modules end 16 MiB below the last address. They begin
 * behind the room for the image, which is 512 MiB or, with KASLR, 1 GiB from its lowest place.
 */
#define MODULES_LEAST 0xffffffffa0000000UL
#define MODULES_LAST 0xfffffffffeffffffUL
#define PMD_SIZE (2UL << 20)

void vl_module_space(struct vl_raw_guest *g, uint64_t *start_ret, uint64_t *last_ret)
{
	uint64_t end = vl_symbol(g->attach->kernel, "_end");

	end = (end + PMD_SIZE - 1) & ~(PMD_SIZE - 1);
	*start_ret = end > MODULES_LEAST ? end : MODULES_LEAST;
	*last_ret = MODULES_LAST;
}

/* ---- the list ---- */

/* A module as the walk reads it, with the areas in the kernel's layout. */
struct raw {
	uint64_t module;
	char name[VL_MODULE_NAME];
	uint32_t state;
	int32_t refcnt;
	uint64_t core_base, init_base, percpu, taints;
	uint32_t core_size, core_text, init_size;
	uint32_t lacks;		 /* the fields that could not be read */
	unsigned char mem[1024]; /* 7 of struct module_memory: 88 bytes each */
};

/* The areas since "module: replace module_layout with module_memory" (6.4). */
static void take_areas(const struct vl_layout *l, const struct raw *r, size_t mem,
		       struct vl_module *m)
{
	size_t size = vl_offset(l, VL_F_SIZE_MODMEM);

	if (!mem) {
		m->areas[0] = (struct vl_module_area){ r->core_base, r->core_size };
		/* Only while the module is being loaded. */
		m->areas[1] =
			(struct vl_module_area){ r->init_base, r->init_base ? r->init_size : 0 };
		return;
	}
	for (size_t i = 0; i < VL_MODULE_AREAS && (i + 1) * size <= mem; i++) {
		uint32_t len;

		memcpy(&m->areas[i].base, r->mem + i * size + vl_offset(l, VL_F_MODMEM_BASE), 8);
		memcpy(&len, r->mem + i * size + vl_offset(l, VL_F_MODMEM_SIZE), 4);
		m->areas[i].size = m->areas[i].base ? len : 0;
	}
}

/* Bytes of module.mem: up to the next member, which is its mod_arch_specific. */
static size_t mem_bytes(const struct vl_layout *l)
{
	size_t size = vl_offset(l, VL_F_SIZE_MODMEM), room = sizeof(((struct raw *)0)->mem);

	if (!vl_has(l, VL_F_MOD_MEM) || !size || !vl_has(l, VL_F_MODMEM_BASE) ||
	    !vl_has(l, VL_F_MODMEM_SIZE))
		return 0;
	/* enum mod_mem_type has had seven values since it came. */
	return 7 * size <= room ? 7 * size : room / size * size;
}

static void take_module(const struct vl_layout *l, const struct raw *r, size_t mem,
			struct vl_module *m)
{
	m->module = r->module;
	m->taints = r->taints;
	memcpy(m->name, r->name, sizeof(m->name));
	m->state = r->state;
	m->refcnt = r->refcnt;
	m->percpu = r->percpu;
	m->core_text = mem ? 0 : r->core_text;
	m->together = !mem;
	take_areas(l, r, mem, m);
}

static void note_lacks(const struct vl_fields *fs, const struct raw *r, size_t mem,
		       struct vl_module *m)
{
	static const size_t parts[] = { offsetof(struct raw, core_base),
					offsetof(struct raw, core_size),
					offsetof(struct raw, init_base),
					offsetof(struct raw, init_size) };

	m->lacks_areas = mem && vl_record_lacks(fs, r, offsetof(struct raw, mem));
	for (size_t i = 0; !mem && i < ARRAY_SIZE(parts); i++)
		m->lacks_areas |= vl_record_lacks(fs, r, parts[i]);
	m->lacks_refcnt = vl_record_lacks(fs, r, offsetof(struct raw, refcnt));
	m->lacks_state = vl_record_lacks(fs, r, offsetof(struct raw, state));
}

bool vl_module_read(struct vl_raw_guest *g, uint64_t module, struct vl_module *ret)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct raw r = { .module = module };
	size_t mem = mem_bytes(l);
	struct vl_get items[] = {
		{ .va = module + vl_offset(l, VL_F_MOD_NAME),
		  .buf = r.name,
		  .len = sizeof(r.name) },
		{ .va = module + vl_offset(l, VL_F_MOD_STATE), .buf = &r.state, .len = 4 },
		{ .va = module + vl_offset(l, VL_F_MOD_CORE_BASE), .buf = &r.core_base, .len = 8 },
		{ .va = module + vl_offset(l, VL_F_MOD_CORE_SIZE), .buf = &r.core_size, .len = 4 },
		{ .va = module + vl_offset(l, VL_F_MOD_CORE_TEXT), .buf = &r.core_text, .len = 4 },
		{ .va = module + vl_offset(l, VL_F_MOD_INIT_BASE), .buf = &r.init_base, .len = 8 },
		{ .va = module + vl_offset(l, VL_F_MOD_PERCPU), .buf = &r.percpu, .len = 8 },
		{ .va = module + vl_offset(l, VL_F_MOD_INIT_SIZE), .buf = &r.init_size, .len = 4 },
		{ .va = module + vl_offset(l, VL_F_MOD_MEM), .buf = r.mem, .len = (uint32_t)mem },
	};

	if (vl_gather(g->reader, &g->space, items, ARRAY_SIZE(items) - !mem))
		return false;
	*ret = (struct vl_module){ .module = module };
	take_module(l, &r, mem, ret);
	return true;
}

struct vl_error *vl_modules_listed(struct vl_raw_guest *g, struct vl_module **ret, size_t *nr_ret)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	const enum vl_field need[] = { VL_F_MOD_LIST, VL_F_MOD_NAME };
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(l, VL_F_MOD_LIST),
		.stride = sizeof(struct raw),
	};
	size_t mem = mem_bytes(l), nr = 0;
	const struct raw *raw;
	struct vl_error *err;

	*ret = NULL;
	*nr_ret = 0;
	err = vl_need_fields(g, need, ARRAY_SIZE(need), "the list of modules");
	if (!err)
		err = vl_need_symbol(g, "modules", "the list of modules", &w.head);
	if (err)
		return err;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct raw, module));
	vl_fields_add(&fs, VL_F_MOD_NAME, offsetof(struct raw, name), VL_MODULE_NAME);
	vl_fields_add(&fs, VL_F_MOD_STATE, offsetof(struct raw, state), 4);
	vl_fields_add(&fs, VL_F_MOD_REFCNT, offsetof(struct raw, refcnt), 4);
	vl_fields_add(&fs, VL_F_MOD_CORE_BASE, offsetof(struct raw, core_base), 8);
	vl_fields_add(&fs, VL_F_MOD_CORE_SIZE, offsetof(struct raw, core_size), 4);
	vl_fields_add(&fs, VL_F_MOD_CORE_TEXT, offsetof(struct raw, core_text), 4);
	vl_fields_add(&fs, VL_F_MOD_PERCPU, offsetof(struct raw, percpu), 8);
	vl_fields_add(&fs, VL_F_MOD_TAINTS, offsetof(struct raw, taints), 8);
	vl_fields_add(&fs, VL_F_MOD_INIT_BASE, offsetof(struct raw, init_base), 8);
	vl_fields_add(&fs, VL_F_MOD_INIT_SIZE, offsetof(struct raw, init_size), 4);
	if (mem)
		vl_fields_add(&fs, VL_F_MOD_MEM, offsetof(struct raw, mem), mem);
	vl_fields_note_lacks(&fs, offsetof(struct raw, lacks));
	err = vl_collect(g, &w, &fs, "the list of modules", &nr);
	err = vl_records_keep(&w, &fs, offsetof(struct raw, name), "modules", err, &nr);
	raw = w.records;
	*ret = calloc(nr + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < nr; i++) {
		take_module(l, &raw[i], mem, &(*ret)[i]);
		note_lacks(&fs, &raw[i], mem, &(*ret)[i]);
	}
	*nr_ret = *ret ? nr : 0;
	free(w.records);
	return err || *ret ? err : vl_error_nomem();
}

const struct vl_module *vl_module_at(const struct vl_module *m, size_t nr, uint64_t va)
{
	for (size_t i = 0; i < nr; i++)
		for (size_t k = 0; k < VL_MODULE_AREAS; k++)
			if (va - m[i].areas[k].base < m[i].areas[k].size)
				return &m[i];
	return NULL;
}

/* ---- other traces of modules ---- */

struct vl_error *vl_modules_of_kobjects(struct vl_raw_guest *g, uint64_t **ret, size_t *nr_ret)
{
	const enum vl_field need[] = { VL_F_KSET_LIST, VL_F_KOBJ_ENTRY, VL_F_MKOBJ_KOBJ,
				       VL_F_MKOBJ_MOD };
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(l, VL_F_MKOBJ_KOBJ) + vl_offset(l, VL_F_KOBJ_ENTRY),
		.stride = 8,
	};
	struct vl_error *err;
	uint64_t var;

	*ret = NULL;
	*nr_ret = 0;
	err = vl_need_fields(g, need, ARRAY_SIZE(need), "the modules' kobjects");
	if (!err)
		err = vl_need_symbol(g, "module_kset", "the modules' kobjects", &var);
	if (!err)
		err = vl_read_error(vl_read_u64(g->reader, &g->space, var, &w.head), var);
	if (err)
		return err;
	w.head += vl_offset(l, VL_F_KSET_LIST);
	vl_fields_add(&fs, VL_F_MKOBJ_MOD, 0, 8);
	err = vl_collect(g, &w, &fs, "the modules' kobjects", nr_ret);
	*ret = w.records;
	return err;
}

struct hunt {
	struct vl_raw_guest *g;
	uint64_t self; /* offset in struct module of its pointer to itself */
	uint64_t *found;
	size_t nr;
	bool full;
};

/*
 * A module's kobject points back to it (module.mkobj.mod): a word that holds its own address
 * less a known distance, as no other word does. Only page tables are used to find it, no list.
 */
static bool hunt_page(void *ctx, const struct vl_leaf *leaf)
{
	uint64_t words[VL_PAGE_SIZE / 8];
	struct hunt *h = ctx;

	for (uint64_t at = 0; at < leaf->size; at += VL_PAGE_SIZE) {
		uint64_t va = leaf->va + at;

		if (vl_discard(vl_target_read(h->g->target, leaf->gpa + at, words, sizeof(words))))
			continue;
		for (size_t i = 0; i < VL_PAGE_SIZE / 8; i++) {
			uint64_t *more;

			if (words[i] != va + 8 * i - h->self)
				continue;
			more = reallocarray(h->found, h->nr + 1, sizeof(*more));
			if (!more) {
				h->full = true;
				return false;
			}
			h->found = more;
			more[h->nr++] = words[i];
		}
	}
	return true;
}

struct vl_error *vl_modules_in_memory(struct vl_raw_guest *g, uint64_t **ret, size_t *nr_ret)
{
	const enum vl_field need[] = { VL_F_MOD_MKOBJ_MOD };
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct hunt h = { .g = g, .self = vl_offset(l, VL_F_MOD_MKOBJ_MOD) };
	uint64_t start, last;
	struct vl_error *err;

	*ret = NULL;
	*nr_ret = 0;
	err = vl_need_fields(g, need, 1, "modules in memory");
	if (err)
		return err;
	vl_module_space(g, &start, &last);
	if (!vl_pages_each(g->target, &g->space, start, last, hunt_page, &h) && !h.full)
		err = vl_error_new(VL_ERR_KERNEL, "the modules' space has too many page tables");
	*ret = h.found;
	*nr_ret = h.nr;
	return h.full ? vl_error_nomem() : err;
}

/* ---- the view ---- */

enum { MOD_MODULE, MOD_SIZE, MOD_USED, MOD_BY, MOD_STATE, MOD_TEXT, MOD_STRUCT };

static const struct vl_column columns[] = {
	[MOD_MODULE] = { "MODULE", VL_CELL_TEXT, true, .doc = "name of the module" },
	[MOD_SIZE] = { "SIZE", VL_CELL_UINT, true, .doc = "of its memory, in bytes" },
	[MOD_USED] = { "USED", VL_CELL_INT, true, .doc = "how many use it" },
	[MOD_BY] = { "BY", VL_CELL_TEXT, true, .doc = "which modules do (JSON: a list)",
		     .list = true },
	[MOD_STATE] = { "STATE", VL_CELL_TEXT, true, .doc = "live, coming, going, unformed" },
	[MOD_TEXT] = { "ADDRESS", VL_CELL_HEX, true, .doc = "address of its text" },
	[MOD_STRUCT] = { "STRUCT", VL_CELL_HEX, false, .doc = "address of its struct module" },
	{ 0 },
};

/* Show the names of the modules that use @m, if they can be read. */
static void show_users(struct vl_raw_guest *g, struct vl_table *t, const struct vl_module *m)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = m->module + vl_offset(l, VL_F_MOD_USERS),
		.node = vl_offset(l, VL_F_USE_USERS),
		.stride = VL_MODULE_NAME + sizeof(uint32_t),
	};
	struct vl_error *err;
	size_t nr, len = 0;
	char *text;

	if (!vl_has(l, VL_F_MOD_USERS) ||
	    vl_fields_add_through(&fs, VL_F_USE_USER, VL_F_MOD_NAME, 0, VL_MODULE_NAME) < 0)
		return;
	vl_fields_note_lacks(&fs, VL_MODULE_NAME);
	err = vl_collect(g, &w, &fs, "the users of a module", &nr);
	err = vl_records_keep(&w, &fs, 0, "users of a module", err, &nr);
	text = malloc(nr * (VL_MODULE_NAME + 1) + 1);
	t->full = t->full || !text;
	for (size_t i = 0; text && i < nr; i++) {
		const char *name = (const char *)w.records + i * w.stride;
		size_t n = strnlen(name, VL_MODULE_NAME);

		if (!n)
			continue;
		memcpy(text + len, name, n);
		len += n;
		text[len++] = '\0';
	}
	if (!vl_discard(err) && text)
		vl_table_text(t, MOD_BY, text, len);
	free(text);
	free(w.records);
}

static struct vl_error *run_modules(struct vl_raw_guest *g, struct vl_table *t)
{
	/* enum module_state */
	static const char *const states[] = { "live", "coming", "going", "unformed" };
	struct vl_module *m;
	size_t nr;
	struct vl_error *err = vl_modules_listed(g, &m, &nr);

	for (size_t i = 0; i < nr; i++) {
		uint64_t size = 0;

		for (size_t k = 0; k < VL_MODULE_AREAS; k++)
			size += m[i].areas[k].size;
		vl_table_row(t);
		vl_table_text(t, MOD_MODULE, m[i].name, strnlen(m[i].name, VL_MODULE_NAME));
		if (!m[i].lacks_areas) {
			vl_table_uint(t, MOD_SIZE, size);
			vl_table_uint(t, MOD_TEXT, m[i].areas[0].base);
		}
		if (!m[i].lacks_refcnt)
			vl_table_int(t, MOD_USED, m[i].refcnt ? m[i].refcnt - 1 : 0);
		show_users(g, t, &m[i]);
		if (!m[i].lacks_state)
			vl_table_str(t, MOD_STATE, m[i].state < 4 ? states[m[i].state] : "?");
		vl_table_uint(t, MOD_STRUCT, m[i].module);
	}
	free(m);
	return err ? err : vl_table_end(t);
}

static const char *const symbols[] = { "modules", NULL };

/* Where USE_USER is derived from code, it is the distance from the node, USE_USERS. */
static const enum vl_field fields[] = {
	VL_F_MOD_LIST,	    VL_F_MOD_NAME,	VL_F_MOD_STATE,	    VL_F_MOD_REFCNT,
	VL_F_MOD_USERS,	    VL_F_USE_USER,	VL_F_MOD_CORE_BASE, VL_F_MOD_CORE_SIZE,
	VL_F_MOD_INIT_BASE, VL_F_MOD_INIT_SIZE, VL_NR_FIELDS,
};

const struct vl_scan vl_scan_modules = { "modules",   "modules", columns, true,
					 run_modules, fields,	 symbols };
