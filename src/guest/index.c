/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/dirs.h"
#include "../base/hash.h"
#include "../box/box.h"
#include "../host/index.h"

/*
 * Address space for the index, which may be moved as it grows, and for the data of a pass
 * (host/stream.c).
 */
#define BOX_MEMORY (2 * VL_INDEX_MAX + (1UL << 30))
#define PASS_MEMORY_MAX (32UL << 30)
/* The time limit of a pass, which reads the whole file from a disk of 50 MB/s, and some more. */
#define PASS_LEAST_NS (600 * VL_NSEC_PER_SEC)
#define PASS_NS_PER_BYTE 20
#define PASS_BYTES_MAX (64UL << 40)
/* The time limit of copying all pieces of an index. */
#define PIECES_NS (60 * VL_NSEC_PER_SEC)

enum { OP_MAKE = 1, OP_PIECE };

/* ---- in the box ---- */

static struct vl_error *index_prepare(void *ctx, struct vl_box_fds *keep)
{
	const struct vl_index_job *job = ctx;

	vl_box_keep(keep, job->fd);
	return NULL;
}

static void index_main(void *ctx, struct vl_wire *wire, int link)
{
	const struct vl_index_job *job = ctx;
	struct vl_index ix = { .data = NULL };
	struct vl_message m;

	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		struct vl_error *err = NULL;
		uint64_t at = m.value[0];

		if (m.op == OP_MAKE && !ix.data)
			err = job->make(job, &ix);
		else if (m.op == OP_PIECE && at <= ix.len)
			memcpy(wire->window, ix.data + at,
			       ix.len - at < VL_WINDOW_MAIN ? ix.len - at : VL_WINDOW_MAIN);
		m.value[0] = ix.len;
		vl_message_put_error(&m, err);
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
	vl_index_deinit(&ix);
}

/* ---- with rights ---- */

static struct vl_error *ask(struct vl_box *b, uint32_t op, uint64_t at, uint64_t ns,
			    uint64_t *len_ret)
{
	struct vl_message m = { .op = op, .value = { at } };
	struct vl_error *err = vl_box_ask(b, &m, ns, NULL, NULL);

	*len_ret = m.value[0];
	return err ? err : vl_message_error(&m);
}

/* The time for a pass over the file @fd, whose holes take none. */
static uint64_t pass_ns(int fd)
{
	uint64_t bytes = 0;
	struct stat st;

	if (!fstat(fd, &st))
		bytes = (uint64_t)st.st_blocks * 512;
	bytes = bytes < PASS_BYTES_MAX ? bytes : PASS_BYTES_MAX;
	return PASS_LEAST_NS + bytes * PASS_NS_PER_BYTE;
}

static struct vl_error *fetch(struct vl_box *b, int fd, struct vl_index *ret)
{
	const uint64_t ns = pass_ns(fd);
	struct vl_error *err;
	uint64_t len, end;

	vl_box_allow_time(b, ns);
	err = ask(b, OP_MAKE, 0, ns, &len);
	if (!err && len > VL_INDEX_MAX)
		err = vl_index_bad();
	end = vl_now_ns() + PIECES_NS;
	for (uint64_t at = 0; !err && at < len; at += VL_WINDOW_MAIN) {
		size_t n = len - at < VL_WINDOW_MAIN ? len - at : VL_WINDOW_MAIN;
		uint64_t again, now = vl_now_ns();

		err = ask(b, OP_PIECE, at, now < end ? end - now : 1, &again);
		if (!err)
			err = vl_index_put(ret, vl_box_wire(b)->window, n);
	}
	return err;
}

static struct vl_error *make(const struct vl_index_job *asked, struct vl_index *ret)
{
	/* The arguments of this program, of which a choice can be one, are lost with its name. */
	_cleanup_free_ char *choice = asked->choice ? strdup(asked->choice) : NULL;
	struct vl_index_job job = *asked;
	const struct vl_box_options o = {
		.name = "vlens-indexer",
		.does = "reads the structure of the file",
		.memory = BOX_MEMORY + (job.size < PASS_MEMORY_MAX ? job.size : PASS_MEMORY_MAX),
		.prepare = index_prepare,
		.work = index_main,
		.ctx = &job,
	};
	struct vl_box *b;
	struct vl_error *err;

	if (asked->choice && !choice)
		return vl_error_nomem();
	job.choice = choice;
	err = vl_box_start(&o, &b);
	if (err)
		return err;
	err = fetch(b, job.fd, ret);
	vl_box_stop(b);
	/* A file that cannot be read is no fault of the program. */
	if (err && err->code != VL_ERR_NOMEM)
		err->code = VL_ERR_TARGET;
	return err;
}

/* ---- those that are kept ---- */

/* The header of a kept index, in its file and in memory. */
struct head {
	char magic[8];
	uint64_t sum; /* of what follows */
};
#define MAGIC "vlindex"

static struct head head_of(const struct vl_index *ix)
{
	struct head h = { MAGIC, 0 };

	h.sum = vl_sum(ix->data + sizeof(h), ix->len - sizeof(h));
	return h;
}

static bool load(const char *path, struct vl_index *ret)
{
	struct head h;
	size_t len;
	char *data;

	if (vl_discard(vl_file_load(path, sizeof(h) + VL_INDEX_MAX, &data, &len)))
		return false;
	*ret = (struct vl_index){ .data = (unsigned char *)data, .len = len, .room = len };
	if (vl_index_take(ret, &h, sizeof(h))) {
		const struct head is = head_of(ret);

		if (!memcmp(&is, &h, sizeof(h))) {
			vl_spool_used(path);
			return true;
		}
	}
	vl_index_deinit(ret);
	return false;
}

struct vl_error *vl_spool_index(const struct vl_index_job *job, const char *run_id,
				struct vl_index *ret)
{
	_cleanup_free_ char *dir = NULL, *path = NULL;
	struct head h = { MAGIC, 0 };
	struct vl_error *err;

	if (job->kind && !vl_discard(vl_cache_dir(&dir)) &&
	    asprintf(&path, "%s/%s-%s" VL_SPOOL_INDEX, dir, run_id, job->kind) < 0)
		path = NULL;
	if (path && load(path, ret))
		return NULL;
	err = vl_index_put(ret, &h, sizeof(h));
	if (!err)
		err = make(job, ret);
	if (err)
		return err;
	h = head_of(ret);
	memcpy(ret->data, &h, sizeof(h));
	ret->at = sizeof(h);
	/* Without it the next run takes longer. */
	if (path && vl_spool_tidy(dir, ret->len))
		vl_error_destroy(vl_file_store(path, ret->data, ret->len));
	return NULL;
}
