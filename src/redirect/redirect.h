/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs an unmodified program of the host. Another kernel (struct vl_sys) answers those of its
 * system calls that ask about the machine. The program's own files, its terminal and its memory
 * stay the host's. Nothing it does changes the guest or the host.
 *
 * The program runs under a seccomp filter with user notification and is traced
 * with ptrace for exec and fork only; this layer prints nothing.
 *
 * The thread that starts a program is its tracer until the program ends: one thread runs one
 * program at a time. A filter may be used by several threads.
 */
#ifndef VLENS_REDIRECT_H
#define VLENS_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../syscall/sys.h"

/* The compiled policy: made once, used for any number of runs. */
struct vl_redirect_filter;

/* VL_ERR_OS: libseccomp refuses a row. The caller owns *@ret. */
struct vl_error *vl_redirect_filter_create(struct vl_redirect_filter **ret);
void vl_redirect_filter_destroy(struct vl_redirect_filter *f);

/* A locale archive that was made of folders (locales.h); all zero: none. */
struct vl_redirect_locales {
	uint64_t mark; /* a hash of its sources; 0: there is none */
	int fd;
};

void vl_redirect_locales_deinit(struct vl_redirect_locales *l);

/* Empty files for the next program (memfds.h). */
struct vl_memfds;

/*
 * The state that outlives a program. Namespaces are descriptors, the caller's to close; -1: none.
 * The caller releases the locales and the memfds.
 */
struct vl_redirect_kept {
	int network; /* an empty one: the first program makes it, the next ones enter it */
	int ipc;     /* an empty one, which the next program alone enters */
	/*
	 * The last program's. To close the last reference unmounts everything, which may take
	 * milliseconds: the caller does it when no user waits.
	 */
	int mounts;
	struct vl_redirect_locales locales;
	struct vl_memfds *memfds; /* NULL: none yet */
};

/*
 * Make the IPC namespace for the next program, if there is none: 40 us. The caller enters it, too.
 * It does nothing without the right to.
 */
void vl_redirect_make_ipc(struct vl_redirect_kept *kept);

struct vl_redirect_options {
	/*
	 * The command and its arguments, NULL-terminated. argv[0] is looked up
	 * in PATH when it has no slash.
	 */
	char *const *argv;
	/* What the program sees as argv[0]; NULL: argv[0] itself. */
	const char *arg0;
	/* The program's environment; NULL: the caller's. */
	char *const *envp;
	/*
	 * Absolute paths, NULL-terminated. They and all files below them are the guest's,
	 * even if the path table says host (`vls GUEST /usr`). This holds from the moment
	 * that the program first asks for one of them: the libraries that it starts with are
	 * the host's. NULL: none.
	 */
	const char *const *guest_paths;
	/*
	 * One folder of the host that the program may use, absolute; read-only if ":ro"
	 * follows. NULL: none.
	 */
	const char *host_files;
	/* An epoch ends after so many ms without a call; 0: 40. */
	int idle_ms;
	/* Fresh epochs tried for one call before it fails; 0: 5. */
	int tries;
	/* The filter to use; NULL: one is made for this run. */
	const struct vl_redirect_filter *filter;
	/* For a caller that runs one program after the other; NULL: nothing is kept. */
	struct vl_redirect_kept *kept;
	/* Leave the guest's names and texts as they are, even if they drive a terminal. */
	bool raw_names;
	/* Do not pin supervisor and program to one CPU. */
	bool no_pin;
	/*
	 * Called in the program's process just before its exec, when the guest is open. It
	 * must be safe after a fork. NULL: no call.
	 */
	void (*ready)(void *ctx);
	void *ready_ctx;
	/*
	 * Called while the program's process confines itself, for slow work of the caller. An
	 * error ends the run. NULL: no call.
	 */
	struct vl_error *(*meanwhile)(void *ctx);
	void *meanwhile_ctx;
};

/* More names than any table of calls has. */
#define VL_REDIRECT_CALLS_MAX 256

/* Calls that were refused, and how often. */
struct vl_redirect_calls {
	uint64_t total;
	size_t nr; /* of call[] */
	struct {
		int32_t nr; /* of the system call; -1: of another architecture (int 0x80) */
		unsigned int count;
	} call[VL_REDIRECT_CALLS_MAX];
};

/* Requests of a program that are refused, which may be why it fails. */
enum vl_redirect_refused {
	VL_REFUSED_NOTHING,
	VL_REFUSED_SERVICE,   /* to ask a service over a socket; what: its address */
	VL_REFUSED_CHANGE,    /* to change something of the guest over netlink */
	VL_REFUSED_TERMINAL,  /* a new terminal */
	VL_REFUSED_TRACE,     /* to trace a process */
	VL_REFUSED_PROGRAM,   /* to run a file that is not a program of this host; what: its path */
	VL_REFUSED_PROCESSOR, /* to run a program that asks the processor; what: its path */
	VL_REFUSED_LOADER,    /* to run the loader for its list of libraries; what: its path */
	VL_REFUSED_NAMESPACE, /* to enter or make a namespace */
	VL_REFUSED_XTABLES,   /* to ask for rules of iptables by the older interface */
	VL_REFUSED_WRITE,     /* to write a file; what: its path */
	VL_NR_REFUSED
};

/* Why @kind with @what is refused; NULL: @kind is VL_REFUSED_NOTHING. */
struct vl_error *vl_redirect_refusal(enum vl_redirect_refused kind, const char *what);

/* The questions of the program that had neither an answer nor a substitute. */
struct vl_redirect_lost {
	uint64_t on_disk;	 /* files and folders that are on a disk of the guest */
	char on_disk_first[256]; /* the first of them, perhaps cut off */
	uint64_t unanswered;	 /* calls that had no answer for another reason: */
	char why[160], hint[160];
	char unanswered_first[256];	  /* the path that the first of them was about, or "" */
	bool main;			  /* the program's first process asked for some of it */
	bool names;			  /* names of users or groups: numbers are shown instead */
	bool hosts;			  /* names of hosts: none are shown */
	enum vl_redirect_refused refused; /* the last of them */
	char refused_what[256];
};

/* The confinement of a program besides the filter. */
#define VL_CONFINED_RIGHTS 1u	/* it has no capability */
#define VL_CONFINED_MOUNTS 2u	/* mounts of its own, all read-only */
#define VL_CONFINED_NETWORK 4u	/* a network of its own, empty */
#define VL_CONFINED_LANDLOCK 8u /* Landlock: it changes no file */

/* Room for the names of all of them. */
#define VL_CONFINED_TEXT 80

/* Write what @confined has into @buf, with commas between; "": nothing. */
void vl_confined_describe(unsigned int confined, char buf[VL_CONFINED_TEXT]);

/* Counts of one run; the caller zeroes it. */
struct vl_redirect_stats {
	uint64_t traps;	      /* system calls that came to the supervisor */
	uint64_t guest_calls; /* calls made in the guest's kernel */
	uint64_t whole_files; /* files handed over whole */
	uint64_t epochs;
	uint64_t retries;		      /* transactions repeated on a fresh epoch */
	uint64_t gave_up;		      /* calls that failed after the last retry */
	uint64_t open_ns;		      /* all epochs together, begin to end */
	unsigned int confined;		      /* VL_CONFINED_* */
	struct vl_redirect_calls denied;      /* would change something, or ask a service */
	struct vl_redirect_calls not_allowed; /* do not exist for a program: ENOSYS */
	struct vl_redirect_lost lost;
};

/*
 * Run @o->argv over @sys until it ends. *@status_ret is what the caller should
 * exit with: the program's own status, 128 + signal if one killed it. With an
 * error: 127 (no such command), 126 (not executable), else 3. Command lookup
 * comes first and opens no epoch. On return no epoch is open and none of the
 * program's processes is left.
 *
 * For the time of the call the thread blocks and reads SIGCHLD, SIGINT,
 * SIGQUIT, SIGTERM, SIGHUP, SIGTSTP, SIGTTIN, SIGTTOU and SIGCONT: other
 * threads of the caller should have them blocked. Children of the caller that
 * are not the program's are left alone.
 */
struct vl_error *vl_redirect_run(struct vl_sys *sys, const struct vl_redirect_options *o,
				 int *status_ret, struct vl_redirect_stats *stats);

/* A program that another process has forked with vl_child_fork(). */
struct vl_redirect_client {
	pid_t pid;     /* the program's first process */
	pid_t starter; /* the process that forked it */
	int sock;      /* where it waits; the caller closes it */
	/*
	 * A socket to the starter, for struct vl_link. If the starter closes its end, the
	 * program is ended. The caller closes this one.
	 */
	int link;
};

/* One message between a supervisor and the process that forked its program. */
struct vl_link {
	enum {
		VL_LINK_CONTINUE = 1, /* to the supervisor: continue the program */
		/*
		 * To the process that forked: call vl_terminal_give() with from and to. And
		 * its answer, with the result.
		 */
		VL_LINK_FOREGROUND,
	} word;
	int result;
	pid_t from, to;
};

/* The name of a call of struct vl_redirect_calls, malloc'ed; NULL: out of memory. */
char *vl_redirect_number_name(int nr);

/*
 * The same as vl_redirect_run() for a program that waits at @client already:
 * argv[0] is its path, and envp its environment. Its parent handles the
 * terminal's signals and reaps it. The thread blocks and reads SIGCHLD.
 */
struct vl_error *vl_redirect_serve(struct vl_sys *sys, const struct vl_redirect_options *o,
				   const struct vl_redirect_client *client, int *status_ret,
				   struct vl_redirect_stats *stats);

#endif
