/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tools on another host, by ssh. A tool whose guest is HOST:GUEST, or whose libvirt URI is
 * qemu+ssh://HOST/system, runs on that host, with all its words but the host's name.
 *
 * With a terminal ssh allocates one there, which passes keys and signals. Without one the tool is
 * run by `vlens far` there, and ssh's standard input is the control stream (struct far_frame): it
 * has the tool's input, and signals. When the stream breaks, the tool is hung up, as by a terminal.
 */
#ifndef VLENS_BIN_REMOTE_H
#define VLENS_BIN_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../applet.h"

/* How a host is reached. */
struct remote_host {
	char name[300];	 /* for ssh: [USER@]HOST */
	char user[64];	 /* "": that of the name, or ssh's own default */
	char port[8];	 /* "": likewise */
	char key[1024];	 /* a file with a key; "": likewise */
	bool is_batch;	 /* ask for no password */
	bool has_tty;	 /* allocate a terminal */
	unsigned within; /* seconds for the connection; 0: ssh's own default */
};

/* What the words of a command line say of another host. */
struct remote_way {
	struct remote_host host;
	char uri[512];	   /* for -c there; "": as it is */
	const char *wrong; /* why it cannot be run there; NULL: it can */
};

/* Is @word, a guest, on another host? The name of a file here is not. */
bool remote_is_guest(const char *word);
/*
 * Read libvirt's URI. False: it is of no other host that is reached by ssh. With ret->wrong it is
 * one that cannot be used.
 */
bool remote_read_uri(const char *uri, struct remote_way *ret);
/* May ssh be given @name, [USER@]HOST, for a host? */
bool remote_is_host(const char *name);

/*
 * The command for ssh that runs @argv (NULL-terminated) there, malloc'ed; NULL: no memory. Any
 * login shell reads it as these words. @far: by `vlens far`, with the data of the stream as input
 * if @has_input.
 */
char *remote_command(const struct remote_host *h, char *const *argv, bool far, bool has_input);
/*
 * The words of ssh (NULL-terminated) that run @command on @h, malloc'ed in one piece; NULL: no
 * memory.
 */
char **remote_ssh(const struct remote_host *h, const char *command);

/* The status with which ssh says that it could not connect, or lost the connection. */
#define REMOTE_SSH_FAILED 255
#define REMOTE_SSH_FAILURE \
	"ssh ended with status 255: it did not connect, the connection was lost, or the command " \
	"there ended so"

/* What the control stream to `vlens far` carries: a head, and for data its bytes. */
#define FAR_DATA 'D'
#define FAR_END 'E'    /* of the data */
#define FAR_SIGNAL 'S' /* number: of the signal */
#define FAR_DATA_MAX 32768
struct far_frame {
	uint8_t kind;
	uint8_t number;
	uint8_t len[2]; /* of the data, the high byte first */
};

/*
 * If @r is about another host: run it there, and set *@status_ret. False: it is about this one.
 * @argv is what request_read() got.
 */
bool remote_run(const struct request *r, int argc, char **argv, int *status_ret);

#endif
