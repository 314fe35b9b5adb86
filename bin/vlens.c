/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main(): the one program behind all names. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "applet.h"

/*
 * A standard descriptor that is closed would be the number of the next file that is opened:
 * of a dump, of a socket. It is taken by one that can be neither read nor written, which
 * gives EBADF as a closed one does.
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
	take_standard_descriptors();
	/*
	 * The width of characters and the language of errors. Numbers have a point everywhere, and
	 * each category that is loaded costs a file.
	 */
	setlocale(LC_CTYPE, "");
	setlocale(LC_MESSAGES, "");
	/* What goes wrong is one line, and one write: others may write there too. */
	setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
	/* A parent may have ignored it; a model's pipe must end it all the same. */
	signal(SIGPIPE, SIG_DFL);
	if (argc < 1) {
		fputs("vlens: called without a name\n", stderr);
		return 1;
	}
	return dispatch(&applet_table, argc, argv);
}
