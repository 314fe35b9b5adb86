/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF dumps made by hand: good ones, and damaged ones of every kind. */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images.h"
#include "tap.h"
#include "host/file.h"
#include "host/flattened.h"
#include "host/pages.h"
#include "host/target.h"

static void test_good(struct image *im)
{
	const struct vl_ram *r;
	struct vl_vcpu *v = NULL;
	struct vl_target *t;
	struct vl_error *err;
	uint64_t w[1024], gpas[3] = { 0x1000, 0x100000, 0x100001000 };
	static unsigned char page[3][4096];
	void *bufs[3] = { page[0], page[1], page[2] };
	size_t nr;

	make(im, NOTE_NEW, 2);
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a good dump opens%s%s", err ? ": " : "", err ? err->message : ""))
		return;
	ok(!vl_target_is_live(t) && vl_target_pid(t) == 0 && !vl_target_alive(t), "it is not live");
	ok(!strncmp(vl_target_run_id(t), "dump-", 5) && !strchr(vl_target_run_id(t), '/'),
	   "its run id is fit for a file name");
	r = vl_target_ram(t, &nr);
	ok(nr == 3 && r[0].gpa == 0 && r[0].size == 0x2000 && r[1].gpa == 0x100000 &&
		   r[2].gpa == 0x100001000 && r[0].fd >= 0 && r[0].hva == 0,
	   "three ranges");
	err = vl_target_vcpus(t, &v, &nr);
	ok(!err && nr == 2, "two vCPUs");
	ok(v[1].rip == 0xffffffff81000001 && v[1].rsp == 0xffffc00000001001 &&
		   v[1].rflags == 0x246 && v[1].cs == 0x10 && v[1].ss == 0x18 && v[1].tr == 0x40,
	   "registers and selectors");
	ok(v[1].cr0 == 0x80050033 && v[1].cr3 == 0x15010000 && v[1].cr4 == 0x6f0,
	   "control registers");
	ok(v[1].gs_base == 0xffff888000000001 && v[1].has_kernel_gs_base &&
		   v[1].kernel_gs_base == 0x7f0000000001,
	   "both GS bases");
	ok(v[0].gdt_base == 0xfffffe0000001000 && v[0].gdt_limit == 0x7f &&
		   v[0].idt_base == 0xfffffe0000000000 && v[0].idt_limit == 0xfff &&
		   v[0].tr_base == 0xfffffe0000003000 && v[0].tr_limit == 0x4087,
	   "tables");
	free(v);
	err = vl_target_read(t, 0xff8, w, 16);
	ok(!err && w[0] == 0xff8 && w[1] == 0x1000, "a read over a page's end");
	err = vl_target_read(t, 0x1ff8, w, 16);
	ok(err && err->code == VL_ERR_FAULT && err->address == 0x2000, "a read over a range's end");
	vl_error_destroy(err);
	err = vl_target_read_pages(t, gpas, bufs, 3);
	ok(!err && !memcmp(page[2], &gpas[2], 8) && !memcmp(page[1], &gpas[1], 8), "three pages");
	ok(!vl_target_pause(t) && !vl_target_resume(t) && vl_target_paused_ns(t, NULL) == 0,
	   "pause does nothing");
	/* Cut short under our hands: an error, not SIGBUS. */
	if (truncate(path, 4096) < 0)
		exit(99);
	err = vl_target_read(t, 0x100000, w, 8);
	ok(err && err->code == VL_ERR_FAULT, "truncated while open: %s", err ? err->message : "");
	err = vl_target_short(t, err);
	ok(err->code == VL_ERR_TARGET && err->hint &&
		   strstr(err->message, "the file was cut short while it was read: it ends at "
					"byte 4096 of "),
	   "the file is to blame: %s", err->message);
	vl_error_destroy(err);
	err = vl_target_read_pages(t, gpas, bufs, 3);
	ok(err && err->code == VL_ERR_FAULT, "pages of it");
	vl_error_destroy(err);
	vl_target_close(t);
}

static void test_old_note(struct image *im)
{
	struct vl_vcpu *v = NULL;
	struct vl_target *t;
	struct vl_error *err;
	size_t nr = 0;

	make(im, NOTE_OLD, 1);
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	ok(!err && !vl_target_vcpus(t, &v, &nr) && nr == 1 && !v[0].has_kernel_gs_base,
	   "a note from before kernel_gs_base");
	vl_error_destroy(err);
	free(v);
	if (!err)
		vl_target_close(t);
}

static void test_bad(struct image *im)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)im->b;
	Elf64_Phdr *ph = (Elf64_Phdr *)(im->b + sizeof(*eh));
	size_t note;

	make(im, NOTE_NEW, 0);
	save(im->b, im->len);
	bare("no CPU notes");
	make(im, NOTE_NEW, 1);
	note = ph[0].p_offset + 12 + 8 + 336; /* QEMU's: 12 bytes, the name in 8, then the state */
	im->b[note + 20] = 2;
	save(im->b, im->len);
	refused("a note of version 2", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 4, NOTE_OLD - 4); /* n_descsz */
	save(im->b, im->len);
	refused("a note that is too short", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 20 + O_SIZE, NOTE_NEW + 8);
	save(im->b, im->len);
	refused("a note that says it is longer", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 20 + O_SIZE, NOTE_OLD - 8);
	save(im->b, im->len);
	refused("a note that says it is shorter", "unknown layout");
	make(im, NOTE_NEW, 1);
	put32(im->b + note + 8, 1); /* n_type */
	save(im->b, im->len);
	bare("a note of another type");
	make(im, NOTE_NEW, 1);
	memcpy(im->b + note + 12, "XEMU", 5);
	save(im->b, im->len);
	bare("a note of another name");
	make(im, NOTE_NEW, 1);
	ph[0].p_type = PT_NULL;
	save(im->b, im->len);
	bare("notes in no segment of notes");
	make(im, NOTE_NEW, 1);
	eh->e_machine = EM_AARCH64;
	save(im->b, im->len);
	refused("another machine", "no dump of an x86 guest");
	make(im, NOTE_NEW, 1);
	eh->e_type = ET_EXEC;
	save(im->b, im->len);
	refused("a program", "no dump of an x86 guest");
	make(im, NOTE_NEW, 1);
	ph[2].p_offset = UINT64_MAX - 10;
	save(im->b, im->len);
	refused("an offset that overflows", "a segment ends behind all offsets");
	make(im, NOTE_NEW, 1);
	ph[2].p_offset = UINT64_MAX - ph[2].p_filesz;
	save(im->b, im->len);
	refused("an offset that just does not overflow", "truncated");
	make(im, NOTE_NEW, 1);
	ph[2].p_paddr = 0x123;
	save(im->b, im->len);
	refused("an unaligned segment", "does not begin with a page");
	make(im, NOTE_NEW, 1);
	ph[1].p_type = ph[2].p_type = ph[3].p_type = PT_NULL;
	save(im->b, im->len);
	refused("no memory", "no guest memory");
	save("", 0);
	refused("empty", "the file is empty");
	save("hello, world, this is text\n", 27);
	refused("a text", "not a memory dump");
	save("KDUMP   \x06\0\0\0xxxxxxxxxx", 20);
	refused("kdump, its first bytes", "truncated");
	save("makedumpfile\0\0\0\0xxxxxx", 20);
	refused("flattened kdump, its first bytes", "truncated");
	save("\x1f\x8b\x08xxxxxxxxxxxxxxxxxxxx", 20);
	refused("gzip", "compressed by gzip");
	save("AVML\x02\0\0\0xxxxxxxxxxxx", 20);
	refused("AVML, its first bytes", "truncated");
	unlink(path);
	refused("no such file", "no such file");
	if (symlink("dump", path) < 0)
		exit(99);
	refused("a link to itself", "cannot open");
	unlink(path);
	save("", 0);
	strcat(path, "/x");
	refused("a file in the place of a folder", "no such file");
	path[strlen(path) - 2] = '\0';
	unlink(path);
	if (mkfifo(path, 0600) < 0)
		exit(99);
	refused("a FIFO (does not hang)", "not a regular file");
	unlink(path);
	if (mkdir(path, 0700) < 0)
		exit(99);
	refused("a folder", "a folder, not a memory dump");
	rmdir(path);
}

/* Two segments over the same page, as a dump with paging has them. */
static void test_overlap(struct image *im)
{
	Elf64_Phdr *ph = (Elf64_Phdr *)(im->b + sizeof(Elf64_Ehdr));
	struct vl_target *t;
	struct vl_error *err;
	uint64_t w;
	size_t nr;

	make(im, NOTE_NEW, 1);
	ph[2].p_paddr = 0x1000;
	ph[3].p_paddr = 0x2000;
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "overlapping segments"))
		return;
	vl_target_ram(t, &nr);
	ok(nr == 2 && !vl_target_read(t, 0x1008, &w, 8) && w == 0x1008 &&
		   !vl_target_read(t, 0x2008, &w, 8) && w == 0x100001008,
	   "the first one counts, the next goes on");
	vl_target_close(t);
	make(im, NOTE_NEW, 1);
	ph[2].p_paddr = 0x123;
	ph[2].p_filesz = 100;
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a segment of less than a page"))
		return;
	vl_target_ram(t, &nr);
	ok(nr == 2, "is left out");
	vl_target_close(t);
	make(im, NOTE_NEW, 1);
	ph[1].p_paddr = UINT64_MAX - 0x1fff;
	ph[1].p_filesz = 0x1fff;
	save(im->b, im->len);
	err = vl_target_open(path, NULL, &t);
	if (!ok(!err, "a segment at the end of the addresses"))
		return;
	vl_target_ram(t, &nr);
	ok(nr == 3, "is one more range");
	vl_target_close(t);
}

/* The program was started without an input: the file gets its number. */
static void test_no_input(struct image *im)
{
	const struct vl_ram *r;
	struct vl_target *t;
	struct vl_error *err;
	int input = dup(STDIN_FILENO);
	size_t nr;

	make(im, NOTE_NEW, 1);
	save(im->b, im->len);
	close(STDIN_FILENO);
	err = vl_target_open(path, NULL, &t);
	if (ok(!err, "a dump opens without a standard input")) {
		r = vl_target_ram(t, &nr);
		ok(r[0].fd == STDIN_FILENO, "in its place");
		vl_target_close(t);
		ok(fcntl(STDIN_FILENO, F_GETFD) < 0 && errno == EBADF, "and is closed");
	}
	vl_error_destroy(err);
	if (input >= 0) {
		dup2(input, STDIN_FILENO);
		close(input);
	}
}

/* Root may read all: be nobody meanwhile, where that can be. */
static void test_denied(void)
{
	const uid_t us = geteuid();

	save("", 0);
	if (chmod(path, 0) < 0)
		exit(99);
	if (us || !seteuid(65534)) {
		if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 && errno == EACCES)
			refused("a file that is closed to us", "no permission");
		if (seteuid(us) < 0)
			exit(99);
	}
	unlink(path);
}

static void test_torn(struct image *im)
{
	unsigned int opened = 0, refused = 0, unsaid = 0, seed = 1;

	make(im, NOTE_NEW, 2);
	for (size_t n = 0; n < im->len; n += n < 2048 ? 1 : 509) {
		struct vl_target *t = NULL;
		struct vl_error *err;

		save(im->b, n);
		err = vl_target_open(path, NULL, &t);
		opened += !err;
		if (!err)
			vl_target_close(t);
		else if (err->code != VL_ERR_TARGET || !err->hint)
			opened++;
		vl_error_destroy(err);
	}
	ok(opened == 0, "truncated anywhere it is refused with a hint");
	for (int i = 0; i < 3000; i++) {
		struct vl_target *t = NULL;
		struct vl_error *err;

		make(im, NOTE_NEW, 2);
		for (int k = 0; k < 4; k++) {
			seed = seed * 1103515245 + 12345;
			im->b[(seed >> 8) % 1400] = (unsigned char)(seed >> 24);
		}
		save(im->b, im->len);
		err = vl_target_open(path, NULL, &t);
		if (!err) {
			unsigned char b[64];

			vl_error_destroy(vl_target_read(t, 0x100000, b, sizeof(b)));
			vl_target_close(t);
		} else {
			refused++;
			unsaid += !*err->message;
		}
		vl_error_destroy(err);
	}
	ok(refused > 100 && refused < 2900 && !unsaid,
	   "damaged headers and notes: %u of 3000 are refused, with a reason", refused);
}

/* A file with other contents is another run, also if its times are set back. */
static void test_changed(struct image *im)
{
	char before[128] = "", after[128] = "";
	struct vl_target *t = NULL;
	struct stat st, now;

	make(im, NOTE_NEW, 1);
	save(im->b, im->len);
	if (ok(!vl_target_open(path, NULL, &t), "the file as it was"))
		snprintf(before, sizeof(before), "%s", vl_target_run_id(t));
	vl_target_close(t);
	t = NULL;
	if (stat(path, &st))
		exit(99);
	/* The clock of files does not go on with each write. */
	do {
		const struct timespec times[] = { st.st_atim, st.st_mtim };

		save(im->b, im->len);
		if (utimensat(AT_FDCWD, path, times, 0) || stat(path, &now))
			exit(99);
	} while (now.st_ctim.tv_sec == st.st_ctim.tv_sec &&
		 now.st_ctim.tv_nsec == st.st_ctim.tv_nsec);
	if (ok(!vl_target_open(path, NULL, &t) && now.st_mtim.tv_nsec == st.st_mtim.tv_nsec,
	       "the file with its times set back"))
		snprintf(after, sizeof(after), "%s", vl_target_run_id(t));
	vl_target_close(t);
	ok(*before && *after && strcmp(before, after) != 0, "it has another run id: %s", after);
}

/* Write @len bytes at @at of the file; 0: behind its end, which is returned. */
static uint64_t append(uint64_t at, const void *bytes, size_t len)
{
	int fd = open(path, O_RDWR);
	const off_t end = lseek(fd, 0, SEEK_END);

	at = at ? at : (uint64_t)end;
	if (fd < 0 || (at > (uint64_t)end && ftruncate(fd, (off_t)at)) ||
	    pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len)
		exit(99);
	close(fd);
	return at + len;
}

/* A flattened file in pieces of all sizes, in and out of order. */
static void test_flattened(void)
{
	enum { NR = 600, SIZE = NR * NR };
	static unsigned char whole[SIZE], got[SIZE];
	struct vl_error *err;
	struct vl_flattened f;
	uint64_t header[2];
	uint64_t at = 0, from;

	save("makedumpfile\0\0\0\0\0\0\0\0\0\0\0\1", 24);
	append(4096, "", 0);
	for (size_t i = 0; i < SIZE; i++)
		whole[i] = (unsigned char)(i * 7 + i / 251);
	/* Small ones, large ones, and small ones again; of each two, the second comes first. */
	for (size_t i = 0; i < NR; i++) {
		const size_t k = i ^ 1, len = 2 * k + 1;

		header[0] = htobe64(k * k);
		header[1] = htobe64(len);
		at = append(at, header, sizeof(header));
		at = append(at, whole + k * k, len);
	}
	memset(header, 0xff, sizeof(header));
	append(at, header, sizeof(header));
	if (!ok(!vl_flattened_init(open(path, O_RDONLY), append(0, "", 0), false, &f) &&
			f.nr == NR && f.size == SIZE,
		"a flattened file of %d pieces opens", NR))
		return;
	ok(vl_flattened_read(&f, 0, got, SIZE) && !memcmp(got, whole, SIZE), "it has its bytes");
	ok(!vl_flattened_read(&f, SIZE - 1, got, 2), "and no more");
	ok(vl_flattened_has(&f, 0, SIZE) && vl_flattened_has(&f, SIZE - 1, 1) &&
		   !vl_flattened_has(&f, SIZE - 1, 2) && !vl_flattened_has(&f, 1, UINT64_MAX),
	   "it knows which");
	vl_flattened_deinit(&f);
	/* Without the end mark, the first of the last two pieces, and a half of the other. */
	at = append(0, "", 0) - sizeof(header) - (2 * NR - 3) - sizeof(header) - (2 * NR - 1) / 2;
	err = vl_flattened_init(f.fd, at, false, &f);
	ok(err && strstr(err->message, "is truncated") && strstr(err->hint, "--partial"),
	   "cut short it is refused");
	vl_error_destroy(err);
	f.fd = open(path, O_RDONLY);
	if (!ok(!vl_flattened_init(f.fd, at, true, &f) && f.nr == NR - 1,
		"but where that is allowed"))
		return;
	from = (NR - 1) * (NR - 1);
	ok(vl_flattened_has(&f, 0, (NR - 2) * (NR - 2)) &&
		   !vl_flattened_has(&f, (NR - 2) * (NR - 2), 1) &&
		   !vl_flattened_has(&f, 0, from + 1) &&
		   vl_flattened_has(&f, from, (2 * NR - 1) / 2) &&
		   !vl_flattened_has(&f, from, (2 * NR - 1) / 2 + 2),
	   "it has the pieces before, and what is there of the last");
	ok(vl_flattened_read(&f, from, got, (2 * NR - 1) / 2) &&
		   !memcmp(got, whole + from, (2 * NR - 1) / 2),
	   "which can be read");
	close(f.fd);
	vl_flattened_deinit(&f);
	unlink(path);
}

int main(void)
{
	static struct image im;

	images_begin();
	test_good(&im);
	test_old_note(&im);
	test_overlap(&im);
	test_bad(&im);
	test_no_input(&im);
	test_denied();
	test_torn(&im);
	test_changed(&im);
	test_flattened();
	return images_end();
}
