/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translated code of a program's questions, kept with the run: to translate it anew takes
 * longer than to ask. It comes from a worker, so it may come from the guest. The processes with
 * rights only store it. A worker uses it, in its box, for what its guest answers. One that runs
 * trusted code gets only what such workers made, as the guest's own code never ran in these.
 *
 * The code may be hostile. If a call fails in a worker that uses it, or the worker dies, it is
 * removed, and the worker's next clone, or the next worker, translates anew.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/dirs.h"

/* The path of the file, malloc'ed; NULL: no code is kept. */
static char *file_path(const struct vl_guest *g)
{
	_cleanup_free_ char *name = NULL;

	/* A worker that also runs other code makes none that is kept. */
	if (!g->label || g->uses != VL_GUEST_ASK || g->unverified)
		return NULL;
	name = vl_workset_name(g->label);
	return name ? vl_run_path("%s.%s.%s", vl_target_run_id(g->raw.target), name,
				  g->trusted ? "trusted" : "code") :
		      NULL;
}

void vl_code_find(struct vl_guest *g)
{
	_cleanup_free_ char *path = file_path(g);
	_cleanup_close_ int fd = -1;
	size_t size;
	void *at;

	g->makes_code = path;
	if (!path || vl_discard(vl_file_open(path, VL_WINDOW_MAIN, &fd, &size)) || !size)
		return;
	at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return;
	g->code = at;
	g->code_size = size;
}

bool vl_code_may_fail(const struct vl_guest *g)
{
	const struct vl_session *s = g->session;

	return g->code && s && s->clone && s->clone->ops->keep;
}

bool vl_code_blame(struct vl_guest *g)
{
	if (!vl_code_may_fail(g))
		return false;
	g->code = NULL;
	g->code_failed = true;
	g->session->suspect = true;
	/* Facts that came from such code are as doubtful: find them again. */
	g->session->memo = (struct vl_clone_memo){ 0 };
	return true;
}

size_t vl_code_write(struct vl_guest *g, void *buf, size_t size)
{
	struct vl_session *s = g->session;

	return g->makes_code && s && s->clone && !s->suspect ? vl_clone_keep(s->clone, buf, size) :
							       0;
}

void vl_broker_drop_code(struct vl_guest *g)
{
	_cleanup_free_ char *path = file_path(g);

	if (path)
		unlink(path);
}

void vl_broker_keep_code(struct vl_guest *g)
{
	struct vl_message m = { .op = VL_OP_CODE };
	_cleanup_free_ char *path = file_path(g);
	_cleanup_free_ void *code = NULL;
	size_t size;

	if (!path || vl_discard(vl_broker_ask(g, &m, VL_CALL_NS)))
		return;
	size = m.value[0];
	if (!size || size > VL_WINDOW_MAIN)
		return;
	/* Others must not see it change while it is written. */
	code = malloc(size);
	if (!code)
		return;
	memcpy(code, vl_box_wire(g->box)->window, size);
	vl_error_destroy(vl_file_store(path, code, size));
}
