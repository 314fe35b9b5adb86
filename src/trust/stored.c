/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checksums of a stored kernel and of its modules. For a run, the kernel's is compared with all
 * of its file once. Then the run directory keeps the identity of the file, by which the next runs
 * recognize it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/dirs.h"
#include "../base/hash.h"
#include "index.h"
#include "pack.h"
#include "store.h"

/* A number for the present identity of the file @fd; 0: it cannot be found out. */
static uint64_t print_of(int fd)
{
	struct stat st;
	uint64_t h = VL_HASH;

	if (fstat(fd, &st))
		return 0;
	h = vl_hash(h, &st.st_dev, sizeof(st.st_dev));
	h = vl_hash(h, &st.st_ino, sizeof(st.st_ino));
	h = vl_hash(h, &st.st_size, sizeof(st.st_size));
	h = vl_hash(h, &st.st_mtim, sizeof(st.st_mtim));
	h = vl_hash(h, &st.st_ctim, sizeof(st.st_ctim));
	return h ? h : 1;
}

/* Was the checksum right for the file with the identity @print? The file @path notes that. */
static bool was_right(const char *path, uint64_t print)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return print && !vl_discard(vl_file_load(path, sizeof(print), &text, &len)) &&
	       len == sizeof(print) && !memcmp(text, &print, sizeof(print));
}

/*
 * Set *@ret to what is wrong with the file @fd of @size bytes, in words behind "it", or to NULL.
 * @known: its checksum was right before.
 */
static struct vl_error *fault_of(int fd, size_t size, bool known, const char **ret)
{
	struct vl_error *err = NULL;
	bool right = true;

	*ret = NULL;
	switch (vl_trust_index_there(fd, size)) {
	case VL_TRUST_INDEX_CUT:
		*ret = "is damaged: its file is cut short";
		break;
	case VL_TRUST_INDEX_NO_SUM:
		*ret = "has no checksum: an older vlens stored it";
		break;
	case VL_TRUST_INDEX_SUM:
		if (!known)
			err = vl_trust_index_right(fd, size, &right);
		if (!right)
			*ret = "is damaged: its checksum is another one";
		break;
	}
	return err;
}

struct vl_error *vl_trust_stored_check(const char *build_id, int fd, size_t size,
				       uint64_t *print_ret)
{
	_cleanup_free_ char *path = vl_run_path("trusted-%s.right", build_id);
	uint64_t print = print_of(fd);
	bool known = path && was_right(path, print);
	const char *fault;
	struct vl_error *err = fault_of(fd, size, known, &fault);

	*print_ret = 0;
	if (err)
		return err;
	if (fault)
		return vl_error_hint(vl_error_new(VL_ERR_ARG,
						  "the stored trusted kernel of build %s %s",
						  build_id, fault),
				     "add it again: vlens trust add FILE");
	if (!known && path && print)
		vl_error_destroy(vl_file_store(path, &print, sizeof(print)));
	*print_ret = print;
	return NULL;
}

void vl_trust_stored_state(const char *path, char *ret, size_t size)
{
	const char *fault = "cannot be read";
	size_t len;
	int fd;

	if (!vl_discard(vl_file_open(path, VL_TRUST_STORED_MAX, &fd, &len))) {
		if (vl_discard(fault_of(fd, len, false, &fault)))
			fault = "cannot be read";
		close(fd);
	}
	if (fault)
		snprintf(ret, size, "the kernel %s", fault);
}

void vl_trust_pack_state(const unsigned char *pack, size_t len, char *ret, size_t size)
{
	struct vl_pack_module m;
	size_t nr = vl_pack_nr(pack, len);
	bool sound = vl_pack_is_sound(pack, len);

	if (!sound)
		snprintf(ret, size, "the index of the modules is damaged");
	for (size_t i = 0; sound && i < nr; i++) {
		sound = vl_pack_module(pack, len, i, &m) && vl_sum(pack + m.at, m.packed) == m.sum;
		if (!sound)
			snprintf(ret, size, "the module %s is damaged", m.name);
	}
}
