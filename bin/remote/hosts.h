/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hosts of a fleet: a list of names, or an inventory of Ansible. The INI form and the JSON of
 * `ansible-inventory --list` are read here; all others by that program.
 */
#ifndef VLENS_BIN_HOSTS_H
#define VLENS_BIN_HOSTS_H

#include <stdio.h>

#include "remote.h"

/* The variables of a host that are used. */
enum host_var {
	HOST_ADDRESS,	 /* ansible_host */
	HOST_USER,	 /* ansible_user */
	HOST_PORT,	 /* ansible_port */
	HOST_KEY,	 /* ansible_ssh_private_key_file */
	HOST_CONNECTION, /* ansible_connection: "ssh" or "local" */
	NR_HOST_VARS,
};

struct hosts_host {
	char *name;
	char *vars[NR_HOST_VARS]; /* NULL: not set */
	bool wanted;
};

struct hosts_group {
	char *name;
	char *vars[NR_HOST_VARS];
	size_t *hosts, nr_hosts, cap_hosts;
	char **children;
	size_t nr_children, cap_children;
	unsigned height; /* levels of groups in it */
	bool seen;
};

/* Finds a name: a hash table of places in an array. */
struct hosts_index {
	size_t *slots, cap; /* a place + 1; 0: free */
};

struct hosts {
	struct hosts_host *all;
	size_t nr, cap;
	struct hosts_group *groups;
	size_t nr_groups, cap_groups;
	struct hosts_index by_name, groups_by_name;
	bool full;	   /* no memory, or too many */
	const char *wrong; /* why a name cannot be read, or NULL */
	/* Variables that are not read, and change how a host is reached; the first of them. */
	char ignored[64];
};

/* Read @path ("-": standard input). On success all hosts are in @ret, each once. */
struct vl_error *hosts_read(const char *path, struct hosts *ret);
void hosts_deinit(struct hosts *h);

/* Want host or group @name. False: there is neither. With NULL all are wanted. */
bool hosts_want(struct hosts *h, const char *name);
/*
 * Add the host of the word @name, which can have a port behind a colon. So named, it is another
 * host than one of the same name with another port. NULL: h->full.
 */
struct hosts_host *hosts_add_word(struct hosts *h, const char *name);
/* Where the port begins in @name, behind its colon; NULL: it has none. */
char *hosts_port(char *name);
/* Host @name, which is added if it is new; NULL: h->full. */
struct hosts_host *hosts_add(struct hosts *h, const char *name);
/*
 * How host @i is reached. *@wrong_ret is why it cannot be, or NULL; *@local_ret: it is this one.
 */
void hosts_way(const struct hosts *h, size_t i, struct remote_host *ret, bool *local_ret,
	       const char **wrong_ret);

#define HOSTS_MAX 100000
#define GROUPS_MAX 10000

/* For the readers. A copy of @text; NULL: h->full. */
char *hosts_keep(struct hosts *h, const char *text);
/* All is read: give the variables of groups to hosts. */
void hosts_inherit(struct hosts *h);
/* The number of group @name, which is added if it is new; SIZE_MAX: h->full. */
size_t hosts_group(struct hosts *h, const char *name);
void hosts_join(struct hosts *h, size_t group, const char *host);
void hosts_adopt(struct hosts *h, size_t group, const char *child);
/* Host @name, or NULL. */
struct hosts_host *hosts_find(const struct hosts *h, const char *name);
/* Set variable @name, if it counts, to @value. */
void hosts_set(struct hosts *h, char *vars[NR_HOST_VARS], const char *name, const char *value);

/* The JSON of `ansible-inventory --list`. */
struct vl_error *hosts_read_json(const char *text, size_t len, struct hosts *ret);

#endif
