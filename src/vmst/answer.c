/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "answer.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

/* MAX_ERRNO, include/linux/err.h */
#define MAX_ERRNO 4095

/*
 * Calls whose value says nothing about the buffer that they fill. All others
 * return 0, an error, or how much of the buffer is filled.
 */
static const struct {
	const char *name;
	int64_t max;
	const char *note;
} values[] = {
	{ "ioctl", INT_MAX, "what the command says" },
	{ "msgctl", INT_MAX, "an index or an identifier" },
	{ "semctl", INT_MAX, "an index, an identifier or a semaphore's value" },
	{ "shmctl", INT_MAX, "an index or an identifier" },
	{ "time", INT64_MAX, "seconds" },
	{ "times", INT64_MAX, "clock ticks" },
	{ "lseek", INT64_MAX, "a position" },
};

int64_t vl_sys_check(const char *name, const struct vl_arg *args, size_t nr, int64_t ret)
{
	/* Descriptors, pids, counts; user ids take all 32 bits. */
	int64_t max = UINT32_MAX;
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (!strcmp(values[i].name, name))
			break;
	if (i < sizeof(values) / sizeof(values[0])) {
		max = values[i].max;
	} else {
		size_t room = 0;
		bool fills = false;

		for (size_t k = 0; k < nr; k++)
			if (args[k].buf && (args[k].kind == VL_OUT || args[k].kind == VL_INOUT)) {
				fills = true;
				room = args[k].len > room ? args[k].len : room;
			}
		if (fills)
			max = room < INT64_MAX ? (int64_t)room : INT64_MAX;
	}
	return ret < -MAX_ERRNO || ret > max ? -EIO : ret;
}

struct vl_error *vl_sys_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
			     size_t nr, int64_t *ret)
{
	struct vl_error *err = sys->ops->call(sys, name, args, nr, ret);

	if (!err)
		*ret = vl_sys_check(name, args, nr, *ret);
	return err;
}
