/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "container.h"

#include <stdio.h>
#include <string.h>

#include "../base/array.h"

#define ID_DIGITS 64
#define ID_SHOWN 12

enum form_of_id {
	ID_HEX,	    /* 64 hexadecimal digits */
	ID_NAME,    /* any name */
	ID_ESCAPED, /* any name, with \x2d for a dash and the like: systemd.unit(5) */
};

/*
 * Names of control groups, as the runtimes make them. The first row that fits counts. A row
 * without a runtime is something else that looks like a container.
 */
static const struct form {
	const char *runtime;
	const char *above;	    /* the name of the group above; NULL: any */
	const char *before, *after; /* the text before and after the id */
	enum form_of_id id;
} forms[] = {
	{ "docker", NULL, "docker-", ".scope", ID_HEX },
	{ "docker", "docker", "", "", ID_HEX },
	{ "containerd", NULL, "cri-containerd-", ".scope", ID_HEX },
	{ "containerd", NULL, "nerdctl-", ".scope", ID_HEX },
	{ "containerd", "k8s.io", "", "", ID_HEX },
	{ "crio", NULL, "crio-", ".scope", ID_HEX },
	{ "crio", NULL, "crio-", "", ID_HEX },
	{ "podman", NULL, "libpod-", ".scope", ID_HEX },
	{ "podman", NULL, "libpod-", "", ID_HEX },
	{ "podman", "libpod_parent", "", "", ID_HEX },
	{ "lxc", NULL, "lxc.payload.", "", ID_NAME },
	{ "lxc", "lxc.payload", "", "", ID_NAME },
	{ "lxc", "lxc", "", "", ID_NAME },
	{ "nspawn", NULL, "systemd-nspawn@", ".service", ID_ESCAPED },
	/* systemd-machined(8): virtual machines, containers of libvirt, else those of nspawn. */
	{ NULL, NULL, "machine-qemu\\x2d", ".scope", ID_ESCAPED },
	{ "libvirt", NULL, "machine-lxc\\x2d", ".scope", ID_ESCAPED },
	{ "nspawn", NULL, "machine-", ".scope", ID_ESCAPED },
};

/* A name in the path: from `at` on, `len` bytes. */
struct part {
	const char *at;
	size_t len;
};

static bool is(struct part p, const char *text)
{
	return p.len == strlen(text) && !memcmp(p.at, text, p.len);
}

/* Remove @before and @after from the ends of @p. False: nothing is left, or they are not there. */
static bool strip(struct part *p, const char *before, const char *after)
{
	size_t n = strlen(before), m = strlen(after);

	if (p->len <= n + m || memcmp(p->at, before, n) != 0 ||
	    memcmp(p->at + p->len - m, after, m) != 0)
		return false;
	*p = (struct part){ p->at + n, p->len - n - m };
	return true;
}

/*
 * The value of a hexadecimal digit in lower case, as the runtimes write it; -1: it is another
 * character.
 */
static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex(struct part p, size_t len)
{
	for (size_t i = 0; i < p.len; i++)
		if (digit(p.at[i]) < 0)
			return false;
	return p.len == len;
}

/* Copy @p with its escapes resolved, each of which has two digits. False: it is not a name. */
static bool unescape(struct part p, char buf[VL_CONTAINER_ID_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < p.len; n++) {
		bool is_escape = p.len - i >= 4 && p.at[i] == '\\' && p.at[i + 1] == 'x' &&
				 digit(p.at[i + 2]) >= 0 && digit(p.at[i + 3]) >= 0;

		if (n + 1 == VL_CONTAINER_ID_MAX)
			return false;
		buf[n] = is_escape ? (char)(digit(p.at[i + 2]) << 4 | digit(p.at[i + 3])) : p.at[i];
		if (!buf[n] || buf[n] == '/')
			return false;
		i += is_escape ? 4 : 1;
	}
	buf[n] = '\0';
	return n;
}

static bool take_id(const struct form *f, struct part id, struct vl_container *ret)
{
	if (f->id == ID_ESCAPED)
		return unescape(id, ret->id);
	if (f->id == ID_HEX ? !is_hex(id, ID_DIGITS) : id.len >= sizeof(ret->id))
		return false;
	memcpy(ret->id, id.at, id.len);
	ret->id[id.len] = '\0';
	return true;
}

/* Is @name the group of a container? The runtime stays NULL if a row without a runtime fits. */
static bool take_container(struct part above, struct part name, struct vl_container *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *f = &forms[i];
		struct part id = name;

		if ((f->above && !is(above, f->above)) || !strip(&id, f->before, f->after))
			continue;
		if (!take_id(f, id, ret)) {
			ret->id[0] = '\0';
			continue;
		}
		ret->runtime = f->runtime;
		ret->named = f->id != ID_HEX;
		if (!f->runtime)
			ret->id[0] = '\0';
		return true;
	}
	return false;
}

/*
 * The uid of a pod: "pod5d4f…" with the cgroupfs driver, "kubepods-burstable-pod5d4f….slice" with
 * systemd's, which has _ for each dash. Pods of a file have the 32 digits of a hash.
 */
static bool take_pod(struct part name, struct vl_container *ret)
{
	struct part uid = name;
	size_t n = 0;

	if (strip(&uid, "kubepods", ".slice")) {
		const char *at = memmem(uid.at, uid.len, "-pod", 4);

		if (!at)
			return false;
		uid = (struct part){ at + 4, uid.len - (size_t)(at + 4 - uid.at) };
	} else if (!strip(&uid, "pod", "")) {
		return false;
	}
	if (uid.len != 36 && uid.len != 32)
		return false;
	for (; n < uid.len; n++) {
		bool is_dash = uid.len == 36 && (n == 8 || n == 13 || n == 18 || n == 23);

		if (is_dash ? uid.at[n] != '-' && uid.at[n] != '_' : digit(uid.at[n]) < 0)
			return false;
	}
	for (size_t i = 0; i < n; i++)
		ret->pod[i] = uid.at[i] == '_' ? '-' : uid.at[i];
	ret->pod[n] = '\0';
	return true;
}

/* systemd.unit(5): kinds of units that have processes, and the characters of their names. */
static bool is_unit(struct part p)
{
	static const char *const kinds[] = { ".service", ".scope", ".socket", ".mount", ".swap" };
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789:-_.\\@";
	bool is_kind = false;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct part whole = p;

		is_kind = is_kind || strip(&whole, "", kinds[i]);
	}
	for (size_t i = 0; is_kind && i < p.len; i++)
		if (!p.at[i] || !strchr(letters, p.at[i]))
			return false;
	return is_kind && p.len < VL_CONTAINER_UNIT_MAX;
}

/* The unit is the first group in slices: cg_path_get_unit() of systemd. True: it is a slice. */
static bool take_unit(struct part name, struct vl_container *ret)
{
	struct part slice = name;

	if (strip(&slice, "", ".slice"))
		return true;
	if (is_unit(name)) {
		memcpy(ret->unit, name.at, name.len);
		ret->unit[name.len] = '\0';
	}
	return false;
}

/* With the cgroupfs driver of Kubernetes only the pod above shows what an id is. */
static bool take_of_pod(struct part above, struct part name, struct vl_container *ret)
{
	struct vl_container pod;

	if (!take_pod(above, &pod) || !is_hex(name, ID_DIGITS))
		return false;
	ret->runtime = "kubernetes";
	memcpy(ret->id, name.at, name.len);
	ret->id[name.len] = '\0';
	return true;
}

bool vl_container_parse(const char *path, size_t len, struct vl_container *ret)
{
	struct part above = { "", 0 }, name;
	const char *end = path + len;
	bool found = false, in_slice = true;

	*ret = (struct vl_container){ .runtime = NULL };
	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));

		name = (struct part){ path, (size_t)((slash ? slash : end) - path) };
		path += name.len + 1;
		if (!name.len || memchr(name.at, '\0', name.len))
			continue;
		if (!found) {
			take_pod(name, ret);
			found = take_of_pod(above, name, ret) || take_container(above, name, ret);
		}
		in_slice = in_slice && take_unit(name, ret);
		above = name;
	}
	return ret->runtime || ret->unit[0];
}

void vl_container_label(const struct vl_container *c, char sep, char buf[VL_CONTAINER_LABEL_MAX])
{
	buf[0] = '\0';
	if (c->runtime)
		snprintf(buf, VL_CONTAINER_LABEL_MAX, "%s%c%.*s", c->runtime, sep,
			 c->named ? VL_CONTAINER_ID_MAX : ID_SHOWN, c->id);
}
