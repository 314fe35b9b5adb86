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

#include "../box/box.h"
#include "../host/port.h"
#include "image.h"
#include "kernel.h"

/* Decoding and sorting takes a few times the size of the tables. */
#define MAKER_MEMORY (1UL << 30)
/* The base while symbols are decoded; they are stored relative to it. */
#define MAKER_BASE 0xffffffff81000000UL
/* The largest file that vl_kept_open() takes. */
#define KERNEL_MAX (128UL << 20)
/* Bytes copied between two checks of the deadline. */
#define COPY_STEP (1UL << 20)

enum { OP_MAKE = 1, OP_PIECE };

struct maker {
	struct vl_kallsyms_tables symbols;
	struct vl_kallsyms_bytes btf;
	struct vl_deadline deadline;
	struct vl_kernel *made; /* in the box */
};

/* --- in the box --- */

static struct vl_error *make(struct maker *mk)
{
	struct vl_symbols decoded;
	struct vl_layout layout;
	struct vl_error *err;

	if (!vl_kallsyms_decode(&mk->symbols, MAKER_BASE, &decoded))
		return vl_error_new(VL_ERR_FAULT, "the kernel's symbol tables are malformed");
	err = vl_layout_from_btf(mk->btf.at, mk->btf.len, mk->deadline, &layout);
	if (!err)
		err = vl_kernel_create(&decoded, &layout, &mk->made);
	vl_symbols_deinit(&decoded);
	return err;
}

static void maker_main(void *ctx, struct vl_wire *wire, int link)
{
	struct maker *mk = ctx;
	struct vl_message m;

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

static uint64_t left_ns(struct vl_deadline d)
{
	uint64_t now = vl_now_ns();

	/* 0.1 s more, so that the worker can report the deadline itself. */
	return d.at_ns > now ? d.at_ns - now + 100000000 : 100000000;
}

static bool append(int fd, const unsigned char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* Write the worker's kernel to @fd: @size bytes, which is the worker's word. */
static struct vl_error *fetch(struct vl_box *b, struct vl_deadline deadline, size_t size, int fd)
{
	for (size_t at = 0; at < size; at += VL_WINDOW_MAIN) {
		struct vl_message m = { .op = OP_PIECE, .value = { at } };
		struct vl_error *err = vl_box_ask(b, &m, left_ns(deadline), NULL, NULL);
		size_t n = size - at < VL_WINDOW_MAIN ? size - at : VL_WINDOW_MAIN;

		if (!err)
			err = vl_message_error(&m);
		if (!err && !append(fd, vl_box_wire(b)->window, n))
			err = vl_error_os(errno, "cannot write the kernel's symbols");
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
		.main = maker_main,
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
				  struct vl_deadline deadline, struct vl_kallsyms_bytes *ret)
{
	unsigned char *p;

	if (!part->len || part->len > max)
		return vl_error_new(VL_ERR_FAULT, "the kernel's symbol tables are malformed");
	p = malloc(part->len);
	if (!p)
		return vl_error_nomem();
	*ret = (struct vl_kallsyms_bytes){ p, part->len };
	for (uint64_t at = 0; at < part->len; at += COPY_STEP) {
		uint64_t n = part->len - at < COPY_STEP ? part->len - at : COPY_STEP;

		if (vl_late(deadline) ||
		    !vl_target_read_virt(t, &src->pt, part->va + at, p + at, n))
			return vl_error_new(VL_ERR_FAULT, "cannot read the kernel's symbols");
	}
	return NULL;
}

static struct vl_error *copy(struct vl_target *t, const struct vl_kernel_source *src,
			     struct maker *mk)
{
	struct vl_error *err;

	if (src->nr > VL_SYMBOLS_MAX || (unsigned)src->form > VL_KALLSYMS_PLACE)
		return vl_error_new(VL_ERR_FAULT, "the kernel's symbol tables are malformed");
	mk->symbols.form = src->form;
	mk->symbols.nr = src->nr;
	err = copy_part(t, src, &src->names, VL_NAMES_MAX, mk->deadline, &mk->symbols.names);
	if (!err)
		err = copy_part(t, src, &src->tokens, VL_TOKENS_MAX, mk->deadline,
				&mk->symbols.tokens);
	if (!err)
		err = copy_part(t, src, &src->offsets, 4UL * VL_SYMBOLS_MAX, mk->deadline,
				&mk->symbols.offsets);
	if (!err)
		err = copy_part(t, src, &src->btf, VL_BTF_MAX, mk->deadline, &mk->btf);
	return err;
}

/* Store both in the cache. Errors are ignored: the next first contact then takes as long. */
static void keep(const char *key, int fd, size_t size, const struct maker *mk)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (p == MAP_FAILED)
		return;
	vl_error_destroy(vl_kept_store(NULL, VL_KEPT_KERNEL, key, p, size));
	vl_error_destroy(vl_kept_store(NULL, VL_KEPT_BTF, key, mk->btf.at, mk->btf.len));
	munmap(p, size);
}

static bool is_cached(const char *key, int *fd_ret, size_t *size_ret)
{
	struct vl_kernel *k;

	/* A damaged one is made again. */
	vl_kernel_load(NULL, key, 0, &k);
	vl_kernel_destroy(k);
	return k && !vl_discard(vl_kept_open(NULL, VL_KEPT_KERNEL, key, fd_ret, size_ret));
}

struct vl_error *vl_kernel_provide(struct vl_target *t, const struct vl_kernel_source *src,
				   struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
				   bool *made_ret, int *fd_ret, size_t *size_ret)
{
	struct maker mk = { .deadline = deadline };
	struct vl_error *err = copy(t, src, &mk);

	*made_ret = false;
	if (!err) {
		vl_kernel_key(&mk.symbols, mk.btf.at, mk.btf.len, key_ret);
		*made_ret = !is_cached(key_ret, fd_ret, size_ret);
		if (*made_ret)
			err = make_in_box(&mk, fd_ret, size_ret);
		if (!err && *made_ret)
			keep(key_ret, *fd_ret, *size_ret, &mk);
	}
	free((void *)mk.symbols.names.at);
	free((void *)mk.symbols.tokens.at);
	free((void *)mk.symbols.offsets.at);
	free((void *)mk.btf.at);
	return err;
}

struct vl_error *vl_kernel_get(struct vl_target *t, const struct vl_kernel_source *src,
			       uint64_t base, struct vl_deadline deadline,
			       char key_ret[VL_KEY_MAX + 1], bool *made_ret, struct vl_kernel **ret)
{
	const struct vl_target_port *port = vl_target_port(t);
	struct vl_error *err;
	size_t size;
	int fd;

	*ret = NULL;
	err = port ? port->kernel(port->ctx, src, deadline, key_ret, made_ret, &fd, &size) :
		     vl_kernel_provide(t, src, deadline, key_ret, made_ret, &fd, &size);
	if (err)
		return err;
	vl_kernel_map(fd, size, base, ret);
	return *ret ? NULL : vl_error_new(VL_ERR_KERNEL, "the kernel's symbols are damaged");
}
