/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that users mistake for dumps: the error names what they are. */
#include "dump.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/array.h"

#define MAKE_ONE "make one with: vlens dump GUEST FILE"
#define X86_ONLY "only x86-64 Linux guests are understood"

/* Known by their first bytes. */
struct other {
	const char *magic, *what, *hint;
};
static const struct other others[] = {
	{ "DISKDUMP", "a diskdump, which is not read",
	  "convert it: makedumpfile -E FILE FILE.elf" },
	{ "\x1f\x8b", "compressed by gzip", "uncompress it first: gunzip FILE" },
	{ "BZh", "compressed by bzip2", "uncompress it first: bunzip2 FILE" },
	{ "\xfd"
	  "7zXZ",
	  "compressed by xz", "uncompress it first: unxz FILE" },
	{ "\x28\xb5\x2f\xfd", "compressed by zstd", "uncompress it first: unzstd FILE" },
	{ "\x04\x22\x4d\x18", "compressed by lz4", "uncompress it first: unlz4 FILE" },
	/* States of other hypervisors. */
	{ "\x7f"
	  "VirtualBox SavedState",
	  "the saved state of a VirtualBox machine, not a memory dump",
	  "start the machine, then: VBoxManage debugvm VM dumpvmcore --filename FILE" },
	{ "\x14\x20\x28\x01", "the saved state of a Hyper-V machine, not a memory dump",
	  "write the machine's memory alone to a file, as MemProcFS does" },
	{ "LinuxGuestRecord", "a record of a Xen guest (xl save), not a memory dump",
	  "restore it, then: xl dump-core DOMAIN FILE" },
	/* Of other systems. */
	{ "PAGEDU64", "a crash dump of Windows", X86_ONLY },
	{ "PAGEDUMP", "a crash dump of a 32-bit Windows", X86_ONLY },
	{ "HIBR", "a hibernated Windows", X86_ONLY },
	{ "hibr", "a hibernated Windows", X86_ONLY },
	{ "WAKE", "a hibernated Windows", X86_ONLY },
	{ "RSTR", "a hibernated Windows", X86_ONLY },
	/* Encrypted, or an archive. */
	{ "LUKS\xba\xbe", "encrypted (LUKS)", "open it with cryptsetup, then name what is in it" },
	{ "age-encryption.org/", "encrypted (age)", "decrypt it first: age -d -o MEMORY FILE" },
	{ "-----BEGIN AGE ENCRYPTED", "encrypted (age)",
	  "decrypt it first: age -d -o MEMORY FILE" },
	{ "-----BEGIN PGP MESSAGE", "encrypted (PGP)", "decrypt it first: gpg -o MEMORY -d FILE" },
	/* OpenPGP (RFC 4880, 5.1 and 5.3): a session key for AES-256 by a passphrase; by a key. */
	{ "\x8c\x0d\x04\x09", "encrypted (PGP)", "decrypt it first: gpg -o MEMORY -d FILE" },
	{ "\x85\x01\x0c\x03", "encrypted (PGP)", "decrypt it first: gpg -o MEMORY -d FILE" },
	{ "\x85\x02\x0c\x03", "encrypted (PGP)", "decrypt it first: gpg -o MEMORY -d FILE" },
	{ "Salted__", "encrypted (openssl enc)", "decrypt it first: openssl enc -d" },
	{ "PK\x03\x04", "a zip archive", "unpack it first: unzip FILE" },
	{ "7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first: 7z x FILE" },
};

/* Known by bytes further on. */
static const struct {
	size_t at;
	struct other other;
} inside[] = {
	/* A magic number of 8 bytes. Old releases used the lower two for the format's version. */
	{ 2,
	  { "\x64\x86\x84\x19\x10\x07", "the state of a Firecracker snapshot, not its memory",
	    "name the memory file of the snapshot (mem_file_path)" } },
	{ 2,
	  { "\xaa\xaa\x84\x19\x10\x07", "the state of a Firecracker snapshot of an arm64 guest",
	    X86_ONLY } },
	/* Swap: the signature ends the first page (struct swsusp_header, kernel/power/swap.c). */
	{ 4086,
	  { "S1SUSPEND", "swap space with a hibernated system, which is compressed in it",
	    "resume a copy of the machine in a VM, then: vlens dump GUEST FILE" } },
	{ 4086, { "SWAPSPACE2", "swap space, not a memory dump", MAKE_ONE } },
};

/* The row for the file @fd; NULL: there is none. */
static const struct other *find_other(int fd)
{
	char head[VL_PAGE_SIZE] = "";
	ssize_t n = pread(fd, head, sizeof(head), 0);

	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(others); i++)
		if (!memcmp(head, others[i].magic, strlen(others[i].magic)))
			return &others[i];
	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(inside); i++)
		if (!memcmp(head + inside[i].at, inside[i].other.magic,
			    strlen(inside[i].other.magic)))
			return &inside[i].other;
	return NULL;
}

bool vl_dump_is_other(int fd)
{
	return find_other(fd);
}

struct vl_error *vl_dump_unknown(int fd)
{
	const struct other *other = find_other(fd);
	struct stat st;

	if (!fstat(fd, &st) && !st.st_size)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file is empty"),
				     VL_DUMP_AGAIN);
	if (other)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file is %s", other->what),
				     "%s", other->hint);
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file is not a memory dump"),
			     MAKE_ONE);
}
