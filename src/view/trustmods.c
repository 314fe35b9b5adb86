/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trustmods.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../host/file.h"
#include "../host/kept.h"
#include "../trust/pack.h"

/* A build id's note is 36 bytes long, with a SHA-1. */
#define NOTE_MAX 256

/* enum module_state */
enum { LIVE };

/* Time to unpack the modules: a guest can list all that there are. Two hundred take 0.5 s. */
#define UNPACK_NS (10 * VL_NSEC_PER_SEC)

struct pack {
	const unsigned char *bytes; /* NULL: there is none */
	size_t len;
	bool damaged;
};

static struct pack open_pack(struct vl_raw_guest *g, const struct vl_trust *kernel)
{
	struct pack p = { .bytes = NULL };
	char release[VL_KEY_MAX + 1];
	void *bytes;
	int fd;

	vl_trust_release(kernel, release, sizeof(release));
	if (vl_discard(vl_kept_open(g->target, VL_KEPT_MODULES, release, &fd, &p.len)))
		return p;
	bytes = p.len ? mmap(NULL, p.len, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (bytes == MAP_FAILED)
		return p;
	p.damaged = !vl_pack_is_sound(bytes, p.len);
	if (p.damaged)
		munmap(bytes, p.len);
	else
		p.bytes = bytes;
	return p;
}

static struct vl_trust_loaded place_of(const struct vl_module *m)
{
	struct vl_trust_loaded l = { .module = m->module, .percpu = m->percpu };

	l.together = m->together;
	for (size_t i = 0; i < VL_TRUST_AREAS; i++) {
		l.areas[i].base = m->areas[l.together ? 0 : i].base;
		l.areas[i].size = m->areas[l.together ? 0 : i].size;
	}
	if (l.together)
		l.areas[VL_TRUST_AREA_TEXT].size = m->core_text;
	return l;
}

/* Does the guest have the build id's note of @t where it must be? */
static bool has_note(struct vl_raw_guest *g, const struct vl_trust *t)
{
	const unsigned char *bytes;
	unsigned char own[NOTE_MAX];
	uint64_t va;
	size_t len;

	va = vl_trust_module_note(t, &bytes, &len);
	return !va ||
	       (len <= sizeof(own) && vl_read(g->reader, &g->space, va, own, len) == VL_READ_OK &&
		!memcmp(own, bytes, len));
}

/* Try entry @i of the pack; @m->why says why it is not the guest's module. */
static struct vl_error *try_entry(struct vl_raw_guest *g, struct vl_trust_set *set,
				  const struct pack *p, const struct vl_pack_module *entry,
				  struct vl_trusted_module *m)
{
	const struct vl_trust_loaded loaded = place_of(&m->m);
	struct vl_trust *t;
	struct vl_error *err = vl_pack_open(p->bytes, p->len, entry, &t);

	if (err)
		return err;
	err = vl_trust_set_add(set, t, &loaded);
	if (err) {
		vl_trust_close(t);
		m->differs = err->code == VL_ERR_ARG;
		return err;
	}
	if (!has_note(g, t)) {
		vl_trust_set_remove(set, t);
		m->differs = true;
		return vl_error_new(VL_ERR_ARG, "the guest's module is of another build than the "
						"trusted one");
	}
	m->trust = t;
	m->differs = false;
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strncmp(*x, *y, VL_MODULE_NAME);
}

/* The names of the modules in @m, in order; malloc'ed. */
static const char **sort_names(const struct vl_module *m, size_t nr)
{
	const char **names = calloc(nr + 1, sizeof(*names));

	for (size_t i = 0; names && i < nr; i++)
		names[i] = m[i].name;
	if (names)
		qsort(names, nr, sizeof(*names), by_name);
	return names;
}

/*
 * A kernel has one module of a name. A guest that lists more would have each unpacked and compared.
 */
static bool is_one_of_many(const char **names, size_t nr, const char *name)
{
	size_t i = vl_bisect(k, nr, strncmp(names[k], name, VL_MODULE_NAME) < 0);

	return i + 1 < nr && !strncmp(names[i + 1], name, VL_MODULE_NAME);
}

static void find(struct vl_raw_guest *g, struct vl_trust_set *set, const struct pack *p,
		 struct vl_trusted_module *m)
{
	size_t nr = p->bytes ? vl_pack_nr(p->bytes, p->len) : 0;
	char name[VL_MODULE_NAME + 1];
	struct vl_pack_module entry;

	snprintf(name, sizeof(name), "%.*s", VL_MODULE_NAME, m->m.name);
	if (m->m.state != LIVE) {
		m->why = vl_error_new(VL_ERR_ARG, "it is being loaded or removed");
		return;
	}
	for (size_t i = p->bytes ? vl_pack_find(p->bytes, p->len, name) : nr;
	     !m->trust && i < nr && vl_pack_module(p->bytes, p->len, i, &entry) &&
	     !strcmp(entry.name, name);
	     i++) {
		vl_error_destroy(m->why);
		m->why = try_entry(g, set, p, &entry, m);
	}
	if (p->damaged)
		m->why = vl_error_new(VL_ERR_ARG,
				      "the stored modules of its release are damaged, or "
				      "of another vlens; add their package again");
	else if (!m->trust && !m->why)
		m->why = vl_error_new(VL_ERR_ARG, "there is no trusted module of this name");
}

struct vl_error *vl_trusted_modules_init(struct vl_raw_guest *g, const struct vl_trust *kernel,
					 struct vl_trusted_modules *ret)
{
	const struct vl_deadline deadline =
		vl_deadline_besides(vl_deadline_in(UNPACK_NS), vl_target_waits(g->target));
	_cleanup_free_ struct vl_module *listed = NULL;
	_cleanup_free_ const char **names = NULL;
	struct vl_error *err;
	struct pack pack;
	size_t nr;

	*ret = (struct vl_trusted_modules){ .nr = 0 };
	err = vl_trust_set_create(kernel, &ret->set);
	if (!err)
		err = vl_modules_listed(g, &listed, &nr);
	if (err)
		return err;
	names = sort_names(listed, nr);
	ret->v = calloc(nr + 1, sizeof(*ret->v));
	if (!ret->v || !names)
		return vl_error_nomem();
	pack = open_pack(g, kernel);
	for (ret->nr = 0; ret->nr < nr; ret->nr++) {
		struct vl_trusted_module *m = &ret->v[ret->nr];

		m->m = listed[ret->nr];
		m->differs = is_one_of_many(names, nr, m->m.name);
		if (m->differs)
			m->why = vl_error_new(VL_ERR_ARG,
					      "the guest lists several modules of this name");
		else if (vl_late(deadline))
			m->why = vl_error_new(VL_ERR_ARG,
					      "the guest lists more modules than can be unpacked "
					      "in %ld s",
					      UNPACK_NS / VL_NSEC_PER_SEC);
		else
			find(g, ret->set, &pack, m);
	}
	if (pack.bytes)
		munmap((void *)pack.bytes, pack.len);
	/* A module needs symbols of others: link when all are there. */
	for (size_t i = 0; i < nr; i++) {
		struct vl_trusted_module *m = &ret->v[i];

		if (!m->trust)
			continue;
		m->why = vl_trust_link(m->trust);
	}
	for (size_t i = 0; i < nr; i++) {
		struct vl_trusted_module *m = &ret->v[i];

		if (!m->trust || !m->why)
			continue;
		vl_trust_set_remove(ret->set, m->trust);
		m->trust = NULL;
	}
	return NULL;
}

void vl_trusted_modules_deinit(struct vl_trusted_modules *t)
{
	for (size_t i = 0; i < t->nr; i++)
		vl_error_destroy(t->v[i].why);
	free(t->v);
	vl_trust_set_destroy(t->set);
	*t = (struct vl_trusted_modules){ .nr = 0 };
}
