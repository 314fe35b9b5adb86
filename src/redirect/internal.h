/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of redirect/ share; nobody else includes this. */
#ifndef VLENS_REDIRECT_INTERNAL_H
#define VLENS_REDIRECT_INTERNAL_H

#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../syscall/answer.h"
#include "redirect.h"
#include "rows.h"
#include "terminal.h"

/*
 * Redirected descriptors have numbers of their own, so that the BPF filter can
 * tell them by a mask: 512..895 snapshots (reads are native), 896..1023 streams
 * and directories (reads trap). The end is 1024, which is the usual soft limit
 * and the size of an fd_set.
 */
#define VL_FD_LO 512
#define VL_FD_STREAM 896
#define VL_FD_HI 1024
#define VL_FD_MASK 0xfffffe00u	      /* fd & mask == VL_FD_LO: 512..1023 */
#define VL_FD_STREAM_MASK 0xffffff80u /* fd & mask == VL_FD_STREAM: 896..1023 */

/* One transfer to or from the guest kernel. */
#define VL_CHUNK 65536
/* A regular file that is larger is read piecemeal. */
#define VL_SNAPSHOT_MAX (64u << 20)
/* Records of open files: memory for so many at a time, and so often at the most. */
#define VL_FILES_BLOCK 1024
#define VL_FILES_BLOCKS 16
/*
 * The pids that the program's processes have to themselves begin here: their pids on
 * the host and PID_MAX_LIMIT (linux/threads.h), so that no task of any guest has one.
 */
#define VL_OWN_PID 4194304
static inline bool vl_pid_own(int64_t pid)
{
	return pid >= VL_OWN_PID;
}
/* Above every x86-64 system call number (7.3: to 472). */
#define VL_NR_MAX 512

/* Newer than some headers: Linux 6.6. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

struct vl_redirect;
struct vl_trap;

/* --- own.c: what of the host's files is the program's own; paths are normalised --- */

/* From its executable and environment. */
struct vl_error *vl_own_init(struct vl_redirect *r);
/* Note where the program is started. */
void vl_own_start(struct vl_redirect *r);
void vl_own_deinit(struct vl_redirect *r);
/* One more executable: a child's. */
void vl_own_exe(struct vl_redirect *r, const char *exe);
/* Task @tid has executed @exe: is it one that was looked at, and not another by a race? */
bool vl_own_approved(const struct vl_redirect *r, pid_t tid);
/* File @path, opened as @fd, is executed: a script is opened by that name again. */
void vl_own_script(struct vl_redirect *r, const char *path, int fd);
bool vl_own_folder(const struct vl_redirect *r, const char *norm);
bool vl_own_library(struct vl_trap *t, const char *norm);
bool vl_own_library_file(int fd, const char *norm, const struct stat *st);
bool vl_own_file(struct vl_trap *t, const char *norm);
bool vl_own_executable(const struct vl_redirect *r, const char *norm);
size_t vl_own_terminfo(const struct vl_redirect *r, const char *norm);
/* So many bytes of @norm name the place of the host that it is in; 0: it is in none. */
size_t vl_own_root(struct vl_trap *t, const char *norm);
/* Directory @path, if it is open: the files there are opened below it; else -errno. */
int vl_own_place(const struct vl_redirect *r, const char *path);
/* Keep it open, @fd, which is taken over: @fd or -errno. Of some the oldest is closed. */
int vl_own_keep_place(struct vl_redirect *r, const char *path, int fd);
/* The working directory of the trapping task, as the guest sees it: PATH_MAX bytes. */
void vl_cwd(struct vl_trap *t, char *ret);
bool vl_is_terminal(const struct stat *st);

/* --- command.c: commands of PATH --- */

/* Where there is none: as execvp(3) looks. */
#define VL_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

enum vl_look {
	LOOK_NONE,   /* for no command */
	LOOK_HOST,   /* for one of the host */
	LOOK_NOBODY, /* for one of the host, where only the guest is asked about */
	LOOK_SEARCH, /* perhaps, of a script: one that the guest has, but for an answer */
	LOOK_TYPED,  /* perhaps, of an interactive shell: one of either */
};

/* @path is what the program wrote if that is absolute, @norm where it leads. */
enum vl_look vl_command_look(struct vl_trap *t, const char *path, const char *norm);
size_t vl_command_folder(const struct vl_redirect *r, const char *norm);
/* "PATH=…" for the program; malloc'ed, NULL: without memory. */
char *vl_command_path(const char *path);

/* --- programs.c: one row per program with settings --- */

struct vl_program {
	const char *names; /* of executables, parted by blanks */
	const char *paths; /* that are the host's for it, parted by blanks */
	bool commands;	   /* it looks for commands before it runs them */
	bool shell;	   /* and has settings only when it is interactive */
	const char *note;
};

struct vl_task;
/* So many bytes of @norm are the root of something that is @task's program's; or 0. */
size_t vl_program_file(const struct vl_redirect *r, const struct vl_task *task, const char *norm);
/* @task has become the program with the executable @exe. */
void vl_program_begins(struct vl_task *task, const char *exe);
/* Is what the program @path shows not of the guest, whatever that answers? Why it is not run. */
enum vl_redirect_refused vl_program_foreign(const char *path);
/* Is @name one of @names, which are patterns, parted by blanks? */
bool vl_program_among(const char *names, const char *name);

/* --- hostfile.c: files of the host, opened and asked about in the program's place --- */

struct vl_error *vl_host_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
void vl_host_query(struct vl_trap *t);
int vl_host_is_dir(struct vl_trap *t);
struct vl_error *vl_h_exec(struct vl_trap *t);

/* --- folder.c: what may be changed on the host --- */

void vl_folder_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
int vl_folder_change(struct vl_trap *t, const struct vl_where *other);
struct vl_error *vl_h_change_fd(struct vl_trap *t);

/* --- fds.c: what was handed over --- */

struct vl_file {
	enum { K_FREE, K_SNAPSHOT, K_DIR, K_STREAM, K_SOCKET } kind;
	uint64_t dev, ino; /* of the memfd in the program: its name for us */
	bool unseen;	   /* the last collection did not find it open */
	uint64_t epoch;	   /* of the content, or of guest_fd */
	unsigned closings; /* of vl_redirect, when guest_fd was opened */
	char *path;
	const struct vl_path_row *row;
	int flags; /* of open */
	bool has_stat;
	struct stat st;
	char *listing; /* K_DIR: struct vl_dirent64s; K_SOCKET: answers */
	size_t listing_len;
	int listing_end;	    /* K_DIR: the -errno behind the last entry; 0: it is the end */
	size_t pos;		    /* offset of the next entry or answer in listing */
	int64_t taken_ns;	    /* K_SNAPSHOT: when its content was handed over */
	int64_t guest_fd;	    /* K_STREAM: valid in @epoch only */
	int64_t off;		    /* K_STREAM: bytes, of H_RECORDS the number of the next;
				     * K_DIR: 1 when it was read from */
	int whence;		    /* K_STREAM of records: where off 0 is, as lseek takes it */
	int domain, type, protocol; /* K_SOCKET */
};

/* What is to be handed over; ownership of listing passes on success. */
struct vl_gift {
	const void *data; /* content of the memfd */
	size_t len;
	struct vl_file file;
	const char *path;
	bool cloexec;
	int at; /* the number to take, or -1 */
};

/* Hand over @g as a new descriptor; answers the trap, also with an errno. */
struct vl_error *vl_fd_give(struct vl_trap *t, struct vl_gift *g);
/* New content for the memfd of record @f, which is open as @fd in the trapping task. */
int vl_fd_rewrite(struct vl_trap *t, int fd, const struct vl_file *f, const void *data, size_t len);
/*
 * Descriptor @fd of the trapping task has no record. True: it is a stand-in all the same,
 * and t->ret is -EIO; a call by it may not pass.
 */
bool vl_fd_lost(struct vl_trap *t, int fd);
/* The same, and all else passes. */
void vl_fd_pass(struct vl_trap *t, int fd);
/* Put @fd of ours into the task as @number, or with -1 as the next that is free. */
void vl_fd_add(struct vl_trap *t, int fd, int number, bool cloexec);
/* The trapping task's open file @fd as a descriptor of ours, or -errno. */
int vl_fd_borrow(struct vl_trap *t, int fd);
/* A second number, of the same kind, for descriptor @fd of ours in the task. */
struct vl_error *vl_fd_duplicate(struct vl_trap *t, int fd, bool cloexec);
/* The stat of a file with content @text that the guest does not have. */
struct stat vl_supplied_stat(const char *text);
struct vl_error *vl_give_empty_folder(struct vl_trap *t, uint64_t flags);
static inline bool vl_fd_ours(uint64_t fd)
{
	return (fd & VL_FD_MASK) == VL_FD_LO;
}
struct vl_error *vl_h_dup(struct vl_trap *t);
/* fcntl(fd, F_DUPFD or F_DUPFD_CLOEXEC, least) */
struct vl_error *vl_fd_duplicate_from(struct vl_trap *t);

/* --- given.c: open files of the host --- */

/* Note what the program is given: before it begins. */
void vl_given_init(struct vl_redirect *r);
/* Is the file with @st one that the caller gave? */
bool vl_given(const struct vl_redirect *r, const struct stat *st);
struct vl_error *vl_h_change_open(struct vl_trap *t);
struct vl_error *vl_h_fcntl(struct vl_trap *t);
struct vl_error *vl_h_mmap(struct vl_trap *t);
struct vl_error *vl_h_socketpair(struct vl_trap *t);
struct vl_error *vl_h_shutdown(struct vl_trap *t);

/* --- records.c: the table of struct vl_file --- */

/* The name of all memfds that are handed over, and that of one as /proc shows it. */
#define VL_MEMFD_NAME "vlens"
bool vl_memfd_name(const char *name);
/* The record of descriptor @fd of the trapping task, or NULL. */
struct vl_file *vl_fd_find(struct vl_trap *t, int fd);
/* The record of the memfd with @st, or NULL. */
struct vl_file *vl_record_find(struct vl_redirect *r, const struct stat *st);
/* A place for one more, zeroed; NULL: none. May free records of closed files. */
struct vl_file *vl_record_new(struct vl_redirect *r);
void vl_record_free(struct vl_redirect *r, struct vl_file *f);
void vl_records_deinit(struct vl_redirect *r);

/* --- whole.c, files.c, query.c, stream.c: what the program does with files --- */

struct vl_error *vl_read_whole(struct vl_redirect *r, int64_t fd, const char *path, bool once,
			       char **data, size_t *len, int64_t *err);
struct vl_error *vl_open_whole(struct vl_redirect *r, const char *path, int flags, bool once,
			       int64_t *fd, char **data, size_t *len, int64_t *err);
/* What a program is told behind the last entry, where vl_list_whole() ended with @err. */
int vl_listing_end(int64_t err);
struct vl_error *vl_list_whole(struct vl_trap *t, int64_t *fd, const char *path, char **data,
			       size_t *len, int64_t *err);
struct vl_error *vl_h_open(struct vl_trap *t);
/* Is t->where a descriptor of ours, named by a pid that is the program's to itself? */
struct vl_file *vl_self_fd(struct vl_trap *t, bool *info_ret, int *fd_ret);
struct vl_error *vl_h_stat(struct vl_trap *t);
struct vl_error *vl_h_fstat(struct vl_trap *t);
struct vl_error *vl_h_statx(struct vl_trap *t);
struct vl_error *vl_h_query(struct vl_trap *t);
struct vl_error *vl_h_fquery(struct vl_trap *t);
struct vl_error *vl_h_change_path(struct vl_trap *t);
struct vl_error *vl_h_getdents(struct vl_trap *t);
struct vl_error *vl_h_lseek(struct vl_trap *t);
struct vl_error *vl_h_read(struct vl_trap *t);
struct vl_error *vl_h_readv(struct vl_trap *t);
struct vl_error *vl_h_fchdir(struct vl_trap *t);
struct vl_error *vl_h_chdir(struct vl_trap *t);
struct vl_error *vl_h_getcwd(struct vl_trap *t);

/* --- blame.c --- */

/* The guest gave no answer to @t, for good: count it, and note why. */
void vl_blame(struct vl_trap *t, const struct vl_error *err);
/* unshown.c: does the program show nothing of file @path, although it reads it? */
bool vl_unshown(const struct vl_trap *t, const char *path);
/*
 * Was @path on the guest's disk and not in its memory, when it was opened a moment ago? A program
 * that asks for it again and again (lsof, for each user's name) has its answer then.
 */
bool vl_absent(const struct vl_redirect *r, const char *path);
/* The program cannot have @what, of that kind. */
void vl_refused(struct vl_trap *t, enum vl_redirect_refused kind, const char *what);
/* The program cannot write t->where: that counts if it asks for nothing of the guest after it. */
void vl_refused_write(struct vl_trap *t);
/* It went on. */
void vl_refused_end(struct vl_redirect *r);

/* --- tame.c: no name or text of the guest drives a terminal --- */

/* @path of the program: with what was escaped in an answer as it is in the guest. */
void vl_untame(const struct vl_redirect *r, char *path);
/* Strings in fixed places, that are parted by NUL. */
void vl_tame_fixed(const struct vl_redirect *r, void *text, size_t len);
/* A string that may grow to @room bytes; it is cut there. Returns its length. */
size_t vl_tame_string(const struct vl_redirect *r, char *text, size_t len, size_t room);
/* The whole content of the file @path; *@data is malloc'ed. */
struct vl_error *vl_tame_file(struct vl_redirect *r, const char *path, char **data, size_t *len);
/* One piece of the stream @path, which may grow to @room bytes. Returns its length. */
size_t vl_tame_piece(struct vl_redirect *r, const char *path, char *data, size_t len, size_t room);
/* A listing of struct vl_dirent64, malloc'ed. */
struct vl_error *vl_tame_listing(const struct vl_redirect *r, char **listing, size_t *len);
/* What call t->nr gave back in @args. Returns @ret, or what it is now. */
int64_t vl_tame_answer(struct vl_trap *t, const struct vl_arg *args, int64_t ret);
/* message.c: one netlink message, with its header. */
void vl_tame_message(struct vl_redirect *r, int protocol, char *message, size_t len);

/* --- refuse.c: what is refused is counted --- */

/* Count call @nr, which somebody else answers. */
void vl_denied(struct vl_redirect *r, int nr);
/* Answer EPERM, or @err. */
void vl_deny(struct vl_trap *t);
void vl_deny_as(struct vl_trap *t, int err);
/* Answer that there is no such call. */
void vl_not_allowed(struct vl_trap *t);
/* Answer @err to the execve of @path. */
struct vl_error *vl_refuse_program(struct vl_trap *t, int err, enum vl_redirect_refused why,
				   const char *path);
struct vl_error *vl_h_deny(struct vl_trap *t);
struct vl_error *vl_h_ptrace(struct vl_trap *t);
struct vl_error *vl_h_namespace(struct vl_trap *t);
struct vl_error *vl_h_errno(struct vl_trap *t);

/* --- state.c, ids.c, ipc.c: what the program asks about the machine --- */

struct vl_error *vl_h_forward(struct vl_trap *t);
struct vl_error *vl_h_clock(struct vl_trap *t);
struct vl_error *vl_h_adjtime(struct vl_trap *t);
struct vl_error *vl_h_syslog(struct vl_trap *t);
struct vl_error *vl_h_prlimit(struct vl_trap *t);
struct vl_error *vl_h_prctl(struct vl_trap *t);
struct vl_error *vl_h_own(struct vl_trap *t);
struct vl_error *vl_h_id(struct vl_trap *t);
struct vl_error *vl_h_kill(struct vl_trap *t);
struct vl_error *vl_h_kill_fd(struct vl_trap *t);
struct vl_error *vl_h_ipcctl(struct vl_trap *t);
struct vl_error *vl_h_ipcget(struct vl_trap *t);

/* --- jobs.c: process groups, and which of them has the terminal --- */

struct vl_task;
/* Is it a process group of the program, or the tool's? */
bool vl_group_is_ours(struct vl_redirect *r, pid_t pgid);
struct vl_error *vl_h_group_id(struct vl_trap *t);
/*
 * The controlling terminal of the task; 0: it has none. *@foreground_ret, unless NULL, is the
 * process group that has it.
 */
dev_t vl_controlling(const struct vl_trap *t, pid_t *foreground_ret);
/* ioctl(fd, TIOCSPGRP, &group) */
struct vl_error *vl_h_foreground(struct vl_trap *t);
/* The process that forked the program says @word. */
struct vl_link;
void vl_link_word(struct vl_redirect *r, const struct vl_link *word);
/* The program has ended: a terminal that one of its groups has goes back to the tool's. */
void vl_jobs_end(struct vl_redirect *r);
/* Task @tid stopped at a call that the filter gives to the tracer. How to go on (ptrace). */
int vl_group_call(struct vl_redirect *r, pid_t tid);
/* @task stopped behind such a call. */
void vl_group_return(const struct vl_task *task);

/* --- socket.c, genl.c, netif.c: what the program asks over sockets --- */

struct vl_error *vl_h_socket(struct vl_trap *t);
struct vl_error *vl_h_connect(struct vl_trap *t);
struct vl_error *vl_h_bind(struct vl_trap *t);
struct vl_error *vl_h_getsockname(struct vl_trap *t);
struct vl_error *vl_h_setsockopt(struct vl_trap *t);
struct vl_error *vl_h_getsockopt(struct vl_trap *t);
struct vl_error *vl_h_send(struct vl_trap *t);
struct vl_error *vl_h_recv(struct vl_trap *t);
struct vl_error *vl_h_netif(struct vl_trap *t);
struct vl_error *vl_genl_asks(struct vl_trap *t, const char *buf, size_t len, bool *ret);

/* netfilter.c: does message @type of NETLINK_NETFILTER only ask? */
bool vl_netfilter_asks(uint16_t type);

/* netns.c: descriptors in a request of NETLINK_ROUTE as the guest's. */
struct vl_error *vl_netns_request(struct vl_trap *t, char *buf, size_t len);

/* --- ioctl.c: what it asks about an open file --- */

struct vl_error *vl_h_ioctl(struct vl_trap *t);

/* --- remote.c: the program's memory --- */

/* All return 0 or -errno (-EFAULT; -ENAMETOOLONG; -ESRCH: it is gone). */
int vl_mem_read(struct vl_trap *t, uint64_t addr, void *buf, size_t len);
int vl_mem_write(struct vl_trap *t, uint64_t addr, const void *buf, size_t len);
int vl_mem_string(struct vl_trap *t, uint64_t addr, char *buf, size_t size);

/* --- tasks.c: the program's processes and threads --- */

struct vl_task {
	pid_t tid, tgid, parent;	  /* parent: tgid of the creator, 0: not ours */
	bool stopped;			  /* in a group stop */
	char *cwd;			  /* in the guest, or NULL: where the program began */
	uint64_t loader, loader_end;	  /* the code of its loader */
	bool loader_libc;		  /* which is its C library as well (musl) */
	const struct vl_program *program; /* settings it has, or NULL */
	char name[32];			  /* of its executable, "" if that is longer */
	char called[16];		  /* by which name it was executed */
	bool interactive;		  /* a shell that takes a user's commands */
	bool asks;			  /* for commands, and runs none: which */
	struct {
		char name[64], dir[64]; /* the last command that it looked for, and where */
		bool again;		/* in more than one folder */
	} look;
};

struct vl_task *vl_task_find(struct vl_redirect *r, pid_t tid);
struct vl_task *vl_task_add(struct vl_redirect *r, pid_t tid, pid_t tgid, pid_t parent);
void vl_task_remove(struct vl_redirect *r, pid_t tid);
/* Continue all that the program has become; one may have stopped without our notice yet. */
void vl_tasks_continue(struct vl_redirect *r);

/* --- trace.c: they are traced --- */

/* Take up all that waits: stops, forks, execs, exits. */
struct vl_error *vl_tasks_reap(struct vl_redirect *r);
/* End them all and wait until they are gone. */
void vl_tasks_kill(struct vl_redirect *r);

/* --- launch.c, filter.c --- */

struct vl_redirect_filter {
	uint32_t nr;
	struct sock_filter *insns;
};
/*
 * Let the program begin: @r->main is its first process, which waits at @sock (see
 * child.h), and @r->filter is what it is to be put under. On success it is
 * traced, about to run its first instruction, and @r->listener is set.
 */
struct vl_error *vl_launch(struct vl_redirect *r, int sock, int *status_ret);

/* --- redirect.c --- */

/* message.c: as many families of generic netlink have texts. */
#define VL_GENL_FAMILIES 8

#define VL_MAX_APPROVED 64
#define VL_MAX_ABSENT 64
#define VL_PLACES 4

struct vl_redirect {
	struct vl_sys *sys;
	uint16_t genl_ids[VL_GENL_FAMILIES]; /* as the guest's kernel numbers them; 0: not known */
	const struct vl_redirect_options *o;
	struct vl_redirect_stats *stats;
	char *exe;  /* the program's file, as it is executed */
	char **own; /* absolute paths that are the program's own, with all below */
	size_t nr_own;
	char start_dir[PATH_MAX]; /* where the program begins, in the guest */
	bool start_known;	  /* it was asked about */
	/* Programs of the host that may be executed by now: what a race runs is none of them. */
	struct vl_program_id {
		dev_t dev;
		ino_t ino;
	} approved[VL_MAX_APPROVED];
	size_t nr_approved; /* the last ones, in a ring */
	struct vl_place {
		char *path; /* NULL: free */
		int fd;
	} places[VL_PLACES]; /* with files of the host, likewise */
	size_t nr_places;
	char *folder; /* --host-files, or NULL */
	bool folder_ro;
	char **guest_paths; /* those of the options, normalised */
	size_t nr_guest_paths;
	/* Paths that could not be read just now, as they are on the guest's disk: a ring. */
	struct vl_absent {
		uint64_t hash;
		int64_t ns; /* when that was found */
	} absent[VL_MAX_ABSENT];
	size_t nr_absent;
	uint64_t *on_disk; /* hashes of paths that were counted as such */
	size_t nr_on_disk;
	bool forced; /* the program has come to them */
	const struct vl_redirect_filter *filter;
	struct vl_redirect_filter *own_filter; /* NULL: the options have one */
	pid_t group;			       /* that it began in, the tool's */
	pid_t foreground;		       /* that it last gave the terminal to, or 0 */
	dev_t memory;			       /* of memory files */
	struct {
		uint64_t dev, ino;
	} given[3];	    /* standard input, output and error; 0: closed */
	bool given_appends; /* one of them is a file for reading, and for appending */
	/* In the program's environment, or NULL; what is for PATH. */
	const char *home, *path, *pwd;
	int listener;
	struct vl_terminal terminal;
	int link;	 /* to the process that forked the program, or -1: we did */
	bool left;	 /* that one is gone */
	pid_t main;	 /* the program's first process */
	bool killable;	 /* signals wait for the answer of a call (Linux 5.19) */
	bool ended;	 /* it is gone, and its status is: */
	int wait_status; /* as waitpid gives it */
	bool tasks_changed;
	pid_t asking;	   /* the task whose call is being answered */
	uint64_t asked;	   /* the call's id as long as there is no answer; or 0 */
	bool interrupted;  /* a signal waits for its end */
	int64_t looked_ns; /* when that was looked at */
	const struct vl_policy *by_nr[VL_NR_MAX];
	struct vl_task *tasks;
	size_t nr_tasks, max_tasks;
	struct vl_file *files[VL_FILES_BLOCKS];
	size_t nr_files, used_files; /* places in them */
	size_t next_file;	     /* the place after the newest */
	unsigned int next_snapshot, next_stream;
	bool no_epoch;		    /* the last one could not be opened */
	struct vl_error *unsettled; /* why what was asked is not to be handed on */
	pid_t uptime_tid;	    /* whose last question for a clock was CLOCK_BOOTTIME, or 0 */
	uint64_t uptime_epoch;
	unsigned closings; /* so often all of the guest's descriptors were closed in an epoch */
	int64_t sem_id;	   /* the semaphore set that the program was last told of, */
	uint64_t sem_len;  /* and how many it has: what it makes room for */
	bool know_self;
	struct vl_identity self;
	int64_t begun_ns; /* of the open epoch */
	char *chunk;	  /* VL_CHUNK bytes */
};

/* What is listed of a directory, as the guest gives it. */
struct vl_listing {
	char *data; /* struct vl_dirent64s; malloc'ed */
	size_t len, max;
	size_t settled; /* so many bytes stay when the call is tried again */
	int64_t behind; /* the position for what follows those */
	struct vl_listed seen;
	unsigned pieces;
};

/* One system call of the program that waits for its answer. */
struct vl_trap {
	struct vl_redirect *r;
	const struct vl_policy *row;
	uint64_t id;
	pid_t tid;
	int nr;
	uint64_t args[6];
	uint64_t ip; /* of the code that called */
	/* the answer */
	int64_t ret;
	bool pass; /* let the host's kernel do it */
	bool sent; /* answered already */
	/* what to do when the guest gives none */
	int tries;
	int fail_errno;
	vl_handler fallback;
	struct vl_where where; /* of the path argument, scratch of the handler */
	struct vl_listing listing;
};

/* A call in the guest; opens an epoch if there is none. */
struct vl_error *vl_guest(struct vl_redirect *r, const char *name, int64_t *ret,
			  const struct vl_arg *args, size_t nr);
#define VL_GUEST(r, name, ret, ...) \
	vl_guest(r, name, ret, (const struct vl_arg[]){ __VA_ARGS__ }, \
		 sizeof((const struct vl_arg[]){ __VA_ARGS__ }) / sizeof(struct vl_arg))
/* Likewise vl_sys_open_read(). */
struct vl_error *vl_guest_open_read(struct vl_redirect *r, const char *path, int flags, void *buf,
				    size_t len, int64_t *fd_ret, int64_t *n_ret);
/* The identity, which needs one epoch for the first time. */
struct vl_error *vl_self(struct vl_redirect *r, const struct vl_identity **ret);
struct vl_error *vl_epoch_begin(struct vl_redirect *r);
void vl_epoch_end(struct vl_redirect *r);
/*
 * May what the guest said since the last time be handed on? To be asked before the
 * program, or a record of ours, gets anything of it. False: the trap is handled
 * again, whatever its handler answers.
 */
bool vl_settled(struct vl_redirect *r);
/* Is the trapping task still waiting for this answer? */
bool vl_trap_valid(struct vl_trap *t);
/* Send the answer now; nothing happens at a second time. */
void vl_answer(struct vl_trap *t);

#endif
