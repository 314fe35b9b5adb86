/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "names.h"

#include <stdio.h>
#include <string.h>

#include "../base/array.h"
#include "internal.h"
#include "qemu_args.h"
#include "../base/near.h"

bool vl_name_is_taken(const char *name)
{
	static const char *const prefixes[] = { "qemu:", "qmp:", "kvm:", "-" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	/* A UUID is 32 digits and perhaps hyphens. */
	return strchr(name, '/') || !name[strspn(name, "0123456789")] ||
	       (strlen(name) >= 32 && !name[strspn(name, "0123456789abcdefABCDEF-")]);
}

struct names {
	char **names;
	size_t nr;
};

static void take_name(void *ctx, const char *name)
{
	struct names *n = ctx;
	char **more = reallocarray(n->names, n->nr + 1, sizeof(*more));

	if (!more)
		return;
	n->names = more;
	more[n->nr] = strdup(name);
	n->nr += more[n->nr] != NULL;
}

static void take_process(void *ctx, pid_t pid)
{
	struct vl_qemu_args qa;

	if (vl_qemu_args_read(pid, &qa, NULL) && qa.guest_name[0])
		take_name(ctx, qa.guest_name);
}

static void free_names(struct names *n)
{
	for (size_t i = 0; i < n->nr; i++)
		free(n->names[i]);
	free(n->names);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void vl_target_list_named(void (*fn)(void *ctx, const char *name), void *ctx)
{
	struct names n = { .nr = 0 };

	vl_target_list_bare(take_process, &n);
	if (n.nr)
		qsort(n.names, n.nr, sizeof(*n.names), compare);
	for (size_t i = 0, more; i < n.nr; i += more) {
		for (more = 1; i + more < n.nr && !strcmp(n.names[i + more], n.names[i]);)
			more++;
		if (more == 1 && !vl_name_is_taken(n.names[i]))
			fn(ctx, n.names[i]);
	}
	free_names(&n);
}

struct vl_error *vl_name_unknown(struct vl_error *err, const char *spec, const char *uri)
{
	struct names n = { .nr = 0 };
	struct vl_near near;
	char *text;

	vl_error_destroy(vl_target_list(uri, take_name, &n));
	vl_target_list_bare(take_process, &n);
	vl_near_init(&near, spec, strlen(spec));
	for (size_t i = 0; i < n.nr; i++)
		vl_near_try(&near, n.names[i]);
	text = vl_near_text(&near);
	if (text)
		vl_error_hint(err, "%s vlist shows all", text);
	free(text);
	free_names(&n);
	return err;
}
