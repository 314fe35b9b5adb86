/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void vl_process_rename(const char *name)
{
	size_t len = strlen(name) + 1;
	char text[1024], *p;
	unsigned long start = 0, end = 0;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	prctl(PR_SET_NAME, name);
	if (fd >= 0)
		close(fd);
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

void vl_process_set_oom(const char *score)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : write(fd, score, strlen(score));

	/* As it was, if it may not be changed. */
	(void)n;
	if (fd >= 0)
		close(fd);
}
