/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a saved file goes: a new file, standard output; as it is, or compressed. */
#ifndef VLENS_SAVE_OUTPUT_H
#define VLENS_SAVE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_frames;

struct vl_output {
	int fd;
	const char *path; /* as the user named it; "-": standard output */
	int dir;	  /* where it is made; -1: standard output */
	const char *name; /* in `dir` */
	char beside[64];  /* its name until it is complete; "": it has none */
	bool force;
	/*
	 * It is written from its begin to its end, holes included: a pipe, or a compressed file.
	 * Else any part can be written at any time, and what is not written is a hole.
	 */
	bool is_stream;
	bool seeks;	  /* the head can be written again */
	uint64_t base;	  /* where the file begins in fd */
	uint64_t at;	  /* of a stream: bytes so far, without compression */
	uint64_t written; /* bytes that went to fd */
	unsigned char *zeros;
	/*
	 * Asked ten times a second while the output takes nothing: an error ends the write. Not
	 * asked where the output is one that cannot be asked whether it takes bytes.
	 */
	struct vl_error *(*go_on)(void *ctx);
	void *ctx;
	int own; /* a second descriptor of the pipe that is standard output; -1: none */
	struct vl_frames *frames; /* NULL: it is not compressed */
};

/* Make the output. Nothing appears under its name before vl_output_finish(). */
struct vl_error *vl_output_open(const char *path, bool force, bool zstd, struct vl_output *ret);
/* Remove what is not complete. */
void vl_output_close(struct vl_output *o);

/* Its name, for messages. */
const char *vl_output_name(const struct vl_output *o);

/* Bytes that the file system has free for us; UINT64_MAX: it does not say. */
uint64_t vl_output_room(const struct vl_output *o);

/*
 * Write the head, of @len bytes: first, or once more if o->seeks. The length must be the same.
 */
struct vl_error *vl_output_head(struct vl_output *o, const void *buf, size_t len);

/* No stream: write @len bytes at @at of the file. */
struct vl_error *vl_output_put(struct vl_output *o, uint64_t at, const void *buf, size_t len);
/* A stream: write the next @len bytes. */
struct vl_error *vl_output_add(struct vl_output *o, const void *buf, size_t len);
/* A stream: the next @len bytes are zeros. */
struct vl_error *vl_output_skip(struct vl_output *o, uint64_t len);

/* All is written, the file has @size bytes without compression: give it its name. */
struct vl_error *vl_output_finish(struct vl_output *o, uint64_t size);

/* For frames.c: write @len bytes to the stream behind the compression. */
struct vl_error *vl_output_raw(struct vl_output *o, const void *buf, size_t len);
/* The same of any output, at @at of fd's file, counted from o->base. */
struct vl_error *vl_output_raw_at(struct vl_output *o, uint64_t at, const void *buf, size_t len);

#endif
