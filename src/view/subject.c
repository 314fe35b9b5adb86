/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest as the views see it: what is known of its kernel, and a reader. */
#include <stdlib.h>
#include <string.h>

#include "../vmst/contact.h"
#include "collect.h"

static struct vl_error *open_reader(struct vl_subject *s, const struct vl_scan_options *opts)
{
	struct vl_reader_options o = { .engine = opts->engine };
	struct vl_error *err = vl_reader_open(s->target, s->contact, &o, &s->reader);

	if (err)
		return err;
	s->space = vl_reader_kernel(s->reader);
	return NULL;
}

/* A guest whose kernel is not understood has memory all the same. */
static void still_works(struct vl_error *err)
{
	char *hint = err->hint ? strdup(err->hint) : NULL;

	vl_error_hint(err, "%s%swithout its types vmem and vpeek with an address still work",
		      hint ? hint : "", hint ? "; " : "");
	free(hint);
}

struct vl_error *vl_subject_open(const char *spec, const struct vl_scan_options *opts,
				 bool need_kernel, struct vl_subject **ret)
{
	struct vl_subject *s = calloc(1, sizeof(*s));
	uint64_t begin = vl_view_now();
	struct vl_error *err;

	if (!s)
		return vl_error_nomem();
	err = vl_target_open(spec, &opts->target, &s->target);
	if (!err)
		err = vl_contact_make(s->target, opts->anew, &s->contact);
	if (!err)
		err = open_reader(s, opts);
	/* The guest is there, but what runs in it is not understood. */
	if (err && s->target && !s->reader && !need_kernel && err->code != VL_ERR_TARGET &&
	    err->code != VL_ERR_NOMEM) {
		s->why = err;
		err = NULL;
	}
	if (err && (err->code == VL_ERR_KERNEL || err->code == VL_ERR_BOOTING) && s->target)
		still_works(err);
	if (err) {
		vl_subject_close(s);
		return err;
	}
	s->attach_ns = vl_view_now() - begin;
	*ret = s;
	return NULL;
}

void vl_subject_close(struct vl_subject *s)
{
	if (!s)
		return;
	vl_reader_close(s->reader);
	vl_contact_destroy(s->contact);
	vl_error_destroy(s->why);
	vl_target_close(s->target);
	free(s);
}
