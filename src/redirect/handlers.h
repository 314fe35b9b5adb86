/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The handlers of system calls, which rows of policy.c name. */
#ifndef VLENS_REDIRECT_HANDLERS_H
#define VLENS_REDIRECT_HANDLERS_H

#include "../error.h"

struct vl_trap;

/* connect.c */
struct vl_error *vl_h_connect(struct vl_trap *t);

/* fds.c */
struct vl_error *vl_h_dup(struct vl_trap *t);

/* files.c */
struct vl_error *vl_h_open(struct vl_trap *t);

/* folder.c */
struct vl_error *vl_h_change_fd(struct vl_trap *t);

/* given.c */
struct vl_error *vl_h_change_open(struct vl_trap *t);
struct vl_error *vl_h_fcntl(struct vl_trap *t);
struct vl_error *vl_h_mmap(struct vl_trap *t);
struct vl_error *vl_h_socketpair(struct vl_trap *t);
struct vl_error *vl_h_shutdown(struct vl_trap *t);
struct vl_error *vl_h_setsockopt(struct vl_trap *t);

/* hostfile.c */
struct vl_error *vl_h_exec(struct vl_trap *t);

/* ids.c */
struct vl_error *vl_h_id(struct vl_trap *t);
struct vl_error *vl_h_kill(struct vl_trap *t);
struct vl_error *vl_h_kill_fd(struct vl_trap *t);

/* ioctl.c */
struct vl_error *vl_h_ioctl(struct vl_trap *t);

/* ipc.c */
struct vl_error *vl_h_ipcctl(struct vl_trap *t);
struct vl_error *vl_h_ipcget(struct vl_trap *t);

/* jobs.c */
struct vl_error *vl_h_group_id(struct vl_trap *t);
/* ioctl(fd, TIOCSPGRP, &group) */
struct vl_error *vl_h_foreground(struct vl_trap *t);

/* netif.c */
struct vl_error *vl_h_netif(struct vl_trap *t);

/* query.c */
struct vl_error *vl_h_stat(struct vl_trap *t);
struct vl_error *vl_h_fstat(struct vl_trap *t);
struct vl_error *vl_h_statx(struct vl_trap *t);
struct vl_error *vl_h_query(struct vl_trap *t);
struct vl_error *vl_h_fquery(struct vl_trap *t);
struct vl_error *vl_h_change_path(struct vl_trap *t);

/* refuse.c */
struct vl_error *vl_h_deny(struct vl_trap *t);
struct vl_error *vl_h_ptrace(struct vl_trap *t);
struct vl_error *vl_h_namespace(struct vl_trap *t);
struct vl_error *vl_h_errno(struct vl_trap *t);

/* socket.c */
struct vl_error *vl_h_socket(struct vl_trap *t);
struct vl_error *vl_h_bind(struct vl_trap *t);
struct vl_error *vl_h_getsockname(struct vl_trap *t);
struct vl_error *vl_h_getsockopt(struct vl_trap *t);
struct vl_error *vl_h_send(struct vl_trap *t);
struct vl_error *vl_h_recv(struct vl_trap *t);

/* state.c */
struct vl_error *vl_h_forward(struct vl_trap *t);
struct vl_error *vl_h_clock(struct vl_trap *t);
struct vl_error *vl_h_adjtime(struct vl_trap *t);
struct vl_error *vl_h_syslog(struct vl_trap *t);
struct vl_error *vl_h_prlimit(struct vl_trap *t);
struct vl_error *vl_h_prctl(struct vl_trap *t);
struct vl_error *vl_h_own(struct vl_trap *t);

/* stream.c */
struct vl_error *vl_h_getdents(struct vl_trap *t);
struct vl_error *vl_h_lseek(struct vl_trap *t);
struct vl_error *vl_h_read(struct vl_trap *t);
struct vl_error *vl_h_readv(struct vl_trap *t);
struct vl_error *vl_h_fchdir(struct vl_trap *t);
struct vl_error *vl_h_chdir(struct vl_trap *t);
struct vl_error *vl_h_getcwd(struct vl_trap *t);

#endif
