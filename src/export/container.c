/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "container.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "../base/array.h"

/* Names of control groups, as the runtimes make them: what stands before and behind the id. */
static const struct form {
	const char *runtime, *before, *behind;
	bool parent; /* `before` is the name of the group above */
	bool id;     /* 64 hexadecimal digits, of which 12 are shown; else any name */
} forms[] = {
	{ "docker", "docker-", ".scope", false, true },
	{ "docker", "docker", "", true, true },
	{ "containerd", "cri-containerd-", ".scope", false, true },
	{ "containerd", "nerdctl-", ".scope", false, true },
	{ "crio", "crio-", ".scope", false, true },
	{ "podman", "libpod-", ".scope", false, true },
	{ "podman", "libpod_parent", "", true, true },
	{ "lxc", "lxc.payload.", "", false, false },
	{ "lxc", "lxc", "", true, false },
	{ "nspawn", "machine-", ".scope", false, false },
	/* The pods of Kubernetes, with cgroupfs. */
	{ "kubernetes", "pod", "", true, true },
};

#define ID_DIGITS 64
#define ID_SHOWN 12

/* A name in the path: from `at` on, `len` bytes. */
struct part {
	const char *at;
	size_t len;
};

static bool begins(struct part p, const char *text)
{
	return p.len >= strlen(text) && !memcmp(p.at, text, strlen(text));
}

static bool ends(struct part p, const char *text)
{
	size_t len = strlen(text);

	return p.len >= len && !memcmp(p.at + p.len - len, text, len);
}

static bool is_id(struct part p)
{
	for (size_t i = 0; i < p.len; i++)
		if (!isxdigit((unsigned char)p.at[i]))
			return false;
	return p.len == ID_DIGITS;
}

static bool fits(const struct form *f, struct part above, struct part name, struct part *id_ret)
{
	*id_ret = name;
	if (f->parent) {
		/* That of a pod is "pod" and its number. */
		if (!begins(above, f->before) ||
		    (strcmp(f->before, "pod") && above.len != strlen(f->before)))
			return false;
	} else if (begins(name, f->before) && ends(name, f->behind) &&
		   name.len > strlen(f->before) + strlen(f->behind)) {
		id_ret->at += strlen(f->before);
		id_ret->len -= strlen(f->before) + strlen(f->behind);
	} else {
		return false;
	}
	return !f->id || is_id(*id_ret);
}

bool vl_container_of(const char *path, size_t len, char buf[VL_CONTAINER_MAX])
{
	struct part above = { "", 0 }, name, id;
	const char *end = path + len;

	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));

		name = (struct part){ path, (size_t)((slash ? slash : end) - path) };
		for (size_t i = 0; name.len && i < ARRAY_SIZE(forms); i++) {
			if (!fits(&forms[i], above, name, &id))
				continue;
			snprintf(buf, VL_CONTAINER_MAX, "%s:%.*s", forms[i].runtime,
				 forms[i].id ? ID_SHOWN : (int)(id.len < 64 ? id.len : 64), id.at);
			return true;
		}
		above = name;
		path += name.len + 1;
	}
	return false;
}
