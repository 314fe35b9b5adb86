/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol between a tool and a keeper, over a local SOCK_SEQPACKET connection. Both have the
 * same user and are the same program; else the keeper declines.
 *
 *	tool:   struct vl_keep_request, its strings; the child's socket (child.h)
 *		is passed along
 *	keeper: uint32_t VL_KEEP_TAKEN, or VL_KEEP_DECLINED: it does nothing, and
 *		sends nothing else
 *	both:   struct vl_link, any number of times (redirect.h)
 *	keeper: struct vl_keep_reply, its strings, when the program has ended
 *
 * If the tool closes early, the program ends; if the keeper does, it has died. A keeper that
 * does not take a request in time hangs: the tool goes on without it.
 *
 * For a tool that mirrors no program:
 *
 *	tool:   struct vl_keep_request with `borrows`
 *	keeper: a worker (vl_box_lend()), or VL_KEEP_DECLINED
 *
 * When one of the two closes, the worker ends.
 */
#ifndef VLENS_KEEP_PROTO_H
#define VLENS_KEEP_PROTO_H

#include <sys/socket.h>
#include <sys/un.h>

#include "keep.h"

/* In bytes: fits in the kernel's default buffer of a socket (212992). */
#define VL_KEEP_MESSAGE_MAX 131072

/* The identity of a process: a keeper serves only tools with the same one. */
struct vl_keep_self {
	uint64_t program[3];	/* device, inode and ctime of the executable */
	uint64_t sizes;		/* of the messages: another front may be beside it (bin/front.h) */
	uint64_t namespaces[4]; /* mnt, pid, user, net */
	uint64_t root;		/* the root directory's inode */
	uint64_t uid;
};

struct vl_keep_request {
	struct vl_keep_self self;
	int32_t pid; /* of the program */
	uint32_t borrows;
	uint64_t print; /* with @borrows: vl_guest_print() */
	uint32_t seconds;
	int32_t idle_ms, tries, no_pin, raw_names; /* as in struct vl_redirect_options */
	uint32_t has_label, has_files, nr_paths, freeze;
	struct vl_pause_budget budget;
	/*
	 * Strings, each with its NUL: the key, the label, the program's path, host_files,
	 * guest_paths.
	 */
};

enum { VL_KEEP_TAKEN = 1, VL_KEEP_DECLINED };

struct vl_keep_reply {
	int32_t status;
	uint32_t has_error, has_hint;
	int32_t code, os_errno;
	uint64_t address;
	struct vl_stats stats;
	struct vl_redirect_stats redirect;
	/* Strings: message, hint. */
};

/* A message that is being built or parsed. */
struct vl_keep_message {
	char *data; /* VL_KEEP_MESSAGE_MAX bytes */
	size_t len, at;
	bool bad; /* too long, or cut short */
};

struct vl_error *vl_keep_message_init(struct vl_keep_message *m);
void vl_keep_message_deinit(struct vl_keep_message *m);
void vl_keep_put(struct vl_keep_message *m, const void *data, size_t len);
void vl_keep_put_string(struct vl_keep_message *m, const char *s);
void vl_keep_get(struct vl_keep_message *m, void *ret, size_t len);
/* A string within the message; "" when the message is bad. */
const char *vl_keep_get_string(struct vl_keep_message *m);

/* Send @m, with the descriptor @fd unless it is -1. False: errno says why. */
bool vl_keep_send(int sock, const struct vl_keep_message *m, int fd);
/* Receive one; false at the end of the connection. *@fd_ret is -1 if none came along. */
bool vl_keep_receive(int sock, struct vl_keep_message *m, int *fd_ret);

/* The key of a guest: equal keys can share a keeper. malloc'ed; NULL: no memory. */
char *vl_keep_key(const struct vl_keep_options *k);
/* The path of a file of keeper @slot of @key, malloc'ed; NULL: there is no run directory. */
char *vl_keep_path(const char *key, unsigned int slot, const char *suffix);
/* The address of the socket at @path; false: too long for one. */
bool vl_keep_address(const char *path, struct sockaddr_un *ret);
/* @program: the path of the executable; NULL: this process's. */
void vl_keep_self(const char *program, struct vl_keep_self *ret);

/*
 * Lock keeper number @slot of @key, for a tool or for its end. Returns a descriptor; -1: another
 * process has the lock; -2: the file cannot be opened.
 */
int vl_keep_lock(const char *key, unsigned int slot);
/* Is there a keeper number @slot of @key that serves no tool now? */
bool vl_keep_is_idle(const char *key, unsigned int slot);
/* Connect to it. Returns a socket; -1: there is no keeper. *@pid_ret is the keeper's pid. */
int vl_keep_connect(const char *key, unsigned int slot, pid_t *pid_ret);

#endif
