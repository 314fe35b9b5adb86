/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that is not in a dump's file as it is: compressed, or in pieces anywhere. Its ranges have
 * neither a descriptor nor an address (struct vl_ram: fd is -1, hva is 0), and each page is made
 * when it is read. That code reads bytes that a guest wrote, so it runs only in a process without
 * rights: in a worker, which inherits the source by its fork, and not in the broker.
 */
#ifndef VLENS_PAGES_H
#define VLENS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_target;
struct vl_waits;

struct vl_pages_ops {
	const char *what; /* "compressed": how the memory is in the file, for a user */
	/*
	 * Read the page at @gpa, which is of a range without descriptor, to @buf, 4096 bytes. Of
	 * memory without addresses @gpa is where the page is while it is not placed. Never called
	 * twice at a time. It may read the source's file by pread(), and takes memory.
	 */
	struct vl_error *(*read)(void *ctx, uint64_t gpa, void *buf);
	/*
	 * The first page at or behind @gpa that may be other than zeros; UINT64_MAX: none. Must be
	 * cheap. The broker calls it, too, so it may use only what the open of the file has read.
	 * NULL: @gpa.
	 */
	uint64_t (*next)(void *ctx, uint64_t gpa);
	/*
	 * The number of pages that were cut off, of @all; VL_ERR_LACKING is the error of op read
	 * for them. NULL: a file that is cut short is not read.
	 */
	uint64_t (*cut_off)(void *ctx, uint64_t all);
	/* Was the page at @gpa left out of the file, as free pages are? NULL: none was. */
	bool (*left_out)(void *ctx, uint64_t gpa);
	/* Free @ctx. */
	void (*close)(void *ctx);
};

/* VL_ERR_LACKING for the page at @gpa. */
struct vl_error *vl_page_lacking(uint64_t gpa) __attribute__((returns_nonnull));

/*
 * While a file is opened: the pages of @t's ranges without descriptor come from @ctx, which belongs
 * to @t from now on, and is closed if this fails, too. @fd, of the target, is open in each process
 * that reads them.
 */
struct vl_error *vl_pages_set(struct vl_target *t, const struct vl_pages_ops *ops, void *ctx,
			      int fd);

/*
 * Let this process read such pages: it has no rights, or is a test. Before that each read fails
 * with VL_ERR_ARG. vl_target_use_proxy() implies this.
 */
void vl_target_unpack(struct vl_target *t);

/* How is the memory of ranges without descriptor in the file? NULL: @t has no such source. */
const char *vl_target_packed(const struct vl_target *t);

/* The file that pages are read from, for vl_box_keep(); -1: there is none. */
int vl_target_packed_fd(const struct vl_target *t);

/* ---- for ram.c, whose ranges have been checked to hold the bytes ---- */

/*
 * Read @len bytes at @gpa, which lie in one range. It is the address of the ops: fd_offset of a
 * range is where that begins. @w gets the time that it takes to read the file.
 */
struct vl_error *vl_pages_read(struct vl_target *t, uint64_t gpa, void *buf, size_t len,
			       struct vl_waits *w);
/* As the op. */
uint64_t vl_pages_next(const struct vl_target *t, uint64_t gpa);
uint64_t vl_pages_cut_off(const struct vl_target *t, uint64_t all);
bool vl_pages_left_out(const struct vl_target *t, uint64_t gpa);
void vl_pages_deinit(struct vl_target *t);

#endif
