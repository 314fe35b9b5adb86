/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu_args.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "proc.h"

/*
 * Copy the value of @key out of a QEMU option list "a,key=value,b" into @buf;
 * "" if it is not there. @key NULL: the first, nameless value. A comma within a
 * value is written twice.
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

/* The program of a QEMU: qemu-system-x86_64, qemu-kvm, kvm. */
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

/* The path of the socket chardev @id. */
static void chardev_path(const struct cmdline *c, const char *id, char *buf, size_t size)
{
	const char *arg, *val;
	size_t pos = 0;
	char v[256];

	buf[0] = '\0';
	while (!*buf && (arg = next_arg(c, &pos))) {
		if (strcmp(arg, "-chardev") && strcmp(arg, "--chardev"))
			continue;
		val = next_arg(c, &pos);
		if (!val)
			return;
		option(val, NULL, v, sizeof(v));
		if (strcmp(v, "socket"))
			continue;
		option(val, "id", v, sizeof(v));
		if (!strcmp(v, id))
			option(val, "path", buf, size);
	}
}

/* Take a monitor out of one option and its value. */
static void take_monitor(const struct cmdline *c, const char *opt, const char *val,
			 struct vl_qemu_args *ret)
{
	char v[PATH_MAX + 8];

	if (!strcmp(opt, "qmp") || !strcmp(opt, "qmp-pretty")) {
		option(val, NULL, v, sizeof(v));
		if (!strncmp(v, "unix:", 5))
			snprintf(ret->qmp_path, sizeof(ret->qmp_path), "%.*s", PATH_MAX - 1, v + 5);
		else if (!strncmp(v, "chardev:", 8))
			chardev_path(c, v + 8, ret->qmp_path, sizeof(ret->qmp_path));
	} else if (!strcmp(opt, "mon")) {
		option(val, "mode", v, sizeof(v));
		if (strcmp(v, "control"))
			return;
		option(val, "chardev", v, sizeof(v));
		if (!*v)
			option(val, NULL, v, sizeof(v));
		chardev_path(c, v, ret->qmp_path, sizeof(ret->qmp_path));
	}
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
		if (!ret->qmp_path[0])
			take_monitor(&c, arg, val, ret);
		if (!strcmp(arg, "name")) {
			option(val, "guest", ret->guest_name, sizeof(ret->guest_name));
			if (!ret->guest_name[0])
				option(val, NULL, ret->guest_name, sizeof(ret->guest_name));
		} else if (!strcmp(arg, "uuid")) {
			snprintf(ret->uuid, sizeof(ret->uuid), "%s", val);
		}
	}
}

char *vl_qemu_socket_path(pid_t pid, const char *path)
{
	_cleanup_free_ char *env = NULL;
	char *full = NULL, *old;
	char file[64];
	size_t len;

	if (*path == '/')
		return strdup(path);
	if (asprintf(&full, "/proc/%d/cwd/%s", (int)pid, path) < 0)
		return NULL;
	if (access(full, F_OK) == 0)
		return full;
	snprintf(file, sizeof(file), "/proc/%d/environ", (int)pid);
	if (vl_read_file(AT_FDCWD, file, 4 << 20, &env, &len) < 0) {
		env = NULL;
		return full;
	}
	for (const char *p = env; p < env + len; p += strlen(p) + 1) {
		if (strncmp(p, "PWD=/", 5) != 0)
			continue;
		old = full;
		if (asprintf(&full, "%s/%s", p + 4, path) < 0)
			full = NULL;
		free(old);
		break;
	}
	return full;
}
