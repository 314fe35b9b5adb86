/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu-notes.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "facts.h"
#include "notes.h"

/* Bytes: a dump of one page has less than 1 KiB for each vCPU, and QEMU at most 4096 vCPUs. */
#define NOTES_MAX (64U << 20)
#define VCPUS_MAX 4096

static struct vl_error *no_notes(void)
{
	return vl_error_new(VL_ERR_TARGET, "QEMU wrote no CPU notes");
}

struct vl_error *vl_qemu_dump_notes(struct vl_qmp *qmp, int *fd_ret)
{
	_cleanup_close_ int fd = memfd_create("vlens-notes", MFD_CLOEXEC);
	struct vl_error *err;
	json_object *args;

	if (fd < 0)
		return vl_error_os(errno, "cannot make a memory file");
	args = json_object_new_object();
	json_object_object_add(args, "fdname", json_object_new_string("vlens"));
	err = vl_qmp_execute(qmp, "getfd", args, fd, NULL);
	if (err)
		return err;
	args = json_object_new_object();
	json_object_object_add(args, "paging", json_object_new_boolean(false));
	json_object_object_add(args, "protocol", json_object_new_string("fd:vlens"));
	json_object_object_add(args, "begin", json_object_new_int64(0));
	json_object_object_add(args, "length", json_object_new_int64(VL_PAGE_SIZE));
	err = vl_qmp_execute(qmp, "dump-guest-memory", args, -1, NULL);
	if (err)
		return err;
	*fd_ret = fd;
	fd = -1;
	return NULL;
}

/* In a box. */
static struct vl_error *index_notes(const struct vl_index_job *job, struct vl_index *ret)
{
	_cleanup_free_ struct vl_registers *r = NULL;
	struct vl_error *err;
	size_t nr;
	Elf *elf;

	elf_version(EV_CURRENT);
	/* Read, not mapped: QEMU can truncate the file, and a mapping would end us by SIGBUS. */
	elf = elf_begin(job->fd, ELF_C_READ, NULL);
	err = elf && elf_kind(elf) == ELF_K_ELF ? vl_notes_registers(elf, &r, &nr) : no_notes();
	elf_end(elf);
	return err ? err : vl_registers_put(r, nr, ret);
}

struct vl_error *vl_qemu_read_notes(struct vl_target *t, int fd, struct vl_vcpu **ret,
				    size_t *nr_ret)
{
	_cleanup_free_ struct vl_registers *r = NULL;
	const off_t len = lseek(fd, 0, SEEK_END);
	struct vl_index_job job = { NULL, index_notes, fd, 0, 0, NULL, false };
	struct vl_index ix;
	struct vl_error *err;

	*ret = NULL;
	*nr_ret = 0;
	if (len <= 0 || len > NOTES_MAX)
		return no_notes();
	job.size = (uint64_t)len;
	err = vl_index_open(t, &job, &ix);
	if (err)
		return err;
	err = vl_registers_take(&ix, VCPUS_MAX, &r, nr_ret);
	vl_index_deinit(&ix);
	if (err)
		return err;
	return *nr_ret ? vl_vcpus_of(r, *nr_ret, ret) : no_notes();
}
