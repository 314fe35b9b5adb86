/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's kernel: its symbols and the layout of some types, from its own tables (kallsyms,
 * BTF). It is kept on disk for the next first attach to any guest that has the same tables.
 */
#ifndef VLENS_KERNEL_H
#define VLENS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../mem/paging.h"
#include "../host/kept.h"
#include "fields.h"
#include "kallsyms.h"

struct vl_kernel;

/* Offsets of fields, in bytes from the start of their type. */
struct vl_layout {
	int32_t offset[VL_NR_FIELDS]; /* SIZE_*: the size of the type */
	/* Not 0: they come from the kernel's code, so that a missing one may be there. */
	int32_t derived;
	/* The offset of the timekeeper in its variable, tk_core or timekeeper_data. */
	int32_t timekeeper;
};

/*
 * Find every field in @btf (the kernel's own, @len bytes). VL_ERR_KERNEL: it cannot be read or
 * lacks task_struct; VL_ERR_FAULT: @deadline has passed.
 */
struct vl_error *vl_layout_from_btf(const void *btf, size_t len, struct vl_deadline deadline,
				    struct vl_layout *ret);

/*
 * Make a kernel from its symbols and its types. The result depends on these two only, and so
 * does the key that it is kept under: see vl_kernel_key().
 */
/*
 * The offsets of all fields as a text: a line "TYPE.MEMBERS OFFSET" for each row of VL_FIELDS, with
 * "-" for one that the kernel lacks. The first line has the hash of the rows. *@ret is malloc'ed.
 */
struct vl_error *vl_layout_print(const struct vl_layout *l, char **ret, size_t *len_ret);
/* The reverse. VL_ERR_KERNEL: @text is damaged, or of another vlens. */
struct vl_error *vl_layout_parse(const char *text, size_t len, struct vl_layout *ret);
/* Set what follows from the fields of @l. VL_ERR_KERNEL: they are not those of a kernel. */
struct vl_error *vl_layout_end(struct vl_layout *l);

struct vl_error *vl_kernel_create(const struct vl_symbols *from, const struct vl_layout *layout,
				  struct vl_kernel **ret);
/* Give a kernel that was just made another layout, as one that is derived from its symbols. */
void vl_kernel_set_layout(struct vl_kernel *k, const struct vl_layout *layout);
/*
 * Its tables have symbols of code only. Those of data were found by its code, so that one that is
 * missing may be there.
 */
void vl_kernel_set_few(struct vl_kernel *k, bool bare);
bool vl_kernel_has_few(const struct vl_kernel *k);
/* Has it no tables of symbols at all? Then some of code are missing, too (exports.h). */
bool vl_kernel_is_bare(const struct vl_kernel *k);
void vl_kernel_destroy(struct vl_kernel *k);

/* Longest BTF that is accepted; kernels have up to 7 MiB. */
#define VL_BTF_MAX (32U << 20)
/* Longest code that fields are derived from; kernels have up to 30 MiB. */
#define VL_TEXT_MAX (64U << 20)

/* What the fields of a kernel come from: its types, or, if it has none, its code. */
struct vl_kernel_types {
	/*
	 * One of them is set, the others are empty; `offsets` is a text (types.h). A kernel of few
	 * symbols has its code, too.
	 */
	struct vl_kallsyms_bytes btf, offsets, text;
	/* Start of the code, and base of the symbols. */
	uint64_t text_va, base;
	/* Of a kernel without a table of symbols: where its other tables lie. */
	uint64_t names_va, tokens_va, offsets_va;
	uint64_t bugs, bugs_len; /* as in struct vl_exports */
};

/*
 * The key of a kernel in the cache: a hash, in hexadecimal, of all bytes of the guest's memory
 * that vl_kernel_create() uses. So forged tables are found only by a guest that has the same.
 */
void vl_kernel_key(const struct vl_kallsyms_tables *symbols, const struct vl_kernel_types *types,
		   char ret[VL_KEY_MAX + 1]);

/* Where the tables that a kernel is made of lie in its guest. */
struct vl_kernel_source {
	struct vl_pgtable pt;
	enum vl_kallsyms_form form;
	uint32_t nr;
	uint64_t base; /* places the symbols, as in struct vl_kallsyms */
	/* As the kernel claims it, or "". */
	char build_id[VL_BUILD_ID_MAX + 1];
	/*
	 * The symbols are those of code only: those of data are found by the code (data.h).
	 */
	bool few;
	/*
	 * A kernel without types (btf.len is 0) gets those that were added for its build id. If
	 * there are none, it is made of its code: fields are derived from it.
	 */
	struct vl_kernel_part {
		uint64_t va, len;
	} names, tokens, offsets, btf, text;
	/*
	 * Of the form VL_KALLSYMS_NONE, which is always few, the parts are those of struct
	 * vl_exports: its names, calls and records.
	 */
	struct vl_kernel_part bugs;
};

/*
 * The kernel of the tables at @src, placed at its base: from the cache, else made and cached. One
 * process in a box hashes and uses the same bytes, and gets no other data (maker.c). So forged
 * tables lie under a key of their own, even if they take that process over. *@made_ret: it was not
 * in the cache.
 */
struct vl_error *vl_kernel_get(struct vl_target *t, const struct vl_kernel_source *src,
			       struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
			       bool *made_ret, struct vl_kernel **ret);

/*
 * The same in a process with rights; gives an open file. @src comes from a worker, so it is
 * untrusted.
 */
struct vl_error *vl_kernel_provide(struct vl_target *t, const struct vl_kernel_source *src,
				   struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
				   bool *made_ret, int *fd_ret, size_t *size_ret);

/* Were types added for @build_id (`vlens types add`)? */
bool vl_types_are_added(struct vl_target *t, const char *build_id);

/* What to do about a kernel without types: the hint of an error, a format without arguments. */
#define VL_ADD_TYPES \
	"add its vmlinux with types, or the package of its debug information: " \
	"vlens types add FILE"

/* The first two bytes of BTF, in the machine's order (include/uapi/linux/btf.h). */
#define VL_BTF_MAGIC 0xeb9f

/* The content of a kernel's file in the cache, *@len_ret bytes, owned by @k. */
const void *vl_kernel_bytes(const struct vl_kernel *k, size_t *len_ret);
/* Map a kernel from a file of @size bytes; takes over @fd. *@ret is NULL if it is damaged. */
void vl_kernel_map(int fd, size_t size, uint64_t base, struct vl_kernel **ret);
/*
 * The same for @size bytes from @at on, whole pages from the file's start. @fd stays the caller's.
 */
void vl_kernel_map_part(int fd, uint64_t at, size_t size, uint64_t base, struct vl_kernel **ret);
/*
 * Load a kernel from the cache by @key. *@ret is NULL if it is not there or damaged. @base
 * places the kernel (struct vl_kallsyms). @t is the target that runs it, in a worker too
 * (host/kept.h).
 */
void vl_kernel_load(struct vl_target *t, const char *key, uint64_t base, struct vl_kernel **ret);

/* The guest's BTF, which is kept beside it for types that VL_FIELDS lacks; malloc'ed. */
struct vl_error *vl_kernel_load_btf(struct vl_target *t, const char *key, void **ret,
				    size_t *len_ret);

/*
 * The address of symbol @name of the kernel itself (no module); 0 if there is none. Without
 * the plain name, a copy with a compiler's suffix (".isra.0", ".constprop.0", ".part.0") is
 * found.
 */
uint64_t vl_symbol(const struct vl_kernel *k, const char *name);

/*
 * Was it built for one CPU, without CONFIG_SMP? Its per-CPU variables are then plain ones, at the
 * addresses of their symbols, and it has neither __per_cpu_offset nor nr_cpu_ids.
 */
bool vl_kernel_is_up(const struct vl_kernel *k);

/* The name of functions that have none, of a kernel without a table of symbols (exports.h). */
#define VL_NAMELESS "?"

/* Is there a symbol of exactly this name? Its address can be 0 (per-CPU ones). */
bool vl_symbol_is(const struct vl_kernel *k, const char *name);

/* The name of the @i-th symbol, in the order of the names; NULL behind the last. */
const char *vl_symbol_name(const struct vl_kernel *k, size_t i);

/* The name of the @i-th in the order of addresses, and its address; NULL behind the last. */
const char *vl_symbol_placed(const struct vl_kernel *k, size_t i, uint64_t *address_ret);

/* The @n-th (from 0) of several functions of that name (static ones of different files); 0
 * behind the last. */
uint64_t vl_symbol_nth(const struct vl_kernel *k, const char *name, size_t n);

/*
 * The next symbol after address @va, as the end of the function at @va; 0 when
 * there is none.
 */
uint64_t vl_symbol_after(const struct vl_kernel *k, uint64_t va);

/* The function or variable that contains @va, and the offset in it; NULL: @va is below all. */
const char *vl_symbol_at(const struct vl_kernel *k, uint64_t va, uint64_t *offset_ret);

/*
 * The same for the per-CPU variable at @offset, as code names it behind GS. Before
 * "x86/percpu/64: Use relative percpu offsets" (6.15) these are small numbers.
 */
const char *vl_symbol_percpu(const struct vl_kernel *k, uint64_t offset, uint64_t *offset_ret);

/*
 * Find where the timekeeping code reads the TSC. The read is inlined since "x86: Inline TSC
 * reads in timekeeping" (7.1), so no single function can be patched. The instruction (rdtsc,
 * lfence; rdtsc, or rdtscp) depends on the CPU, so the text of each guest is searched: @image,
 * @len bytes from @va on. @ret: addresses, and 0 behind the last if there is space.
 */
#define VL_MAX_TSC_SITES 64
void vl_kernel_find_tsc_sites(const struct vl_kernel *k, const unsigned char *image, size_t len,
			      uint64_t va, uint64_t ret[VL_MAX_TSC_SITES]);

/*
 * The same in two steps: the functions of the timekeeping code in the @len bytes at @va, @max at
 * most, and the reads in one of them, which are added to @ret.
 */
#define VL_MAX_CLOCKS 1024
struct vl_function {
	uint64_t va, len; /* in bytes */
};
size_t vl_kernel_clocks(const struct vl_kernel *k, uint64_t va, size_t len, struct vl_function *ret,
			size_t max);
void vl_tsc_find(const unsigned char *code, size_t len, uint64_t va,
		 uint64_t ret[VL_MAX_TSC_SITES]);

/* The type and the path of members that row @f asks for; static. */
void vl_field_name(enum vl_field f, const char **type_ret, const char **path_ret);

/* A hash of all rows of VL_FIELDS: a kept layout with another value is not used. */
uint64_t vl_fields_hash(void);

/*
 * Is it unknown whether the kernel has field @f? Only in a derived layout; not if it has the other
 * name or form of @f.
 */
bool vl_layout_unknown(const struct vl_layout *l, enum vl_field f);

static inline bool vl_has(const struct vl_layout *l, enum vl_field f)
{
	return l->offset[f] != VL_NO_FIELD;
}

const struct vl_layout *vl_kernel_layout(const struct vl_kernel *k);

/* The address of the kernel's own struct timekeeper; 0: not known. */
uint64_t vl_kernel_timekeeper(const struct vl_kernel *k);

#endif
