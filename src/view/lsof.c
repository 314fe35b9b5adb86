/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files, as a table. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "objects.h"

/* struct file.f_mode, include/linux/fs.h. */
#define FMODE_READ 1U
#define FMODE_WRITE 2U
/* MAJOR() and MINOR() of the kernel's own dev_t, include/linux/kdev_t.h. */
#define MINOR_BITS 20
#define MINOR_MASK ((1U << MINOR_BITS) - 1)

enum {
	OF_COMM,
	OF_PID,
	OF_UID,
	OF_USE,
	OF_FD,
	OF_MODE,
	OF_TYPE,
	OF_DEVICE,
	OF_SIZE,
	OF_NODE,
	OF_NAME,
	OF_POS,
	OF_FLAGS,
	OF_LINKS,
	OF_FSTYPE,
	OF_DELETED,
	OF_PROTO,
	OF_STATE,
	OF_FILE,
	OF_INODE,
};

static const struct vl_column columns[] = {
	[OF_COMM] = { "COMM", VL_CELL_TEXT, true, .doc = "name of the process" },
	[OF_PID] = { "PID", VL_CELL_INT, true, .doc = "process id" },
	[OF_UID] = { "UID", VL_CELL_UINT, true, .doc = "user id (effective)" },
	[OF_USE] = { "USE", VL_CELL_TEXT, true,
		     .doc = "fd: a descriptor; cwd, rtd: its folder, its root; txt: its program" },
	[OF_FD] = { "FD", VL_CELL_INT, true, .doc = "number of the descriptor" },
	[OF_MODE] = { "MODE", VL_CELL_TEXT, true,
		      .doc = "open to read (r), to write (w), to both (u)" },
	[OF_TYPE] = { "TYPE", VL_CELL_TEXT, true,
		      .doc = "REG, DIR, CHR, BLK, FIFO, LINK, a_inode, or the kind of socket" },
	[OF_DEVICE] = { "DEVICE", VL_CELL_TEXT, true,
			.doc = "its own, else that it is on: major,minor" },
	[OF_SIZE] = { "SIZE", VL_CELL_UINT, true, .doc = "its size, in bytes" },
	[OF_NODE] = { "NODE", VL_CELL_UINT, true, .doc = "number of its inode" },
	[OF_NAME] = { "NAME", VL_CELL_TEXT, true, .doc = "path, or a socket's addresses" },
	[OF_POS] = { "POS", VL_CELL_UINT, false, .doc = "where in the file it is, in bytes" },
	[OF_FLAGS] = { "FLAGS", VL_CELL_HEX, false, .doc = "flags it was opened with (O_*)" },
	[OF_LINKS] = { "LINKS", VL_CELL_UINT, false, .doc = "number of its names" },
	[OF_FSTYPE] = { "FSTYPE", VL_CELL_TEXT, false, .doc = "kind of file system it is on" },
	[OF_DELETED] = { "DELETED", VL_CELL_BOOL, false, .doc = "does it have no name any more" },
	[OF_PROTO] = { "PROTO", VL_CELL_TEXT, false, .doc = "of a socket: tcp, udp6, unix ..." },
	[OF_STATE] = { "STATE", VL_CELL_TEXT, false,
		       .doc = "of a socket: LISTEN, ESTABLISHED ..." },
	[OF_FILE] = { "FILE", VL_CELL_HEX, false, .doc = "address of its struct file" },
	[OF_INODE] = { "INODE", VL_CELL_HEX, false, .doc = "address of its struct inode" },
	{ 0 },
};

static const char *type_word(const struct vl_inode *i)
{
	static const char *const words[] = {
		[S_IFREG >> 12] = "REG",   [S_IFDIR >> 12] = "DIR",  [S_IFCHR >> 12] = "CHR",
		[S_IFBLK >> 12] = "BLK",   [S_IFIFO >> 12] = "FIFO", [S_IFLNK >> 12] = "LINK",
		[S_IFSOCK >> 12] = "sock",
	};
	size_t kind = (i->mode & S_IFMT) >> 12;

	/* lsof's word for the type of an object that is in no file system. */
	if (!strcmp(i->fs, "anon_inodefs"))
		return "a_inode";
	return kind < ARRAY_SIZE(words) && words[kind] ? words[kind] : "unknown";
}

/* "127.0.0.1:22->127.0.0.1:4711 (ESTABLISHED)", "/run/bus", "socket:[4711]". */
static void socket_name(struct vl_table *t, const struct vl_socket *k)
{
	const char *state = vl_socket_state(k);
	char buf[24];
	bool ip = k->family == AF_INET || k->family == AF_INET6;
	const char *left = k->family == AF_INET6 ? "[" : "", *right = *left ? "]" : "";

	vl_table_str(t, OF_TYPE, vl_socket_family(k, buf));
	if (!k->lacks_protocol)
		vl_table_str(t, OF_PROTO, vl_socket_protocol(k, buf));
	if (!k->lacks_state)
		vl_table_str(t, OF_STATE, state);
	if (k->lacks_local || k->lacks_remote || k->lacks_ports || k->lacks_state)
		return;
	if (ip && k->peer_port)
		vl_table_printf(t, OF_NAME, "%s%s%s:%u->%s%s%s:%u%s%s%s", left, k->local, right,
				k->port, left, k->remote, right, k->peer_port, state ? " (" : "",
				state ? state : "", state ? ")" : "");
	else if (ip)
		vl_table_printf(t, OF_NAME, "%s%s%s:%u%s%s%s", left, k->local, right, k->port,
				state ? " (" : "", state ? state : "", state ? ")" : "");
	else if (k->local[0])
		vl_table_str(t, OF_NAME, k->local);
	else if (!k->lacks_inode)
		vl_table_printf(t, OF_NAME, "socket:[%" PRIu64 "]", k->inode);
}

/* Name the file as the kernel does in /proc/PID/fd, also if it is not in the tree of files. */
static void file_name(struct vl_raw_guest *g, struct vl_table *t, const struct vl_used_file *f,
		      const struct vl_inode *i)
{
	static const struct {
		const char *fs, *word;
	} numbered[] = { { "pipefs", "pipe" }, { "sockfs", "socket" } };
	char name[PATH_MAX];
	bool deleted, known;

	for (size_t k = 0; k < ARRAY_SIZE(numbered); k++) {
		if (strcmp(i->fs, numbered[k].fs) != 0)
			continue;
		vl_table_printf(t, OF_NAME, "%s:[%" PRIu64 "]", numbered[k].word, i->number);
		return;
	}
	known = vl_path_name(g, &f->path, name, sizeof(name), &deleted);
	if (!strcmp(i->fs, "anon_inodefs")) {
		vl_table_printf(t, OF_NAME, "anon_inode:%s", name + (*name == '/'));
		return;
	}
	if (known)
		vl_table_uint(t, OF_DELETED, deleted);
	vl_table_printf(t, OF_NAME, "%s%s", name, deleted ? " (deleted)" : "");
}

static void row(struct vl_raw_guest *g, struct vl_table *t, const struct vl_file_task *p,
		const struct vl_used_file *f)
{
	static const char *const uses[] = { [VL_FILE_FD] = "fd",
					    [VL_FILE_CWD] = "cwd",
					    [VL_FILE_ROOT] = "rtd",
					    [VL_FILE_TEXT] = "txt" };
	static const char *const modes[] = { NULL, "r", "w", "u" };
	struct vl_inode i;
	struct vl_socket k;
	uint16_t kind;

	vl_inode_read(g, f->inode, &i);
	kind = i.mode & S_IFMT;
	vl_table_row(t);
	if (!p->lacks_comm)
		vl_table_text(t, OF_COMM, p->comm, strnlen(p->comm, sizeof(p->comm)));
	vl_table_int(t, OF_PID, p->pid);
	if (!p->lacks_uid)
		vl_table_uint(t, OF_UID, p->uid);
	vl_table_str(t, OF_USE, uses[f->use]);
	if (f->fd >= 0)
		vl_table_int(t, OF_FD, f->fd);
	if (f->fd >= 0 && !f->lacks_flags) {
		vl_table_str(t, OF_MODE, modes[f->mode & (FMODE_READ | FMODE_WRITE)]);
		vl_table_uint(t, OF_POS, f->pos);
		vl_table_uint(t, OF_FLAGS, f->flags);
	}
	if (i.lacks_mode)
		;
	else if ((kind == S_IFCHR || kind == S_IFBLK) && !i.lacks_rdev)
		vl_table_printf(t, OF_DEVICE, "%u,%u", i.rdev >> MINOR_BITS, i.rdev & MINOR_MASK);
	else if (kind != S_IFCHR && kind != S_IFBLK && !i.lacks_dev)
		vl_table_printf(t, OF_DEVICE, "%u,%u", i.dev >> MINOR_BITS, i.dev & MINOR_MASK);
	if ((kind == S_IFREG || kind == S_IFDIR) && !i.lacks_size)
		vl_table_uint(t, OF_SIZE, i.size);
	if (!i.lacks_number)
		vl_table_uint(t, OF_NODE, i.number);
	if (!i.lacks_size)
		vl_table_uint(t, OF_LINKS, i.links);
	if (i.fs[0])
		vl_table_str(t, OF_FSTYPE, i.fs);
	if (f->at)
		vl_table_uint(t, OF_FILE, f->at);
	vl_table_uint(t, OF_INODE, f->inode);
	if (kind == S_IFSOCK && f->at && vl_socket_read(g, vl_socket_sock(g, f->private), 0, &k)) {
		socket_name(t, &k);
		return;
	}
	if (!i.lacks_mode && (kind || !i.lacks_fs))
		vl_table_str(t, OF_TYPE, type_word(&i));
	/* How it is named depends on the file system. */
	if (!i.lacks_fs)
		file_name(g, t, f, &i);
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_opened files;
	struct vl_error *err = vl_sockets_bear(g, "files");

	if (err)
		return err;
	err = vl_opened_collect(g, true, &files);
	for (size_t i = 0; i < files.nr; i++)
		row(g, t, &files.tasks[files.files[i].task], &files.files[i]);
	vl_opened_deinit(&files);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_files = { "files", "files",	columns,	true,
				       run,	vl_name_fields, vl_task_symbols };
