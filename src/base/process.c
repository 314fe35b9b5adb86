/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "process.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "number.h"

/* The inode of the first PID namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h. */
#define FIRST_PID_SPACE 0xeffffffcU

bool vl_process_has_reaper(void)
{
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino == FIRST_PID_SPACE;
}

void vl_process_rename(const char *name)
{
	size_t len = strlen(name) + 1;
	char text[1024], *p;
	unsigned long start = 0, end = 0;
	_cleanup_close_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	prctl(PR_SET_NAME, name);
	if (n <= 0)
		return;
	text[n] = '\0';
	p = strrchr(text, ')');
	/* proc(5): the name is field 2, arg_start and arg_end are 48 and 49. */
	for (int field = 2; p && field < 48; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (!p || sscanf(p, "%lu %lu", &start, &end) != 2 || end <= start)
		return;
	memset((void *)start, 0, end - start);
	memcpy((void *)start, name, len < end - start ? len : end - start - 1);
}

uint64_t vl_proc_number(const char *name, int base, uint64_t otherwise, const char *fmt, ...)
{
	char path[64], line[256];
	_cleanup_fclose_ FILE *f = NULL;
	const char *at;
	size_t len = strlen(name);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t value;

		if (strncmp(line, name, len) != 0 || line[len] != ':')
			continue;
		at = line + len + 1;
		at += strspn(at, " \t");
		return vl_take_u64(&at, base, UINT64_MAX, &value) ? value : otherwise;
	}
	return otherwise;
}

void vl_process_set_oom(const char *score)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : write(fd, score, strlen(score));

	/* A process without the right to change the value keeps the old one. */
	(void)n;
}
