/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No name or text of the guest drives a terminal. */
#ifndef VLENS_REDIRECT_SANITIZE_H
#define VLENS_REDIRECT_SANITIZE_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_arg;
struct vl_redirect;
struct vl_trap;

/* Undo the escapes of an answer in @path of the program: it is as in the guest again. */
void vl_sanitize_undo(const struct vl_redirect *r, char *path);
/* Strings in a field of fixed size, separated by NUL. */
void vl_sanitize_fixed(const struct vl_redirect *r, void *text, size_t len);
/* A string that may grow to @room bytes; it is cut there. Returns its length. */
size_t vl_sanitize_string(const struct vl_redirect *r, char *text, size_t len, size_t room);
/* The whole content of the file @path; *@data is malloc'ed. */
struct vl_error *vl_sanitize_file(struct vl_redirect *r, const char *path, char **data,
				  size_t *len);
/* One piece of the stream @path, which may grow to @room bytes. Returns its length. */
size_t vl_sanitize_piece(struct vl_redirect *r, const char *path, char *data, size_t len,
			 size_t room);
/* A listing of struct vl_dirent64, malloc'ed. */
struct vl_error *vl_sanitize_listing(const struct vl_redirect *r, char **listing, size_t *len);
/* The answer of call t->nr in @args, of which @ret is the result. Returns the new result. */
int64_t vl_sanitize_answer(struct vl_trap *t, const struct vl_arg *args, int64_t ret);

#endif
