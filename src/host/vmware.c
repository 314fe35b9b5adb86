/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmware.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "index.h"

/* ---- the pass, in a box ---- */

/*
 * The state: a header, groups, and in each group tags with a name, up to three indices and a value
 * (as vmware_vmss.h of crash has it). All numbers are little endian.
 */
struct header {
	uint32_t magic, version, groups;
};

struct group {
	char name[64];
	uint64_t at, size;
};
_Static_assert(sizeof(struct group) == 80, "as VMware lays it out");

/* A tag: 6 bits with the size of the value, 2 with the number of indices, and the name's length. */
#define TAG_SIZE(tag) ((tag)&0x3f)
#define TAG_INDICES(tag) ((tag) >> 6 & 3)
#define TAG_NAME(tag) ((tag) >> 8)
/* These sizes mean a block. Its size in the file, its size in memory and its padding follow. */
#define BLOCK_COMPRESSED 62
#define BLOCK 63

static const uint32_t magics[] = {
	0xbed2bed2, /* a checkpoint */
	0xbed3bed3, /* a partial checkpoint */
	0xbad1bad1, /* a checkpoint that was restored */
	0xbad2bad2, /* a checkpoint that must not be restored */
};

#define GROUPS_MAX 1024
#define TAGS_MAX 65536
#define REGIONS_MAX 64

/* Where the memory lies, in pages. */
struct layout {
	uint64_t nr;
	struct region {
		uint64_t at, file, size; /* guest-physical, in the file, and how many */
	} regions[REGIONS_MAX];
	uint64_t block;	 /* where the memory begins in the state; 0: it is not there */
	uint64_t packed; /* 1: it is compressed there */
};

struct state {
	int fd;
	uint64_t size;
	bool partial;
};

static struct vl_error *damaged(const char *how)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "the state of the VMware machine is damaged: %s", how),
		"move it away: the .vmem file is read without it, too");
}

static bool get(const struct state *s, uint64_t at, void *buf, size_t len)
{
	return at <= s->size && len <= s->size - at &&
	       pread(s->fd, buf, len, (off_t)at) == (ssize_t)len;
}

bool vl_vmware_is_state(const unsigned char *head, size_t len)
{
	uint32_t magic;

	if (len < sizeof(struct header))
		return false;
	memcpy(&magic, head, sizeof(magic));
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (magic == magics[i])
			return true;
	return false;
}

bool vl_vmware_is_named(const char *path)
{
	const size_t len = strlen(path);

	return len > 5 && (!strcmp(path + len - 5, ".vmss") || !strcmp(path + len - 5, ".vmsn"));
}

struct vl_error *vl_vmware_not_state(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the file is no state of a VMware machine, "
					  "or that of an encrypted one"),
			     "remove the machine's encryption, and suspend it or make a snapshot "
			     "anew");
}

/* Take a value of up to 8 bytes into the layout. */
static void take(struct layout *l, const char *name, uint32_t index, uint64_t value)
{
	struct region *r = index < REGIONS_MAX ? &l->regions[index] : NULL;

	if (!strcmp(name, "regionsCount"))
		l->nr = value;
	else if (!strcmp(name, "regionPPN") && r)
		r->at = value;
	else if (!strcmp(name, "regionPageNum") && r)
		r->file = value;
	else if (!strcmp(name, "regionSize") && r)
		r->size = value;
}

/* Skip the block whose head is at *@at, behind the tag. */
static struct vl_error *skip_block(const struct state *s, uint64_t *at, uint64_t *data_ret)
{
	struct {
		uint64_t size, in_memory;
		uint16_t padding;
	} __attribute__((packed)) head;

	if (!get(s, *at, &head, sizeof(head)))
		return damaged("a block is cut short");
	*data_ret = *at + sizeof(head) + head.padding;
	*at = *data_ret + head.size;
	if (*data_ret > s->size || head.size > UINT64_MAX - *data_ret)
		return damaged("a block ends behind the file");
	return NULL;
}

/* Read the tag at *@at, and go to the next one; *@end_ret: it was the last. */
static struct vl_error *read_tag(const struct state *s, struct layout *l, uint64_t *at,
				 bool *end_ret)
{
	uint32_t indices[3] = { 0 };
	char name[256] = "";
	struct vl_error *err;
	uint64_t value = 0, data = 0;
	uint16_t tag;
	size_t size;

	if (!get(s, *at, &tag, sizeof(tag)))
		return damaged("a tag is cut short");
	*end_ret = !tag;
	if (!tag)
		return NULL;
	*at += sizeof(tag);
	if (!get(s, *at, name, TAG_NAME(tag)) ||
	    !get(s, *at + TAG_NAME(tag), indices, TAG_INDICES(tag) * sizeof(indices[0])))
		return damaged("a tag is cut short");
	*at += TAG_NAME(tag) + TAG_INDICES(tag) * sizeof(indices[0]);
	size = TAG_SIZE(tag);
	if (size == BLOCK || size == BLOCK_COMPRESSED) {
		err = skip_block(s, at, &data);
		if (err)
			return err;
		if (!strcmp(name, "Memory")) {
			l->block = data;
			l->packed = size == BLOCK_COMPRESSED;
		}
		/* The state names the regions before their memory. */
		*end_ret = *at > s->size && l->block && s->partial;
		return *at > s->size && !*end_ret ? vl_dump_cut_off(*at, s->size) : NULL;
	}
	if (size <= sizeof(value)) {
		if (!get(s, *at, &value, size))
			return damaged("a value is cut short");
		take(l, name, indices[0], value);
	}
	*at += size;
	return NULL;
}

/* Read the group "memory". */
static struct vl_error *read_layout(const struct state *s, struct layout *ret)
{
	struct vl_error *err = NULL;
	struct header head;
	struct group g;
	bool end = false;

	*ret = (struct layout){ .nr = 0 };
	if (!get(s, 0, &head, sizeof(head)) || head.groups > GROUPS_MAX)
		return damaged("its header is invalid");
	for (uint32_t i = 0; i < head.groups; i++) {
		if (!get(s, sizeof(head) + i * sizeof(g), &g, sizeof(g)))
			return damaged("its table of groups is cut short");
		if (!strncmp(g.name, "memory", sizeof(g.name)))
			break;
		g.at = 0;
	}
	if (!head.groups || !g.at)
		return damaged("it names no memory");
	for (unsigned i = 0; !err && !end && i < TAGS_MAX; i++)
		err = read_tag(s, ret, &g.at, &end);
	if (!err && !end)
		err = damaged("its tags have no end");
	if (!err && ret->nr > REGIONS_MAX)
		err = damaged("it has more regions of memory than any machine");
	return err;
}

/* In a box. */
static struct vl_error *index_state(const struct vl_index_job *job, struct vl_index *ret)
{
	const struct state s = { job->fd, job->size, job->partial };
	struct layout l;
	struct vl_error *err = read_layout(&s, &l);

	return err ? err : vl_index_put(ret, &l, sizeof(l));
}

/* ---- with rights ---- */

/* The layout that the state in the file @fd has. */
static struct vl_error *open_layout(struct vl_target *t, int fd, const struct stat *st,
				    struct layout *ret)
{
	const struct vl_index_job job = { "vmware1", index_state, fd, 0, (uint64_t)st->st_size,
					  NULL,	     false };
	struct vl_index ix;
	struct vl_error *err = vl_index_open_file(t, &job, st, &ix);

	if (err)
		return err;
	if (!vl_index_take(&ix, ret, sizeof(*ret)) || ret->nr > REGIONS_MAX ||
	    ret->block > job.size)
		err = vl_index_bad();
	vl_index_deinit(&ix);
	return err;
}

/* The memory of @t is that of the file of @d, from @at on, as @l says. */
static struct vl_error *set(struct vl_target *t, struct vl_dump *d, const struct layout *l,
			    uint64_t at)
{
	const uint64_t most = UINT64_MAX / VL_PAGE_SIZE / 4;
	struct vl_error *err = NULL;

	for (size_t i = 0; !err && i < l->nr; i++) {
		const struct region *r = &l->regions[i];

		if (!r->size)
			continue;
		if (r->size > most || r->at > most || r->file > most)
			return damaged("a region of memory is larger than any machine's");
		if (!t->partial &&
		    (at > d->size || (r->file + r->size) * VL_PAGE_SIZE > d->size - at))
			return vl_dump_cut_off(at + (r->file + r->size) * VL_PAGE_SIZE, d->size);
		err = vl_ram_add(t, &(struct vl_ram){
					    .gpa = r->at * VL_PAGE_SIZE,
					    .size = r->size * VL_PAGE_SIZE,
					    .fd = d->fd,
					    .fd_offset = at + r->file * VL_PAGE_SIZE,
					    .page_size = VL_PAGE_SIZE,
				    });
	}
	if (!err && !t->nr_ram)
		err = damaged("its regions of memory are empty");
	return err ? err : vl_ram_finish(t);
}

/* @path with another suffix; malloc'ed. NULL: it has none of 4 characters, or out of memory. */
static char *beside(const char *path, const char *suffix)
{
	size_t len = strlen(path);
	char *ret;

	if (len < 6 || path[len - 5] != '.' || path[len - 6] == '/')
		return NULL;
	return asprintf(&ret, "%.*s%s", (int)(len - 5), path, suffix) < 0 ? NULL : ret;
}

struct vl_error *vl_vmware_load_state(struct vl_target *t, struct vl_dump *d, const char *path)
{
	_cleanup_free_ char *memory = beside(path, ".vmem");
	struct vl_error *err;
	struct layout l;
	struct stat st;
	int fd;

	if (fstat(d->fd, &st))
		return vl_error_os(errno, "cannot look at the file");
	err = open_layout(t, d->fd, &st, &l);
	if (err)
		return err;
	if (memory && !access(memory, F_OK)) {
		err = vl_dump_open_file(memory, &fd, &st);
		if (err)
			return vl_error_prefix(err, "%s", memory);
		vl_dump_set_file(t, d, fd, &st);
		return l.nr ? set(t, d, &l, 0) : vl_dump_set_flat(t, d, 0, d->size);
	}
	if (!l.block || l.packed)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET,
				     "the file is the state of a VMware machine, "
				     "%s",
				     l.packed ? "with compressed memory" : "without its memory"),
			l.packed ? "make a snapshot anew, or suspend the machine anew" :
				   "put the .vmem file of the same name beside it");
	return l.nr ? set(t, d, &l, l.block) : vl_dump_set_flat(t, d, l.block, d->size - l.block);
}

struct vl_error *vl_vmware_load_memory(struct vl_target *t, struct vl_dump *d, const char *path,
				       bool *done_ret)
{
	static const char *const suffixes[] = { ".vmss", ".vmsn" };
	const size_t len = strlen(path);

	*done_ret = false;
	if (len < 5 || strcmp(path + len - 5, ".vmem") != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *other = beside(path, suffixes[i]);
		_cleanup_close_ int fd = -1;
		unsigned char head[sizeof(struct header)];
		struct vl_error *err;
		struct layout l;
		struct stat st;

		if (!other || vl_discard(vl_dump_open_file(other, &fd, &st)) ||
		    pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
		    !vl_vmware_is_state(head, sizeof(head)))
			continue;
		err = open_layout(t, fd, &st, &l);
		if (err || !l.nr)
			return err;
		*done_ret = true;
		return set(t, d, &l, 0);
	}
	return NULL;
}
