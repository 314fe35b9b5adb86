/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of this host: who they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"

struct names {
	char **names;
	size_t nr;
	bool full;
};

static void take_name(void *ctx, const char *name)
{
	struct names *n = ctx;
	char **more = reallocarray(n->names, n->nr + 1, sizeof(*more));

	if (more)
		n->names = more;
	if (more)
		more[n->nr] = strdup(name);
	if (more && more[n->nr])
		n->nr++;
	else
		n->full = true;
}

static void take_pid(void *ctx, pid_t pid)
{
	char name[32];

	snprintf(name, sizeof(name), "qemu:%d", (int)pid);
	take_name(ctx, name);
}

static void take_kvm_pid(void *ctx, pid_t pid)
{
	char name[32];

	snprintf(name, sizeof(name), "kvm:%d", (int)pid);
	take_name(ctx, name);
}

struct vl_error *vl_host_guests(const char *uri, char ***ret, size_t *nr_ret)
{
	struct names n = { .names = NULL };
	struct vl_error *err = vl_target_list(uri, take_name, &n);

	/* A host without libvirt has guests, too; one that was named has to be there. */
	if (!err || !uri) {
		vl_error_destroy(err);
		err = NULL;
		vl_target_list_bare(take_pid, &n);
		vl_target_list_kvm(take_kvm_pid, &n);
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

struct vl_error *vl_host_guest_names(const char *uri, char ***ret, size_t *nr_ret)
{
	struct names n = { .names = NULL };
	struct vl_error *err = vl_host_guests(uri, &n.names, &n.nr);
	size_t specs = n.nr;

	if (err)
		return err;
	vl_target_list_named(take_name, &n);
	/* A domain's name is the domain. */
	for (size_t i = specs; i < n.nr;) {
		size_t k = 0;

		while (k < specs && strcmp(n.names[k], n.names[i]) != 0)
			k++;
		if (k == specs) {
			i++;
			continue;
		}
		free(n.names[i]);
		n.names[i] = n.names[--n.nr];
	}
	*ret = n.names;
	*nr_ret = n.nr;
	return NULL;
}

void vl_host_guests_free(char **names, size_t nr)
{
	for (size_t i = 0; names && i < nr; i++)
		free(names[i]);
	free(names);
}
