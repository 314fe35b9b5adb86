/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of this host and their names. */
#include <string.h>

#include "../base/array.h"
#include "../base/suggest.h"
#include "drivers.h"
#include "internal.h"

struct names {
	char **names;
	size_t nr;
	bool full;
	const char *prefix; /* for process ids */
};

static void take_name(void *ctx, const char *name)
{
	struct names *n = ctx;
	char **more = reallocarray(n->names, n->nr + 1, sizeof(*more));

	if (more)
		n->names = more;
	if (more && (more[n->nr] = strdup(name)))
		n->nr++;
	else
		n->full = true;
}

static void take_pid(void *ctx, pid_t pid)
{
	const struct names *n = ctx;
	char spec[32];

	snprintf(spec, sizeof(spec), "%s%d", n->prefix, (int)pid);
	take_name(ctx, spec);
}

struct vl_error *vl_host_guests(const char *uri, char ***ret, size_t *nr_ret)
{
	struct names n = { .names = NULL };
	struct vl_error *err = NULL;

	for (const struct vl_driver *d = vl_drivers; d->open && !err; d++) {
		n.prefix = d->prefix;
		if (d->list)
			err = d->list(uri, take_name, &n);
		if (d->list_pids)
			d->list_pids(take_pid, &n);
		/* Without libvirt there are other guests; a libvirt that was named must answer. */
		if (err && !uri) {
			vl_error_destroy(err);
			err = NULL;
		}
	}
	if (!err && n.full)
		err = vl_error_nomem();
	if (err) {
		vl_host_guests_free(n.names, n.nr);
		return err;
	}
	*ret = n.names;
	*nr_ret = n.nr;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_names(struct names *n)
{
	for (const struct vl_driver *d = vl_drivers; d->open; d++)
		if (d->list_names)
			d->list_names(take_name, n);
}

static bool has(char *const *names, size_t nr, const char *name)
{
	size_t i = 0;

	while (i < nr && strcmp(names[i], name) != 0)
		i++;
	return i < nr;
}

struct vl_error *vl_host_guest_names(const char *uri, char ***ret, size_t *nr_ret)
{
	struct names all = { .names = NULL }, own = { .names = NULL };
	struct vl_error *err = vl_host_guests(uri, &all.names, &all.nr);
	size_t specs = all.nr;

	if (err)
		return err;
	take_names(&own);
	if (own.nr)
		qsort(own.names, own.nr, sizeof(*own.names), compare);
	for (size_t i = 0, same; i < own.nr; i += same) {
		for (same = 1; i + same < own.nr && !strcmp(own.names[i + same], own.names[i]);)
			same++;
		/* If a domain has the name, too, it means the domain. */
		if (same == 1 && !vl_name_is_taken(own.names[i]) &&
		    !has(all.names, specs, own.names[i]))
			take_name(&all, own.names[i]);
	}
	vl_host_guests_free(own.names, own.nr);
	*ret = all.names;
	*nr_ret = all.nr;
	return NULL;
}

void vl_host_guests_free(char **names, size_t nr)
{
	for (size_t i = 0; names && i < nr; i++)
		free(names[i]);
	free(names);
}

struct known {
	struct known_name {
		pid_t pid;
		char name[256];
	} * all;
	size_t nr, cap;
};

static void take_known(void *ctx, pid_t pid, const char *name)
{
	struct known *k = ctx;

	if (!*name || !vl_grow(k->all, k->cap, k->nr, 16))
		return;
	k->all[k->nr].pid = pid;
	snprintf(k->all[k->nr].name, sizeof(k->all[k->nr].name), "%s", name);
	k->nr++;
}

void vl_host_labels(struct vl_host_label *of, size_t nr)
{
	struct known k = { .all = NULL };

	vl_qemu_list(take_known, &k);
	for (size_t i = 0; i < nr; i++) {
		const pid_t pid = of[i].pid ? of[i].pid : vl_spec_pid(of[i].spec);
		const struct known_name *own = NULL;
		size_t same = 0;

		of[i].name[0] = '\0';
		for (size_t n = 0; pid && n < k.nr; n++)
			if (k.all[n].pid == pid)
				own = &k.all[n];
		for (size_t n = 0; own && n < k.nr; n++)
			same += !strcmp(k.all[n].name, own->name);
		if (same == 1 && !vl_name_is_taken(own->name))
			memcpy(of[i].name, own->name, sizeof(of[i].name));
		else if (!strncmp(of[i].spec, "qmp:", 4) && pid)
			snprintf(of[i].name, sizeof(of[i].name), "qemu:%d", (int)pid);
	}
	free(k.all);
}

struct vl_error *vl_name_unknown(struct vl_error *err, const char *spec, const char *uri)
{
	struct names n = { .names = NULL };
	struct vl_suggest suggest;
	char *text;

	for (const struct vl_driver *d = vl_drivers; d->open; d++)
		if (d->list)
			vl_error_destroy(d->list(uri, take_name, &n));
	if (!uri)
		take_names(&n);
	vl_suggest_init(&suggest, spec, strlen(spec));
	for (size_t i = 0; i < n.nr; i++)
		vl_suggest_try(&suggest, n.names[i]);
	text = vl_suggest_text(&suggest);
	if (text)
		vl_error_hint(err, "%s vlist shows all", text);
	free(text);
	vl_host_guests_free(n.names, n.nr);
	return err;
}
