/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "index.h"

#include <stdio.h>
#include <string.h>

#include "../base/array.h"
#include "dump.h"

#define FIRST_ROOM 4096

static struct vl_error *open_index(struct vl_target *t, const struct vl_index_job *asked,
				   const char *run_id, struct vl_index *ret)
{
	struct vl_index_job copy = *asked, *job = &copy;
	struct vl_error *err;
	char kind[32];

	if (t->partial && asked->kind) {
		snprintf(kind, sizeof(kind), "%s-partial", asked->kind);
		copy.kind = kind;
	}
	copy.partial = t->partial;

	*ret = (struct vl_index){ .data = NULL };
	err = t->index ? t->index(job, run_id, ret) : job->make(job, ret);
	if (err)
		vl_index_deinit(ret);
	return err;
}

struct vl_error *vl_index_open(struct vl_target *t, const struct vl_index_job *job,
			       struct vl_index *ret)
{
	return open_index(t, job, t->run_id, ret);
}

struct vl_error *vl_index_open_file(struct vl_target *t, const struct vl_index_job *job,
				    const struct stat *st, struct vl_index *ret)
{
	char run_id[sizeof(t->run_id)];

	vl_dump_run_id(st, run_id);
	return open_index(t, job, run_id, ret);
}

void vl_index_deinit(struct vl_index *ix)
{
	free(ix->data);
	*ix = (struct vl_index){ .data = NULL };
}

struct vl_error *vl_index_put(struct vl_index *ix, const void *data, size_t len)
{
	if (len > VL_INDEX_MAX - ix->len)
		return vl_index_full();
	while (len > ix->room - ix->len)
		if (!vl_grow(ix->data, ix->room, ix->room, FIRST_ROOM))
			return vl_error_nomem();
	if (len)
		memcpy(ix->data + ix->len, data, len);
	ix->len += len;
	return NULL;
}

struct vl_error *vl_index_put_array(struct vl_index *ix, const void *data, size_t nr, size_t size)
{
	const uint64_t n = nr;
	struct vl_error *err = vl_index_put(ix, &n, sizeof(n));

	return err ? err : vl_index_put(ix, data, nr * size);
}

struct vl_error *vl_index_full(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the memory is in more pieces than are read: their index "
					  "would have more than %lu MiB",
					  VL_INDEX_MAX >> 20),
			     "is the file in order?");
}

struct vl_error *vl_index_bad(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the index of the file makes no sense"),
			     "the process that made it was taken over by the file, or failed");
}

bool vl_index_take(struct vl_index *ix, void *ret, size_t len)
{
	if (len > ix->len - ix->at)
		return false;
	memcpy(ret, ix->data + ix->at, len);
	ix->at += len;
	return true;
}

struct vl_error *vl_index_take_array(struct vl_index *ix, size_t size, size_t max, void *ret,
				     size_t *nr_ret)
{
	uint64_t nr;
	void *p;

	*nr_ret = 0;
	if (!vl_index_take(ix, &nr, sizeof(nr)) || nr > max || nr > (ix->len - ix->at) / size)
		return vl_index_bad();
	p = malloc(nr * size + 1);
	if (!p)
		return vl_error_nomem();
	memcpy(ret, &p, sizeof(p));
	vl_index_take(ix, p, nr * size);
	*nr_ret = nr;
	return NULL;
}
