/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Properties of a guest that follow from its name, and the error that lists the forms of names. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "host/drivers.h"
#include "host/target.h"
#include "tap.h"

static const struct {
	const char *spec;
	bool kept, relative, taken;
} rows[] = {
	{ "web1", true, false, false },
	{ "qemu", true, false, false },
	{ "a dump", false, false, false }, /* a file of this name is there */
	{ "a folder", true, false, false },
	{ "qemu:1", true, false, true },
	{ "qemu:a dump", true, false, true },
	{ "qmp:s", true, true, true },
	{ "qmp:./s", true, true, true },
	{ "qmp:/s", true, false, true },
	{ "kvm:1", true, false, true },
	{ "pid:1", true, false, true },
	{ "./a dump", false, false, true },
	{ "/no/such/file", false, false, true },
	{ "-x", true, false, true },
	{ "12", true, false, true },
	{ "12a", true, false, false },
	{ "01234567-89ab-cdef-0123-456789ABCDEF", true, false, true },
	{ "0123456789abcdef0123456789abcdeg", true, false, false },
};

static void test_rows(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *spec = rows[i].spec;

		ok(vl_spec_is_kept(spec) == rows[i].kept, "a keeper stays for \"%s\": %d", spec,
		   rows[i].kept);
		ok(vl_spec_is_relative(spec) == rows[i].relative, "\"%s\" is relative: %d", spec,
		   rows[i].relative);
		ok(vl_name_is_taken(spec) == rows[i].taken, "as a name \"%s\" is taken: %d", spec,
		   rows[i].taken);
	}
}

static void test_hosts(void)
{
	static const struct {
		const char *spec;
		size_t len;
	} specs[] = {
		{ "kvm1:web1", 4 },
		{ "root@kvm1:web1", 9 },
		{ "kvm1.example.org:qemu:12", 16 },
		{ "kvm1:/var/crash/dump", 4 },
		{ "[::1]:web1", 5 },
		{ "a@[fe80::1]:web1", 11 },
		/* A prefix, a path, a name alone. */
		{ "qemu:12", 0 },
		{ "qmp:host:4444", 0 },
		{ "kvm:12", 0 },
		{ "pid:12", 0 },
		{ "./kvm1:web1", 0 },
		{ "dir/kvm1:web1", 0 },
		{ "web1", 0 },
		{ "", 0 },
		{ "kvm1:", 0 },
		{ ":web1", 0 },
		/* What ssh or a shell would take for something else. */
		{ "-oProxyCommand=x:g", 0 },
		{ "-F:g", 0 },
		{ "a@-F:g", 0 },
		{ "-a@b:g", 0 },
		{ "kvm1:-e", 0 },
		{ "@kvm1:g", 0 },
		{ "a@b@c:g", 0 },
		{ "a b:g", 0 },
		{ "a;b:g", 0 },
		{ "$(x):g", 0 },
		{ "[::1:g", 0 },
		{ "[]:g", 0 },
		{ "[x;y]:g", 0 },
		{ "kvm1\t:g", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		ok(vl_spec_host(specs[i].spec) == specs[i].len, "the host of \"%s\": %zu bytes",
		   specs[i].spec, specs[i].len);
	ok(vl_name_is_taken("kvm1:web1"), "a guest of such a name is listed by its UUID");
}

static void test_none_given(void)
{
	struct vl_target *t;
	struct vl_error *err = vl_target_open("", NULL, &t);

	ok(err && err->code == VL_ERR_TARGET && !strcmp(err->message, "no guest given"),
	   "a guest is to be given");
	ok(err && err->hint &&
		   !strcmp(err->hint,
			   "name a libvirt domain, qemu:PID, qmp:SOCKET, kvm:PID, pid:PID or a "
			   "dump file"),
	   "all forms are named");
	vl_error_destroy(err);
}

int main(void)
{
	char dir[] = "/tmp/vlens-drivers-XXXXXX";
	FILE *file;

	if (!mkdtemp(dir) || chdir(dir) || mkdir("a folder", 0700) ||
	    !(file = fopen("a dump", "w")) || fclose(file))
		return 1;
	test_rows();
	test_hosts();
	test_none_given();
	if (unlink("a dump") || rmdir("a folder") || rmdir(dir))
		return 1;
	return tap_end();
}
