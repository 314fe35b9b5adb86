/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checksum of a stored kernel. It is compared with all of the file once. Then the run directory
 * keeps the identity of the file, by which the next runs recognize it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../base/cleanup.h"
#include "../base/dirs.h"
#include "../base/hash.h"
#include "index.h"
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

static struct vl_error *is_bad(const char *build_id, const char *how)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_ARG, "the stored trusted kernel of build %s %s", build_id, how),
		"add it again: vlens trust add FILE");
}

struct vl_error *vl_trust_stored_check(const char *build_id, int fd, size_t size,
				       uint64_t *print_ret)
{
	_cleanup_free_ char *path = vl_run_path("trusted-%s.right", build_id);
	uint64_t print = print_of(fd);
	struct vl_error *err;
	bool right;

	*print_ret = 0;
	switch (vl_trust_index_there(fd, size)) {
	case VL_TRUST_INDEX_CUT:
		return is_bad(build_id, "is damaged: its file is cut short");
	case VL_TRUST_INDEX_NO_SUM:
		return is_bad(build_id, "has no checksum: an older vlens stored it");
	case VL_TRUST_INDEX_SUM:
		break;
	}
	if (!path || !was_right(path, print)) {
		err = vl_trust_index_right(fd, size, &right);
		if (err)
			return err;
		if (!right)
			return is_bad(build_id, "is damaged: its checksum is another one");
		if (path && print)
			vl_error_destroy(vl_file_store(path, &print, sizeof(print)));
	}
	*print_ret = print;
	return NULL;
}
