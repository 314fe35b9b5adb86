/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trusted runs: the broker finds the image, which its user trusts, and passes it to the worker. The
 * worker compares the guest's text with it, and runs it.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../attach/trusted.h"
#include "../view/stubs.h"
#include "../base/cleanup.h"
#include "../base/dirs.h"
#include "../base/transfer.h"
#include "../trust/image.h"
#include "../trust/index.h"
#include "../trust/store.h"
#include "../view/trustmods.h"

/* To read the image and to compare the text takes 0.2 s. */
#define TRUST_NS (20 * VL_NSEC_PER_SEC)

/* --- in the broker --- */

struct search {
	const char *build_id;
	char other[VL_BUILD_ID_MAX + 1]; /* of a kernel that was found instead */
	size_t nr_others;
	int fd; /* -1: not found so far */
	size_t size;
};

static struct vl_error *store(struct search *s, const unsigned char *elf, size_t len)
{
	int fd = memfd_create("vlens-trusted", MFD_CLOEXEC);

	if (fd < 0)
		return vl_error_os(errno, "cannot make a file in memory");
	if (!vl_put_whole(fd, elf, len)) {
		struct vl_error *err = vl_error_os(errno, "cannot write a file in memory");

		close(fd);
		return err;
	}
	s->fd = fd;
	s->size = len;
	return NULL;
}

/* vl_trust_kernel_fn: take the kernel of the build that is wanted. */
static struct vl_error *take(void *ctx, const struct vl_trust_origin *origin,
			     const unsigned char *elf, size_t len)
{
	struct search *s = ctx;
	struct vl_trust *t;
	struct vl_error *err;

	(void)origin;
	if (s->fd >= 0)
		return NULL;
	err = vl_trust_open(elf, len, &t);
	if (err)
		return err;
	if (!strcmp(vl_trust_build_id(t), s->build_id)) {
		/* The user's file is trusted, but an index behind it is not used. */
		err = store(s, elf, vl_trust_image_len(elf, len));
	} else {
		s->nr_others++;
		memcpy(s->other, vl_trust_build_id(t), sizeof(s->other));
	}
	vl_trust_close(t);
	return err;
}

static const char *or_unknown(const char *build_id)
{
	return *build_id ? build_id : "(unknown)";
}

static struct vl_error *find_in(const struct vl_guest *g, struct search *s)
{
	struct vl_error *err = vl_trust_each(g->trusted, take, s);

	if (err || s->fd >= 0)
		return err;
	if (s->nr_others == 1)
		return vl_error_new(VL_ERR_ARG,
				    "the guest's kernel is of build %s, but %s is of build %s",
				    or_unknown(s->build_id), g->trusted, s->other);
	return vl_error_new(VL_ERR_ARG, "%s has no kernel of the guest's build %s", g->trusted,
			    or_unknown(s->build_id));
}

static struct vl_error *find_stored(const struct vl_guest *g, const char *release, struct search *s,
				    uint64_t *print_ret)
{
	struct vl_error *err;

	if (!vl_is_build_id(g->build_id))
		return vl_trust_absent(g->build_id, release);
	err = vl_kept_open(g->raw.target, VL_KEPT_TRUSTED, g->build_id, &s->fd, &s->size);
	if (!err)
		return vl_trust_stored_check(g->build_id, s->fd, s->size, print_ret);
	if (err->os_errno != ENOENT)
		return err;
	vl_error_destroy(err);
	return vl_trust_absent(g->build_id, release);
}

/*
 * The file with the marks of this run's text (attach/trusted-marks.c), malloc'ed. They come from
 * workers that run trusted code, and go to such workers only.
 */
static char *marks_path(const struct vl_guest *g)
{
	return vl_run_path("%s.marks", vl_target_run_id(g->raw.target));
}

/* Put the marks of @path into the window. Returns their length. */
static size_t give_marks(struct vl_guest *g, const char *path)
{
	_cleanup_free_ char *marks = NULL;
	size_t len;

	if (vl_discard(vl_file_load(path, VL_WINDOW_MAIN, &marks, &len)))
		return 0;
	memcpy(vl_box_wire(g->box)->window, marks, len);
	return len;
}

/* Keep the @len bytes of marks that the worker has put into the window. */
static void keep_marks(struct vl_guest *g, const char *path, size_t len)
{
	_cleanup_free_ void *marks = len && len <= VL_WINDOW_MAIN ? malloc(len) : NULL;

	if (!marks)
		return;
	/* Others must not see it change while it is written. */
	memcpy(marks, vl_box_wire(g->box)->window, len);
	vl_error_destroy(vl_file_store(path, marks, len));
}

struct vl_error *vl_broker_trust(struct vl_guest *g, const char *release)
{
	struct search s = { .build_id = g->build_id, .fd = -1 };
	struct vl_message m = { .op = VL_OP_TRUST };
	_cleanup_free_ char *path = NULL;
	struct vl_error *err;

	if (strcmp(g->trusted, VL_TRUSTED_AUTO) != 0) {
		err = find_in(g, &s);
	} else {
		err = find_stored(g, release, &s, &m.value[VL_TRUST_PRINT]);
		path = marks_path(g);
	}
	m.value[VL_TRUST_SIZE] = s.size;
	if (!err && path)
		m.value[VL_TRUST_MARKS] = give_marks(g, path);
	if (!err)
		err = vl_box_pass_file(g->box, s.fd);
	if (s.fd >= 0)
		close(s.fd);
	if (!err)
		err = vl_broker_ask(g, &m, TRUST_NS);
	if (!err && path)
		keep_marks(g, path, m.value[VL_TRUST_MARKS]);
	/* The worker would run the guest's own code. */
	if (err)
		vl_broker_stop(g);
	return err;
}

/* --- in the worker --- */

struct vl_error *vl_session_trust(struct vl_guest *g, int fd, struct vl_wire *wire,
				  struct vl_message *m)
{
	const struct vl_trusted_kept kept = {
		.image = m->value[VL_TRUST_PRINT],
		.bytes = wire->window,
		.len = m->value[VL_TRUST_MARKS],
	};
	struct vl_attach *a = g->raw.attach;
	struct vl_error *err;

	if (fd < 0)
		return vl_error_os(errno, "the broker sent no file");
	err = vl_attach_trust(a, fd, m->value[VL_TRUST_SIZE], &kept);
	close(fd);
	if (err)
		return err;
	m->value[VL_TRUST_MARKS] = vl_trusted_marks_write(a->trusted, wire->window, VL_WINDOW_MAIN);
	if (g->uses & VL_GUEST_ASK)
		vl_workset_find_still(&g->workset, a);
	g->workset.still[0] = (struct vl_snapshot_still){ a->trusted->gpa, a->trusted->size };
	if (a->trusted->constants.size)
		g->workset.still[1] = (struct vl_snapshot_still){ a->trusted->constants.gpa,
								  a->trusted->constants.size };
	return NULL;
}

/* --- modules --- */

void vl_session_forget_modules(struct vl_guest *g)
{
	if (!g->modules)
		return;
	g->raw.attach->trusted->set = NULL;
	vl_trusted_modules_deinit(g->modules);
	free(g->modules);
	g->modules = NULL;
}

/*
 * The trusted module that has @va; NULL: none. Those of the guest's list are found at the first
 * call.
 */
static const struct vl_trust *module_at(struct vl_guest *g, uint64_t va)
{
	struct vl_trusted *t = g->raw.attach->trusted;
	const struct vl_trust *m;
	struct vl_reader *r;

	if (!g->modules) {
		g->modules = calloc(1, sizeof(*g->modules));
		if (!g->modules)
			return NULL;
		if (!vl_discard(vl_guest_reader(g, &r)))
			vl_error_destroy(vl_trusted_modules_init(&g->raw, t->trust, g->modules));
		t->set = g->modules->set;
	}
	m = t->set ? vl_trust_set_at(t->set, va) : NULL;
	return m == t->trust ? NULL : m;
}

static bool verify_page(void *ctx, uint64_t va, unsigned char *page)
{
	struct vl_guest *g = ctx;
	const struct vl_attach *a = g->raw.attach;
	unsigned char guest[VL_PAGE_SIZE];
	const struct vl_trust *m = module_at(g, va);
	uint64_t start, end;
	size_t len;

	/* The text of a module can begin or end in a page. */
	if (!m)
		m = module_at(g, va + VL_PAGE_SIZE - 1);
	if (!m)
		return false;
	start = vl_trust_text(m, &len);
	end = start + len < va + VL_PAGE_SIZE ? start + len : va + VL_PAGE_SIZE;
	start = start > va ? start : va;
	memset(page, 0xcc, VL_PAGE_SIZE);
	return start < end && vl_target_read_virt(a->target, &a->pt, start, guest, end - start) &&
	       vl_trusted_check(a->trusted, m, start, guest, end - start, page + (start - va));
}

static bool is_entry(void *ctx, uint64_t va)
{
	const struct vl_trust *m = module_at(ctx, va);

	return m && vl_trust_is_entry(m, va);
}

static bool program(void *ctx, uint64_t va, char *buf, size_t size)
{
	struct vl_guest *g = ctx;
	struct vl_stubs stubs = { .nr = 0 };
	const struct vl_stub *stub = NULL;
	struct vl_reader *r;

	if (!vl_discard(vl_guest_reader(g, &r)))
		vl_error_destroy(vl_stubs_collect(&g->raw, &stubs));
	stub = vl_stub_at(&stubs, va);
	if (stub && stub->kind == VL_STUB_FTRACE)
		stub = NULL;
	if (stub)
		snprintf(buf, size, "%s", stub->name);
	vl_stubs_deinit(&stubs);
	return stub != NULL;
}

static const struct vl_trust *module(void *ctx, uint64_t va)
{
	return module_at(ctx, va);
}

const struct vl_clone_verifier vl_session_verifier = { verify_page, is_entry, module, program };

void vl_session_trust_figures(struct vl_guest *g, struct vl_trusted_stats *ret)
{
	struct vl_trusted *t = g->raw.attach ? g->raw.attach->trusted : NULL;

	if (!t)
		return;
	vl_trusted_recheck(t);
	ret->on = true;
	ret->pages = t->nr_pages;
	ret->sites = vl_trust_sites(t->trust);
	ret->attached = t->nr_attached;
	ret->findings = vl_trusted_findings(t);
	for (size_t i = 0; i < VL_TRUSTED_SHOWN; i++)
		vl_trusted_describe(t, i, ret->found[i], VL_TRUSTED_TEXT);
	vl_session_attached(g, ret);
}

struct vl_error *vl_session_own(struct vl_guest *g)
{
	struct vl_guest *own = calloc(1, sizeof(*own));
	struct vl_error *err;

	if (!own)
		return vl_error_nomem();
	own->sys.ops = &vl_guest_ops;
	own->raw.target = g->raw.target;
	own->uses = VL_GUEST_ASK;
	own->as = g->as;
	own->netns = g->netns;
	own->pauses = g->pauses;
	own->may_run = g->may_run;
	own->executor = g->executor;
	own->emulator = g->emulator;
	own->anew = true;
	err = vl_session_attach(own, false);
	if (err) {
		free(own);
		return err;
	}
	own->sibling = g;
	g->sibling = own;
	g->raw.own = &own->sys;
	return NULL;
}

void vl_session_own_end(struct vl_guest *g)
{
	struct vl_guest *own = g->sibling;

	if (!own)
		return;
	vl_session_forget(own);
	free(own->session);
	vl_workset_deinit(&own->workset);
	vl_attach_destroy(own->raw.attach);
	free(own);
	g->sibling = NULL;
	g->raw.own = NULL;
}
