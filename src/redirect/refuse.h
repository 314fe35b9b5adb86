/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that are refused. Each is counted. */
#ifndef VLENS_REDIRECT_REFUSE_H
#define VLENS_REDIRECT_REFUSE_H

#include "redirect.h"

struct vl_redirect;
struct vl_trap;

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

#endif
