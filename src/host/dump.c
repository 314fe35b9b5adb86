/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A memory dump: ELF, as written by QMP's dump-guest-memory and `virsh dump --memory-only`. The
 * segments are guest-physical memory; the notes are the vCPUs' registers.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/array.h"
#include "internal.h"
#include "notes.h"

struct dump {
	int fd;
	struct vl_vcpu *vcpus;
	size_t nr_vcpus;
};

/* Files that users mistake for dumps, known by their first bytes. */
static const struct {
	const char *magic, *what, *hint;
} others[] = {
	{ "KDUMP   ", "a kdump-compressed dump, only ELF is understood",
	  "make one with: virsh dump --memory-only --format elf DOMAIN FILE" },
	{ "DISKDUMP", "a kdump-compressed dump, only ELF is understood",
	  "make one with: virsh dump --memory-only --format elf DOMAIN FILE" },
	{ "makedumpfile", "a flattened kdump-compressed dump, only ELF is understood",
	  "make one with: virsh dump --memory-only --format elf DOMAIN FILE" },
	{ "LibvirtQemud", "a saved domain, not a memory dump",
	  "make a dump with: virsh dump --memory-only DOMAIN FILE" },
	{ "QEVM", "a QEMU migration stream, not a memory dump",
	  "make a dump with: virsh dump --memory-only DOMAIN FILE" },
	{ "QFI\xfb", "a disk image, not a memory dump",
	  "make a dump with: virsh dump --memory-only DOMAIN FILE" },
	{ "\x1f\x8b", "compressed by gzip", "uncompress it first: gunzip FILE" },
	{ "\xfd"
	  "7zXZ",
	  "compressed by xz", "uncompress it first: unxz FILE" },
	{ "\x28\xb5\x2f\xfd", "compressed by zstd", "uncompress it first: unzstd FILE" },
};

static struct vl_error *not_elf(int fd)
{
	char head[16] = "";
	ssize_t n = pread(fd, head, sizeof(head), 0);

	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(others); i++)
		if (!memcmp(head, others[i].magic, strlen(others[i].magic)))
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET, "the file is %s", others[i].what), "%s",
				others[i].hint);
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file is not a memory dump"),
			     "make one with: virsh dump --memory-only DOMAIN FILE");
}

static struct vl_error *truncated(uint64_t need, uint64_t have)
{
	struct vl_error *err;

	/* @need 0: the headers are cut off, so the full size is not known. */
	if (need)
		err = vl_error_new(VL_ERR_TARGET,
				   "the dump is truncated: %" PRIu64 " of %" PRIu64 " bytes", have,
				   need);
	else
		err = vl_error_new(VL_ERR_TARGET, "the dump is truncated: %" PRIu64 " bytes", have);
	return vl_error_hint(err, "make the dump again; was the disk full?");
}

/* Add the segments as RAM ranges; an error unless all of them lie within the file. */
static struct vl_error *add_segments(struct vl_target *t, Elf *elf, int fd, uint64_t file_size)
{
	struct vl_error *err;
	uint64_t need = 0;
	size_t phnum;

	if (elf_getphdrnum(elf, &phnum) < 0)
		return truncated(0, file_size);
	for (size_t i = 0; i < phnum && i < INT32_MAX; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, (int)i, &ph))
			return truncated(0, file_size);
		if (ph.p_type != PT_LOAD && ph.p_type != PT_NOTE)
			continue;
		if (ph.p_filesz > UINT64_MAX - ph.p_offset)
			return not_elf(fd);
		if (ph.p_offset + ph.p_filesz > need)
			need = ph.p_offset + ph.p_filesz;
		if (ph.p_type == PT_NOTE || ph.p_filesz < VL_PAGE_SIZE)
			continue;
		if (ph.p_paddr % VL_PAGE_SIZE || ph.p_paddr > UINT64_MAX - ph.p_filesz)
			return not_elf(fd);
		err = vl_ram_add(t, &(struct vl_ram){
					    .gpa = ph.p_paddr,
					    .size = ph.p_filesz & ~(VL_PAGE_SIZE - 1),
					    .fd = fd,
					    .fd_offset = ph.p_offset,
					    .page_size = VL_PAGE_SIZE,
				    });
		if (err)
			return err;
	}
	if (need > file_size)
		return truncated(need, file_size);
	if (!t->nr_ram)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file holds no guest memory"),
				     "make a dump with: virsh dump --memory-only DOMAIN FILE");
	return vl_ram_finish(t);
}

static struct vl_error *load(struct vl_target *t, struct dump *d, uint64_t file_size)
{
	struct vl_error *err;
	GElf_Ehdr eh;
	Elf *elf;

	elf_version(EV_CURRENT);
	/* Read, not mapped: a file that is truncated meanwhile would end us by SIGBUS. */
	elf = elf_begin(d->fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &eh)) {
		elf_end(elf);
		return not_elf(d->fd);
	}
	if (eh.e_type != ET_CORE || (eh.e_machine != EM_X86_64 && eh.e_machine != EM_386))
		err = vl_error_hint(
			vl_error_new(VL_ERR_TARGET,
				     "the file is an ELF file, but no dump of an x86 guest"),
			"make one with: virsh dump --memory-only DOMAIN FILE");
	else
		err = add_segments(t, elf, d->fd, file_size);
	if (!err)
		err = vl_notes_vcpus(elf, &d->vcpus, &d->nr_vcpus);
	elf_end(elf);
	if (!err && !d->nr_vcpus)
		err = vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the dump has no CPU notes of QEMU"),
			"a core of /proc/vmcore or of a process has none: make a dump "
			"with virsh dump --memory-only DOMAIN FILE");
	return err;
}

static struct vl_error *dump_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	struct dump *d = t->priv;

	*ret = calloc(d->nr_vcpus, sizeof(**ret));
	if (!*ret)
		return vl_error_nomem();
	memcpy(*ret, d->vcpus, d->nr_vcpus * sizeof(**ret));
	*nr_ret = d->nr_vcpus;
	return NULL;
}

static void dump_info(struct vl_target *t, struct vl_target_info *ret)
{
	const struct dump *d = t->priv;

	snprintf(ret->state, sizeof(ret->state), "dump");
	ret->vcpus = (unsigned int)d->nr_vcpus;
}

static void dump_close(struct vl_target *t)
{
	struct dump *d = t->priv;

	if (d->fd >= 0)
		close(d->fd);
	free(d->vcpus);
	free(d);
}

static const struct vl_target_ops dump_ops = {
	.vcpus = dump_vcpus,
	.info = dump_info,
	.close = dump_close,
};

static struct vl_error *cannot_open(const char *path, int err)
{
	if (err == ENOENT || err == ENOTDIR)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "no such file: %s", path),
				     "a name with a '/' is the path of a memory dump");
	if (err == EACCES || err == EPERM)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "no permission to read %s", path),
				     "run as root");
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "cannot open %s: %s", path, strerror(err)),
			     "a name with a '/' is the path of a memory dump");
}

static struct vl_error *wrong_type(const char *path, mode_t mode)
{
	if (S_ISSOCK(mode))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "a socket, not a dump: %s", path),
				     "for a QMP socket write qmp:%s", path);
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "not a regular file: %s", path),
			     "a memory dump is a regular file");
}

struct vl_error *vl_dump_open(struct vl_target *t, struct vl_spec *s)
{
	const char *path = s->arg;
	struct dump *d;
	struct stat st;
	int fd;

	/* Check before opening: to open a FIFO would wait, and a device might act. */
	if (stat(path, &st) < 0)
		return cannot_open(path, errno);
	if (!S_ISREG(st.st_mode))
		return wrong_type(path, st.st_mode);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return cannot_open(path, errno);
	d = calloc(1, sizeof(*d));
	if (!d) {
		close(fd);
		return vl_error_nomem();
	}
	d->fd = fd;
	t->priv = d;
	t->ops = &dump_ops;
	if (fstat(fd, &st) < 0)
		return cannot_open(path, errno);
	snprintf(t->run_id, sizeof(t->run_id),
		 "dump-%" PRIx64 "-%" PRIu64 "-%" PRIu64 "-%" PRIu64 ".%09ld", (uint64_t)st.st_dev,
		 (uint64_t)st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec);
	return load(t, d, (uint64_t)st.st_size);
}
