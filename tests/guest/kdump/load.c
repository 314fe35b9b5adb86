// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * load COMMAND-LINE: gives the kernel beside it to the running one as its capture
 * kernel (kdump), as kexec -p does. Needs crashkernel=SIZE on the running one's
 * command line.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int kernel = open("/kdump/vmlinuz", O_RDONLY), initrd = open("/kdump/initrd", O_RDONLY);

	if (argc != 2 || kernel < 0 || initrd < 0 ||
	    syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[1]) + 1, argv[1],
		    KEXEC_FILE_ON_CRASH)) {
		perror("load");
		return 1;
	}
	return 0;
}
