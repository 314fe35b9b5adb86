/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes a struct vl_kernel from the guest's tables, in a box. The process in the box gets these
 * tables and nothing else. Its result, even if the tables took it over, is a function of the
 * bytes that the key is a hash of. So guests that do not trust each other can share the cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/large.h"
#include "../base/transfer.h"
#include "../box/box.h"
#include "../host/pages.h"
#include "../host/proxy.h"
#include "data.h"
#include "derive.h"
#include "image.h"
#include "kernel.h"
#include "unpacker.h"

/* Decoding and sorting takes a few times the size of the tables. */
#define MAKER_MEMORY (1UL << 30)
/* What that is for the kernels of distributions. */
#define MAKER_HEAP (32UL << 20)
/* The base while symbols are decoded; they are stored relative to it. */
#define MAKER_BASE 0xffffffff81000000UL
/* The largest file that vl_kept_open() accepts. */
#define KERNEL_MAX (128UL << 20)
/* The worker's own limit; the tables of a kernel take it a tenth of a second. */
#define MAKER_CPU_NS (5 * VL_NSEC_PER_SEC)
/* Bytes copied between two checks of the deadline. */
#define COPY_STEP (1UL << 20)

enum { OP_MAKE = 1, OP_PIECE };

struct maker {
	struct vl_kallsyms_tables symbols;
	struct vl_kernel_types types;
	struct vl_deadline deadline;
	bool few;		      /* symbols of code only */
	struct vl_kernel *made;	      /* in the box */
	struct vl_unpacker *unpacker; /* NULL: the broker may read the memory itself */
};

/* --- in the box --- */

/* The fields by the code of @k. */
static struct vl_error *derive(const struct maker *mk, struct vl_kernel *k)
{
	const struct vl_text text = { mk->types.text.at, mk->types.text.len, mk->types.text_va };
	struct vl_layout layout;
	struct vl_error *err = vl_derive(k, &text, mk->deadline, &layout);

	if (err)
		return err;
	vl_kernel_set_layout(k, &layout);
	if (vl_has(&layout, VL_F_TASK_PID) && vl_has(&layout, VL_F_TASK_TASKS))
		return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_KERNEL, "the guest's kernel has no BTF types, and "
							 "its code does not show where its "
							 "structures have their fields"),
			     VL_ADD_TYPES);
}

/* Make the kernel of @symbols, and derive its fields if it has no types (@layout is empty). */
static struct vl_error *make_of(struct maker *mk, const struct vl_symbols *symbols,
				const struct vl_layout *layout)
{
	struct vl_error *err = vl_kernel_create(symbols, layout, &mk->made);

	if (!err && !mk->types.btf.len && !mk->types.offsets.len)
		err = derive(mk, mk->made);
	return err;
}

/* The same of symbols that are those of code only; adds those of data. */
static struct vl_error *make_of_few(struct maker *mk, struct vl_symbols *symbols,
				    const struct vl_layout *layout)
{
	const struct vl_text text = { mk->types.text.at, mk->types.text.len, mk->types.text_va };
	struct vl_error *err = vl_data_add(symbols, &text, NULL, mk->deadline);
	struct vl_layout known;

	if (!err)
		err = make_of(mk, symbols, layout);
	if (err)
		return err;
	known = *vl_kernel_layout(mk->made);
	vl_kernel_destroy(mk->made);
	mk->made = NULL;
	err = vl_data_add(symbols, &text, &known, mk->deadline);
	if (!err)
		err = vl_kernel_create(symbols, &known, &mk->made);
	if (!err)
		vl_kernel_set_few(mk->made, mk->symbols.form == VL_KALLSYMS_NONE);
	return err;
}

/* The symbols of @mk. False: its tables are malformed. */
static bool decode(const struct maker *mk, struct vl_symbols *ret)
{
	const struct vl_kallsyms_tables *s = &mk->symbols;
	const struct vl_kernel_types *t = &mk->types;
	const struct vl_text text = { t->text.at, t->text.len, t->text_va };
	const struct vl_exports e = {
		.records = { s->offsets.at, s->offsets.len, t->offsets_va },
		.names = { s->names.at, s->names.len, t->names_va },
		.calls = { s->tokens.at, s->tokens.len, t->tokens_va },
		.bugs = t->bugs,
		.bugs_len = t->bugs_len,
	};

	if (s->form == VL_KALLSYMS_NONE)
		return vl_exports_decode(&e, &text, ret);
	return vl_kallsyms_decode(s, t->text.len ? t->base : MAKER_BASE, ret);
}

static struct vl_error *make(struct maker *mk)
{
	const struct vl_kallsyms_bytes *btf = &mk->types.btf, *offsets = &mk->types.offsets;
	struct vl_symbols decoded;
	struct vl_layout layout;
	struct vl_error *err = NULL;

	if (!decode(mk, &decoded))
		return vl_error_new(VL_ERR_FAULT, "the kernel's symbol tables are malformed");
	memset(&layout, 0xff, sizeof(layout)); /* VL_NO_FIELD */
	layout.derived = 1;
	if (btf->len)
		err = vl_layout_from_btf(btf->at, btf->len, mk->deadline, &layout);
	else if (offsets->len)
		err = vl_layout_parse((const char *)offsets->at, offsets->len, &layout);
	if (!err)
		err = mk->few ? make_of_few(mk, &decoded, &layout) : make_of(mk, &decoded, &layout);
	vl_symbols_deinit(&decoded);
	return err;
}

static uint64_t left_ns(struct vl_deadline d)
{
	/* Wait 0.1 s longer, so that the worker can report the deadline itself. */
	return vl_left_ns(d) + 100000000;
}

static void maker_main(void *ctx, struct vl_wire *wire, int link)
{
	struct maker *mk = ctx;
	struct vl_message m;

	vl_large_heap(MAKER_HEAP);
	/* The deadline allows for a busy host; the tables themselves take less. */
	mk->deadline = vl_deadline_of_work(MAKER_CPU_NS, left_ns(mk->deadline));
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		struct vl_error *err = NULL;
		const char *bytes;
		size_t len, at = m.value[0];

		if (m.op == OP_MAKE)
			err = make(mk);
		if (!err) {
			bytes = vl_kernel_bytes(mk->made, &len);
			m.value[1] = len;
		}
		if (!err && m.op == OP_PIECE && at < len)
			memcpy(wire->window, bytes + at,
			       len - at < VL_WINDOW_MAIN ? len - at : VL_WINDOW_MAIN);
		vl_message_put_error(&m, err);
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}

/* --- the broker --- */

/* Write the worker's kernel to @fd. The worker gave @size, so it is untrusted. */
static struct vl_error *fetch(struct vl_box *b, struct vl_deadline deadline, size_t size, int fd)
{
	for (size_t at = 0; at < size; at += VL_WINDOW_MAIN) {
		struct vl_message m = { .op = OP_PIECE, .value = { at } };
		struct vl_error *err = vl_box_ask(b, &m, left_ns(deadline), NULL, NULL);
		size_t n = size - at < VL_WINDOW_MAIN ? size - at : VL_WINDOW_MAIN;

		if (!err)
			err = vl_message_error(&m);
		if (!err && !vl_put_whole(fd, vl_box_wire(b)->window, n))
			err = vl_error_hint(vl_error_os(errno, "cannot write the kernel's symbols"),
					    "free some memory, or raise ulimit -f");
		if (err)
			return err;
	}
	return NULL;
}

/* Make the kernel in a box; *@fd_ret is a sealed file in memory. */
static struct vl_error *make_in_box(struct maker *mk, int *fd_ret, size_t *size_ret)
{
	const struct vl_box_options o = {
		.name = "vlens-maker",
		.does = "reads the kernel's symbols",
		.memory = MAKER_MEMORY,
		.work = maker_main,
		.ctx = mk,
	};
	struct vl_message m = { .op = OP_MAKE };
	int fd = memfd_create("vlens-kernel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct vl_error *err;
	struct vl_box *b;

	if (fd < 0)
		return vl_error_os(errno, "cannot make a file in memory");
	err = vl_box_start(&o, &b);
	if (!err) {
		err = vl_box_ask(b, &m, left_ns(mk->deadline), NULL, NULL);
		if (err)
			err->code = VL_ERR_KERNEL; /* a retry would fail, too */
		else
			err = vl_message_error(&m);
		if (!err && (!m.value[1] || m.value[1] > KERNEL_MAX))
			err = vl_error_new(VL_ERR_KERNEL, "the kernel has no symbols");
		if (!err)
			err = fetch(b, mk->deadline, m.value[1], fd);
		vl_box_stop(b);
	}
	if (!err &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		err = vl_error_os(errno, "cannot seal a file in memory");
	if (err) {
		close(fd);
		return err;
	}
	*fd_ret = fd;
	*size_ret = m.value[1];
	return NULL;
}

/* Copy @part, so that the same bytes are hashed and used. */
static struct vl_error *copy_part(struct vl_target *t, const struct vl_kernel_source *src,
				  const struct vl_kernel_part *part, uint64_t max,
				  const struct maker *mk, struct vl_kallsyms_bytes *ret)
{
	unsigned char *p;

	if (!part->len || part->len > max)
		return vl_error_new(VL_ERR_FAULT, "the kernel's symbol tables are malformed");
	p = vl_large_alloc(part->len);
	if (!p)
		return vl_error_nomem();
	*ret = (struct vl_kallsyms_bytes){ p, part->len };
	for (uint64_t at = 0; at < part->len; at += COPY_STEP) {
		uint64_t n = part->len - at < COPY_STEP ? part->len - at : COPY_STEP;

		if (vl_late(mk->deadline) ||
		    !(mk->unpacker ? !vl_discard(vl_unpacker_read(mk->unpacker, part->va + at,
								  p + at, n, mk->deadline)) :
				     vl_target_read_virt(t, &src->pt, part->va + at, p + at, n)))
			return vl_error_new(VL_ERR_FAULT, "cannot read the kernel's symbols");
	}
	return NULL;
}

/* Take the types that were added for @build_id; false: there are none. */
static bool take_added(const char *build_id, struct vl_kernel_types *ret)
{
	struct vl_kallsyms_bytes got;
	uint16_t magic = 0;
	char *file;

	if (vl_discard(vl_kept_load(NULL, VL_KEPT_TYPES, build_id, &file, &got.len)))
		return false;
	got.at = (unsigned char *)file;
	if (got.len >= sizeof(magic))
		memcpy(&magic, file, sizeof(magic));
	if (magic == VL_BTF_MAGIC)
		ret->btf = got;
	else
		ret->offsets = got;
	return true;
}

bool vl_types_are_added(struct vl_target *t, const char *build_id)
{
	size_t size;
	int fd;

	if (vl_discard(vl_kept_open(t, VL_KEPT_TYPES, build_id, &fd, &size)))
		return false;
	close(fd);
	return true;
}

static struct vl_error *copy_code(struct vl_target *t, const struct vl_kernel_source *src,
				  struct maker *mk)
{
	if (!src->text.len)
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL,
				     "the guest's kernel has neither BTF types nor symbols at "
				     "both ends of its code"),
			VL_ADD_TYPES);
	return copy_part(t, src, &src->text, VL_TEXT_MAX, mk, &mk->types.text);
}

static struct vl_error *copy(struct vl_target *t, const struct vl_kernel_source *src,
			     struct maker *mk)
{
	struct vl_error *err;
	bool no_types = false;

	if (src->nr > VL_SYMBOLS_MAX || (unsigned)src->form > VL_KALLSYMS_NONE)
		return vl_error_new(VL_ERR_FAULT, "the kernel's symbol tables are malformed");
	mk->symbols.form = src->form;
	mk->symbols.nr = src->nr;
	err = copy_part(t, src, &src->names, VL_NAMES_MAX, mk, &mk->symbols.names);
	if (!err)
		err = copy_part(t, src, &src->tokens, VL_TOKENS_MAX, mk, &mk->symbols.tokens);
	if (!err)
		err = copy_part(t, src, &src->offsets, 4UL * VL_SYMBOLS_MAX, mk,
				&mk->symbols.offsets);
	if (!err && src->btf.len)
		err = copy_part(t, src, &src->btf, VL_BTF_MAX, mk, &mk->types.btf);
	else if (!err && !take_added(src->build_id, &mk->types))
		no_types = true;
	mk->few = src->few || src->form == VL_KALLSYMS_NONE;
	if (!err && (no_types || mk->few))
		err = copy_code(t, src, mk);
	mk->types.text_va = src->text.va;
	mk->types.base = src->base;
	mk->types.names_va = src->names.va;
	mk->types.tokens_va = src->tokens.va;
	mk->types.offsets_va = src->offsets.va;
	mk->types.bugs = src->bugs.va;
	mk->types.bugs_len = src->bugs.len;
	return err;
}

/* Store both in the cache. Errors are ignored: the next first attach then takes as long. */
static void keep(const char *key, int fd, size_t size, const struct maker *mk)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (p == MAP_FAILED)
		return;
	vl_error_destroy(vl_kept_store(NULL, VL_KEPT_KERNEL, key, p, size));
	if (mk->types.btf.len)
		vl_error_destroy(
			vl_kept_store(NULL, VL_KEPT_BTF, key, mk->types.btf.at, mk->types.btf.len));
	munmap(p, size);
}

static bool is_cached(const char *key, int *fd_ret, size_t *size_ret)
{
	struct vl_kernel *k;

	/* Make a damaged kernel again. */
	vl_kernel_load(NULL, key, 0, &k);
	vl_kernel_destroy(k);
	return k && !vl_discard(vl_kept_open(NULL, VL_KEPT_KERNEL, key, fd_ret, size_ret));
}

struct vl_error *vl_kernel_provide(struct vl_target *t, const struct vl_kernel_source *src,
				   struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
				   bool *made_ret, int *fd_ret, size_t *size_ret)
{
	struct maker mk = { .deadline = deadline };
	struct vl_error *err = NULL;

	if (vl_target_packed(t))
		err = vl_unpacker_start(t, &src->pt, &mk.unpacker);
	if (!err)
		err = copy(t, src, &mk);
	vl_unpacker_stop(mk.unpacker);

	*made_ret = false;
	if (!err) {
		vl_kernel_key(&mk.symbols, &mk.types, key_ret);
		*made_ret = !is_cached(key_ret, fd_ret, size_ret);
		if (*made_ret)
			err = make_in_box(&mk, fd_ret, size_ret);
		if (!err && *made_ret)
			keep(key_ret, *fd_ret, *size_ret, &mk);
	}
	free((void *)mk.symbols.names.at);
	free((void *)mk.symbols.tokens.at);
	free((void *)mk.symbols.offsets.at);
	free((void *)mk.types.btf.at);
	free((void *)mk.types.offsets.at);
	free((void *)mk.types.text.at);
	return err;
}

struct vl_error *vl_kernel_get(struct vl_target *t, const struct vl_kernel_source *src,
			       struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
			       bool *made_ret, struct vl_kernel **ret)
{
	const struct vl_target_proxy *proxy = vl_target_proxy(t);
	struct vl_error *err;
	size_t size;
	int fd;

	*ret = NULL;
	err = proxy ? proxy->kernel(proxy->ctx, src, deadline, key_ret, made_ret, &fd, &size) :
		      vl_kernel_provide(t, src, deadline, key_ret, made_ret, &fd, &size);
	if (err)
		return err;
	vl_kernel_map(fd, size, src->base, ret);
	return *ret ? NULL : vl_error_new(VL_ERR_KERNEL, "the kernel's symbols are damaged");
}
