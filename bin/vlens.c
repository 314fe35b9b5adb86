/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main(): the one program behind all names. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "applet.h"
#include "front.h"

/*
 * If a standard descriptor is closed, the next open() gets its number, and output would go
 * to a dump or a socket. Fill such numbers with a descriptor that can be neither read nor
 * written: it gives EBADF, as a closed one does.
 */
static void take_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd < 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	front_begin(argv);
	take_standard_descriptors();
	/* One write for each line of an error: other processes write to stderr, too. */
	setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
	/* A parent may have ignored SIGPIPE. A closed pipe must end a tool all the same. */
	signal(SIGPIPE, SIG_DFL);
	/* A write beyond the limit of a file's size is an error, as a full disk is. */
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 1) {
		fputs("vlens: called without a name\n", stderr);
		return 1;
	}
	return dispatch(&applet_table, argc, argv);
}
