/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single objects of the guest's kernel, a few fields of each (files, dentries, inodes,
 * sockets), and the words for them in a table.
 */
#ifndef VLENS_OBJECTS_H
#define VLENS_OBJECTS_H

#include "collect.h"

/* A field of an object, and the buffer for it, which has its size. */
struct vl_part {
	enum vl_field field;
	void *buf;
	size_t len;
};
#define VL_PART(field, var) \
	{ \
		VL_F_##field, &(var), sizeof(var) \
	}
#define VL_PARTS_MAX 16

/*
 * Read @parts (@nr of them, at most VL_PARTS_MAX) of the object at @base as one request. A part
 * that the kernel's types lack, or that cannot be read, is zeros. False when none could be
 * read, or @base is 0.
 */
bool vl_object(struct vl_raw_guest *g, uint64_t base, const struct vl_part *parts, size_t nr);
/* The same: returns a bit for each part that the types have and that could not be read. */
uint32_t vl_object_lacks(struct vl_raw_guest *g, uint64_t base, const struct vl_part *parts,
			 size_t nr);

/* ---- files ---- */

/* The fields of open files and of their names (vl_scan_bears()). */
extern const enum vl_field vl_opened_fields[], vl_name_fields[];

struct vl_inode {
	uint64_t at; /* its address; 0: there is none */
	uint64_t number, size, sb;
	uint32_t links, rdev, dev;
	uint16_t mode;
	char fs[16]; /* type of its file system: "ext4" */
	/* What could not be read, and is 0 or empty above; all of it: also `links`. */
	bool lacks_number, lacks_mode, lacks_size, lacks_rdev, lacks_dev, lacks_fs;
};

/* A place in the tree of files: struct path. */
struct vl_path {
	uint64_t dentry, mnt;
};

/* A file that a process has open or uses otherwise: see `use`. */
struct vl_used_file {
	size_t task; /* index of the process */
	int32_t fd;  /* -1: none */
	uint8_t use; /* enum vl_file_use */
	uint64_t at; /* address of struct file; 0 for a folder */
	struct vl_path path;
	uint64_t inode, private, pos;
	uint32_t flags, mode;
	bool lacks_flags; /* these, or `pos`, could not be read */
};

enum vl_file_use { VL_FILE_FD, VL_FILE_CWD, VL_FILE_ROOT, VL_FILE_TEXT };

struct vl_file_task {
	uint64_t task, files, fs, mm;
	int32_t pid;
	uint32_t uid;
	char comm[16];
	uint32_t lacks;		    /* fields that could not be read, */
	bool lacks_comm, lacks_uid; /* of which these are shown */
};

struct vl_opened {
	struct vl_file_task *tasks; /* in the order of the kernel's list */
	size_t nr_tasks;
	struct vl_used_file *files; /* by process */
	size_t nr, cap;
	bool full;  /* memory ran out */
	bool lacks; /* some could not be read in a file, so there may be more */
};

/*
 * Collect the open files of all processes. Threads share those of their process. With @all also
 * their folders and executables. On an error @ret has what could be read; pass it to
 * vl_opened_deinit() in any case.
 */
struct vl_error *vl_opened_collect(struct vl_raw_guest *g, bool all, struct vl_opened *ret);
/* The same of descriptors only, as many as can be read before @until_ns (CLOCK_MONOTONIC). */
struct vl_error *vl_opened_until(struct vl_raw_guest *g, uint64_t until_ns, struct vl_opened *ret);
void vl_opened_deinit(struct vl_opened *f);

/* Read the inode at @va; all zeros but `at` when it cannot be. */
void vl_inode_read(struct vl_raw_guest *g, uint64_t va, struct vl_inode *ret);

/*
 * The name of @p from the root of all mounts, as in /proc/PID/fd: at most @size - 1 bytes of
 * the guest, and a NUL. It begins with "..." where it is too long or cannot be read.
 * @deleted_ret: it is in no folder any more. False: that could not be read.
 */
bool vl_path_name(struct vl_raw_guest *g, const struct vl_path *p, char *buf, size_t size,
		  bool *deleted_ret);

/* ---- sockets ---- */

/* The error for a kernel without types whose code does not show all fields of sockets. */
struct vl_error *vl_sockets_bear(const struct vl_raw_guest *g, const char *what);

#define VL_ADDRESS_MAX 112 /* sun_path has 108 */

struct vl_socket {
	uint64_t at; /* address of struct sock */
	uint64_t net, socket, inode, peer;
	uint16_t family, type, protocol;
	uint8_t state;
	bool named; /* it has an address of its own */
	uint32_t uid, netns;
	uint16_t port, peer_port; /* of IP */
	uint32_t number;	  /* of netlink: the port */
	int64_t receive, send;	  /* bytes in the queues, as netstat(8) has them */
	/* The guest's bytes; empty: none. */
	char local[VL_ADDRESS_MAX], remote[VL_ADDRESS_MAX];
	/* What could not be read, and is 0 or empty above. */
	bool lacks_state, lacks_protocol, lacks_uid, lacks_inode, lacks_queues, lacks_netns,
		lacks_local, lacks_remote, lacks_ports;
};

/*
 * Read the socket whose struct sock is at @va; false: it cannot be read. @protocol: IPPROTO_TCP or
 * IPPROTO_UDP if it is in that protocol's table, so that it is a socket of IP whatever its family
 * is; else 0.
 */
bool vl_socket_read(struct vl_raw_guest *g, uint64_t va, int protocol, struct vl_socket *ret);

/*
 * The sockets in the kernel's table of TCP listeners. *@ret is malloc'ed. False: there is no such
 * table, or it changed while it was read.
 */
bool vl_listeners_collect(struct vl_raw_guest *g, uint64_t **ret, size_t *nr_ret);
/*
 * Find the owners of the @nr struct socks at @sks, which are sorted, in one pass over all open
 * files: @ret[i] is the process with the lowest id that has @sks[i] open. Its pid is 0 if there is
 * none, or if it was not found before @until_ns (CLOCK_MONOTONIC).
 */
void vl_socket_owners(struct vl_raw_guest *g, const uint64_t *sks, size_t nr, uint64_t until_ns,
		      struct vl_file_task *ret);

/* The struct sock of the struct socket at @socket; 0: none. */
uint64_t vl_socket_sock(struct vl_raw_guest *g, uint64_t socket);

/* "tcp", "udp6", "unix", "netlink"; buf is used where there is no such word. */
const char *vl_socket_protocol(const struct vl_socket *k, char buf[24]);
/* "IPv4", "unix", likewise. */
const char *vl_socket_family(const struct vl_socket *k, char buf[24]);
/* "LISTEN"; NULL: it has no state. */
const char *vl_socket_state(const struct vl_socket *k);

#endif
