/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refused calls of the program, and questions that the guest did not answer. */
#ifndef VLENS_REDIRECT_REFUSE_H
#define VLENS_REDIRECT_REFUSE_H

#include <stdbool.h>

#include "redirect.h"

struct vl_redirect;
struct vl_trap;

/* Calls that are refused. Each is counted. */

/* Count call @nr as denied; the caller answers it. */
void vl_denied(struct vl_redirect *r, int nr);
/* Answer EPERM, or @err. */
void vl_deny(struct vl_trap *t);
void vl_deny_as(struct vl_trap *t, int err);
/* Answer that there is no such call. */
void vl_not_allowed(struct vl_trap *t);
/* Answer @err to the execve of @path. */
struct vl_error *vl_refuse_program(struct vl_trap *t, int err, enum vl_redirect_refused why,
				   const char *path);

/* Counts the questions that the guest did not answer, and the refusals. */

/* The guest gave no answer to @t, after all retries: count that, and keep the reason. */
void vl_blame(struct vl_trap *t, const struct vl_error *err);
/*
 * Was @path on the guest's disk, not in its memory, when it was opened within the last second?
 * Then it is not tried again: lsof opens the same file for each user's name.
 */
bool vl_absent(const struct vl_redirect *r, const char *path);
/* Note a refusal of @kind; the message names @what. */
void vl_refused(struct vl_trap *t, enum vl_redirect_refused kind, const char *what);
/* Note that t->where cannot be written: reported unless vl_refused_end() follows. */
void vl_refused_write(struct vl_trap *t);
/* The program goes on after a refused write: forget that one. */
void vl_refused_end(struct vl_redirect *r);

#endif
