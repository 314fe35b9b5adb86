/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "calls.h"

#include <string.h>

#include "../base/array.h"

/* arch/x86/entry/syscalls/syscall_64.tbl */
static const struct {
	const char *call, *handler;
} renamed[] = {
	{ "stat", "newstat" },	 { "fstat", "newfstat" },      { "lstat", "newlstat" },
	{ "uname", "newuname" }, { "sendfile", "sendfile64" }, { "umount2", "umount" },
	{ "_sysctl", "sysctl" },
};

const char *vl_call_handler(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(renamed); i++)
		if (!strcmp(name, renamed[i].call))
			return renamed[i].handler;
	return name;
}
