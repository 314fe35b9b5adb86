/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of the tables that decide on calls and paths. */
#ifndef VLENS_REDIRECT_ROWS_H
#define VLENS_REDIRECT_ROWS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Above every x86-64 system call number (7.3: to 472). */
#define VL_NR_MAX 512

/* Newer than some headers: Linux 6.6. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

struct vl_redirect;
struct vl_trap;

/* --- policy.c: one row per system call (and condition) --- */

typedef struct vl_error *(*vl_handler)(struct vl_trap *t);

/* How vl_h_forward passes an argument on. */
struct vl_argspec {
	enum {
		A_NONE,
		A_INT,
		A_PATH,	  /* a path; relative to the cwd */
		A_DIRFD,  /* the descriptor the next A_PATH is relative to */
		A_STR,	  /* a string that is not a path */
		A_IN,	  /* n bytes, may be NULL */
		A_OUT,	  /* n bytes, may be NULL */
		A_INOUT,  /* n bytes, may be NULL */
		A_OUTLEN, /* as many bytes as argument number n says */
		A_OUTRET, /* the same; the call returns how many of them are valid */
		A_OUTIDS, /* the same in units of four bytes */
		A_PID,	  /* a pid; 0 or the program's own: the identity's */
	} kind : 8;
	uint16_t n;
};

/* The lower half of args[arg], under @mask, is @value. */
struct vl_condition {
	unsigned int arg;
	uint32_t mask, value;
};

struct vl_policy {
	int nr;
	const char *name;
	enum vl_decision { GUEST, LOCAL, DENY, TRACE } decision;
	vl_handler handle;
	const char *call; /* the guest's handler; NULL: name */
	struct vl_argspec args[6];
	unsigned int nr_cmp; /* the filter traps only if all of cmp hold */
	struct vl_condition cmp[2];
	const char *note;
};

extern const struct vl_policy vl_policy[];
extern const size_t vl_policy_nr;

/* --- allow.c: one row per call that is native --- */

struct vl_native {
	int nr;
	bool conditional; /* only where @when holds */
	struct vl_condition when;
	const char *note;
};

extern const struct vl_native vl_native[];
extern const size_t vl_native_nr;

/* --- paths.c: one row per path prefix --- */

enum vl_whose {
	P_HOST,
	P_GUEST,
	P_GUEST_THEN_HOST, /* the host's where the guest has none */
	P_SUPPLY,	   /* text of ours */
	P_NOBODY,	   /* there is no such file */
};

enum vl_how {
	H_AUTO,
	H_WHOLE,
	H_ONCE,
	H_STREAM,
	H_RECORDS, /* a stream of numbered records, one a read: /dev/kmsg */
};

/*
 * What the program gets if the guest cannot open a file. F_HOST: the host's file, only if the
 * guest's kernel gives no answer. F_ABSENT: ENOENT, for files that its output does not need.
 */
enum vl_on_fail { F_ERRNO, F_EMPTY, F_HOST, F_ZONE, F_ABSENT };

/* The calls that a row is for. For all others a later row decides. */
enum vl_calls {
	C_ALL,
	C_LIBC,	  /* how a C library opens its data: close-on-exec, or messages */
	C_CONFIG, /* how it reads its settings: close-on-exec, and stat */
	C_TERM,	  /* how the terminal's entry is found: open and access */
	C_STAT,	  /* stat that follows links */
	C_OPEN,	  /* an open without O_DIRECTORY */
	C_PROBE,  /* access and statfs, which libraries call and shells do not */
	C_CRYPTO, /* an open by a program that has OpenSSL's library */
};

struct vl_path_row {
	const char *pattern; /* absolute; a component '*' is any one component */
	bool exact;	     /* only the path itself, no file below it */
	enum vl_calls calls;
	/* The programs it is for: patterns separated by blanks; after "!", all other programs. */
	const char *called;
	enum vl_whose open;
	enum vl_whose query; /* stat, access, readlink, xattr */
	enum vl_how how;
	enum vl_on_fail on_fail;
	enum vl_host { W_TREE, W_DEVICE, W_TTY, W_SELF } host; /* P_HOST: the kind of file */
	bool writable;	  /* P_HOST: the program may open it for writing */
	bool library;	  /* P_HOST: handed over only if it is a library */
	bool locales;	  /* P_HOST: made of folders if the host has none (locales.c) */
	int tries;	  /* fresh epochs for one transaction; 0: the default */
	const char *text; /* P_SUPPLY */
	const char *note;
};

/* The file that a path argument of the program names. */
struct vl_where {
	const struct vl_path_row *row; /* never NULL after success */
	struct vl_file *file;	       /* the path was empty: this descriptor */
	bool empty;		       /* the path was empty, the descriptor @fd is the host's */
	int fd;
	char path[PATH_MAX]; /* absolute, as the guest gets it */
};

/*
 * Resolve the string at @addr of the program against @dirfd. 0, or -errno for
 * the program.
 */
int vl_resolve(struct vl_trap *t, int dirfd, uint64_t addr, struct vl_where *ret);

#endif
