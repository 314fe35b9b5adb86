/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu_args.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../base/number.h"
#include "internal.h"
#include "proc.h"

/*
 * Copy the value of @key in a QEMU option list "a,key=value,b" to @buf; "" if there is none.
 * @key NULL: the first value, which has no key. A comma within a value is doubled.
 */
static void option(const char *list, const char *key, char *buf, size_t size)
{
	size_t klen = key ? strlen(key) : 0, n = 0;
	const char *p = list;

	buf[0] = '\0';
	while (*p) {
		bool hit = key ? !strncmp(p, key, klen) && p[klen] == '=' : p == list;

		if (hit && key)
			p += klen + 1;
		for (n = 0; *p; p++) {
			if (*p == ',' && *++p != ',')
				break; /* p is at the next option */
			if (hit && n + 1 < size)
				buf[n++] = *p;
		}
		if (hit) {
			buf[n] = '\0';
			return;
		}
	}
}

/* Is @argv0 the program of a QEMU: qemu-system-x86_64, qemu-kvm, kvm? */
static bool qemu_name(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	const char *base = slash ? slash + 1 : argv0;

	return !strncmp(base, "qemu", 4) || !strncmp(base, "kvm", 3);
}

struct cmdline {
	const char *args;
	size_t len;
};

/* The next argument from *@pos on, NULL at the end. */
static const char *next_arg(const struct cmdline *c, size_t *pos)
{
	const char *arg = c->args + *pos;
	const char *nul;

	if (*pos >= c->len)
		return NULL;
	nul = memchr(arg, '\0', c->len - *pos);
	if (!nul)
		return NULL;
	*pos = (size_t)(nul - c->args) + 1;
	return arg;
}

/* Is the flag @key of a QEMU option list on: "key", "key=on", "key=yes", "key=true"? */
static bool flag(const char *list, const char *key)
{
	size_t len = strlen(key);
	char v[8];

	for (const char *p = strchr(list, ','); p; p = strchr(p, ',')) {
		p++;
		if (*p == ',') /* doubled: part of a value */
			p++;
		else if (!strncmp(p, key, len) && (!p[len] || p[len] == ','))
			return true;
	}
	option(list, key, v, sizeof(v));
	return !strcmp(v, "on") || !strcmp(v, "yes") || !strcmp(v, "true");
}

/* The address of the socket chardev @id; false: there is none that listens. */
static bool chardev(const struct cmdline *c, const char *id, struct vl_qmp_address *ret)
{
	const char *arg, *val;
	size_t pos = 0;
	char v[256];
	long port;

	while ((arg = next_arg(c, &pos))) {
		if (strcmp(arg, "-chardev") && strcmp(arg, "--chardev"))
			continue;
		val = next_arg(c, &pos);
		if (!val)
			return false;
		option(val, NULL, v, sizeof(v));
		if (strcmp(v, "socket"))
			continue;
		option(val, "id", v, sizeof(v));
		if (strcmp(v, id) || !flag(val, "server"))
			continue;
		option(val, "path", ret->path, sizeof(ret->path));
		ret->kind = flag(val, "abstract") ? VL_QMP_ABSTRACT : VL_QMP_UNIX;
		if (*ret->path)
			return true;
		option(val, "host", ret->path, sizeof(ret->path));
		option(val, "port", v, sizeof(v));
		ret->kind = VL_QMP_TCP;
		ret->port = vl_number(v, 1, UINT16_MAX, &port) ? (uint16_t)port : 0;
		return ret->port;
	}
	return false;
}

/* The address of the monitor in one option and its value; false: there is none that listens. */
static bool take_monitor(const struct cmdline *c, const char *opt, const char *val,
			 struct vl_qmp_address *ret)
{
	char v[PATH_MAX + 8];

	*ret = (struct vl_qmp_address){ .kind = VL_QMP_UNIX };
	if (!strcmp(opt, "qmp") || !strcmp(opt, "qmp-pretty")) {
		option(val, NULL, v, sizeof(v));
		if (!strncmp(v, "chardev:", 8))
			return chardev(c, v + 8, ret);
		if (!flag(val, "server"))
			return false;
		if (!strncmp(v, "tcp:", 4))
			return vl_qmp_parse_tcp(v, ret);
		if (strncmp(v, "unix:", 5) != 0)
			return false;
		snprintf(ret->path, sizeof(ret->path), "%.*s", PATH_MAX - 1, v + 5);
		if (flag(val, "abstract"))
			ret->kind = VL_QMP_ABSTRACT;
		return *ret->path;
	}
	if (strcmp(opt, "mon") != 0)
		return false;
	option(val, "mode", v, sizeof(v));
	if (strcmp(v, "control") != 0)
		return false;
	option(val, "chardev", v, sizeof(v));
	if (!*v)
		option(val, NULL, v, sizeof(v));
	return chardev(c, v, ret);
}

void vl_qemu_args_parse(const char *args, size_t len, struct vl_qemu_args *ret)
{
	struct cmdline c = { args, len };
	const char *arg, *val;
	size_t pos = 0;

	memset(ret, 0, sizeof(*ret));
	arg = next_arg(&c, &pos);
	if (!arg)
		return;
	ret->is_qemu = qemu_name(arg);
	while ((arg = next_arg(&c, &pos))) {
		size_t here = pos;

		if (*arg != '-')
			continue;
		arg += arg[1] == '-' ? 2 : 1;
		val = next_arg(&c, &here);
		if (!val)
			break;
		if (ret->nr_qmp < VL_QEMU_MONITORS &&
		    take_monitor(&c, arg, val, &ret->qmp[ret->nr_qmp]))
			ret->nr_qmp++;
		if (!strcmp(arg, "name")) {
			option(val, "guest", ret->guest_name, sizeof(ret->guest_name));
			if (!ret->guest_name[0])
				option(val, NULL, ret->guest_name, sizeof(ret->guest_name));
		} else if (!strcmp(arg, "uuid")) {
			snprintf(ret->uuid, sizeof(ret->uuid), "%s", val);
		}
	}
}

bool vl_qemu_args_read(pid_t pid, struct vl_qemu_args *ret, bool *managed_ret)
{
	_cleanup_free_ char *args = NULL;
	char file[64];
	size_t len;
	int r;

	snprintf(file, sizeof(file), "/proc/%d/cmdline", (int)pid);
	r = vl_read_file(AT_FDCWD, file, 4 << 20, &args, &len);

	if (r < 0) {
		args = NULL;
		errno = -r;
		return false;
	}
	vl_qemu_args_parse(args, len, ret);
	/* libvirt writes "-name guest=NAME,...". */
	if (managed_ret)
		*managed_ret = memmem(args, len, "\0guest=", 7);
	return true;
}
