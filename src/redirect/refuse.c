/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refuses calls of the program, and counts each under its number. */
#include <errno.h>

#include "refuse.h"
#include "handlers.h"
#include "trap.h"

static void count(struct vl_redirect_calls *c, int nr)
{
	size_t i = 0;

	c->total++;
	while (i < c->nr && c->call[i].nr != nr)
		i++;
	if (i == VL_REDIRECT_CALLS_MAX)
		return;
	if (i == c->nr)
		c->call[c->nr++].nr = nr;
	c->call[i].count++;
}

void vl_denied(struct vl_redirect *r, int nr)
{
	count(&r->stats->denied, nr);
}

void vl_deny_as(struct vl_trap *t, int err)
{
	t->pass = false;
	t->ret = -err;
	vl_denied(t->r, t->nr);
}

void vl_deny(struct vl_trap *t)
{
	vl_deny_as(t, EPERM);
}

void vl_not_allowed(struct vl_trap *t)
{
	t->pass = false;
	t->ret = -ENOSYS;
	count(&t->r->stats->not_allowed, t->nr);
}

struct vl_error *vl_h_deny(struct vl_trap *t)
{
	vl_deny(t);
	return NULL;
}

struct vl_error *vl_h_ptrace(struct vl_trap *t)
{
	vl_deny(t);
	vl_refused(t, VL_REFUSED_TRACE, "");
	return NULL;
}

struct vl_error *vl_refuse_program(struct vl_trap *t, int err, enum vl_redirect_refused why,
				   const char *path)
{
	vl_deny_as(t, err);
	vl_refused(t, why, path);
	return NULL;
}

/* Namespaces of the host are not allowed, and those of the guest cannot be entered. */
struct vl_error *vl_h_namespace(struct vl_trap *t)
{
	vl_deny(t);
	vl_refused(t, VL_REFUSED_NAMESPACE, "");
	return NULL;
}

/* A fixed errno: args[0].n of the row. */
struct vl_error *vl_h_errno(struct vl_trap *t)
{
	if (t->row->args[0].n == ENOSYS)
		vl_not_allowed(t);
	else
		vl_deny_as(t, t->row->args[0].n);
	return NULL;
}
