/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file with a guest's memory: an ELF dump with the vCPUs' registers in its notes, as written by
 * QMP's dump-guest-memory and `virsh dump --memory-only`, or an image without registers: a core of
 * another tool, LiME, AVML, or nothing but the memory (dd, pmemsave, .vmem).
 */
#include "dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/array.h"
#include "../base/sha256.h"
#include "file.h"
#include "pages.h"
#include "proc.h"
#include "vmware.h"

/* For formats that can be read where they are cut short. */
#define PARTIAL "vps --partial shows what is in it"

struct vl_error *vl_dump_truncated(uint64_t need, uint64_t have)
{
	struct vl_error *err;

	/* There may be more: what is behind that byte is not known. */
	if (need)
		err = vl_error_new(VL_ERR_TARGET,
				   "the dump is truncated: it ends at byte %" PRIu64
				   " of at least %" PRIu64,
				   have, need);
	else
		err = vl_error_new(VL_ERR_TARGET,
				   "the dump is truncated: it ends at byte %" PRIu64
				   ", within its headers",
				   have);
	return vl_error_hint(err, VL_DUMP_AGAIN);
}

struct vl_error *vl_dump_cut_off(uint64_t need, uint64_t have)
{
	return vl_error_hint(vl_dump_truncated(need, have), VL_DUMP_AGAIN "; " PARTIAL);
}

struct vl_error *vl_dump_damaged(const char *what)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the dump is damaged: %s", what),
			     "make the dump again");
}

/* The formats, by the first bytes of the file. */
static const struct {
	const char *magic, *name;
	struct vl_error *(*load)(struct vl_target *t, struct vl_dump *d);
} formats[] = {
	{ "\x7f"
	  "ELF",
	  "ELF", vl_dump_load_elf },
	{ "EMiL", "LiME", vl_dump_load_lime },
	{ "AVML", "AVML", vl_dump_load_lime },
	{ "KDUMP   ", "kdump-compressed", vl_dump_load_kdump },
	{ "makedumpfile", "kdump-compressed, flattened", vl_dump_load_kdump },
	{ "QEVM", "a migration stream", vl_dump_load_stream },
	{ "LibvirtQemud", "a saved domain", vl_dump_load_save },
	{ "QFI\xfb", "a snapshot in a disk image", vl_dump_load_qcow2 },
};

/* The least size, in bytes, of a flat image that is searched. */
#define FLAT_LEAST (4UL << 20)

/*
 * Is @head the beginning of a text? Call this when no format fits. Memory does not begin with text.
 */
static bool is_text(const unsigned char *head, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((head[i] < ' ' || head[i] > '~') && !memchr("\t\r\n", head[i], 3))
			return false;
	return n;
}

/* Is it one compressed stream, of a kind that can be unpacked? */
static bool is_packed(const unsigned char *head)
{
	static const char *const magics[] = { "\x1f\x8b", "BZh",
					      "\xfd"
					      "7zXZ",
					      "\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18" };

	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (!memcmp(head, magics[i], strlen(magics[i])))
			return true;
	return false;
}

struct vl_error *vl_dump_unpack(struct vl_target *t, struct vl_dump *d, uint64_t at,
				const char *more)
{
	char id[sizeof(t->run_id) + 16];
	struct vl_error *err;
	struct stat st;
	int fd;

	snprintf(id, sizeof(id), "%s%s", t->run_id, more);
	err = t->unpack(d->fd, at, id, t->partial, &fd);
	if (err)
		return err;
	close(d->fd);
	d->fd = fd;
	if (fstat(fd, &st) < 0)
		return vl_error_os(errno, "cannot look at the unpacked file");
	d->size = (uint64_t)st.st_size;
	return NULL;
}

static struct vl_error *load(struct vl_target *t, struct vl_dump *d, const char *path)
{
	unsigned char head[64] = "";
	struct vl_error *err;
	bool done = false;
	ssize_t n = pread(d->fd, head, sizeof(head), 0);

	d->format = "raw";
	if (n > 0 && is_packed(head) && t->unpack) {
		d->packed = true;
		err = vl_dump_unpack(t, d, 0, "");
		if (err)
			return err;
		memset(head, 0, sizeof(head));
		n = pread(d->fd, head, sizeof(head), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (n >= 4 && !memcmp(head, formats[i].magic, strlen(formats[i].magic))) {
			d->format = formats[i].name;
			return formats[i].load(t, d);
		}
	if (vl_vmware_is_state(head, (size_t)(n > 0 ? n : 0))) {
		d->format = "a state of VMware";
		return vl_vmware_load_state(t, d, path);
	}
	if (vl_vmware_is_named(path))
		return vl_vmware_not_state();
	if (n < (ssize_t)sizeof(head) || d->size < FLAT_LEAST || vl_dump_is_other(d->fd) ||
	    is_text(head, sizeof(head)))
		return vl_dump_unknown(d->fd);
	err = vl_vmware_load_memory(t, d, path, &done);
	return err || done ? err : vl_dump_set_flat(t, d, 0, d->size);
}

struct vl_error *vl_dump_set_flat(struct vl_target *t, struct vl_dump *d, uint64_t at,
				  uint64_t size)
{
	const struct vl_ram all = {
		.size = size & ~(VL_PAGE_SIZE - 1),
		.fd = d->fd,
		.fd_offset = at,
		.page_size = VL_PAGE_SIZE,
	};
	const struct vl_piece piece = { .size = all.size };
	struct vl_error *err;

	if (!all.size)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the file holds less than a page of memory"),
			"save the guest again: vlens dump GUEST FILE");
	d->rest = size - all.size;
	err = vl_ram_add(t, &all);
	if (!err)
		err = vl_ram_finish(t);
	return err ? err : vl_ram_unplaced(t, &piece, 1);
}

/* The same for a range whose pages are made when they are read. */
static uint64_t next_packed(const struct vl_target *t, const struct vl_ram *r, uint64_t off)
{
	uint64_t at = vl_pages_next(t, r->fd_offset + off);

	return at - r->fd_offset < r->size ? at - r->fd_offset : r->size;
}

uint64_t vl_ram_next_data(const struct vl_target *t, const struct vl_ram *r, uint64_t off)
{
	off_t at;

	if (r->fd < 0 && t->pages && off < r->size)
		return next_packed(t, r, off);
	at = r->fd < 0 ? -1 : lseek(r->fd, (off_t)(r->fd_offset + off), SEEK_DATA);

	/* ENXIO: all that follows is a hole. EINVAL: the file system has no holes. */
	if (at < 0)
		return r->fd >= 0 && errno == ENXIO ? r->size : off;
	if ((uint64_t)at - r->fd_offset > r->size)
		return r->size;
	return ((uint64_t)at - r->fd_offset) & ~(VL_PAGE_SIZE - 1);
}

static struct vl_error *no_registers(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file has memory only"),
			     "the vCPUs' registers are in those that vlens dump and QEMU make");
}

static struct vl_error *dump_registers(struct vl_target *t, struct vl_registers **ret,
				       size_t *nr_ret, unsigned int *machine_ret)
{
	const struct vl_dump *d = t->priv;

	if (!d->registers)
		return no_registers();
	*ret = calloc(d->nr_vcpus, sizeof(**ret));
	if (!*ret)
		return vl_error_nomem();
	memcpy(*ret, d->registers, d->nr_vcpus * sizeof(**ret));
	*nr_ret = d->nr_vcpus;
	*machine_ret = d->machine ? d->machine : EM_X86_64;
	return NULL;
}

static struct vl_error *dump_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	struct vl_dump *d = t->priv;

	if (!d->nr_vcpus)
		return no_registers();
	*ret = calloc(d->nr_vcpus, sizeof(**ret));
	if (!*ret)
		return vl_error_nomem();
	memcpy(*ret, d->vcpus, d->nr_vcpus * sizeof(**ret));
	*nr_ret = d->nr_vcpus;
	return NULL;
}

static void dump_info(struct vl_target *t, struct vl_target_info *ret)
{
	const struct vl_dump *d = t->priv;

	snprintf(ret->state, sizeof(ret->state), "dump");
	snprintf(ret->format, sizeof(ret->format), "%s%s", d->format,
		 d->packed ? ", compressed" : "");
	ret->vcpus = (unsigned int)d->nr_vcpus;
}

static void dump_close(struct vl_target *t)
{
	struct vl_dump *d = t->priv;

	if (d->fd >= 0)
		close(d->fd);
	free(d->vcpus);
	free(d->registers);
	free(d);
}

static const struct vl_target_ops dump_ops = {
	.vcpus = dump_vcpus,
	.registers = dump_registers,
	.info = dump_info,
	.close = dump_close,
};

/* The dump behind @t; NULL: it is none. */
static const struct vl_dump *dump_of(const struct vl_target *t)
{
	return t->ops == &dump_ops ? t->priv : NULL;
}

uint64_t vl_target_remainder(const struct vl_target *t)
{
	const struct vl_dump *d = dump_of(t);

	return d ? d->rest : 0;
}

uint64_t vl_target_moved(const struct vl_target *t)
{
	const struct vl_dump *d = dump_of(t);

	return d ? d->moved : 0;
}

void vl_target_note_end(struct vl_target *t, uint64_t end)
{
	struct vl_dump *d = t->ops == &dump_ops ? t->priv : NULL;

	if (d && (t->nr_pieces || d->open_end))
		d->end = end;
}

static struct vl_error *cut(struct vl_error *err, const char *how, uint64_t have, uint64_t need)
{
	/* The file is at fault, not the kernel. */
	err->code = VL_ERR_TARGET;
	vl_error_prefix(err, "the file %s: it ends at byte %" PRIu64 " of %" PRIu64, how, have,
			need);
	return vl_error_hint(err, VL_DUMP_AGAIN "; " PARTIAL);
}

struct vl_error *vl_target_short(const struct vl_target *t, struct vl_error *err)
{
	const struct vl_dump *d = dump_of(t);
	const struct vl_ram *last = t->nr_ram ? &t->ram[t->nr_ram - 1] : NULL;
	struct stat st;

	if (!err || !d || !last || err->code == VL_ERR_NOMEM || t->partial)
		return err;
	err->code = err->code == VL_ERR_LACKING ? VL_ERR_TARGET : err->code;
	if (!fstat(d->fd, &st) && (uint64_t)st.st_size < d->size)
		return cut(err, "was cut short while it was read", (uint64_t)st.st_size, d->size);
	if (d->open_end && d->end > last->gpa + last->size) {
		err->code = VL_ERR_TARGET;
		vl_error_prefix(err,
				"the file is cut short: its memory ends at 0x%" PRIx64
				", the guest's at 0x%" PRIx64,
				last->gpa + last->size, d->end);
		return vl_error_hint(err, VL_DUMP_AGAIN "; " PARTIAL);
	}
	/* The memory ends where the file ends, less d->rest. */
	if (d->end > last->gpa + last->size)
		return cut(err, "is cut short", d->size,
			   d->size - d->rest + (d->end - last->gpa - last->size));
	return err;
}

/* The first MiB has holes of its own. */
#define FIRST_MIB (1UL << 20)

bool vl_target_lacks(const struct vl_target *t, uint64_t gpa)
{
	const struct vl_dump *d = dump_of(t);
	const struct vl_ram *last = t->nr_ram ? &t->ram[t->nr_ram - 1] : NULL;

	return d && last && gpa >= last->gpa + last->size && gpa < d->end;
}

struct vl_error *vl_target_lacking(const struct vl_target *t, uint64_t gpa)
{
	struct vl_error *err = vl_page_lacking(gpa);

	if (t->partial)
		return err;
	err->code = VL_ERR_TARGET;
	return vl_error_hint(err,
			     "vps --partial goes on without it, and views of memory, as vpslist, "
			     "show what is in the file");
}

/* Where firmware and the devices of the processor begin, below 4 GiB. */
#define DEVICES_HIGH 0xfe000000UL

/*
 * Is @gpa between the ranges of a file of which the kernel has pointers to it? That is memory that
 * the file was made without, as by makedumpfile. Below the firmware, or 4 GiB, are devices: no list
 * of a kernel leads there, but a hostile guest's may, so that its file would seem to lack memory.
 */
static bool is_left_out(const struct vl_target *t, uint64_t gpa)
{
	size_t i = 0;

	if (gpa < FIRST_MIB)
		return false;
	while (i < t->nr_ram && t->ram[i].gpa + t->ram[i].size <= gpa)
		i++;
	return i < t->nr_ram && gpa < t->ram[i].gpa &&
	       (t->ram[i].gpa < DEVICES_HIGH || t->ram[i].gpa > 1UL << 32);
}

void vl_target_note_miss(struct vl_target *t, uint64_t gpa, const struct vl_error *err)
{
	struct vl_dump *d = t->ops == &dump_ops ? t->priv : NULL;

	if (!d ||
	    !(err ? err->code == VL_ERR_LACKING : vl_target_lacks(t, gpa) || is_left_out(t, gpa)))
		return;
	if (!d->missed)
		d->missed = gpa + !gpa;
	d->nr_missed++;
	d->last_missed = gpa;
}

uint64_t vl_target_misses(const struct vl_target *t)
{
	const struct vl_dump *d = dump_of(t);

	return d ? d->nr_missed : 0;
}

struct vl_error *vl_target_missed_since(const struct vl_target *t, uint64_t before)
{
	return vl_target_misses(t) > before ? vl_target_lacking(t, dump_of(t)->last_missed) : NULL;
}

struct vl_error *vl_target_missed(struct vl_target *t)
{
	const uint64_t gpa = dump_of(t) ? dump_of(t)->missed : 0;

	if (!gpa)
		return NULL;
	((struct vl_dump *)t->priv)->missed = 0;
	return vl_target_lacking(t, gpa);
}

/* The pages of @r that the file of @d does not have. */
static uint64_t behind_end(const struct vl_dump *d, const struct vl_ram *r)
{
	const uint64_t end = r->fd_offset + r->size;

	if (r->fd < 0 || end <= d->size)
		return 0;
	return (r->fd_offset > d->size ? r->size : end - d->size + VL_PAGE_SIZE - 1) / VL_PAGE_SIZE;
}

uint64_t vl_target_cut_off(const struct vl_target *t, size_t i)
{
	const struct vl_dump *d = dump_of(t);

	return d ? behind_end(d, &t->ram[i]) * VL_PAGE_SIZE : 0;
}

uint64_t vl_target_cut_behind(const struct vl_target *t, uint64_t *end_ret)
{
	const struct vl_dump *d = dump_of(t);
	const struct vl_ram *last = t->nr_ram ? &t->ram[t->nr_ram - 1] : NULL;
	const uint64_t from = last ? last->gpa + last->size : 0, high = 1UL << 32;
	const uint64_t end = d && last && d->end > from ? d->end : 0;

	*end_ret = end;
	/* Where memory below 4 GiB ends early, devices follow. */
	return from > FIRST_MIB && from < high && end > high ? high : from;
}

bool vl_target_is_partial(const struct vl_target *t)
{
	return t->partial;
}

bool vl_target_shortfall(const struct vl_target *t, uint64_t *has_ret, uint64_t *of_ret)
{
	const struct vl_dump *d = dump_of(t);
	const struct vl_ram *last = t->nr_ram ? &t->ram[t->nr_ram - 1] : NULL;
	uint64_t of = 0, lacks = 0, packed = 0, from, end;

	/* Of most formats, a file that is cut short is refused. */
	if (!d || !last || (!t->partial && d->end <= last->gpa + last->size))
		return false;
	for (size_t i = 0; i < t->nr_ram; i++) {
		of += t->ram[i].size / VL_PAGE_SIZE;
		packed += t->ram[i].fd < 0 ? t->ram[i].size / VL_PAGE_SIZE : 0;
		lacks += behind_end(d, &t->ram[i]);
	}
	lacks += vl_pages_cut_off(t, packed);
	from = vl_target_cut_behind(t, &end);
	if (end) {
		const uint64_t more = (end - from) / VL_PAGE_SIZE;

		lacks += more;
		of += more;
	}
	*has_ret = of - lacks;
	*of_ret = of;
	return lacks;
}

static struct vl_error *cannot_open(int err)
{
	if (err == ENOENT || err == ENOTDIR)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "no such file"),
				     "a name with a '/' is the path of a memory dump");
	if (err == EACCES || err == EPERM)
		return vl_error_hint(
			vl_target_denied(vl_error_new(VL_ERR_TARGET, "no permission to read it")),
			"run as root");
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "cannot open it: %s", strerror(err)),
			     "a name with a '/' is the path of a memory dump");
}

static struct vl_error *wrong_type(const char *path, mode_t mode)
{
	if (S_ISSOCK(mode))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "a socket, not a dump"),
				     "for a QMP socket write qmp:%s", path);
	if (S_ISDIR(mode))
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "a folder, not a memory dump"),
			"name the file; the folder can be one of Cloud Hypervisor's snapshots, "
			"with memory-ranges in it");
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "not a regular file"),
			     "a memory dump is a regular file");
}

/* The file with the memory in a snapshot of Cloud Hypervisor, which is a folder. */
#define IN_FOLDER "/memory-ranges"

struct vl_error *vl_dump_open_file(const char *path, int *fd_ret, struct stat *st)
{
	int fd;

	/* Check before opening: to open a FIFO would wait, and a device might act. */
	if (stat(path, st) < 0)
		return cannot_open(errno);
	if (!S_ISREG(st->st_mode))
		return wrong_type(path, st->st_mode);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return cannot_open(errno);
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		close(fd);
		return wrong_type(path, st->st_mode);
	}
	*fd_ret = fd;
	return NULL;
}

/*
 * The run id is a hash: a file's name has a limited length, and an attacker chooses most of the
 * input.
 */
static void run_id_of(const void *of, size_t len, char ret[VL_RUN_ID])
{
	char sum[65];

	vl_sha256_text(of, len, sum);
	snprintf(ret, VL_RUN_ID, "dump-%s", sum);
}

void vl_dump_run_id(const struct stat *st, char ret[VL_RUN_ID])
{
	/* The hash has the ctime, too: a user who writes to a file can set its other times. */
	const uint64_t of[] = { st->st_dev,
				st->st_ino,
				(uint64_t)st->st_size,
				(uint64_t)st->st_mtim.tv_sec,
				(uint64_t)st->st_mtim.tv_nsec,
				(uint64_t)st->st_ctim.tv_sec,
				(uint64_t)st->st_ctim.tv_nsec };

	run_id_of(of, sizeof(of), ret);
}

void vl_dump_set_file(struct vl_target *t, struct vl_dump *d, int fd, const struct stat *st)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = fd;
	d->size = (uint64_t)st->st_size;
	vl_dump_run_id(st, t->run_id);
}

struct vl_error *vl_dump_set_choice(struct vl_target *t, const char *choice)
{
	char *of;
	int n = asprintf(&of, "%s-%s", t->run_id, choice);

	if (n < 0)
		return vl_error_nomem();
	run_id_of(of, (size_t)n, t->run_id);
	free(of);
	return NULL;
}

struct vl_error *vl_dump_open(struct vl_target *t, struct vl_spec *s)
{
	_cleanup_free_ char *within = NULL;
	const char *path = s->arg;
	struct vl_error *err;
	struct vl_dump *d;
	struct stat st;
	int fd;

	if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		if (asprintf(&within, "%s" IN_FOLDER, path) < 0)
			return vl_error_nomem();
		if (!access(within, F_OK))
			path = within;
	}
	err = vl_dump_open_file(path, &fd, &st);
	if (err)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d) {
		close(fd);
		return vl_error_nomem();
	}
	d->fd = -1;
	t->priv = d;
	t->ops = &dump_ops;
	vl_dump_set_file(t, d, fd, &st);
	err = load(t, d, path);
	t->without_vcpus = !d->nr_vcpus;
	return err;
}
