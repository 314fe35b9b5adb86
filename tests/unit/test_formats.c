/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of other hypervisors and systems: those that are read, and those that are named. */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/content.h"
#include "base/array.h"
#include "host/pages.h"
#include "host/target.h"
#include "tap.h"

/* The bytes of a memory without addresses; 0: it has addresses. */
static uint64_t flat_size(const struct vl_target *t)
{
	struct vl_placement p;

	return vl_target_placement(t, 1, &p) ? p.extents[0].size : 0;
}

#define PAGE 4096UL
#define SIZE (4UL << 20)

static char dir[] = "/tmp/vlens-formats-XXXXXX";
static char path[64];

/* Write @len bytes at @at of @name, which has @size bytes then. Sets the path. */
static void put(const char *name, uint64_t at, const void *bytes, size_t len, uint64_t size)
{
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len ||
	    (size && ftruncate(fd, (off_t)size)))
		exit(99);
	close(fd);
}

static void gone(const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	unlink(file);
}

static void refused(const char *what, const char *message, const char *hint)
{
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(path, NULL, &t);

	ok(err && err->code == VL_ERR_TARGET && strstr(err->message, message) && err->hint &&
		   strstr(err->hint, hint),
	   "%s: %s; %s", what, err ? err->message : "opened", err && err->hint ? err->hint : "");
	vl_error_destroy(err);
	if (!err)
		vl_target_close(t);
}

static struct vl_target *opened(const char *what)
{
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(path, NULL, &t);

	ok(!err, "%s opens%s%s", what, err ? ": " : "", err ? err->message : "");
	vl_error_destroy(err);
	return err ? NULL : t;
}

/* Has @t a range at @gpa of @pages pages whose first word is @word? */
static bool has(struct vl_target *t, uint64_t gpa, uint64_t pages, uint64_t word)
{
	size_t nr;
	const struct vl_ram *r = vl_target_ram(t, &nr);
	uint64_t w;

	for (size_t i = 0; i < nr; i++)
		if (r[i].gpa == gpa && r[i].size == pages * PAGE)
			return !vl_target_read(t, gpa, &w, sizeof(w)) && w == word;
	return false;
}

static void test_names(void)
{
	static const struct {
		const char *what, *magic;
		size_t at;
		const char *message, *hint;
	} files[] = {
		{ "Firecracker's state", "\x64\x86\x84\x19\x10\x07", 2, "Firecracker", "mem_file" },
		{ "VirtualBox's state", "\x7fVirtualBox SavedState V2.0\n", 0, "VirtualBox",
		  "dumpvmcore" },
		{ "Hyper-V's state", "\x14\x20\x28\x01", 0, "Hyper-V", "MemProcFS" },
		{ "Windows' dump", "PAGEDU64", 0, "crash dump of Windows", "x86-64 Linux" },
		{ "Windows' hibernation", "HIBR", 0, "hibernated Windows", "x86-64 Linux" },
		{ "a hibernated system", "S1SUSPEND", 4086, "hibernated system", "in a VM" },
		{ "swap space", "SWAPSPACE2", 4086, "swap space", "vlens dump" },
		{ "LUKS", "LUKS\xba\xbe", 0, "encrypted (LUKS)", "cryptsetup" },
		{ "age", "age-encryption.org/v1\n-> X25519 ", 0, "encrypted (age)", "age -d" },
		{ "gpg", "\x8c\x0d\x04\x09", 0, "encrypted (PGP)", "gpg" },
		{ "armored", "-----BEGIN PGP MESSAGE-----\n", 0, "encrypted (PGP)", "gpg" },
		{ "openssl", "Salted__", 0, "encrypted (openssl", "openssl enc -d" },
		{ "zip", "PK\x03\x04", 0, "zip archive", "unzip" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		put("named", files[i].at, files[i].magic, strlen(files[i].magic), SIZE);
		refused(files[i].what, files[i].message, files[i].hint);
		gone("named");
	}
}

/* --- VMware --- */

struct state {
	unsigned char b[2048];
	size_t len;
};

static void add(struct state *s, const void *bytes, size_t len)
{
	memcpy(s->b + s->len, bytes, len);
	s->len += len;
}

static void tag(struct state *s, const char *name, int index, uint32_t value)
{
	uint16_t head = (uint16_t)(strlen(name) << 8 | (index >= 0) << 6 | sizeof(value));
	uint32_t i = (uint32_t)index;

	add(s, &head, sizeof(head));
	add(s, name, strlen(name));
	if (index >= 0)
		add(s, &i, sizeof(i));
	add(s, &value, sizeof(value));
}

/* A state with @nr regions of a page each: the first at 0, the others from 4 GiB on. */
static void make_state(struct state *s, uint32_t nr)
{
	const uint32_t head[] = { 0xbed2bed2, 8, 1 };
	struct {
		char name[64];
		uint64_t at, size;
	} group = { "memory", sizeof(head) + sizeof(group), 0 };
	const uint16_t end = 0;

	s->len = 0;
	add(s, head, sizeof(head));
	add(s, &group, sizeof(group));
	tag(s, "regionsCount", -1, nr);
	for (uint32_t i = 0; i < nr && i < 8; i++) {
		tag(s, "regionPPN", (int)i, i ? (1 << 20) + i - 1 : 0);
		tag(s, "regionPageNum", (int)i, i);
		tag(s, "regionSize", (int)i, 1);
	}
	add(s, &end, sizeof(end));
}

static void test_vmware(void)
{
	const uint64_t marks[] = { 0x1111, 0x2222 };
	struct vl_target *t;
	struct state s;

	make_state(&s, 2);
	put("a.vmem", 0, &marks[0], 8, SIZE);
	put("a.vmem", PAGE, &marks[1], 8, 0);
	t = opened(".vmem alone");
	ok(t && flat_size(t) == SIZE, "it is flat");
	vl_target_close(t);
	put("a.vmss", 0, s.b, s.len, 0);
	t = opened("the state of a suspended machine");
	ok(t && has(t, 0, 1, 0x1111) && has(t, 1UL << 32, 1, 0x2222) && !flat_size(t),
	   "its memory is where the state says");
	vl_target_close(t);
	put("a.vmem", 0, &marks[0], 8, 0);
	t = opened(".vmem beside its state");
	ok(t && has(t, 1UL << 32, 1, 0x2222), "the same");
	vl_target_close(t);
	for (size_t len = 13; len < s.len; len += 7) {
		put("a.vmss", 0, s.b, len, len);
		put("a.vmem", 0, &marks[0], 8, 0);
		t = NULL;
		if (!vl_discard(vl_target_open(path, NULL, &t)))
			break;
	}
	ok(!t, "a state that is cut anywhere is refused");
	put("a.vmem", 0, &marks[0], 8, 0);
	refused("a damaged state", "the state of the VMware machine is damaged", "move it away");
	make_state(&s, 4000);
	put("a.vmss", 0, s.b, s.len, s.len);
	refused("thousands of regions", "more regions of memory than any machine", "move it");
	make_state(&s, 2);
	put("a.vmem", 0, &marks[0], 8, PAGE);
	put("a.vmss", 0, s.b, s.len, s.len);
	refused("a short .vmem", "truncated: it ends at byte 4096 of at least 8192", "again");
	gone("a.vmem");
	put("a.vmss", 0, s.b, s.len, s.len);
	refused("a state without its memory", "without its memory", ".vmem");
	gone("a.vmss");
}

/* --- Xen --- */

static void make_xen(const char *table, const uint64_t *frames, size_t nr, uint64_t pages)
{
	static const char names[] = "\0.shstrtab\0.xen_pages\0.xen_pfn\0.xen_p2m";
	const Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
				.e_type = ET_CORE,
				.e_machine = EM_X86_64,
				.e_version = EV_CURRENT,
				.e_shoff = 64,
				.e_ehsize = 64,
				.e_shentsize = 64,
				.e_shnum = 4,
				.e_shstrndx = 1 };
	const Elf64_Shdr sections[] = {
		{ .sh_type = SHT_NULL },
		{ .sh_name = 1, .sh_type = SHT_STRTAB, .sh_offset = 512, .sh_size = sizeof(names) },
		{ .sh_name = 11, .sh_type = SHT_PROGBITS, .sh_offset = PAGE, .sh_size = pages },
		{ .sh_name = table[5] == 'p' && table[6] == 'f' ? 22 : 31,
		  .sh_type = SHT_PROGBITS,
		  .sh_offset = 1024,
		  .sh_size = nr * 8 },
	};

	put("xen", 0, &eh, sizeof(eh), 0);
	put("xen", 64, sections, sizeof(sections), 0);
	put("xen", 512, names, sizeof(names), 0);
	put("xen", 1024, frames, nr * 8, 0);
	for (size_t i = 0; i < nr; i++)
		put("xen", PAGE * (1 + i), &frames[i], 8, PAGE * (1 + nr));
}

static void test_xen(void)
{
	const uint64_t frames[] = { 7, 0, 1, 2, UINT64_MAX, 1 << 20 };
	struct vl_target *t;

	make_xen(".xen_pfn", frames, ARRAY_SIZE(frames), sizeof(frames) / 8 * PAGE);
	t = opened("a Xen core");
	ok(t && has(t, 0, 3, 0) && has(t, 7 * PAGE, 1, 7) && has(t, 1UL << 32, 1, 1 << 20),
	   "its pages are in the order of their numbers, without the one that is not there");
	vl_target_close(t);
	put("xen", 0, "\x7f", 1, 3 * PAGE);
	refused("a cut one", "truncated", "again");
	make_xen(".xen_pfn", frames, ARRAY_SIZE(frames), PAGE);
	refused("more numbers than pages", "fewer pages than numbers", "xl dump-core");
	make_xen(".xen_p2m", frames, ARRAY_SIZE(frames), sizeof(frames) / 8 * PAGE);
	refused("a PV guest", "paravirtualized", "HVM");
	gone("xen");
}

/* --- flat images --- */

static void test_folder(void)
{
	struct vl_target *t;
	const uint64_t mark = 0x3333;

	snprintf(path, sizeof(path), "%s/snapshot", dir);
	mkdir(path, 0700);
	refused("a folder", "a folder, not a memory dump", "memory-ranges");
	put("snapshot/memory-ranges", 0, &mark, 8, SIZE + 100);
	snprintf(path, sizeof(path), "%s/snapshot", dir);
	t = opened("a snapshot of Cloud Hypervisor");
	ok(t && flat_size(t) == SIZE && has(t, 0, SIZE / PAGE, mark), "it is flat");
	ok(t && vl_target_remainder(t) == 100, "what is behind the last page is known");
	vl_target_close(t);
	gone("snapshot/memory-ranges");
	rmdir(path);
}

/* What is said of a memory in which no kernel is found. */
static void says(const char *what, const char *message)
{
	struct vl_target *t = opened(what);
	struct vl_error *err;

	if (t)
		vl_target_unpack(t);
	err = t ? vl_content_error(t) : NULL;
	ok(message ? err && strstr(err->message, message) && err->hint : !err, "%s: %s", what,
	   err ? err->message : "nothing");
	vl_error_destroy(err);
	vl_target_close(t);
	gone("memory");
}

/* struct new_utsname */
static void put_uts(uint64_t at, const char *release, const char *machine)
{
	char uts[6][65] = { "Linux", "host", "", "#1 SMP", "", "(none)" };

	snprintf(uts[2], sizeof(uts[2]), "%s", release);
	snprintf(uts[4], sizeof(uts[4]), "%s", machine);
	put("memory", at, uts, sizeof(uts), SIZE);
}

/* AVML's image of a page that is as it is, with no checksum: avml.c. */
static void put_avml_page(void)
{
	static unsigned char file[32 + 8 + PAGE + 8] = "AVML\x02";
	const uint64_t range[] = { 0x1000, 0x1fff }, total = 8 + PAGE;
	const unsigned char head[] = { 1, 4, 16, 0 };

	memcpy(file + 8, range, sizeof(range));
	memcpy(file + 32, head, sizeof(head));
	memset(file + 40, 'a', PAGE);
	memcpy(file + 40 + PAGE, &total, sizeof(total));
	put("memory", 0, file, sizeof(file), sizeof(file));
}

static void test_content(void)
{
	static unsigned char random[SIZE];
	unsigned x = 1;

	/* Across two pieces that are read one after the other. */
	put_uts((1UL << 20) - 200, "6.1.0-40-arm64", "aarch64");
	says("arm64", "of a Linux (6.1.0-40-arm64, aarch64)");
	put_uts(5000, "5.10.0-28-686", "i686");
	says("32 bits", "of a 32-bit Linux (5.10.0-28-686, i686)");
	put_uts(5000, "6.1.0", "x86_64");
	put("memory", 8192, "@(#)FreeBSD 14.0-RELEASE", 24, SIZE);
	says("a part of a memory", "has a Linux 6.1.0, but its kernel cannot be found");
	put_uts(5000, "evil\033[2J", "x86_64");
	says("a name that is none", NULL);
	put("memory", 2 * PAGE + 56, "ARM\x64", 4, SIZE);
	says("an arm64 kernel", "an arm64 Linux");
	put("memory", 777, "RSDS0123456789abcdef\1\0\0\0ntkrnlmp.pdb", 37, SIZE);
	says("Windows", "of Windows");
	put("memory", SIZE - 100, "@(#)FreeBSD 14.0-RELEASE #0", 28, SIZE);
	says("FreeBSD", "of FreeBSD (14.0-RELEASE)");
	put("memory", 777, "Linux version 6.1.0 (me@host)", 30, SIZE);
	says("a kernel that has not booted", "the banner of a Linux 6.1.0, but no kernel");
	put("memory", SIZE - 1, "", 1, SIZE);
	says("zeros", "nothing but zeros");
	put_avml_page();
	says("a checksum that is wrong", "its checksum is wrong");
	for (size_t i = 0; i < SIZE; i++) {
		x = x * 1103515245 + 12345;
		random[i] = (unsigned char)(x >> 23);
	}
	put("memory", 0, random, SIZE, SIZE);
	says("random bytes", "looks encrypted or compressed");
	memset(random + (2UL << 20), 0, 1UL << 20);
	put("memory", 0, random, SIZE, SIZE);
	says("zeros among them", NULL);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 99;
	test_names();
	test_vmware();
	test_xen();
	test_folder();
	test_content();
	rmdir(dir);
	return tap_end();
}
