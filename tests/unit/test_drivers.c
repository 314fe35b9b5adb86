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
	test_none_given();
	if (unlink("a dump") || rmdir("a folder") || rmdir(dir))
		return 1;
	return tap_end();
}
