/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the pass over a migration stream. */
#ifndef VLENS_HOST_STREAM_PASS_H
#define VLENS_HOST_STREAM_PASS_H

#include "internal.h"
#include "stream.h"

/* The most bytes that are taken at once: a name and more. */
#define VL_TAKE_MAX 512

/* Pages of the guest, of which a stream's pass keeps the places together. */
#define VL_LEAF 512

struct vl_cursor {
	bool cut;     /* vl_cut_off() was called */
	bool partial; /* a stream that is cut off is no error: which pages are zeros is kept */
	struct vl_stream *s;
	uint64_t at;	    /* in the stream */
	uint64_t file_size; /* of the file behind it */
	struct vl_span piece;
	const unsigned char *map; /* NULL: none */
	uint64_t map_at, map_len; /* what of the file is mapped */
	unsigned char buf[VL_TAKE_MAX];
	/* In each VL_LEAF pages: where each lies, or VL_FILLED and a byte; 0, NULL: zeros. */
	uint64_t **leaves;
	uint64_t nr_leaves;	/* those there can be */
	uint64_t leaf_bytes;	/* in those that are */
	uint64_t nr_pages;	/* in all blocks */
	struct vl_block *block; /* of the last page */
	uint64_t first;		/* page of that block, in all */
	uint32_t ram_id;	/* of the section with memory */
	char machine[64];	/* its type, as of QEMU's -machine; "": not known */
	size_t cap_runs;
	bool has_ram, ram_ended, mapped;
};

/* Take the next @n bytes, VL_TAKE_MAX at most. They are valid until the next call. */
struct vl_error *vl_take(struct vl_cursor *c, size_t n, const unsigned char **ret);
/* Take a number, which is big endian. */
struct vl_error *vl_take32(struct vl_cursor *c, uint32_t *ret);
struct vl_error *vl_take64(struct vl_cursor *c, uint64_t *ret);
/* Take a string that follows its length, a byte. */
struct vl_error *vl_take_name(struct vl_cursor *c, char ret[256]);
struct vl_error *vl_skip(struct vl_cursor *c, uint64_t n);
/* The next bytes, as far as they are mapped already: *@n_ret, which may be 0. */
const unsigned char *vl_mapped(const struct vl_cursor *c, size_t *n_ret);
void vl_cursor_deinit(struct vl_cursor *c);

/* The errors of a stream that is cut off, and of one that makes no sense where it is now. */
struct vl_error *vl_cut_off(struct vl_cursor *c) __attribute__((returns_nonnull));
struct vl_error *vl_damaged_at(const struct vl_cursor *c, const char *what)
	__attribute__((returns_nonnull));
/* The error of a stream that has @what; @hint: what to do. */
struct vl_error *vl_stream_not_read(const char *what, const char *hint)
	__attribute__((returns_nonnull));

/* QEMU migration/savevm.h: what a section begins with. */
enum {
	VM_EOF = 0x00,
	VM_START = 0x01,
	VM_PART = 0x02,
	VM_END = 0x03,
	VM_FULL = 0x04,
	VM_SUBSECTION = 0x05,
	VM_CONFIGURATION = 0x07,
	VM_COMMAND = 0x08,
	VM_FOOTER = 0x7e,
};

/* Take the configuration, whose first byte has been taken, and the machine's name. */
struct vl_error *vl_take_configuration(struct vl_cursor *c);

#endif
