/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A migration stream of QEMU: where each page of the guest's memory lies in it, and the registers
 * of its vCPUs. QEMU writes such streams into files (migrate), into a snapshot of a disk image
 * (savevm), and behind libvirt's header (virsh save).
 */
#ifndef VLENS_HOST_STREAM_H
#define VLENS_HOST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "index.h"
#include "registers.h"

/* A piece: @size bytes from @at on lie at @file of the file; VL_HOLE: they are zeros. */
struct vl_span {
	uint64_t at, size, file;
};
#define VL_HOLE UINT64_MAX

/* The bytes of a stream: pieces of a file, in order and without a gap. */
struct vl_bytes {
	int fd;			/* not owned */
	struct vl_span *pieces; /* malloc'ed */
	size_t nr;
	uint64_t size;
};

/* One piece: all from @at to @end of the file. */
struct vl_error *vl_bytes_whole(struct vl_bytes *b, int fd, uint64_t at, uint64_t end);
/* Append a piece, which may be merged with the last. */
struct vl_error *vl_bytes_add(struct vl_bytes *b, uint64_t file, uint64_t size);
/* Read up to @len bytes at @at: less only at the end of the stream or file. -1: errno says why. */
int64_t vl_bytes_read(const struct vl_bytes *b, uint64_t at, void *buf, size_t len);
void vl_bytes_deinit(struct vl_bytes *b);

/* A block of the guest's memory, as QEMU names it. */
struct vl_block {
	char name[256];
	uint64_t size; /* bytes, a multiple of a page */
};

/* Pages that lie in the stream at equal distances. Others are zeros. */
struct vl_page_run {
	uint64_t page; /* the first: pages are counted through all blocks */
	uint64_t nr;
	uint64_t at;   /* where it lies, or VL_FILLED and the byte that fills all of them */
	uint64_t step; /* bytes from one to the next */
};
#define VL_FILLED (1ULL << 63)

/* More are of no machine: a block is a memory module, or a ROM of a device. */
#define VL_BLOCKS_MAX 4096
/* 16 TiB of memory. */
#define VL_STREAM_PAGES_MAX (1UL << 32)

struct vl_stream {
	struct vl_bytes bytes;
	struct vl_block *blocks; /* in the order of the stream; malloc'ed */
	size_t nr_blocks;
	struct vl_page_run *runs; /* in the order of their pages; malloc'ed */
	size_t nr_runs;
	struct vl_vcpu *vcpus;		/* malloc'ed */
	struct vl_registers *registers; /* all of each; malloc'ed */
	size_t nr_vcpus;		/* 0: the stream does not describe them */
	uint64_t low, high;		/* bytes of RAM below and above 4 GiB; 0, 0: not known */
	bool cut;			/* it is cut off: a page that is in no run is missing */
};

/*
 * Find the pages of the stream in @bytes, which the caller keeps, in one pass, and write the index.
 * Nothing in it is believed; what is not understood is an error that names it. @partial: a stream
 * that is cut off is no error.
 */
struct vl_error *vl_stream_index(const struct vl_bytes *bytes, bool partial, struct vl_index *ret);
/* Write what the pass has found. */
struct vl_error *vl_stream_put(const struct vl_stream *s, struct vl_index *ret);
/* Take the stream of such an index, which reads from @fd. */
struct vl_error *vl_stream_open(struct vl_index *ix, int fd, struct vl_stream *ret);
void vl_stream_deinit(struct vl_stream *s);

/* Is @page in the stream? Else it was cut off. */
bool vl_stream_has_page(const struct vl_stream *s, uint64_t page);
/* How many of the @nr pages from @first on are? */
uint64_t vl_stream_count_pages(const struct vl_stream *s, uint64_t first, uint64_t nr);
/*
 * Read page @page, of all blocks, into @buf of 4096 bytes. False: the file has ended before, or
 * errno.
 */
bool vl_stream_read_page(const struct vl_stream *s, uint64_t page, void *buf);
/* The first page at or behind @page that may be other than zeros; UINT64_MAX: none. */
uint64_t vl_stream_next_page(const struct vl_stream *s, uint64_t page);

/*
 * Find the registers and the sizes of RAM in the state of devices, which begins at @from. What is
 * not described there stays empty.
 */
struct vl_error *vl_stream_read_state(struct vl_stream *s, uint64_t from);

/* Big-endian numbers, as QEMU writes them. */
static inline uint32_t vl_be32(const void *p)
{
	const unsigned char *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t vl_be64(const void *p)
{
	return (uint64_t)vl_be32(p) << 32 | vl_be32((const unsigned char *)p + 4);
}

#endif
