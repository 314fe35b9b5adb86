/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "drivers.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/append.h"
#include "../base/number.h"
#include "internal.h"

static bool is_name(const char *spec)
{
	return !strchr(spec, '/');
}

/* Can @spec only be a guest's own name? */
static bool is_own_name(const char *spec)
{
	return !vl_name_is_taken(spec);
}

static bool is_file(const char *spec)
{
	struct stat st;

	return strchr(spec, '/') || (!stat(spec, &st) && S_ISREG(st.st_mode));
}

/*
 * A spec with a prefix is opened by the row of the prefix. Any other is tried by the rows that
 * take it, in this order, up to the first that opens it or fails without setting no_such.
 */
const struct vl_driver vl_drivers[] = {
	/* clang-format off */
	{ NULL, NULL, "a QEMU without libvirt", is_own_name, vl_qemu_open_alone,
	  .kept = true, .is_local = true },
	{ NULL, "a libvirt domain", "a libvirt domain", is_name, vl_libvirt_open,
	  .list = vl_target_list, .kept = true },
	{ NULL, NULL, "a QEMU without libvirt", is_name, vl_qemu_open_name,
	  .list_names = vl_qemu_list_names, .kept = true, .is_local = true },
	{ "qemu:", "qemu:PID", "a QEMU without libvirt", NULL, vl_qemu_open,
	  .list_pids = vl_target_list_bare, .kept = true },
	{ "qmp:", "qmp:SOCKET", "a QEMU without libvirt", NULL, vl_qemu_open_socket,
	  .kept = true, .is_path = true },
	{ "kvm:", "kvm:PID", "a guest on KVM", NULL, vl_kvm_open,
	  .list_pids = vl_target_list_kvm, .kept = true },
	{ "pid:", "pid:PID", "a hypervisor's process", NULL, vl_pid_open, .kept = true },
	{ NULL, "a dump file", "a memory dump", is_file, vl_dump_open, .kept = false },
	{ .open = NULL },
	/* clang-format on */
};

static size_t prefix_len(const struct vl_driver *d)
{
	return d->prefix ? strlen(d->prefix) : 0;
}

/* The driver whose prefix @spec has; NULL: it has none. */
static const struct vl_driver *by_prefix(const char *spec)
{
	for (const struct vl_driver *d = vl_drivers; d->open; d++)
		if (d->prefix && !strncmp(spec, d->prefix, prefix_len(d)))
			return d;
	return NULL;
}

/* The next driver after @d (NULL: from the first) that may have @spec; NULL: no more. */
static const struct vl_driver *next(const struct vl_driver *d, const char *spec)
{
	const struct vl_driver *only = by_prefix(spec);

	if (only)
		return d ? NULL : only;
	for (d = d ? d + 1 : vl_drivers; d->open; d++)
		if (d->takes && d->takes(spec))
			return d;
	return NULL;
}

static struct vl_error *none_given(void)
{
	char forms[256] = "";

	for (const struct vl_driver *d = vl_drivers; d->open; d++)
		if (d->form)
			vl_append(forms, sizeof(forms), "%s%s",
				  !*forms   ? "" :
				  d[1].open ? ", " :
					      " or ",
				  d->form);
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "no guest given"), "name %s", forms);
}

struct vl_error *vl_driver_open(struct vl_target *t, const char *spec, const char *uri)
{
	struct vl_error *first = NULL, *err;
	bool silent = false;

	if (!*spec)
		return none_given();
	for (const struct vl_driver *d = next(NULL, spec); d; d = next(d, spec)) {
		struct vl_spec s = { .arg = spec + prefix_len(d), .uri = uri };

		if (uri && d->is_local)
			continue;
		t->driver = d;
		err = d->open(t, &s);
		if (!err || !s.no_such) {
			vl_error_destroy(first);
			return err;
		}
		vl_target_reset(t);
		/* The row with that form of spec has the text for it. */
		if (first || !d->form)
			vl_error_destroy(err);
		else
			first = err;
		silent |= s.silent;
	}
	if (!first)
		first = vl_error_new(VL_ERR_TARGET, "no such guest");
	/* The text must not say that libvirt is needed. */
	if (silent && !uri)
		vl_error_prefix(first, "no QEMU here has this name, and libvirt did not answer");
	return vl_name_unknown(first, spec, uri);
}

const char *vl_target_kind(const struct vl_target *t)
{
	return t->driver->kind;
}

bool vl_spec_is_kept(const char *spec)
{
	const struct vl_driver *d = next(NULL, spec);

	while (d && d->kept)
		d = next(d, spec);
	return !d;
}

bool vl_spec_is_relative(const char *spec)
{
	const struct vl_driver *d = by_prefix(spec);

	return d && d->is_path && spec[prefix_len(d)] != '/';
}

pid_t vl_spec_pid(const char *spec)
{
	const struct vl_driver *d = by_prefix(spec);
	long pid;

	return d && d->list_pids && vl_number(spec + prefix_len(d), 1, INT_MAX, &pid) ? (pid_t)pid :
											0;
}

const char *vl_host_path_prefix(size_t i)
{
	for (const struct vl_driver *d = vl_drivers; d->open; d++)
		if (d->is_path && !i--)
			return d->prefix;
	return NULL;
}

/* The characters of @text, from a first one that is no hyphen on, that are in @set. */
static size_t word_len(const char *text, const char *set)
{
	return *text == '-' ? 0 : strspn(text, set);
}

size_t vl_spec_host(const char *spec)
{
	static const char name[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const size_t first = word_len(spec, name);
	const size_t user = first && spec[first] == '@' ? first + 1 : 0;
	const char *host = spec + user;
	size_t len = word_len(host, name);

	if (by_prefix(spec))
		return 0;
	if (*host == '[') {
		len = strcspn(host, "]");
		len = host[len] && len > 1 &&
				      strspn(host + 1, "0123456789abcdefABCDEF:.") == len - 1 ?
			      len + 1 :
			      0;
	}
	return len && host[len] == ':' && host[len + 1] && host[len + 1] != '-' ? user + len : 0;
}

bool vl_name_is_taken(const char *name)
{
	/* A UUID is 32 hexadecimal digits, with or without hyphens. */
	return by_prefix(name) || vl_spec_host(name) || *name == '-' || strchr(name, '/') ||
	       !name[strspn(name, "0123456789")] ||
	       (strlen(name) >= 32 && !name[strspn(name, "0123456789abcdefABCDEF-")]);
}
